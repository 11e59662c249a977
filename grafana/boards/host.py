"""Host: all about one machine; alerts' dashboard_url leads here."""

from typing import Final

from grafana.board import ENVIRONMENT, INSTANCE, Board, Cell, Row
from grafana.boards.disks import DISKS
from grafana.boards.limits import LIMITS, NETWORK, UNITS, rate, threshold
from grafana.marks import BAD, UP_DOWN, steps, words
from grafana.panels import COUNT, graph, number
from grafana.queries import NO_WATCHDOG, ONE_HOST, Query, limit
from grafana.tables import Column, Label, table_of

CPU: Final = f"instance:cpu_busy_ratio:avg5m{{{ONE_HOST}}}"
MEMORY: Final = f"instance:memory_usage_ratio:avg5m{{{ONE_HOST}}}"
CORES: Final = f'scalar(count(node_cpu_seconds_total{{mode="idle",{ONE_HOST}}}))'
NOT_IDLE: Final = 'mode!="idle",'

NOW: Final = Row(
    "Now",
    4,
    [
        Cell(
            4,
            number(
                "Exporter",
                "Whether the host's exporter answers Prometheus.",
                COUNT,
                Query(f'up{{job="node",{ONE_HOST}}}'),
                mappings=words(UP_DOWN),
                history=False,
            ),
        ),
        Cell(
            4,
            number(
                "Up for",
                "Since the last boot.",
                "s",
                Query(f"time() - node_boot_time_seconds{{{ONE_HOST}}}"),
                history=False,
            ),
        ),
        Cell(
            4,
            number(
                "CPU",
                "Busy share of all cores, on average over 5 minutes, as HostCpuHigh counts.",
                "percentunit",
                Query(CPU),
            ),
        ),
        Cell(
            4,
            number(
                "Memory",
                "Share of memory that is not available, on average over 5 minutes, as HostMemoryHigh counts.",
                "percentunit",
                Query(MEMORY),
            ),
        ),
        Cell(
            4,
            number(
                "Fullest disk",
                "Share in use of the fullest file system, on average over 5 minutes.",
                "percentunit",
                Query(f"max(instance_mountpoint:filesystem_usage_ratio:avg5m{{{ONE_HOST}}})"),
            ),
        ),
        Cell(
            4,
            number(
                "Alerts firing",
                "Alerts of this host that fire now.",
                COUNT,
                Query(f'count(ALERTS{{alertstate="firing",{NO_WATCHDOG},{ONE_HOST}}}) or vector(0)'),
                colors=steps((1, BAD)),
                history=False,
            ),
        ),
    ],
)

ALERTS: Final = Row(
    "Alerts and system",
    6,
    [
        Cell(
            14,
            table_of(
                "Alerts of this host",
                "What fires now, and for how long. The alert's name leads to its runbook.",
                [
                    Label("alertname", "Alert", "${runbooks}/${__value.raw}", "Open the runbook"),
                    Label("severity", "Severity"),
                ],
                [
                    Column(
                        "Firing for",
                        f"""
            time() - min by (alertname, severity) (
              ALERTS_FOR_STATE{{{ONE_HOST}}} and ignoring (alertstate) ALERTS{{alertstate="firing",{NO_WATCHDOG},{ONE_HOST}}}
            )""",
                        "s",
                    )
                ],
                sort="Firing for",
                nothing="no alert fires",
            ),
        ),
        Cell(
            10,
            table_of(
                "System",
                "Kernel and distribution, as the host tells them.",
                [
                    Label("nodename", "Node name"),
                    Label("pretty_name", "System"),
                    Label("release", "Kernel"),
                    Label("machine", "Machine"),
                ],
                [
                    Column(
                        "Cores",
                        f"""
            count by (instance) (node_cpu_seconds_total{{mode="idle",{ONE_HOST}}})
          * on (instance) group_right () node_uname_info{{{ONE_HOST}}}
          * on (instance) group_left (pretty_name) node_os_info{{{ONE_HOST}}}""",
                    )
                ],
                sort="Node name",
            ),
        ),
    ],
)

CPU_ROW: Final = Row(
    "CPU",
    8,
    [
        Cell(
            8,
            graph(
                "CPU by mode",
                "What all cores together spent their time on; idle is what is missing up to 100 %.",
                "percentunit",
                Query(f"sum by (mode) ({rate('node_cpu_seconds_total', NOT_IDLE)}) / {CORES}", "{{mode}}"),
                stack=True,
                top=1,
            ),
        ),
        Cell(
            8,
            graph(
                "CPU busy",
                "Neither idle nor waiting for I/O, on average over 5 minutes; dashed: the threshold of HostCpuHigh.",
                "percentunit",
                Query(CPU, "busy"),
                limit(threshold("cpu_usage_ratio"), "CPU"),
                top=1,
            ),
        ),
        Cell(
            8,
            graph(
                "CPU by core",
                "Busy share of each core in the last 15 s: one busy core hides in the average of many.",
                "percentunit",
                Query(f"host_cpu_core_usage_ratio{{{ONE_HOST}}}", "core {{cpu}}"),
                top=1,
            ),
        ),
        Cell(
            8,
            graph(
                "Load",
                "Tasks that run or wait, 1, 5 and 15 minutes; dashed: the number of cores.",
                COUNT,
                Query(f"node_load1{{{ONE_HOST}}}", "1 min"),
                Query(f"node_load5{{{ONE_HOST}}}", "5 min"),
                Query(f"node_load15{{{ONE_HOST}}}", "15 min"),
                Query(f'count(node_cpu_seconds_total{{mode="idle",{ONE_HOST}}})', "cores", threshold=True),
            ),
        ),
        Cell(
            8,
            graph(
                "Pressure",
                "Share of time in which some task waited for CPU, I/O or memory (PSI), over 5 minutes; dashed: the threshold of HostPressureHigh.",
                "percentunit",
                Query(f"instance_resource:pressure_waiting_ratio:rate5m{{{ONE_HOST}}}", "waits for {{resource}}"),
                limit(f"min({threshold('pressure_waiting_ratio')})", "pressure"),
            ),
        ),
        Cell(
            8,
            graph(
                "Context switches and interrupts",
                "How often a second the CPUs turned to something else.",
                "ops",
                Query(rate("node_context_switches_total"), "context switches"),
                Query(rate("node_intr_total"), "interrupts"),
            ),
        ),
    ],
)

MEMORY_ROW: Final = Row(
    "Memory",
    8,
    [
        Cell(
            8,
            graph(
                "Use of memory",
                "What memory is used for; cache can be given back, mostly.",
                "bytes",
                Query(
                    f"node_memory_MemTotal_bytes{{{ONE_HOST}}} - node_memory_MemFree_bytes{{{ONE_HOST}}} - node_memory_Buffers_bytes{{{ONE_HOST}}} - node_memory_Cached_bytes{{{ONE_HOST}}} - node_memory_SReclaimable_bytes{{{ONE_HOST}}}",
                    "used",
                ),
                Query(
                    f"node_memory_Cached_bytes{{{ONE_HOST}}} + node_memory_SReclaimable_bytes{{{ONE_HOST}}} + node_memory_Buffers_bytes{{{ONE_HOST}}}",
                    "cache and buffers",
                ),
                Query(f"node_memory_MemFree_bytes{{{ONE_HOST}}}", "free"),
                stack=True,
            ),
        ),
        Cell(
            8,
            graph(
                "Memory in use",
                "Share that is not available, on average over 5 minutes; dashed: the threshold of HostMemoryHigh.",
                "percentunit",
                Query(MEMORY, "not available"),
                limit(threshold("memory_usage_ratio"), "memory"),
                top=1,
            ),
        ),
        Cell(
            8,
            graph(
                "Paging and OOM kills",
                "Pages a second that came from or went to swap, major faults, and processes that the kernel killed for want of memory.",
                "ops",
                Query(rate("node_vmstat_pswpin"), "swapped in"),
                Query(rate("node_vmstat_pswpout"), "swapped out"),
                Query(rate("node_vmstat_pgmajfault"), "major faults"),
                Query(rate("node_vmstat_oom_kill"), "killed (OOM)"),
            ),
        ),
    ],
)

BOARD: Final = Board(
    "hostwatch-host",
    "hostwatch: Host",
    "All about one host. Alerts lead here, with the host and the hour in which they fired.",
    (ENVIRONMENT, INSTANCE),
    (NOW, ALERTS, CPU_ROW, MEMORY_ROW, DISKS, NETWORK, LIMITS, UNITS),
)
