"""Services: checks over time, availability, certificates, and what a services API tells."""

from typing import Final

from grafana.board import ENVIRONMENT, INSTANCES, Board, Cell, Row, Variable
from grafana.marks import BAD, UP_DOWN, YES_NO, steps
from grafana.panels import COUNT, graph, number, timeline
from grafana.queries import HOSTS, Query, limit
from grafana.tables import Column, Label, table_of

CHECKS: Final = Variable("check", "Check", f"label_values(host_service_attempts_total{{{HOSTS}}}, check)")
APIS: Final = Variable("api", "Services API", f"label_values(host_api_last_attempt_timestamp_seconds{{{HOSTS}}}, api)")
CHECK: Final = f'check=~"$check",{HOSTS}'
API: Final = f'api=~"$api",{HOSTS}'
BY: Final = "instance, check, kind"
EXPIRY: Final = f"host_service_certificate_expiry_timestamp_seconds{{{CHECK}}} - time()"

CHECK_TABLE: Final = table_of(
    "Checks, down first",
    "Each check as each host sees it. Empty in 'State' means that it could not ask: nothing is known of the service then. "
    "Availability is the share of samples with up over the time that is shown.",
    [Label("instance", "Host"), Label("check", "Check"), Label("kind", "Kind")],
    [
        Column("State", f"max by ({BY}) (host_service_up{{{CHECK}}})", words=UP_DOWN),
        Column("Could ask", f"max by ({BY}) (host_service_check_possible{{{CHECK}}})", words=YES_NO),
        Column("Availability", f"avg by ({BY}) (avg_over_time(host_service_up{{{CHECK}}}[$__range]))", "percentunit"),
        Column("Takes", f"sum by ({BY}) (host_service_duration_seconds{{{CHECK}}})", "s"),
        Column("Failures", f"sum by ({BY}) (increase(host_service_failures_total{{{CHECK}}}[$__range]))", limit=1),
        Column("Asked", f"time() - max by ({BY}) (host_service_last_attempt_timestamp_seconds{{{CHECK}}})", "s"),
    ],
    sort="State",
    descending=False,
    nothing="no check is configured: probes.http and others in the settings",
)

INSTANCES_TABLE: Final = table_of(
    "Services of the API",
    "Instances of each service by health; a service with fewer healthy ones than its threshold alerts (ServiceTooFewInstances).",
    [Label("api", "API"), Label("api_service", "Service")],
    [
        Column("Healthy", f'max by (api, api_service) (host_api_service_instances{{health="healthy",{API}}})'),
        Column(
            "Unhealthy", f'max by (api, api_service) (host_api_service_instances{{health="unhealthy",{API}}})', limit=1
        ),
        Column("Unknown", f'max by (api, api_service) (host_api_service_instances{{health="unknown",{API}}})', limit=1),
        Column(
            "Missing to threshold",
            f"""
            max by (api, api_service) (
                host:threshold:healthy_instances
              - on (instance, api_service) group_right ()
                host_api_service_instances{{health="healthy",{API}}}
            )""",
            limit=1,
        ),
        Column("CPU", f"avg by (api, api_service) (host_api_instance_cpu_ratio{{{API}}})", "percentunit", gauge=True),
        Column(
            "Memory", f"avg by (api, api_service) (host_api_instance_memory_ratio{{{API}}})", "percentunit", gauge=True
        ),
    ],
    sort="Unhealthy",
    nothing="no services API is configured: probes.services_api in the settings",
)

BOARD: Final = Board(
    "hostwatch-services",
    "hostwatch: Services",
    "Whether services answer as they should, how long they take, and when their certificates end.",
    (ENVIRONMENT, INSTANCES, CHECKS, APIS),
    (
        Row(
            "Now",
            4,
            [
                Cell(
                    6,
                    number(
                        "Checks up",
                        "Checks whose last attempt was ok.",
                        COUNT,
                        Query(f"sum(host_service_up{{{CHECK}}})"),
                    ),
                ),
                Cell(
                    6,
                    number(
                        "Checks down",
                        "Checks whose last attempt failed, retries behind it.",
                        COUNT,
                        Query(f"count(host_service_up{{{CHECK}}} == 0) or vector(0)"),
                        colors=steps((1, BAD)),
                    ),
                ),
                Cell(
                    6,
                    number(
                        "Availability",
                        "Mean share of samples with up, over the time that is shown and all chosen checks.",
                        "percentunit",
                        Query(f"avg(avg_over_time(host_service_up{{{CHECK}}}[$__range]))"),
                        history=False,
                    ),
                ),
                Cell(
                    6,
                    number(
                        "Next certificate ends in",
                        "The first of all certificates to end; CertificateExpiresIn21Days and ...In3Days tell.",
                        "s",
                        Query(f"min({EXPIRY})"),
                        colors=steps((3 * 86400, "yellow"), (21 * 86400, "blue"), base=BAD),
                        history=False,
                        nothing="no certificate was seen",
                    ),
                ),
            ],
        ),
        Row(
            "Checks",
            9,
            [
                Cell(
                    12,
                    timeline(
                        "Up over time",
                        "Each check's state; a gap means that it could not ask.",
                        UP_DOWN,
                        Query(f"host_service_up{{{CHECK}}}", "{{check}} from {{instance}}"),
                    ),
                ),
                Cell(12, CHECK_TABLE),
            ],
        ),
        Row(
            "How long they take",
            8,
            [
                Cell(
                    8,
                    graph(
                        "Duration",
                        "The whole attempt, all phases, mean of 5 minutes as ServiceSlow counts; dashed: the lowest threshold.",
                        "s",
                        Query(
                            f"sum by (instance, check) (avg_over_time(host_service_duration_seconds{{{CHECK}}}[5m]))",
                            "{{check}} from {{instance}}",
                        ),
                        limit("min(host:threshold:service_duration_seconds)", "duration"),
                    ),
                ),
                Cell(
                    8,
                    graph(
                        "Duration by phase",
                        "Mean of the chosen checks by phase: look-up, connection, TLS, waiting, transfer.",
                        "s",
                        Query(f"avg by (phase) (host_service_duration_seconds{{{CHECK}}})", "{{phase}}"),
                        stack=True,
                    ),
                ),
                Cell(
                    8,
                    graph(
                        "Failures and retries",
                        "Attempts a second that failed, and attempts that were made because of it.",
                        "cps",
                        Query(
                            f"sum by (check) (rate(host_service_failures_total{{{CHECK}}}[$__rate_interval]))",
                            "{{check}} failed",
                        ),
                        Query(
                            f"sum by (check) (rate(host_service_retries_total{{{CHECK}}}[$__rate_interval]))",
                            "{{check}} tried again",
                        ),
                    ),
                ),
            ],
        ),
        Row(
            "Why, and certificates",
            7,
            [
                Cell(
                    12,
                    table_of(
                        "Why checks fail",
                        "The reason of each check whose last attempt was not ok.",
                        [Label("instance", "Host"), Label("check", "Check"), Label("reason", "Reason")],
                        [
                            Column(
                                "Failing",
                                f"max by (instance, check, reason) (host_service_failure_info{{{CHECK}}})",
                                words={"1": ("✗ yes", BAD)},
                            )
                        ],
                        sort="Check",
                        descending=False,
                        nothing="no check fails",
                    ),
                ),
                Cell(
                    12,
                    table_of(
                        "Certificates, next to end first",
                        "The earliest end among the certificates that a check has seen; 'of threshold' below 100 % alerts (CertificateExpiresIn21Days).",
                        [Label("instance", "Host"), Label("check", "Check")],
                        [
                            Column("Ends in", f"min by (instance, check) ({EXPIRY})", "s"),
                            Column(
                                "Of threshold",
                                f"min by (instance, check) (({EXPIRY}) / on (instance, check) group_left () host:threshold:certificate_expiry_seconds)",
                                "percentunit",
                            ),
                        ],
                        sort="Ends in",
                        descending=False,
                        nothing="no certificate was seen",
                    ),
                ),
            ],
        ),
        Row(
            "Services API",
            8,
            [
                Cell(12, INSTANCES_TABLE),
                Cell(
                    6,
                    timeline(
                        "API answers",
                        "Whether the last poll got the list and an answer; empty while nobody could be asked: ServicesApiCannotAsk.",
                        UP_DOWN,
                        Query(f"host_api_up{{{API}}}", "{{api}} from {{instance}}"),
                    ),
                ),
                Cell(
                    6,
                    graph(
                        "Instances by health",
                        "All instances that the API lists.",
                        COUNT,
                        Query(f"sum by (health) (host_api_service_instances{{{API}}})", "{{health}}"),
                        stack=True,
                    ),
                ),
                Cell(
                    12,
                    table_of(
                        "Busiest instances",
                        "The twenty instances that use most CPU, with their memory.",
                        [Label("instance_ip", "Address"), Label("api_service", "Service")],
                        [
                            Column(
                                "CPU",
                                f"topk(20, max by (instance_ip, api_service) (host_api_instance_cpu_ratio{{{API}}}))",
                                "percentunit",
                                gauge=True,
                            ),
                            Column(
                                "Memory",
                                f"max by (instance_ip, api_service) (host_api_instance_memory_ratio{{{API}}}) and topk(20, max by (instance_ip, api_service) (host_api_instance_cpu_ratio{{{API}}}))",
                                "percentunit",
                                gauge=True,
                            ),
                        ],
                        sort="CPU",
                        nothing="no services API is configured",
                    ),
                ),
                Cell(
                    6,
                    graph(
                        "Poll",
                        "How long one poll of all instances took.",
                        "s",
                        Query(f"host_api_poll_duration_seconds{{{API}}}", "{{api}} from {{instance}}"),
                    ),
                ),
                Cell(
                    6,
                    graph(
                        "API errors",
                        "Instances of which nothing could be learned, and polls without a list, a second.",
                        "cps",
                        Query(
                            f"sum by (api, kind) (rate(host_api_errors_total{{{API}}}[$__rate_interval]))",
                            "{{api}} {{kind}}",
                        ),
                    ),
                ),
            ],
        ),
    ),
)
