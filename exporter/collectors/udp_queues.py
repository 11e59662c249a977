"""Bytes that wait in the queues of UDP sockets (/proc/net/udp, /proc/net/udp6)."""

import re
from typing import ClassVar, Final

from exporter.collector import NoData
from exporter.collectors.optional import read_optional
from exporter.exposition import Block, Family, Layout
from exporter.kernel import KernelError, KernelFiles

QUEUES: Final = Family(
    "node_udp_queues",
    "gauge",
    "Bytes that wait in the queues of all UDP sockets (/proc/net/udp, /proc/net/udp6).",
    ("ip", "queue"),
)
_FILES: Final = (("v4", "proc/net/udp"), ("v6", "proc/net/udp6"))
_QUEUES: Final = ("tx", "rx")

# net/ipv4/udp.c, udp4_seq_show; net/ipv6/udp.c has the same with longer addresses
_HEADING: Final = re.compile(rb" +sl +local_address +rem(?:ote)?_address +st tx_queue rx_queue [^\n]*\n")
_SOCKET: Final = re.compile(
    rb"^ *\d+: [0-9A-F]{8,32}:[0-9A-F]{4} [0-9A-F]{8,32}:[0-9A-F]{4} [0-9A-F]{2} ([0-9A-F]{8}):([0-9A-F]{8}) .*$",
    re.MULTILINE,
)
_EMPTY: Final = (b"00000000", b"00000000")
# a socket's line is padded to 127 bytes; with the longest addresses and numbers it is at most this
_RECORD: Final = 256


class UdpQueues:
    """Bytes to send and bytes received that nobody took yet, summed over the sockets of each IP version."""

    name: ClassVar[str] = "udp_queues"
    families: ClassVar[tuple[Family, ...]] = (QUEUES,)
    blocking: ClassVar[bool] = False

    def __init__(self, files: KernelFiles) -> None:
        self._sources = [(version, path, files.open(path, record=_RECORD)) for version, path in _FILES]
        self._texts: dict[str, bytes] = {}
        self._block: Block = b""

    def collect(self) -> Block:
        """Return the rows of each IP version that this kernel has.

        Raises NoData where it has none, KernelError when a line is not a socket's.
        """
        texts = {name: text for name, _, file in self._sources if (text := read_optional(file)) is not None}
        if not texts:
            raise NoData("no UDP")
        if texts != self._texts:
            sums = {name: sum_queues(path, texts[name]) for name, path, _ in self._sources if name in texts}
            layout = Layout([(QUEUES, [(version, queue) for version in sums for queue in _QUEUES])])
            self._block = layout.fill([b"%d" % value for pair in sums.values() for value in pair])
            self._texts = texts
        return self._block


def sum_queues(path: str, text: bytes) -> tuple[int, int]:
    """Return the bytes in the send and in the receive queues of all sockets. Raises KernelError naming the file."""
    sockets = _SOCKET.findall(text)
    if not (_HEADING.match(text) and text.endswith(b"\n")) or len(sockets) != text.count(b"\n") - 1:
        raise KernelError(f"{path}: expected the kernel's heading and lines of sockets, got {text[:80]!r}")
    filled = [queues for queues in sockets if queues != _EMPTY]
    return sum(int(sent, 16) for sent, _ in filled), sum(int(received, 16) for _, received in filled)
