"""Containers: environment, host, container, state and version of each, exited ones on top; states over time."""

from typing import Final

from grafana.board import ENVIRONMENT, INSTANCES, Board, Cell, Row, Variable
from grafana.marks import BAD, GOOD, OFF, WARN, YES_NO, steps
from grafana.panels import COUNT, graph, number, timeline
from grafana.queries import HOSTS, Query, limit
from grafana.tables import Column, Label, table_of

CONTAINERS: Final = Variable("container", "Container", f"label_values(host_container_state{{{HOSTS}}}, name)")
ONES: Final = f'name=~"$container",{HOSTS}'
STATE: Final = f"host_container_state{{{ONES}}}"
EACH: Final = "environment, instance, name"
HOST_PAGE: Final = "/d/hostwatch-host?var-instance=${__value.raw}&${__url_time_range}&var-datasource=${datasource}"

# what a state is called in a graph of numbers; the order is that of how much it matters
STATES: Final = {
    "running": ("▲ running", GOOD),
    "created": ("• created", OFF),
    "paused": ("‖ paused", OFF),
    "removing": ("• removing", OFF),
    "restarting": ("↻ RESTARTING", WARN),
    "exited": ("■ EXITED", BAD),
    "dead": ("✗ DEAD", BAD),
}
NUMBERED: Final = {str(number): words for number, words in enumerate(STATES.values(), 1)}


def rank(by: str) -> str:
    """Return each container's state as its number among STATES."""
    states = " or ".join(
        f'host_container_state{{state="{state}",{ONES}}} * {place}' for place, state in enumerate(STATES, 1)
    )
    return f"max by ({by}) ({states})"


TABLE: Final = table_of(
    "Containers, exited first",
    "Every container of every chosen host, those that have exited included; sorted by state: dead, exited, restarting, then "
    "the others. Exit code 128 + N: signal N ended it.",
    [
        Label("environment", "Environment"),
        Label("instance", "Host", HOST_PAGE, "Open the host"),
        Label("name", "Container"),
        Label("image", "Image"),
        Label("version", "Version"),
        Label("status", "Health"),
    ],
    [
        Column("State", rank(EACH), words=NUMBERED),
        Column("Image", f"max by ({EACH}, image, version) (host_container_info{{{ONES}}})", hidden=True),
        Column("Health", f"max by ({EACH}, status) (host_container_health{{{ONES}}} == 1)", hidden=True),
        Column("Exit code", f"max by ({EACH}) (host_container_exit_code{{{ONES}}})", limit=1),
        Column("Ended", f"time() - max by ({EACH}) (host_container_finished_timestamp_seconds{{{ONES}}})", "s"),
        Column("Started", f"time() - max by ({EACH}) (host_container_started_timestamp_seconds{{{ONES}}})", "s"),
        Column("Restarts", f"max by ({EACH}) (host_container_restarts_total{{{ONES}}})", limit=1),
        Column(
            "CPU",
            f"sum by ({EACH}) (rate(host_container_cpu_seconds_total{{{ONES}}}[$__rate_interval]))",
            "percentunit",
        ),
        Column("Memory", f"max by ({EACH}) (host_container_memory_usage_bytes{{{ONES}}})", "bytes"),
    ],
    sort="State",
    nothing="no container: is there an engine, and may hostwatch ask it?",
)

BOARD: Final = Board(
    "hostwatch-containers",
    "hostwatch: Containers",
    "Every container in every state, with its version; exited ones on top.",
    (ENVIRONMENT, INSTANCES, CONTAINERS),
    (
        Row(
            "Now",
            4,
            [
                Cell(
                    5,
                    number(
                        "Running",
                        "Containers that run.",
                        COUNT,
                        Query(f'sum(host_container_state{{state="running",{ONES}}})'),
                    ),
                ),
                Cell(
                    5,
                    number(
                        "Exited or dead",
                        "Containers that have ended and are still there.",
                        COUNT,
                        Query(f'sum(host_container_state{{state=~"exited|dead",{ONES}}})'),
                        colors=steps((1, BAD)),
                    ),
                ),
                Cell(
                    5,
                    number(
                        "Exited with a failure",
                        "Exited containers whose exit code is not 0: ContainerFailed.",
                        COUNT,
                        Query(f"count(host_container_exit_code{{{ONES}}} != 0) or vector(0)"),
                        colors=steps((1, BAD)),
                    ),
                ),
                Cell(
                    5,
                    number(
                        "Unhealthy",
                        "Running containers whose health check fails: ContainerUnhealthy.",
                        COUNT,
                        Query(f'sum(host_container_health{{status="unhealthy",{ONES}}}) or vector(0)'),
                        colors=steps((1, BAD)),
                    ),
                ),
                Cell(
                    4,
                    number(
                        "Engines that answer",
                        "Hosts whose Docker Engine answers; the others' containers are not known.",
                        COUNT,
                        Query(f'sum(node_scrape_collector_success{{collector="containers",{HOSTS}}})'),
                    ),
                ),
            ],
        ),
        Row("Containers", 12, [Cell(24, TABLE)]),
        Row(
            "Over time",
            10,
            [
                Cell(
                    24,
                    timeline(
                        "States",
                        "The state of each container over time; a container that is gone ends.",
                        NUMBERED,
                        Query(rank("instance, name"), "{{name}} on {{instance}}"),
                    ),
                ),
            ],
        ),
        Row(
            "Use",
            8,
            [
                Cell(
                    8,
                    graph(
                        "CPU",
                        "Cores that each container uses.",
                        COUNT,
                        Query(
                            f"sum by (instance, name) (rate(host_container_cpu_seconds_total{{{ONES}}}[$__rate_interval]))",
                            "{{name}} on {{instance}}",
                        ),
                        stack=True,
                    ),
                ),
                Cell(
                    8,
                    graph(
                        "Memory",
                        "Working set of each container: memory in use but for inactive page cache.",
                        "bytes",
                        Query(f"host_container_memory_usage_bytes{{{ONES}}}", "{{name}} on {{instance}}"),
                        stack=True,
                    ),
                ),
                Cell(
                    8,
                    graph(
                        "Memory of its limit",
                        "Share of its own limit that a container uses, where it has one; the kernel kills at 100 %.",
                        "percentunit",
                        Query(
                            f"host_container_memory_usage_bytes{{{ONES}}} / on (instance, name) host_container_memory_limit_bytes{{{ONES}}}",
                            "{{name}} on {{instance}}",
                        ),
                        top=1,
                    ),
                ),
                Cell(
                    8,
                    graph(
                        "Number in each state",
                        "Number of containers in each state.",
                        COUNT,
                        Query(f"sum by (state) ({STATE})", "{{state}}"),
                        stack=True,
                    ),
                ),
                Cell(
                    8,
                    graph(
                        "Restarts",
                        "Restarts by restart policy in 15 minutes; dashed: the lowest threshold of ContainerRestarting.",
                        COUNT,
                        Query(f"increase(host_container_restarts_total{{{ONES}}}[15m])", "{{name}} on {{instance}}"),
                        limit("min(host:threshold:container_restarts)", "restarts"),
                    ),
                ),
                Cell(
                    8,
                    graph(
                        "Killed for want of memory",
                        "Processes in containers that the kernel killed, a second.",
                        "cps",
                        Query(
                            f"rate(host_container_oom_kills_total{{{ONES}}}[$__rate_interval])",
                            "{{name}} on {{instance}}",
                        ),
                    ),
                ),
            ],
        ),
        Row(
            "Versions",
            8,
            [
                Cell(
                    12,
                    table_of(
                        "Versions in use",
                        "How many containers run each version of each image, by environment.",
                        [Label("environment", "Environment"), Label("image", "Image"), Label("version", "Version")],
                        [
                            Column(
                                "Containers", f"count by (environment, image, version) (host_container_info{{{ONES}}})"
                            )
                        ],
                        sort="Containers",
                    ),
                ),
                Cell(
                    12,
                    table_of(
                        "Engines",
                        "Whether each host's engine answers; where it does not, nothing is known of its containers.",
                        [Label("instance", "Host", HOST_PAGE, "Open the host")],
                        [
                            Column(
                                "Answers",
                                f'max by (instance) (node_scrape_collector_success{{collector="containers",{HOSTS}}})',
                                words=YES_NO,
                            ),
                            Column("Containers", f"count by (instance) (host_container_info{{{ONES}}})"),
                            Column(
                                "Exited", f'sum by (instance) (host_container_state{{state="exited",{ONES}}})', limit=1
                            ),
                        ],
                        sort="Exited",
                    ),
                ),
            ],
        ),
    ),
)
