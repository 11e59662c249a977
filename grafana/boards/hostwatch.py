"""hostwatch itself: exporter, relay, Prometheus, Alertmanager; what a scrape costs, and how many series there are."""

from typing import Final

from grafana.board import ENVIRONMENT, INSTANCES, Board, Cell, Row
from grafana.boards.pipeline import PARTS, PIPELINE
from grafana.marks import BAD, OK_FAILED, steps
from grafana.panels import COUNT, bars, graph, number
from grafana.queries import HOSTS, Query
from grafana.tables import Column, Label, table_of

NODE: Final = f'job="node",{HOSTS}'
# it worked within the day and does not now: a device that is not there is no failure. CollectorFailing knows of a week, by
# rules that record it; a panel would have to read all of it at each look
FAILING: Final = f"""
    max by (instance, collector) (max_over_time(node_scrape_collector_success{{{HOSTS}}}[1d:5m])) == 1
  unless
    max by (instance, collector) (node_scrape_collector_success{{{HOSTS}}}) == 1"""

BOARD: Final = Board(
    "hostwatch-hostwatch",
    "hostwatch: hostwatch itself",
    "Whether the watchers are well: exporters, relay, Prometheus, Alertmanager; what they cost.",
    (ENVIRONMENT, INSTANCES),
    (
        Row(
            "Now",
            4,
            [
                Cell(5, number("Exporters up", "Exporters that answer.", COUNT, Query(f"sum(up{{{NODE}}})"))),
                Cell(
                    5,
                    number(
                        "Parts down",
                        "Prometheus, Alertmanager and relays that do not answer: PipelinePartDown. One without a target is no part "
                        "here: PipelinePartMissing.",
                        COUNT,
                        Query(f"count(up{{{PARTS}}} == 0) or vector(0)"),
                        colors=steps((1, BAD)),
                    ),
                ),
                Cell(
                    5,
                    number(
                        "Failing collectors",
                        "Collectors that worked within the day and fail now. CollectorFailing looks back over a week.",
                        COUNT,
                        Query(f"count({FAILING}) or vector(0)"),
                        colors=steps((1, BAD)),
                    ),
                ),
                Cell(
                    5,
                    number(
                        "Series dropped",
                        "Samples that exporters left out in the last 15 minutes: SeriesDropped.",
                        COUNT,
                        Query(f"sum(increase(host_exporter_series_dropped_total{{{HOSTS}}}[15m]))"),
                        colors=steps((1, BAD)),
                    ),
                ),
                Cell(
                    4,
                    number(
                        "Dead letters",
                        "Bodies that nobody could read or deliver, kept by the relay: RelayDeadLetters.",
                        COUNT,
                        Query("sum(relay_dead_letters)"),
                        colors=steps((1, BAD)),
                    ),
                ),
            ],
        ),
        Row(
            "What a scrape costs",
            8,
            [
                Cell(
                    8,
                    graph(
                        "Duration of a scrape",
                        "From Prometheus' question to the answer's last byte.",
                        "s",
                        Query(f"scrape_duration_seconds{{{NODE}}}", "{{instance}}"),
                    ),
                ),
                Cell(
                    8,
                    graph(
                        "CPU of exporters",
                        "Cores that each exporter uses, between scrapes too.",
                        COUNT,
                        Query(f"rate(process_cpu_seconds_total{{{NODE}}}[$__rate_interval])", "{{instance}}"),
                    ),
                ),
                Cell(
                    8,
                    graph(
                        "Memory of exporters",
                        "Resident memory of each exporter.",
                        "bytes",
                        Query(f"process_resident_memory_bytes{{{NODE}}}", "{{instance}}"),
                    ),
                ),
                Cell(
                    8,
                    graph(
                        "Time by collector",
                        "Mean over hosts; the ten collectors that take longest.",
                        "s",
                        Query(
                            f"topk(10, avg by (collector) (node_scrape_collector_duration_seconds{{{HOSTS}}}))",
                            "{{collector}}",
                        ),
                        stack=True,
                    ),
                ),
                Cell(
                    16,
                    table_of(
                        "Exporters",
                        "Version, settings and size of each.",
                        [Label("instance", "Host"), Label("version", "Version"), Label("python", "Python")],
                        [
                            Column(
                                "Settings",
                                f"min by (instance) (host_exporter_settings_reload_successful{{{HOSTS}}})",
                                words=OK_FAILED,
                            ),
                            Column(
                                "Settings read",
                                f"time() - max by (instance) (host_exporter_settings_reload_success_timestamp_seconds{{{HOSTS}}})",
                                "s",
                            ),
                            Column(
                                "Build",
                                f"max by (instance, version, python) (host_exporter_build_info{{{HOSTS}}})",
                                hidden=True,
                            ),
                            Column("Up for", f"time() - max by (instance) (process_start_time_seconds{{{NODE}}})", "s"),
                            Column("Samples", f"max by (instance) (scrape_samples_scraped{{{NODE}}})"),
                            Column(
                                "Collectors that work", f"sum by (instance) (node_scrape_collector_success{{{HOSTS}}})"
                            ),
                        ],
                        sort="Samples",
                    ),
                ),
            ],
        ),
        Row(
            "Cardinality",
            8,
            [
                Cell(
                    8,
                    graph(
                        "Samples by host",
                        "Samples of each scrape.",
                        COUNT,
                        Query(f"scrape_samples_scraped{{{NODE}}}", "{{instance}}"),
                    ),
                ),
                Cell(
                    8,
                    bars(
                        "Series by family",
                        "The fifteen metrics with most series.",
                        COUNT,
                        Query(f"sort_desc(topk(15, count by (__name__) ({{{NODE}}})))", "{{__name__}}"),
                    ),
                ),
                Cell(
                    8,
                    graph(
                        "New series",
                        "Series that a scrape brought for the first time: high all the time means labels that never stay.",
                        COUNT,
                        Query(f"scrape_series_added{{{NODE}}}", "{{instance}}"),
                    ),
                ),
            ],
        ),
        *PIPELINE,
    ),
)
