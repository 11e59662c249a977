"""Counters of the network protocols (/proc/net/netstat, /proc/net/snmp, /proc/net/snmp6)."""

from collections.abc import Sequence
from typing import ClassVar, Final

from exporter.collectors.fields import FieldLines, FieldTable
from exporter.collectors.optional import read_optional
from exporter.exposition import Block, Family, Layout
from exporter.kernel import KernelError, KernelFiles
from exporter.settings.values import Regex

_NETSTAT: Final = "proc/net/netstat"
_SNMP: Final = "proc/net/snmp"
_SNMP6: Final = "proc/net/snmp6"
# what the default settings choose of Linux 6.18; what else they choose is exposed likewise
_FIELDS: Final = {
    _NETSTAT: (
        *("TcpExt_SyncookiesSent", "TcpExt_SyncookiesRecv", "TcpExt_SyncookiesFailed", "TcpExt_ListenOverflows"),
        *("TcpExt_ListenDrops", "TcpExt_TCPTimeouts", "TcpExt_TCPOFOQueue", "TcpExt_TCPSynRetrans"),
        *("TcpExt_TCPRcvQDrop", "IpExt_InOctets", "IpExt_OutOctets"),
    ),
    _SNMP: (
        *("Ip_Forwarding", "Icmp_InMsgs", "Icmp_InErrors", "Icmp_OutMsgs", "Tcp_ActiveOpens", "Tcp_PassiveOpens"),
        *("Tcp_CurrEstab", "Tcp_InSegs", "Tcp_OutSegs", "Tcp_RetransSegs", "Tcp_InErrs", "Tcp_OutRsts"),
        *("Udp_InDatagrams", "Udp_NoPorts", "Udp_InErrors", "Udp_OutDatagrams", "Udp_RcvbufErrors"),
        *("Udp_SndbufErrors", "UdpLite_InErrors"),
    ),
    _SNMP6: (
        *("Ip6_InOctets", "Ip6_OutOctets", "Icmp6_InMsgs", "Icmp6_InErrors", "Icmp6_OutMsgs", "Udp6_InDatagrams"),
        *("Udp6_NoPorts", "Udp6_InErrors", "Udp6_OutDatagrams", "Udp6_RcvbufErrors", "Udp6_SndbufErrors"),
        "UdpLite6_InErrors",
    ),
}


def family_of(path: str, key: str) -> Family:
    """Return the family of one field: untyped, since the files mix counters and gauges."""
    field = key.replace("_", "" if path == _SNMP6 else " ", 1)
    return Family(f"node_netstat_{key}", "untyped", f"The kernel's count of that name (/{path}, {field}).")


class NetStat:
    """The protocols' counters that the settings want, of this network namespace: the kernel's own digits."""

    name: ClassVar[str] = "netstat"
    families: ClassVar[tuple[Family, ...]] = tuple(
        family_of(path, key) for path, keys in _FIELDS.items() for key in keys
    )
    blocking: ClassVar[bool] = False

    def __init__(self, files: KernelFiles, fields: Regex) -> None:
        self._fields = fields.pattern
        self._tables = [(files.open(path, whole=True), FieldTable(path, self._is_wanted)) for path in (_NETSTAT, _SNMP)]
        self._snmp6 = files.open(_SNMP6, whole=True), FieldLines(_SNMP6, self._is_wanted6)
        self._keys: list[Sequence[str]] = []
        self._values: list[bytes] = []
        self._layout = Layout(())

    def _is_wanted(self, key: str) -> bool:
        return self._fields.search(key) is not None

    def _is_wanted6(self, field: str) -> bool:
        return "6" in field and self._is_wanted(key_of(field))

    def collect(self) -> Block:
        """Return each wanted field; a kernel without IPv6 lacks its file. Raises KernelError for a strange line."""
        values = [value for file, table in self._tables for value in table.read(file.read())]
        keys = [table.keys for _, table in self._tables]
        file6, fields6 = self._snmp6
        text6 = read_optional(file6)
        if text6 is not None:
            values += fields6.read(text6)
            keys.append(fields6.keys)
        if keys != self._keys:
            self._rebuild(keys)
        if values != self._values:
            self._layout.fill(values)
            self._values = values
        return self._layout.render()

    def _rebuild(self, keys: list[Sequence[str]]) -> None:
        self._keys, self._values = [], []
        named = [*((_NETSTAT, key) for key in keys[0]), *((_SNMP, key) for key in keys[1])]
        named += [(_SNMP6, key_of(key)) for key in (keys[2] if len(keys) > 2 else ())]
        if len({key for _, key in named}) != len(named):
            raise KernelError(f"{_NETSTAT}, {_SNMP}, {_SNMP6}: expected fields, each once")
        self._layout = Layout((family_of(path, key), [()]) for path, key in named)
        self._keys = keys


def key_of(field: str) -> str:
    """Return PROTOCOL_NAME of a field of /proc/net/snmp6, where both are one word: the protocol ends with its 6."""
    protocol, six, name = field.partition("6")
    return f"{protocol}{six}_{name}"
