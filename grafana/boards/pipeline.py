"""The alerts' way as hostwatch's own dashboard shows it: relay, Prometheus, Alertmanager."""

from typing import Final

from grafana.board import Cell, Row
from grafana.marks import BAD, OK_FAILED, YES_NO, words
from grafana.panels import COUNT, graph, number, timeline
from grafana.queries import Query
from grafana.tables import Column, Label, table_of

PARTS: Final = 'job=~"prometheus|alertmanager|relay"'
PIPELINE: Final = (
    Row(
        "Relay",
        8,
        [
            Cell(
                6,
                graph(
                    "Waiting",
                    "What waits on disk: webhooks, messages, threads.",
                    COUNT,
                    Query("relay_queue_snapshots", "webhooks"),
                    Query("relay_queue_messages", "messages"),
                    Query("relay_queue_threads", "threads"),
                    stack=True,
                ),
            ),
            Cell(
                6,
                graph(
                    "Waiting of its limit",
                    "Share of the queue's limit; when it is full, webhooks are refused and Alertmanager tries again.",
                    "percentunit",
                    Query("relay_queue_depth / relay_queue_limit", "{{instance}}"),
                ),
            ),
            Cell(
                6,
                graph(
                    "Calls to Slack",
                    "Calls a second that were begun, by method, and that failed, by what that means.",
                    "cps",
                    Query("sum by (method) (rate(relay_slack_calls_total[$__rate_interval]))", "{{method}}"),
                    Query(
                        "sum(rate(relay_slack_errors_total[$__rate_interval])) or sum(relay_queue_depth) * 0",
                        "failed",
                    ),
                ),
            ),
            Cell(
                6,
                graph(
                    "Webhooks",
                    "Webhooks a second that came, and that were refused.",
                    "cps",
                    Query("sum(rate(relay_webhook_requests_total[$__rate_interval]))", "came"),
                    Query(
                        "sum by (reason) (rate(relay_webhook_rejected_total[$__rate_interval]))",
                        "refused: {{reason}}",
                    ),
                ),
            ),
            Cell(
                12,
                table_of(
                    "Relays",
                    "State of each relay: whether it can write, whether it gets its token, whether the Watchdog comes.",
                    [Label("instance", "Relay")],
                    [
                        Column("Can write", "min by (instance) (relay_store_writable)", words=YES_NO),
                        Column(
                            "Webhook token",
                            "min by (instance) (relay_webhook_token_last_read_successful)",
                            words=OK_FAILED,
                        ),
                        Column("Token source", "min by (instance) (relay_token_source_ok)", words=OK_FAILED),
                        Column(
                            "Pipeline silent",
                            "max by (instance) (relay_watchdog_silent)",
                            words={"0": ("✓ no", "blue"), "1": ("✗ SILENT", BAD)},
                        ),
                        Column("Firing groups", "max by (instance) (relay_episodes_firing)"),
                        Column("Dead letters", "max by (instance) (relay_dead_letters)", limit=1),
                    ],
                    sort="Relay",
                    descending=False,
                ),
            ),
            Cell(
                6,
                graph(
                    "Heartbeat outside",
                    "Calls a second of the address outside that says 'all is well', and those that failed.",
                    "cps",
                    Query("rate(relay_heartbeats_total[$__rate_interval])", "answered"),
                    Query("rate(relay_heartbeat_failures_total[$__rate_interval])", "failed"),
                ),
            ),
            Cell(
                6,
                timeline(
                    "Vault",
                    "The state that Vault is in, as the relay sees it; empty where no Vault is configured.",
                    {"0": ("✓ ok", "blue"), "1": ("✗ TROUBLE", BAD)},
                    Query('1 - max by (instance) (relay_vault_state{state="ok"})', "{{instance}}"),
                ),
            ),
        ],
    ),
    Row(
        "Prometheus and Alertmanager",
        8,
        [
            Cell(
                6,
                graph(
                    "Series in memory",
                    "Series of Prometheus' head block.",
                    COUNT,
                    Query("prometheus_tsdb_head_series", "{{instance}}"),
                ),
            ),
            Cell(
                6,
                graph(
                    "Samples",
                    "Samples a second that Prometheus takes in.",
                    "cps",
                    Query(
                        "rate(prometheus_tsdb_head_samples_appended_total[$__rate_interval])",
                        "{{instance}} {{type}}",
                    ),
                ),
            ),
            Cell(
                6,
                graph(
                    "Rules",
                    "How long each group of rules took of its interval; at 100 % evaluations are skipped.",
                    "percentunit",
                    Query(
                        "topk(5, prometheus_rule_group_last_duration_seconds / prometheus_rule_group_interval_seconds)",
                        "{{rule_group}}",
                    ),
                ),
            ),
            Cell(
                6,
                graph(
                    "Rule failures",
                    "Evaluations a second that failed: PrometheusRuleFailing.",
                    "cps",
                    Query(
                        "sum by (instance) (rate(prometheus_rule_evaluation_failures_total[$__rate_interval]))",
                        "{{instance}} failed",
                    ),
                    Query(
                        "sum by (instance) (rate(prometheus_rule_group_iterations_missed_total[$__rate_interval]))",
                        "{{instance}} skipped",
                    ),
                ),
            ),
            Cell(
                6,
                graph(
                    "CPU",
                    "Cores that each part uses.",
                    COUNT,
                    Query(f"rate(process_cpu_seconds_total{{{PARTS}}}[$__rate_interval])", "{{job}} {{instance}}"),
                    stack=True,
                ),
            ),
            Cell(
                6,
                graph(
                    "Memory",
                    "Resident memory of each part.",
                    "bytes",
                    Query(f"process_resident_memory_bytes{{{PARTS}}}", "{{job}} {{instance}}"),
                    stack=True,
                ),
            ),
            Cell(
                6,
                number(
                    "Configurations",
                    "Whether the last reload worked: PrometheusReloadFailed, AlertmanagerReloadFailed.",
                    COUNT,
                    Query("min(prometheus_config_last_reload_successful)", "Prometheus"),
                    Query("min(alertmanager_config_last_reload_successful)", "Alertmanager"),
                    mappings=words(OK_FAILED),
                    history=False,
                ),
            ),
            Cell(
                6,
                graph(
                    "Storage",
                    "Bytes of Prometheus' blocks on disk; the write-ahead log comes on top.",
                    "bytes",
                    Query("prometheus_tsdb_storage_blocks_bytes", "{{instance}} blocks"),
                ),
            ),
        ],
    ),
)
