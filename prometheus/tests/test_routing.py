"""Where alerts go and what mutes them: the shipped files as the programs of both Debian releases see them."""

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from tests.support import mutation, pipeline
from tests.support.client import until
from tests.support.pipeline import RELEASES, ROOT, Configs, ShippedAlertmanager

CONFIG = ROOT / "alertmanager" / "alertmanager.yml"
SHIPPED: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
RULES = mutation.shipped()
ALERTS = {rule["alert"]: rule for rule in RULES.values() if "alert" in rule}


def accepted(release: str, name: str, *arguments: str | Path) -> str:
    """Run a release's tool; return its answer, fail with all that it said when it finds a fault."""
    command = [pipeline.program(name, release), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


NEEDS = {
    "debian12": pytest.mark.needs("prometheus", "alertmanager"),
    "debian13": pytest.mark.needs("prometheus-2.53", "alertmanager-0.28"),
}
EACH = [pytest.param(release, marks=NEEDS[release]) for release in RELEASES]
of_both_releases = pytest.mark.parametrize("release", EACH)


@of_both_releases
def test_tools_of_both_releases_accept_what_is_shipped(release: str) -> None:
    folder = ROOT / "prometheus"
    accepted(release, "promtool", "check", "rules", *sorted((folder / "rules").glob("*.yml")))
    assert "SUCCESS" in accepted(release, "promtool", "check", "config", folder / "prometheus.yml")
    assert "SUCCESS" in accepted(release, "amtool", "check-config", CONFIG)


def with_examples() -> dict[str, Any]:
    """Return the configuration with its commented receivers in force."""
    lines = CONFIG.read_text().splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("# - name: slack"))
    shown = [line[2:] for line in lines[begin - 4 :] if line.startswith(("# - ", "#   "))]
    return {**SHIPPED, "receivers": SHIPPED["receivers"] + yaml.safe_load("\n".join(shown))}


@of_both_releases
def test_the_commented_receivers_are_good_ones(release: str, tmp_path: Path) -> None:
    config = with_examples()
    assert [receiver["name"] for receiver in config["receivers"]] == ["relay", "slack", "email"]
    (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(config))
    assert "3 receivers" in accepted(release, "amtool", "check-config", tmp_path / "alertmanager.yml")


# which times apply to an alert: the route that takes it, by its place in the file; None for the root's
ROUTES = {
    "the Watchdog": ({"alertname": "Watchdog", "severity": "none"}, "Watchdog"),
    "critical": ({"alertname": "HostDown", "instance": "web-01", "severity": "critical"}, "critical"),
    "warning": ({"alertname": "HostCpuHigh", "instance": "web-01", "severity": "warning"}, None),
    "info": ({"alertname": "HostRebooted", "instance": "web-01", "severity": "info"}, "info"),
    "of nobody's severity": ({"alertname": "Theirs", "instance": "web-01"}, None),
    "a Watchdog that is critical": ({"alertname": "Watchdog", "severity": "critical"}, "Watchdog"),
}


def marked_routes(tmp_path: Path) -> Path:
    """Return the configuration with a receiver's name for each route, so that amtool tells which one it was."""
    config = yaml.safe_load(CONFIG.read_text())
    config["route"]["receiver"] = "root"
    for route in config["route"]["routes"]:
        route["receiver"] = route["matchers"][0].split('"')[1]
    names = ["root", *(route["receiver"] for route in config["route"]["routes"])]
    config["receivers"] = [{"name": name} for name in names]
    (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(config))
    return tmp_path / "alertmanager.yml"


@of_both_releases
@pytest.mark.parametrize(("labels", "route"), ROUTES.values(), ids=ROUTES)
def test_an_alert_takes_the_route_of_its_severity(
    release: str, labels: dict[str, str], route: str | None, tmp_path: Path
) -> None:
    pairs = [f"{key}={value}" for key, value in labels.items()]
    test = ("config", "routes", "test", "--config.file")
    assert accepted(release, "amtool", *test, CONFIG, *pairs).strip() == "relay"
    assert accepted(release, "amtool", *test, marked_routes(tmp_path), *pairs).strip() == (route or "root")


def test_the_worse_the_sooner_and_the_oftener() -> None:
    times = {route["matchers"][0].split('"')[1]: route for route in SHIPPED["route"]["routes"]}
    waits = [_seconds(one["group_wait"]) for one in (times["critical"], SHIPPED["route"], times["info"])]
    repeats = [_seconds(one["repeat_interval"]) for one in (times["critical"], SHIPPED["route"], times["info"])]
    assert waits == sorted(waits)
    assert repeats == sorted(repeats)


def _seconds(text: str) -> int:
    return int(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]


def test_inhibition_names_only_alerts_that_there_are() -> None:
    named = {
        name
        for rule in SHIPPED["inhibit_rules"]
        for matcher in (*rule["source_matchers"], *rule["target_matchers"])
        if matcher.startswith("alertname")
        for name in matcher.split('"')[1].split("|")
    }
    assert named - set(ALERTS) == set()


HOST = {"instance": "web-01", "job": "node"}
DISK = {**HOST, "mountpoint": "/srv", "device": "/dev/sda2", "fstype": "ext4"}
PING = {**HOST, "target": "gateway"}
CHECK = {**HOST, "check": "shop", "kind": "http"}
API = {**HOST, "api": "cloud"}
BOX = {**HOST, "name": "api"}
LINK = {**HOST, "device": "eth0"}

# what fires, what then is muted, and what beside it is not
MUTED: dict[str, tuple[dict[str, str], dict[str, str], dict[str, str]]] = {
    "a host that is down mutes what is known of it": (
        {"alertname": "HostDown", **HOST},
        {"alertname": "HostCpuHigh", **HOST},
        {"alertname": "HostCpuHigh", **HOST, "instance": "web-02"},
    ),
    "also what is critical": (
        {"alertname": "HostDown", **HOST, "instance": "web-03"},
        {"alertname": "ServiceDown", **CHECK, "instance": "web-03"},
        {"alertname": "HostDown", **HOST, "instance": "web-04"},
    ),
    "never the Watchdog": (
        {"alertname": "HostDown", **HOST, "instance": "web-05"},
        {"alertname": "HostClockSkewed", **HOST, "instance": "web-05"},
        {"alertname": "Watchdog", "severity": "none"},
    ),
    "never what the pipeline beside it says itself": (
        {"alertname": "HostDown", **HOST, "instance": "mon-01"},
        {"alertname": "HostMemoryHigh", **HOST, "instance": "mon-01"},
        {"alertname": "RelayDeadLetters", "instance": "mon-01", "job": "relay"},
    ),
    "critical mutes warning of the same name and subject": (
        {"alertname": "Theirs", "instance": "a", "device": "sda", "severity": "critical"},
        {"alertname": "Theirs", "instance": "a", "device": "sda", "severity": "warning"},
        {"alertname": "Theirs", "instance": "a", "device": "sdb", "severity": "warning"},
    ),
    "a full disk mutes the lower threshold": (
        {"alertname": "HostDiskAlmostFull", **DISK, "instance": "b"},
        {"alertname": "HostDiskSpaceLow", **DISK, "instance": "b"},
        {"alertname": "HostDiskSpaceLow", **DISK, "instance": "b", "mountpoint": "/"},
    ),
    "a full disk mutes its prediction": (
        {"alertname": "HostDiskAlmostFull", **DISK, "instance": "c"},
        {"alertname": "HostDiskFillsIn24Hours", **DISK, "instance": "c"},
        {"alertname": "HostInodesLow", **DISK, "instance": "c"},
    ),
    "a read-only disk does not fill up": (
        {"alertname": "HostDiskReadOnly", **DISK, "instance": "d"},
        {"alertname": "HostDiskFillsIn24Hours", **DISK, "instance": "d"},
        {"alertname": "HostDiskFillsIn24Hours", **DISK, "instance": "d", "mountpoint": "/"},
    ),
    "an unreachable target mutes its latency": (
        {"alertname": "PingUnreachable", **PING, "instance": "e"},
        {"alertname": "PingLatencyHigh", **PING, "instance": "e"},
        {"alertname": "PingLatencyHigh", **PING, "instance": "e", "target": "sydney"},
    ),
    "an unreachable target mutes its loss": (
        {"alertname": "PingUnreachable", **PING, "instance": "f"},
        {"alertname": "PingLossHigh", **PING, "instance": "f"},
        {"alertname": "PingLossHigh", **PING, "instance": "g"},
    ),
    "a service that is down is not slow": (
        {"alertname": "ServiceDown", **CHECK, "instance": "h"},
        {"alertname": "ServiceSlow", **CHECK, "instance": "h"},
        {"alertname": "ServiceSlow", **CHECK, "instance": "h", "check": "search"},
    ),
    "three days mute twenty-one": (
        {"alertname": "CertificateExpiresIn3Days", **CHECK, "instance": "i"},
        {"alertname": "CertificateExpiresIn21Days", **CHECK, "instance": "i"},
        {"alertname": "CertificateExpiresIn21Days", **CHECK, "instance": "i", "check": "search"},
    ),
    "an API that does not answer mutes its instances": (
        {"alertname": "ServicesApiUnreachable", **API, "instance": "j"},
        {"alertname": "ServiceTooFewInstances", **API, "instance": "j", "api_service": "Auth"},
        {"alertname": "ServiceTooFewInstances", **API, "instance": "j", "api": "other", "api_service": "Auth"},
    ),
    "a container that failed has exited": (
        {"alertname": "ContainerFailed", **BOX, "instance": "k"},
        {"alertname": "ContainerExited", **BOX, "instance": "k"},
        {"alertname": "ContainerExited", **BOX, "instance": "k", "name": "web"},
    ),
    "a container that is gone is not unhealthy": (
        {"alertname": "ContainerGone", **BOX, "instance": "l"},
        {"alertname": "ContainerUnhealthy", **BOX, "instance": "l"},
        {"alertname": "ContainerOomKilled", **BOX, "instance": "l"},
    ),
    "a saturated link mutes its unusual traffic": (
        {"alertname": "HostLinkSaturated", **LINK, "instance": "m"},
        {"alertname": "HostTrafficUnusual", **LINK, "instance": "m"},
        {"alertname": "HostTrafficUnusual", **LINK, "instance": "m", "device": "eth1"},
    ),
    "an Alertmanager that is down cannot be sent to": (
        {"alertname": "PipelinePartDown", "job": "alertmanager", "instance": "n"},
        {"alertname": "PrometheusNotificationsFailing", "job": "prometheus", "instance": "o"},
        {"alertname": "PrometheusReloadFailed", "job": "prometheus", "instance": "o"},
    ),
    "a relay that is down cannot be delivered to": (
        {"alertname": "PipelinePartDown", "job": "relay", "instance": "p"},
        {"alertname": "AlertmanagerNotificationsFailing", "job": "alertmanager", "instance": "q"},
        {"alertname": "AlertmanagerReloadFailed", "job": "alertmanager", "instance": "q"},
    ),
    "what waits for Slack": (
        {"alertname": "RelaySlackFailing", "job": "relay", "instance": "r"},
        {"alertname": "RelayQueueOld", "job": "relay", "instance": "r"},
        {"alertname": "RelayQueueOld", "job": "relay", "instance": "s"},
    ),
}


def labelled(labels: dict[str, str]) -> dict[str, str]:
    """Return labels with the severity that the shipped rule gives."""
    return {**ALERTS.get(labels["alertname"], {"labels": {}})["labels"], **labels}


class Silent:
    """A real Alertmanager with the shipped rules whose webhooks go nowhere."""

    def __init__(self, server: ShippedAlertmanager) -> None:
        self.server = server

    def fire(self, *alerts: dict[str, str]) -> None:
        ahead = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        assert self.server.send([{"labels": one, "endsAt": ahead} for one in alerts]) == 200

    def muted(self, labels: dict[str, str]) -> list[str] | None:
        """Return the names of what mutes an alert; None while Alertmanager does not know the alert."""
        known = {one["fingerprint"]: one for one in self.server.alerts()}
        found = [one for one in known.values() if one["labels"] == labels]
        if not found:
            return None
        return [known[by]["labels"]["alertname"] for by in found[0]["status"]["inhibitedBy"]]


@pytest.fixture(scope="module", params=EACH)
def alertmanager(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Silent]:
    folder = tmp_path_factory.mktemp(request.param)
    configs = Configs(folder)
    configs.deliver_to(9, folder / "token")  # the discard port: nobody listens
    binary = pipeline.program("prometheus-alertmanager", request.param)
    with ShippedAlertmanager(configs, folder / "data", binary=binary) as server:
        yield Silent(server)


@pytest.mark.slow
@pytest.mark.parametrize("case", MUTED)
def test_what_fires_mutes_what_follows_from_it_and_nothing_else(alertmanager: Silent, case: str) -> None:
    source, target, other = (labelled(one) for one in MUTED[case])
    alertmanager.fire(target, other)
    until(lambda: alertmanager.muted(target) is not None and alertmanager.muted(other) is not None, "known", seconds=30)
    alertmanager.fire(source)
    cause = [source["alertname"]]
    until(lambda: alertmanager.muted(target) == cause, f"muted by {cause}", seconds=30)
    until(lambda: alertmanager.muted(source) == [], "its cause is told", seconds=30)
    assert alertmanager.muted(other) == []


def test_every_inhibition_is_proven() -> None:
    """Each rule has a case whose source and target it is for; rules are told apart by both sides."""
    proven = {index for case in MUTED.values() if (index := _muting(labelled(case[0]), labelled(case[1]))) is not None}
    assert proven == set(range(len(SHIPPED["inhibit_rules"])))


def _muting(source: dict[str, str], target: dict[str, str]) -> int | None:
    for index, rule in enumerate(SHIPPED["inhibit_rules"]):
        same = all(source.get(label) == target.get(label) for label in rule.get("equal", []))
        if same and _matches(rule["source_matchers"], source) and _matches(rule["target_matchers"], target):
            return index
    return None


def _matches(matchers: list[str], labels: dict[str, str]) -> bool:
    for matcher in matchers:
        label, operator, value = matcher.split(maxsplit=2)
        values = value.strip('"').split("|")
        if (labels.get(label, "") in values) == (operator in {"!=", "!~"}):
            return False
    return True


def changed_in_prometheus_3(expression: str, scrape: float = 15.0) -> list[str]:
    """Return the parts of an expression that mean something else in Prometheus 3.

    Ranges are open to the left there: a sample exactly at the border, or a subquery's first step, no longer counts. A
    range of four scrapes or four steps and more has enough besides. A dot in a pattern matches line breaks, and a
    histogram's `le` or a summary's `quantile` has other texts (1 became 1.0). `holt_winters` is gone; the parser is
    one of Prometheus 3 and does not know it.
    """
    try:
        promql_parser.parse(expression)
    except ValueError as err:
        return [str(err)]
    found = []
    for node in mutation.nodes(expression):
        if isinstance(node, promql_parser.MatrixSelector) and node.range.total_seconds() < 4 * scrape:
            found.append(f"range {node.prettify()}")
        elif isinstance(node, promql_parser.SubqueryExpr):
            step = node.step.total_seconds() if node.step else scrape
            if node.range.total_seconds() < 4 * step:
                found.append(f"subquery {node.prettify()}")
        elif isinstance(node, promql_parser.VectorSelector):
            found += [f"pattern {one}" for one in node.matchers.matchers if _moves(one)]
    return found


def _moves(matcher: Any) -> bool:
    operator = str(matcher.op).rpartition(".")[2]
    is_pattern = operator in ("Re", "NotRe")
    return (is_pattern and "." in matcher.value.replace("\\.", "")) or matcher.name in ("le", "quantile")


@pytest.mark.parametrize("name", RULES)
def test_an_expression_means_the_same_in_prometheus_3(name: str) -> None:
    assert changed_in_prometheus_3(RULES[name]["expr"]) == []


@pytest.mark.parametrize(
    ("expression", "parts"),
    [
        ("max_over_time(x[15s])", 1),
        ("max_over_time(x[1m:30s])", 1),
        ("max_over_time(x[1m])", 0),
        ("max_over_time(x[1d:5m])", 0),
        ("holt_winters(x[10m], 0.5, 0.5)", 1),
        ('x{a=~"b.*"}', 1),
        ('x{a!~"b.+"}', 1),
        ('x{a=~"b\\\\.c|d"}', 0),
        ('x{a="b.c"}', 0),
        ('rate(x_bucket{le="1"}[5m])', 1),
    ],
)
def test_the_check_for_prometheus_3_sees_what_it_has_to(expression: str, parts: int) -> None:
    assert len(changed_in_prometheus_3(expression)) == parts
