"""Neighbours known by ARP (/proc/net/arp)."""

import re
from collections import Counter
from typing import ClassVar, Final

from exporter.collectors.devices import DeviceFilter
from exporter.exposition import Block, Family, Layout, text_of
from exporter.kernel import KernelError, KernelFiles

ENTRIES: Final = Family("node_arp_entries", "gauge", "Entries of the ARP table (/proc/net/arp).", ("device",))

# net/ipv4/arp.c, arp_seq_show
_HEADING: Final = b"IP address       HW type     Flags       HW address            Mask     Device\n"
# a device without hardware addresses leaves that column empty
_LINE: Final = re.compile(rb"^\d+\.\d+\.\d+\.\d+ +0x[0-9a-f]+ +0x[0-9a-f]+ +(?:(?!\* )\S+ +)?\* +(\S+)$", re.MULTILINE)
# a hardware address has at most 32 bytes, in three characters each; all else of a line fits into a hundred
_RECORD: Final = 256


class Arp:
    """Entries of the ARP table by device: what /proc/net/arp shows, published ones included, fixed ones not."""

    name: ClassVar[str] = "arp"
    families: ClassVar[tuple[Family, ...]] = (ENTRIES,)
    blocking: ClassVar[bool] = False

    def __init__(self, files: KernelFiles, devices: DeviceFilter) -> None:
        self._source = files.open("proc/net/arp", record=_RECORD)
        self._devices = devices
        self._text: bytes | None = None
        self._block: Block = b""

    def collect(self) -> Block:
        """Return each device's number of entries, nothing when there are none. Raises KernelError."""
        text = self._source.read()
        if text != self._text:
            entries = {text_of(device): count for device, count in parse_arp(text).items()}
            wanted = {device: count for device, count in entries.items() if self._devices.wants(device)}
            layout = Layout([(ENTRIES, [(device,) for device in wanted])])
            self._block = layout.fill([b"%d" % count for count in wanted.values()])
            self._text = text
        return self._block


def parse_arp(text: bytes) -> Counter[bytes]:
    """Return the number of entries of each device. Raises KernelError when heading or a line is not the kernel's."""
    devices = _LINE.findall(text)
    if not (text.startswith(_HEADING) and text.endswith(b"\n")) or len(devices) != text.count(b"\n") - 1:
        raise KernelError(f"proc/net/arp: expected the kernel's heading and lines of neighbours, got {text[:160]!r}")
    return Counter(devices)
