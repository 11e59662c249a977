"""Alerts: what fires, what fired, and how long it takes until somebody knows."""

from typing import Final

from grafana.board import ENVIRONMENT, INSTANCES, Board, Cell, Row
from grafana.marks import BAD, OK_FAILED, WARN, steps, words
from grafana.panels import COUNT, bars, graph, number, timeline
from grafana.queries import NO_WATCHDOG, Query
from grafana.tables import Column, Label, table_of

HOST_PAGE: Final = "/d/hostwatch-host?var-instance=${__value.raw}&${__url_time_range}&var-datasource=${datasource}"
# alerts of the alerts' way itself have hosts outside of any environment: instance only
OURS: Final = f'{NO_WATCHDOG},instance=~"$instance"'
FIRING: Final = f'ALERTS{{alertstate="firing",{OURS}}}'
PENDING: Final = f'ALERTS{{alertstate="pending",{OURS}}}'
BY: Final = "alertname, instance, severity"
STATES: Final = {"1": ("… pending", WARN), "2": ("▼ FIRING", BAD)}
# the relay's is 0 while nothing waits: then nothing has waited for any time
WAITING: Final = "max(time() - relay_queue_oldest_timestamp_seconds or relay_queue_depth * 0)"
DELIVERY: Final = """
  sum(rate(alertmanager_notification_latency_seconds_sum{integration="webhook"}[$__rate_interval]))
/ (sum(rate(alertmanager_notification_latency_seconds_count{integration="webhook"}[$__rate_interval])) > 0)"""

BOARD: Final = Board(
    "hostwatch-alerts",
    "hostwatch: Alerts",
    "What fires now, what fired, and how long it takes until somebody knows.",
    (ENVIRONMENT, INSTANCES),
    (
        Row(
            "Now",
            4,
            [
                Cell(
                    4,
                    number(
                        "Firing",
                        "Alerts that fire now, the Watchdog aside.",
                        COUNT,
                        Query(f"count({FIRING}) or vector(0)"),
                        colors=steps((1, BAD)),
                    ),
                ),
                Cell(
                    4,
                    number(
                        "Pending",
                        "Conditions that hold, not yet for long enough.",
                        COUNT,
                        Query(f"count({PENDING}) or vector(0)"),
                        colors=steps((1, WARN)),
                    ),
                ),
                Cell(
                    4,
                    number(
                        "Silenced or inhibited",
                        "Alerts that Alertmanager holds back.",
                        COUNT,
                        Query('sum(alertmanager_alerts{state="suppressed"})'),
                        history=False,
                    ),
                ),
                Cell(
                    4,
                    number(
                        "Silences",
                        "Silences in force.",
                        COUNT,
                        Query('sum(alertmanager_silences{state="active"})'),
                        history=False,
                    ),
                ),
                Cell(
                    4,
                    number(
                        "Watchdog came",
                        "Since the alert that always fires came to the relay last; after 5 minutes the relay says that the pipeline is silent.",
                        "s",
                        Query("max(relay_watchdog_age_seconds)"),
                        colors=steps((240, WARN), (300, BAD)),
                    ),
                ),
                Cell(
                    4,
                    number(
                        "Waits in the relay",
                        "Age of what waits longest in the relay; 0 while nothing waits.",
                        "s",
                        Query(WAITING),
                        colors=steps((60, WARN), (300, BAD)),
                    ),
                ),
            ],
        ),
        Row(
            "Firing",
            10,
            [
                Cell(
                    24,
                    table_of(
                        "Firing and pending",
                        "The alert's name leads to its runbook, the host's to its dashboard. What fires comes first.",
                        [
                            Label("alertname", "Alert", "${runbooks}/${__value.raw}", "Open the runbook"),
                            Label("instance", "Host", HOST_PAGE, "Open the host"),
                            Label("severity", "Severity"),
                        ],
                        [
                            Column("State", f"max by ({BY}) ({PENDING} or {FIRING} * 2)", words=STATES),
                            Column("Holds for", f"time() - min by ({BY}) (ALERTS_FOR_STATE{{{OURS}}})", "s"),
                            Column("Subjects", f"count by ({BY}) (ALERTS{{{OURS}}})"),
                        ],
                        sort="State",
                        nothing="nothing fires",
                    ),
                ),
            ],
        ),
        Row(
            "History",
            10,
            [
                Cell(
                    16,
                    timeline(
                        "Each alert over time",
                        "When each alert was pending and when it fired.",
                        STATES,
                        Query(
                            f"max by (alertname, instance) ({PENDING} or {FIRING} * 2)", "{{alertname}} {{instance}}"
                        ),
                    ),
                ),
                Cell(
                    8,
                    bars(
                        "Time firing",
                        "How long each alert fired on any host, in the time that is shown; the ten longest.",
                        "s",
                        Query(
                            f"sort_desc(topk(10, sum_over_time((count by (alertname) ({FIRING}) > bool 0)[$__range:15s]) * 15))",
                            "{{alertname}}",
                        ),
                    ),
                ),
                Cell(
                    12,
                    graph(
                        "Firing by severity",
                        "Number of alerts that fire.",
                        COUNT,
                        Query(f"count by (severity) ({FIRING})", "{{severity}}"),
                        stack=True,
                    ),
                ),
                Cell(
                    12,
                    graph(
                        "Firing by host",
                        "Number of alerts that fire, the ten hosts with most.",
                        COUNT,
                        Query(f"topk(10, count by (instance) ({FIRING}))", "{{instance}}"),
                        stack=True,
                    ),
                ),
            ],
        ),
        Row(
            "Time to notify",
            8,
            [
                Cell(
                    8,
                    graph(
                        "Hop by hop",
                        "Evaluating a group of rules, handing alerts to Alertmanager (99th percentile), its webhook (mean), waiting in the relay. "
                        "To these come the alert's own time to hold and Alertmanager's group_wait.",
                        "s",
                        Query("max(prometheus_rule_group_last_duration_seconds)", "evaluate rules"),
                        Query(
                            'max(prometheus_notifications_latency_seconds{quantile="0.99"})',
                            "Prometheus to Alertmanager",
                        ),
                        Query(DELIVERY, "Alertmanager to relay"),
                        Query(WAITING, "wait in the relay"),
                    ),
                ),
                Cell(
                    8,
                    graph(
                        "Notifications",
                        "Notifications a second: sent by Prometheus, sent by Alertmanager, stored by the relay.",
                        "cps",
                        Query(
                            "sum(rate(prometheus_notifications_sent_total[$__rate_interval]))", "alerts from Prometheus"
                        ),
                        Query(
                            "sum(rate(alertmanager_notifications_total[$__rate_interval]))",
                            "webhooks from Alertmanager",
                        ),
                        Query("sum(rate(relay_snapshots_stored_total[$__rate_interval]))", "stored by the relay"),
                    ),
                ),
                Cell(
                    8,
                    graph(
                        "Messages",
                        "Messages and lines of threads that Slack took, and messages that were only shown (preview), a second.",
                        "cps",
                        Query("sum(rate(relay_slack_messages_total[$__rate_interval]))", "messages"),
                        Query("sum(rate(relay_slack_lines_total[$__rate_interval]))", "lines in threads"),
                        Query("sum(rate(relay_messages_previewed_total[$__rate_interval]))", "preview"),
                    ),
                ),
                Cell(
                    8,
                    graph(
                        "Failures on the way",
                        "Failed hand-overs a second; each should be zero.",
                        "cps",
                        Query(
                            "sum(rate(prometheus_notifications_errors_total[$__rate_interval]))",
                            "Prometheus to Alertmanager",
                        ),
                        Query(
                            "sum(rate(alertmanager_notifications_failed_total[$__rate_interval]))",
                            "Alertmanager to relay",
                        ),
                        Query("sum(rate(relay_webhook_rejected_total[$__rate_interval]))", "refused by the relay"),
                    ),
                ),
                Cell(
                    10,
                    timeline(
                        "Parts of the way",
                        "Whether each part answers Prometheus.",
                        {"1": ("▲ up", "blue"), "0": ("▼ DOWN", BAD)},
                        Query(
                            'max by (job, instance) (up{job=~"prometheus|alertmanager|relay"})', "{{job}} {{instance}}"
                        ),
                    ),
                ),
                Cell(
                    6,
                    number(
                        "Slack token",
                        "Whether the source of the Slack token works; no data in preview.",
                        COUNT,
                        Query("min(relay_token_source_ok)"),
                        mappings=words(OK_FAILED),
                        history=False,
                        nothing="preview: no token",
                    ),
                ),
            ],
        ),
    ),
    since="now-24h",
)
