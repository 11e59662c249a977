"""Processes: the named groups, and the programs that use most."""

from typing import Final

from grafana.board import ENVIRONMENT, INSTANCES, Board, Cell, Row, Variable
from grafana.marks import BAD, YES_NO, steps
from grafana.panels import COUNT, graph, number
from grafana.queries import HOSTS, Query
from grafana.tables import Column, Label, table_of

GROUPS: Final = Variable("group", "Group", f"label_values(host_process_group_processes{{{HOSTS}}}, group)")
GROUP: Final = f'group=~"$group",{HOSTS}'
NAMED: Final = "{{group}} on {{instance}}"


def _most(metric: str) -> str:
    return f"max by (instance, group) ({metric}{{{GROUP}}})"


TABLE: Final = table_of(
    "Groups",
    "Each group of the settings, gone ones first: a group without a process alerts (ProcessGroupGone). 'Hidden' counts "
    "processes of which permissions hide something; what would be wrong without it is not shown.",
    [Label("instance", "Host"), Label("group", "Group")],
    [
        Column("Processes", _most("host_process_group_processes")),
        Column("Threads", _most("host_process_group_threads")),
        Column(
            "CPU cores",
            f"sum by (instance, group) (rate(host_process_group_cpu_seconds_total{{{GROUP}}}[$__rate_interval]))",
        ),
        Column("Memory", _most("host_process_group_resident_bytes"), "bytes"),
        Column("Swapped out", _most("host_process_group_swap_bytes"), "bytes"),
        Column("Open files", _most("host_process_group_open_files")),
        Column("Of file limit", _most("host_process_group_open_files_limit_ratio"), "percentunit", gauge=True),
        Column("Oldest", f"time() - {_most('host_process_group_oldest_start_timestamp_seconds')}", "s"),
        Column("Hidden", _most("host_process_group_hidden"), limit=1),
    ],
    sort="Processes",
    descending=False,
    nothing="no group is configured: collectors.process_groups.groups in the settings",
)

BOARD: Final = Board(
    "hostwatch-processes",
    "hostwatch: Processes",
    "What the named groups of processes use, and which programs use most.",
    (ENVIRONMENT, INSTANCES, GROUPS),
    (
        Row(
            "Now",
            4,
            [
                Cell(
                    6,
                    number(
                        "Processes",
                        "All processes, kernel threads included.",
                        COUNT,
                        Query(f"sum(host_process_scan_processes{{{HOSTS}}})"),
                    ),
                ),
                Cell(
                    6,
                    number(
                        "Groups gone",
                        "Groups without a process: ProcessGroupGone.",
                        COUNT,
                        Query(f"count(host_process_group_processes{{{GROUP}}} == 0) or vector(0)"),
                        colors=steps((1, BAD)),
                    ),
                ),
                Cell(
                    6,
                    number(
                        "Nearest to its limit of open files",
                        "The highest share among all groups' processes.",
                        "percentunit",
                        Query(f"max(host_process_group_open_files_limit_ratio{{{GROUP}}})"),
                        colors=steps((0.8, "yellow"), (0.95, BAD)),
                    ),
                ),
                Cell(
                    6,
                    number(
                        "Zombies",
                        "Processes of groups that have ended and that nobody has waited for.",
                        COUNT,
                        Query(f'sum(host_process_group_states{{state="zombie",{GROUP}}}) or vector(0)'),
                        colors=steps((10, "yellow")),
                    ),
                ),
            ],
        ),
        Row("Groups", 9, [Cell(24, TABLE)]),
        Row(
            "Groups over time",
            8,
            [
                Cell(
                    8,
                    graph(
                        "CPU",
                        "Cores that each group uses, ended processes included.",
                        COUNT,
                        Query(
                            f"sum by (instance, group) (rate(host_process_group_cpu_seconds_total{{{GROUP}}}[$__rate_interval]))",
                            NAMED,
                        ),
                    ),
                ),
                Cell(
                    8,
                    graph(
                        "Memory",
                        "Resident memory of each group; what processes share counts for each.",
                        "bytes",
                        Query(f"host_process_group_resident_bytes{{{GROUP}}}", NAMED),
                    ),
                ),
                Cell(
                    8,
                    graph(
                        "Processes by group",
                        "Number of processes of each group.",
                        COUNT,
                        Query(f"host_process_group_processes{{{GROUP}}}", NAMED),
                    ),
                ),
                Cell(
                    8,
                    graph(
                        "Storage",
                        "Bytes a second that each group had storage read (above zero) and written (below).",
                        "binBps",
                        Query(
                            f"rate(host_process_group_read_bytes_total{{{GROUP}}}[$__rate_interval])", NAMED + " read"
                        ),
                        Query(
                            f"rate(host_process_group_written_bytes_total{{{GROUP}}}[$__rate_interval])",
                            NAMED + " written",
                            negative=True,
                        ),
                    ),
                ),
                Cell(
                    8,
                    graph(
                        "Open files of their limit",
                        "The highest share of its limit that a process of the group uses.",
                        "percentunit",
                        Query(f"host_process_group_open_files_limit_ratio{{{GROUP}}}", NAMED),
                        top=1,
                    ),
                ),
                Cell(
                    8,
                    graph(
                        "States",
                        "Processes of all chosen groups by state.",
                        COUNT,
                        Query(f"sum by (state) (host_process_group_states{{{GROUP}}})", "{{state}}"),
                        stack=True,
                    ),
                ),
            ],
        ),
        Row(
            "Programs that use most",
            9,
            [
                Cell(
                    12,
                    graph(
                        "CPU by program",
                        "Cores by name of program; 'other' is the sum of all others, so that the height is that of all.",
                        COUNT,
                        Query(f"sum by (name) (host_process_top_cpu_cores{{{HOSTS}}})", "{{name}}"),
                        stack=True,
                    ),
                ),
                Cell(
                    12,
                    graph(
                        "Memory by program",
                        "Resident memory by name of program; 'other' is the sum of all others.",
                        "bytes",
                        Query(f"sum by (name) (host_process_top_resident_bytes{{{HOSTS}}})", "{{name}}"),
                        stack=True,
                    ),
                ),
            ],
        ),
        Row(
            "The scan itself",
            6,
            [
                Cell(
                    12,
                    graph(
                        "Duration of a scan",
                        "How long one look at all processes took.",
                        "s",
                        Query(f"host_process_scan_duration_seconds{{{HOSTS}}}", "{{instance}}"),
                    ),
                ),
                Cell(
                    12,
                    table_of(
                        "Is all seen?",
                        "No: processes are hidden (hidepid); then sums are not shown.",
                        [Label("instance", "Host")],
                        [
                            Column(
                                "Complete", f"max by (instance) (host_process_scan_complete{{{HOSTS}}})", words=YES_NO
                            ),
                            Column("Processes", f"max by (instance) (host_process_scan_processes{{{HOSTS}}})"),
                            Column(
                                "Looked",
                                f"time() - max by (instance) (host_process_scan_timestamp_seconds{{{HOSTS}}})",
                                "s",
                            ),
                        ],
                        sort="Complete",
                        descending=False,
                    ),
                ),
            ],
        ),
    ),
)
