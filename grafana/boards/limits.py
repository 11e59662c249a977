"""The host's network, its programs, and the kernel's limits."""

from typing import Final

from grafana.board import Cell, Row
from grafana.marks import BAD, WARN, steps
from grafana.panels import COUNT, graph, number
from grafana.queries import ONE_HOST, Query, limit
from grafana.tables import Column, Label, table_of

# loopback and the ends of containers' cables would only repeat what others show
DEVICE: Final = 'device!~"lo|veth.*|docker.*|br-.*",'


def threshold(name: str) -> str:
    """Return the host's own threshold."""
    return f"host:threshold:{name}{{{ONE_HOST}}}"


def rate(metric: str, more: str = "") -> str:
    """Return a counter's rate on this host."""
    return f"rate({metric}{{{more}{ONE_HOST}}}[$__rate_interval])"


NETWORK: Final = Row(
    "Network",
    8,
    [
        Cell(
            8,
            graph(
                "Traffic",
                "Bytes a second by device: received above zero, sent below. Loopback and containers' cables are left out.",
                "binBps",
                Query(rate("node_network_receive_bytes_total", DEVICE), "{{device}} received"),
                Query(rate("node_network_transmit_bytes_total", DEVICE), "{{device}} sent", negative=True),
            ),
        ),
        Cell(
            8,
            graph(
                "Errors and drops",
                "Share of packets with an error or dropped, over 5 minutes; dashed: the lower threshold of HostNetworkErrors and HostNetworkDrops.",
                "percentunit",
                Query(f"instance_device:network_error_ratio:rate5m{{{ONE_HOST}}}", "{{device}} errors"),
                Query(f"instance_device:network_drop_ratio:rate5m{{{ONE_HOST}}}", "{{device}} drops"),
                limit(f"min({threshold('network_error_ratio')} or {threshold('network_drop_ratio')})", "errors, drops"),
            ),
        ),
        Cell(
            8,
            graph(
                "TCP",
                "Connections that are open, and segments that had to be sent again.",
                COUNT,
                Query(f"node_netstat_Tcp_CurrEstab{{{ONE_HOST}}}", "open connections"),
                Query(f"node_sockstat_TCP_tw{{{ONE_HOST}}}", "waiting to end"),
                Query(f"increase(node_netstat_Tcp_RetransSegs{{{ONE_HOST}}}[$__rate_interval])", "sent again"),
            ),
        ),
    ],
)

LIMITS: Final = Row(
    "Processes and limits",
    8,
    [
        Cell(
            6,
            graph(
                "CPU by program",
                "Cores that the programs with most CPU used; 'other' is the sum of all others.",
                COUNT,
                Query(f"host_process_top_cpu_cores{{{ONE_HOST}}}", "{{name}}"),
                stack=True,
            ),
        ),
        Cell(
            6,
            graph(
                "Memory by program",
                "Resident memory of the programs with most of it.",
                "bytes",
                Query(f"host_process_top_resident_bytes{{{ONE_HOST}}}", "{{name}}"),
                stack=True,
            ),
        ),
        Cell(
            6,
            graph(
                "File handles and connections",
                "Share in use of the kernel's file handles and of the connection table; dashed: the threshold of HostFileHandlesLow.",
                "percentunit",
                Query(f"node_filefd_allocated{{{ONE_HOST}}} / node_filefd_maximum{{{ONE_HOST}}}", "file handles"),
                Query(
                    f"node_nf_conntrack_entries{{{ONE_HOST}}} / node_nf_conntrack_entries_limit{{{ONE_HOST}}}",
                    "connection table",
                ),
                limit(threshold("file_handle_ratio"), "file handles"),
            ),
        ),
        Cell(
            6,
            graph(
                "Clock",
                "Difference to Prometheus' clock, the scrape's own time included; dashed: the threshold of HostClockSkewed.",
                "s",
                Query(f"instance:clock_skew_seconds:abs{{{ONE_HOST}}}", "skew"),
                limit(threshold("clock_skew_seconds"), "skew"),
            ),
        ),
    ],
)

UNITS: Final = Row(
    "Units and tasks",
    5,
    [
        Cell(
            12,
            table_of(
                "Failed units",
                "Units of systemd that have failed.",
                [Label("name", "Unit")],
                [
                    Column(
                        "State",
                        f'max by (name) (node_systemd_unit_state{{state="failed",{ONE_HOST}}} == 1)',
                        words={"1": ("✗ FAILED", BAD)},
                    )
                ],
                sort="Unit",
                nothing="no failed unit is known",
            ),
        ),
        Cell(
            12,
            number(
                "Tasks",
                "Tasks that run, and tasks that wait for I/O without end in sight.",
                COUNT,
                Query(f"node_procs_running{{{ONE_HOST}}}", "running"),
                Query(f"node_procs_blocked{{{ONE_HOST}}}", "blocked"),
                colors=steps((100, WARN)),
            ),
        ),
    ],
)
