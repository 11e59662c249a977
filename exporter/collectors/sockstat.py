"""Sockets in use (/proc/net/sockstat, /proc/net/sockstat6)."""

import os
import re
from typing import ClassVar, Final

from exporter.collector import NoData
from exporter.collectors.optional import read_optional
from exporter.exposition import Block, Family, Layout
from exporter.kernel import KernelError, KernelFiles

_TEXTS: Final = {
    "used": "Sockets of all kinds in use",
    "inuse": "Sockets in use",
    "orphan": "Sockets that no process holds any more",
    "tw": "Sockets that wait for late packets (TIME-WAIT)",
    "alloc": "Sockets that have memory",
    "mem": "Pages of memory in the sockets' queues",
    "mem_bytes": "Bytes of memory in the sockets' queues",
    "memory": "Bytes of memory of packets that are put together",
}
_FILES: Final = ("proc/net/sockstat", "proc/net/sockstat6")
# what Linux 6.18 shows (net/ipv4/proc.c, net/ipv6/proc.c); another protocol is exposed likewise
_FIELDS: Final = {
    "sockets": ("used",),
    "TCP": ("inuse", "orphan", "tw", "alloc", "mem", "mem_bytes"),
    "UDP": ("inuse", "mem", "mem_bytes"),
    "UDPLITE": ("inuse",),
    "RAW": ("inuse",),
    "FRAG": ("inuse", "memory"),
    "TCP6": ("inuse",),
    "UDP6": ("inuse",),
    "UDPLITE6": ("inuse",),
    "RAW6": ("inuse",),
    "FRAG6": ("inuse", "memory"),
}
_LINE: Final = re.compile(rb"([A-Za-z0-9_]+):((?: [a-z_]+ \d+)+) ?")


def family_of(protocol: str, field: str) -> Family:
    """Return the family of one field of one protocol."""
    file = "sockstat6" if protocol.endswith("6") else "sockstat"
    return Family(
        f"node_sockstat_{protocol}_{field}",
        "gauge",
        f"{_TEXTS[field]} (/proc/net/{file}, {protocol} {field.removesuffix('_bytes')}).",
    )


class SockStat:
    """Sockets and their memory, by protocol, of this network namespace (memory: of the whole machine)."""

    name: ClassVar[str] = "sockstat"
    families: ClassVar[tuple[Family, ...]] = tuple(
        family_of(p, field) for p, fields in _FIELDS.items() for field in fields
    )
    blocking: ClassVar[bool] = False

    def __init__(self, files: KernelFiles, page_size: int | None = None) -> None:
        self._sources = [files.open(path, whole=True) for path in _FILES]
        self._page_size = page_size or os.sysconf("SC_PAGE_SIZE")
        self._texts: list[bytes | None] = []
        self._keys: list[tuple[str, str]] = []
        self._layout = Layout(())

    def collect(self) -> Block:
        """Return every field that has a family.

        Raises NoData where the kernel has neither file, KernelError when a line is not the kernel's.
        """
        texts = list(map(read_optional, self._sources))
        if texts == [None, None]:
            raise NoData("no IP")
        if texts != self._texts:
            self._texts = []  # an error below must not pass for the same text next time
            self._put(texts)
            self._texts = texts
        return self._layout.render()

    def _put(self, texts: list[bytes | None]) -> None:
        fields: dict[tuple[str, str], bytes] = {}
        for path, text in zip(_FILES, texts, strict=True):
            found = {} if text is None else parse_sockstat(path, text, self._page_size)
            if found.keys() & fields.keys():
                raise KernelError(f"{path}: expected protocols that are not in {_FILES[0]}")
            fields |= found
        keys = list(fields)
        if keys != self._keys:
            self._layout = Layout((family_of(*key), [()]) for key in keys)
            self._keys = keys
        self._layout.fill(list(fields.values()))


def parse_sockstat(path: str, text: bytes, page_size: int) -> dict[tuple[str, str], bytes]:
    """Return the digits by protocol and field; `mem`, which counts pages, also as mem_bytes.

    Raises KernelError when the file is cut short, a line is not `protocol: field number ...` or stands twice.
    """
    out: dict[tuple[str, str], bytes] = {}
    lines = text.split(b"\n")
    if lines.pop() or not lines:
        raise KernelError(f"{path}: expected whole lines, got {text[-80:]!r}")
    for line in lines:
        match = _LINE.fullmatch(line)
        protocol = match[1].decode() if match else ""
        if match is None or any(key[0] == protocol for key in out):
            raise KernelError(f"{path}: expected a protocol, once, and its numbers, got {line[:80]!r}")
        words = match[2].split()
        for field, value in zip(words[::2], words[1::2], strict=True):
            if field.decode() in _TEXTS:
                out[protocol, field.decode()] = value
        if (protocol, "mem") in out:
            out[protocol, "mem_bytes"] = b"%d" % (int(out[protocol, "mem"]) * page_size)
    return out
