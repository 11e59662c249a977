"""Network and latency: round trips as a heat map, loss, jitter, and throughput against the usual band."""

from typing import Final

from grafana.board import ENVIRONMENT, INSTANCES, Board, Cell, Row, Variable
from grafana.marks import BAD, OK_FAILED, steps
from grafana.panels import COUNT, graph, heat, number, timeline
from grafana.queries import HOSTS, Query, limit
from grafana.tables import Column, Label, table_of

TARGETS: Final = Variable("target", "Ping target", f"label_values(host_ping_sent_total{{{HOSTS}}}, target)")
DEVICES: Final = Variable("device", "Device", f"label_values(node_network_receive_bytes_total{{{HOSTS}}}, device)")
PING: Final = f'target=~"$target",{HOSTS}'
LINK: Final = f'device=~"$device",{HOSTS}'
LATENCY: Final = f"instance_target:ping_latency_seconds:rate5m{{{PING}}}"
LOSS: Final = f"instance_target:ping_loss_ratio:rate5m{{{PING}}}"
USUAL: Final = f"instance_device:network_bytes:same_hour{{{LINK}}}"


def rate(metric: str) -> str:
    """Return a counter's rate on the chosen links."""
    return f"rate({metric}{{{LINK}}}[$__rate_interval])"


BOARD: Final = Board(
    "hostwatch-network",
    "hostwatch: Network and latency",
    "Round trips, loss and jitter to what the hosts ping, and how much their links carry beside what is usual.",
    (ENVIRONMENT, INSTANCES, TARGETS, DEVICES),
    (
        Row(
            "Latency",
            9,
            [
                Cell(
                    12,
                    heat(
                        "Round trips",
                        "Answered packets by round-trip time: the darker, the more of them. The alert's default edge stands at 0.2 s.",
                        "s",
                        Query(
                            f"sum by (le) (increase(host_ping_rtt_seconds_bucket{{{PING}}}[$__rate_interval]))",
                            "{{le}}",
                        ),
                    ),
                ),
                Cell(
                    12,
                    graph(
                        "Mean round trip",
                        "Mean of 5 minutes by host and target; dashed: the lowest threshold of PingLatencyHigh.",
                        "s",
                        Query(LATENCY, "{{instance}} to {{target}}"),
                        limit("min(host:threshold:ping_latency_seconds)", "latency"),
                    ),
                ),
                Cell(
                    8,
                    graph(
                        "99th percentile",
                        "99 of 100 answered packets came back sooner, by target.",
                        "s",
                        Query(
                            f"histogram_quantile(0.99, sum by (le, target) (rate(host_ping_rtt_seconds_bucket{{{PING}}}[$__rate_interval])))",
                            "{{target}}",
                        ),
                    ),
                ),
                Cell(
                    8,
                    graph(
                        "Loss",
                        "Share of packets without an answer, over 5 minutes; dashed: the lowest threshold of PingLossHigh.",
                        "percentunit",
                        Query(LOSS, "{{instance}} to {{target}}"),
                        limit("min(host:threshold:ping_loss_ratio)", "loss"),
                    ),
                ),
                Cell(
                    8,
                    graph(
                        "Jitter",
                        "Mean difference between one round trip and the next, in the last round.",
                        "s",
                        Query(f"host_ping_jitter_seconds{{{PING}}}", "{{instance}} to {{target}}"),
                    ),
                ),
            ],
        ),
        Row(
            "Targets",
            8,
            [
                Cell(
                    12,
                    table_of(
                        "Targets, worst first",
                        "Each target as each host sees it, most loss first. 'Could ask' is no where the host itself could not send: "
                        "then nothing is known of the target.",
                        [Label("instance", "Host"), Label("target", "Target")],
                        [
                            Column("Loss", f"max by (instance, target) ({LOSS})", "percentunit", gauge=True),
                            Column(
                                "Of latency threshold",
                                f"max by (instance, target) ({LATENCY} / on (instance, target) group_left () host:threshold:ping_latency_seconds)",
                                "percentunit",
                                limit=1,
                            ),
                            Column("Median", f"max by (instance, target) (host_ping_latency_seconds{{{PING}}})", "s"),
                            Column(
                                "Could ask",
                                f"max by (instance, target) (host_ping_possible{{{PING}}})",
                                words=OK_FAILED,
                            ),
                            Column(
                                "Asked",
                                f"time() - max by (instance, target) (host_ping_last_attempt_timestamp_seconds{{{PING}}})",
                                "s",
                            ),
                        ],
                        sort="Loss",
                        nothing="nothing is pinged: probes.ping.targets in the settings",
                    ),
                ),
                Cell(
                    12,
                    timeline(
                        "Answers",
                        "Whether anything came back in the last minute, over time.",
                        {"1": ("▲ answers", "blue"), "0": ("▼ SILENT", BAD)},
                        Query(
                            f"rate(host_ping_received_total{{{PING}}}[$__rate_interval]) > bool 0",
                            "{{instance}} to {{target}}",
                        ),
                    ),
                ),
            ],
        ),
        Row(
            "Throughput",
            8,
            [
                Cell(
                    12,
                    graph(
                        "Traffic beside the usual",
                        "Bytes a second in both directions, over 30 minutes, the mean of the same hour of the two days before, and (dashed) what HostTrafficUnusual calls unusual. The usual is known after two days.",
                        "binBps",
                        Query(f"instance_device:network_bytes:rate30m{{{LINK}}}", "{{instance}} {{device}}"),
                        Query(USUAL, "{{instance}} {{device}} usual"),
                        limit(
                            f"{USUAL} * on (instance, device) group_left () host:threshold:traffic_growth_ratio",
                            "{{instance}} {{device}}",
                        ),
                    ),
                ),
                Cell(
                    12,
                    graph(
                        "Received and sent",
                        "Bytes a second by device: received above zero, sent below.",
                        "binBps",
                        Query(rate("node_network_receive_bytes_total"), "{{instance}} {{device}} received"),
                        Query(rate("node_network_transmit_bytes_total"), "{{instance}} {{device}} sent", negative=True),
                    ),
                ),
                Cell(
                    8,
                    graph(
                        "Packets",
                        "Packets a second: received above zero, sent below.",
                        "pps",
                        Query(rate("node_network_receive_packets_total"), "{{instance}} {{device}} received"),
                        Query(
                            rate("node_network_transmit_packets_total"), "{{instance}} {{device}} sent", negative=True
                        ),
                    ),
                ),
                Cell(
                    8,
                    graph(
                        "Errors and drops",
                        "Share of packets with an error or dropped, over 5 minutes; dashed: the lower threshold.",
                        "percentunit",
                        Query(
                            f"instance_device:network_error_ratio:rate5m{{{LINK}}}", "{{instance}} {{device}} errors"
                        ),
                        Query(f"instance_device:network_drop_ratio:rate5m{{{LINK}}}", "{{instance}} {{device}} drops"),
                        limit(
                            "min(host:threshold:network_error_ratio or host:threshold:network_drop_ratio)",
                            "errors, drops",
                        ),
                    ),
                ),
                Cell(
                    8,
                    graph(
                        "Use of the link",
                        "The busier direction's share of the link's speed, where the speed is known; dashed: the threshold of HostLinkSaturated.",
                        "percentunit",
                        Query(f"instance_device:link_usage_ratio:rate5m{{{LINK}}}", "{{instance}} {{device}}"),
                        limit("min(host:threshold:link_usage_ratio)", "link"),
                    ),
                ),
            ],
        ),
        Row(
            "TCP and ping itself",
            6,
            [
                Cell(
                    8,
                    graph(
                        "TCP",
                        "Share of segments that had to be sent again.",
                        "percentunit",
                        Query(
                            f"rate(node_netstat_Tcp_RetransSegs{{{HOSTS}}}[$__rate_interval]) / (rate(node_netstat_Tcp_OutSegs{{{HOSTS}}}[$__rate_interval]) > 0)",
                            "{{instance}} sent again",
                        ),
                    ),
                ),
                Cell(
                    8,
                    graph(
                        "Answers that counted for nothing",
                        "Echo replies a second that were duplicates, late, or not ours.",
                        "cps",
                        Query(
                            f"sum by (instance, reason) (rate(host_ping_ignored_replies_total{{{HOSTS}}}[$__rate_interval]))",
                            "{{instance}} {{reason}}",
                        ),
                    ),
                ),
                Cell(
                    8,
                    number(
                        "Targets without an answer",
                        "Targets of which not one packet of the last minutes was answered.",
                        COUNT,
                        Query(
                            f"count(rate(host_ping_received_total{{{PING}}}[$__rate_interval]) == 0 and rate(host_ping_sent_total{{{PING}}}[$__rate_interval]) > 0) or vector(0)"
                        ),
                        colors=steps((1, BAD)),
                    ),
                ),
            ],
        ),
    ),
)
