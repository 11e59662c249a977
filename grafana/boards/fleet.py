"""Fleet: each host with its usage and its alerts, the worst first; a click leads to the host."""

from typing import Final

from grafana.board import ENVIRONMENT, INSTANCES, Board, Cell, Row
from grafana.marks import BAD, UP_DOWN, WARN, steps
from grafana.panels import COUNT, graph, number, timeline
from grafana.queries import HOSTS, NO_WATCHDOG, Query, limit
from grafana.tables import Column, Label, table_of

HOST_PAGE: Final = "/d/hostwatch-host?var-instance=${__value.raw}&${__url_time_range}&var-datasource=${datasource}"
UP: Final = f'up{{job="node",{HOSTS}}}'
EACH: Final = f"group by (instance) ({UP})"
CPU: Final = f"instance:cpu_busy_ratio:avg5m{{{HOSTS}}}"
MEMORY: Final = f"instance:memory_usage_ratio:avg5m{{{HOSTS}}}"
DISK: Final = f"instance_mountpoint:filesystem_usage_ratio:avg5m{{{HOSTS}}}"
# how near the nearest of cpu, memory and disks is to its own host's threshold: 1 is there
NEAREST: Final = f"""
  max by (instance) (
      {CPU} / on (instance) group_left () host:threshold:cpu_usage_ratio
    or
      label_replace(
        {MEMORY} / on (instance) group_left () host:threshold:memory_usage_ratio,
        "resource", "memory", "", ""
      )
    or
      {DISK} / on (instance, mountpoint) group_left () host:threshold:disk_usage_ratio
  )"""


def firing(severity: str) -> str:
    """Return an expression for the number of a host's alerts; 0 where there is none."""
    alerts = f'ALERTS{{alertstate="firing",severity="{severity}",{NO_WATCHDOG},instance=~"$instance"}}'
    return f"(count by (instance) ({alerts}) and on (instance) {EACH}) or {EACH} * 0"


WORST: Final = f"""
    1000 * (1 - max by (instance) ({UP}))
  + 100 * ({firing("critical")})
  + 10 * ({firing("warning")})
  + ({NEAREST} or {EACH} * 0)"""

HOSTS_TABLE: Final = table_of(
    "Hosts, worst first",
    "Each host of the environment: whether its exporter answers, its alerts, and its usage on average over 5 minutes. "
    "'Of threshold' is how near CPU, memory or a disk is to the host's own threshold: 100 % and more alerts. Down hosts "
    "come first, then critical alerts, then warnings. The host's name leads to its dashboard.",
    [Label("instance", "Host", HOST_PAGE, "Open the host")],
    [
        Column("State", f"max by (instance) ({UP})", words=UP_DOWN),
        Column("Critical", firing("critical"), limit=1),
        Column("Warning", firing("warning"), limit=1),
        Column("Of threshold", NEAREST, "percentunit", limit=1),
        Column("CPU", f"max by (instance) ({CPU})", "percentunit", gauge=True),
        Column("Memory", f"max by (instance) ({MEMORY})", "percentunit", gauge=True),
        Column("Fullest disk", f"max by (instance) ({DISK})", "percentunit", gauge=True),
        Column(
            "Load per core",
            f"""
            max by (instance) (node_load5{{{HOSTS}}})
          / count by (instance) (node_cpu_seconds_total{{mode="idle",{HOSTS}}})""",
            COUNT,
        ),
        Column("Booted", f"time() - max by (instance) (node_boot_time_seconds{{{HOSTS}}})", "s"),
        Column("Worst", WORST, hidden=True),
    ],
    sort="Worst",
    nothing="no host: is Prometheus scraping the job node?",
)

BOARD: Final = Board(
    "hostwatch-fleet",
    "hostwatch: Fleet",
    "Every host at a glance, the worst first.",
    (ENVIRONMENT, INSTANCES),
    (
        Row(
            "Now",
            4,
            [
                Cell(4, number("Hosts up", "Hosts whose exporter answers.", COUNT, Query(f"sum({UP})"))),
                Cell(
                    4,
                    number(
                        "Hosts down",
                        "Hosts whose exporter does not answer: HostDown after a minute or two.",
                        COUNT,
                        Query(f"count({UP} == 0) or vector(0)"),
                        colors=steps((1, BAD)),
                    ),
                ),
                Cell(
                    4,
                    number(
                        "Critical alerts",
                        "Alerts of severity critical that fire now: somebody has to act.",
                        COUNT,
                        Query(
                            'count(ALERTS{alertstate="firing",severity="critical",instance=~"$instance"}) or vector(0)'
                        ),
                        colors=steps((1, BAD)),
                    ),
                ),
                Cell(
                    4,
                    number(
                        "Warnings",
                        "Alerts of severity warning that fire now: somebody has to act today.",
                        COUNT,
                        Query(
                            f'count(ALERTS{{alertstate="firing",severity="warning",{NO_WATCHDOG},instance=~"$instance"}}) or vector(0)'
                        ),
                        colors=steps((1, WARN)),
                    ),
                ),
                Cell(
                    4,
                    number(
                        "Cores",
                        "CPU cores of all hosts that answer.",
                        COUNT,
                        Query(f'count(node_cpu_seconds_total{{mode="idle",{HOSTS}}})'),
                    ),
                ),
                Cell(
                    4,
                    number(
                        "Memory in all",
                        "Memory of all hosts that answer.",
                        "bytes",
                        Query(f"sum(node_memory_MemTotal_bytes{{{HOSTS}}})"),
                    ),
                ),
            ],
        ),
        Row("Hosts", 12, [Cell(24, HOSTS_TABLE)]),
        Row(
            "Busiest hosts",
            8,
            [
                Cell(
                    8,
                    graph(
                        "CPU",
                        "Busy share of all cores of the ten busiest hosts, on average over 5 minutes. Dashed: the lowest threshold among the hosts.",
                        "percentunit",
                        Query(f"topk(10, {CPU})", "{{instance}}"),
                        limit("min(host:threshold:cpu_usage_ratio)", "CPU"),
                        top=1,
                    ),
                ),
                Cell(
                    8,
                    graph(
                        "Memory",
                        "Share of memory that is not available, of the ten hosts with least left. Dashed: the lowest threshold among the hosts.",
                        "percentunit",
                        Query(f"topk(10, {MEMORY})", "{{instance}}"),
                        limit("min(host:threshold:memory_usage_ratio)", "memory"),
                        top=1,
                    ),
                ),
                Cell(
                    8,
                    graph(
                        "Disks",
                        "Share in use of the ten fullest file systems. Dashed: the lowest threshold among them.",
                        "percentunit",
                        Query(f"topk(10, {DISK})", "{{instance}} {{mountpoint}}"),
                        limit("min(host:threshold:disk_usage_ratio)", "disk"),
                        top=1,
                    ),
                ),
            ],
        ),
        Row(
            "History",
            8,
            [
                Cell(
                    12,
                    timeline(
                        "Answers",
                        "Whether each host's exporter answered, over time.",
                        UP_DOWN,
                        Query(UP, "{{instance}}"),
                    ),
                ),
                Cell(
                    12,
                    graph(
                        "Network",
                        "Bytes a second of all hosts and their physical devices: received above zero, sent below.",
                        "binBps",
                        Query(
                            f'sum by (instance) (rate(node_network_receive_bytes_total{{device!~"lo|veth.*|docker.*|br-.*",{HOSTS}}}[$__rate_interval]))',
                            "{{instance}} received",
                        ),
                        Query(
                            f'sum by (instance) (rate(node_network_transmit_bytes_total{{device!~"lo|veth.*|docker.*|br-.*",{HOSTS}}}[$__rate_interval]))',
                            "{{instance}} sent",
                            negative=True,
                        ),
                    ),
                ),
            ],
        ),
    ),
)
