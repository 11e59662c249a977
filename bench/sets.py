"""The sets of collectors that both sides run, each collector with a sample that it gives on every Linux machine."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

Collectors = Mapping[str, bytes]
"""By the collector's name, which is the same on both sides: the start of a line of its own."""

SIX: Final[Collectors] = MappingProxyType(
    {
        "cpu": b"node_cpu_seconds_total",
        "filesystem": b"node_filesystem_size_bytes",
        "loadavg": b"node_load1",
        "meminfo": b"node_memory_MemTotal_bytes",
        "netdev": b"node_network_receive_bytes_total",
        "stat": b"node_boot_time_seconds",
    }
)
TEN: Final[Collectors] = MappingProxyType(
    {
        **SIX,
        "diskstats": b"node_disk_read_bytes_total",
        "time": b"node_time_seconds",
        "uname": b"node_uname_info",
        "vmstat": b"node_vmstat_pgfault",
    }
)
TEN_NETCLASS: Final[Collectors] = MappingProxyType({**TEN, "netclass": b"node_network_mtu_bytes"})
