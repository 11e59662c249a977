"""The demo of docker-compose.yml, for real and with its times divided: what it shows, drills, and every part killed.

Prometheus, Alertmanager and hostwatch run; Grafana and Vault are stand-ins that say what they found.
"""

import contextlib
import json
import os
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import dashboards
from tests.support.client import until
from tests.support.compose import IMAGE, Project, fetch, logs
from tests.support.compose_demo import FACTOR, Demo, demo
from tests.support.compose_looks import (
    JOBS,
    LONG,
    PARTS,
    has_message,
    jobs_up,
    messages,
    project_status,
    read,
    shown_password,
    slowness,
)
from tests.support.engine import Engine
from tests.support.fake_slack import TOKEN
from tests.support.reader import Reader

pytestmark = [pytest.mark.slow, pytest.mark.needs("root", "compose"), pytest.mark.xdist_group("compose")]


@pytest.fixture(scope="module")
def fast(built: tuple[Engine, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with demo(built[0], tmp_path_factory.mktemp("fast") / "clone") as running:
        yield running


def test_containers_are_seen_through_the_proxy_and_nothing_else_passes(fast: Demo) -> None:
    def names() -> set[str]:
        found = fast.query(
            'host_container_info{instance="localhost"} and on(name) host_container_state{state="running"} == 1'
        )
        return {row["metric"].get("compose_service", "") for row in found}

    until(lambda: set(PARTS) <= names(), "all containers of the stack", seconds=LONG, every=0.5)
    ask = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect('/run/docker/docker.sock');"
        "s.sendall(sys.argv[1].encode().decode('unicode_escape').encode()); print(s.recv(100).split(b' ')[1].decode())"
    )
    for request, status in REQUESTS.items():
        line = rf"{request} HTTP/1.1\r\nHost: x\r\n\r\n"
        answer = fast.engine.run("exec", fast.container("exporter"), "python", "-c", ask, line)
        assert answer.strip() == status, request


REQUESTS = {
    "GET /_ping": "200",
    "GET /v1.41/containers/json?all=1": "200",
    "POST /containers/create": "405",
    "GET /images/json": "403",
    "GET /containers/x/archive?path=/etc": "403",
    "GET /containers/../images/json": "403",
}


# -- the demo ---------------------------------------------------------------------------------------------------------


def test_demo_is_a_fleet_with_environments_and_things_that_fail(fast: Demo) -> None:
    wanted = {(job, "localhost") for job in JOBS} | {("node", name) for name in DEMO}
    until(lambda: {key for key, up in jobs_up(fast).items() if up == "1"} == wanted, "all up", seconds=LONG)
    found = {row["metric"]["instance"]: row["metric"]["environment"] for row in fast.query('up{environment!=""}')}
    assert found == DEMO
    for expression in (
        'host_service_up{check="shop"}',
        "host_api_instances",
        'host_ping_received_total{target="demo-web"}',
    ):
        until(lambda query=expression: fast.query(query), expression, seconds=LONG, every=0.5)


DEMO = {"dev-app-1": "development", "staging-api-1": "staging", "production-auth-1": "production"}


# what the demo has nothing to say about; at most this share of all expressions
AT_MOST = 0.05
EMPTY = {
    "hostwatch-host / Failed units / A": "no container has systemd",
    "hostwatch-host / File systems / E": "no file system fills up within days",
    "hostwatch-network / Traffic beside the usual / B": "takes a day of traffic",
    "hostwatch-network / Traffic beside the usual / C": "takes a day of traffic",
    "hostwatch-network / Use of the link / A": "a virtual machine's interface does not know its speed",
    "hostwatch-processes / Groups / I": "nothing is hidden: the group is the exporter's own user's",
    "hostwatch-services / Certificates, next to end first / A": "it has no certificate",
    "hostwatch-services / Certificates, next to end first / B": "it has no certificate",
    "hostwatch-services / Next certificate ends in / A": "it has no certificate",
    "hostwatch-services / Services of the API / C": "every instance of its API answers",
    "hostwatch-services / Why checks fail / A": "only while the shop fails: a minute and a half out of five",
}


def test_dashboards_have_answers_on_the_demo(fast: Demo) -> None:
    reader = Reader(fast.url("prometheus", ""), 1.0, "localhost")
    boards = dashboards.load()
    asked = [one for board in boards.values() for one in dashboards.asked(board)]
    empty: set[str] = set()

    def little_is_empty() -> bool:
        values = {uid: reader.variables(board) for uid, board in boards.items()}
        nonlocal empty
        empty = {one.place for one in asked if not reader.answers(one, values[one.dashboard])}
        return empty <= EMPTY.keys()

    try:
        until(little_is_empty, "answers", seconds=LONG, every=2)
    finally:
        print(f"{len(asked)} expressions, {1 - len(empty) / len(asked):.1%} with an answer; without: {sorted(empty)}")
    assert EMPTY.keys() <= {one.place for one in asked}
    assert len(EMPTY) <= AT_MOST * len(asked)


@pytest.mark.measured
def test_killed_container_is_told_within_the_rule_s_time(fast: Demo) -> None:
    """The rule waits for a minute and a half; then come group_wait, two scrapes and two seconds."""
    name = fast.container("demo-victim")
    # with one in the group already this were a change of it, told after group_interval; a host that was down mutes it
    fast.run("rm", "--stop", "--force", "demo-exits")
    fast.run("up", "--detach", "demo-victim")
    until(lambda: fast.query(f'host_container_state{{name="{name}",state="running"}} == 1'), "it is seen", seconds=LONG)
    quiet = 'absent(ALERTS{alertname=~"ContainerFailed|HostDown"})'
    until(lambda: fast.query(quiet), "nothing of before in Prometheus", seconds=LONG, every=0.5)
    for alert in ("ContainerFailed", "HostDown"):
        until(lambda alert=alert: not has_message(fast, alert, ""), "nothing of before", seconds=LONG, every=0.5)
    before = slowness(fast.engine)
    began = time.monotonic()
    fast.engine.run("kill", name)
    try:
        until(lambda: has_message(fast, "ContainerFailed", name), "the message", seconds=LONG, every=0.05)
        took = time.monotonic() - began
    finally:
        fast.run("up", "--detach", "demo-victim", "demo-exits")
    limit = (90 + 5 + 2 * 15) / FACTOR + 2
    slow = max(before, slowness(fast.engine))
    print(f"told after {took:.1f} s of {limit:.1f} s, on a machine {slow:.1f} times as slow as a quiet one")
    assert took <= limit * slow


# -- drills -----------------------------------------------------------------------------------------------------------

# what needs no root, no engine and no program that the image lacks
DRILLS = {
    *("service-stopped", "service-hung", "service-slow", "check-impossible", "process-group-killed"),
    *("services-api-down", "instances-unhealthy", "exporter-killed", "exporter-hung", "target-removed"),
    *(
        "settings-broken",
        "series-flood",
        "textfile-refused",
        "slack-down",
        "queue-old",
        "vault-sealed",
        "webhook-unreadable",
    ),
}


def test_every_drill_of_the_stack_s_own_service_is_proven(fast: Demo) -> None:
    """Broken in a container, scraped, fired, told in Slack with DRILL, ended and told again; nothing is left."""
    rules = json.loads(fast.get("prometheus", "/api/v1/rules?type=alert"))["data"]["groups"]
    # the demo has things that fail
    ignored = [f"--ignore-alert={rule['name']}" for group in rules for rule in group["rules"]]
    drill = ("run", "--rm", "--no-TTY", "drill", "--max-load=1000", *ignored)
    done = fast.call(*drill, "run", "--all", "--yes", "--json", f"--at-once={len(DRILLS)}", seconds=600)
    assert done.returncode in {0, 2}, done.stderr[-5000:]
    found = {one["drill"]: one for one in json.loads(done.stdout)}
    for one in found.values():
        print(one["verdict"], one["drill"], one["reason"])
    assert set(found) >= DRILLS, done.stderr[-5000:]
    # how late something may be is a measurement, and this machine is shared
    assert {one["verdict"] for one in found.values()} <= {"proven", "late"}
    told = [one.text for one in fast.slack.shown("#ops") if "DRILL" in one.text]
    assert len(told) >= len(DRILLS)
    assert "nothing to undo" in fast.run(*drill, "halt")
    report = fast.run(*drill, "report")
    print(report)
    assert all(f"| {name} |" in report for name in DRILLS)
    until(lambda: not fast.query('up{drill="true"}'), "their targets gone", seconds=LONG, every=0.5)


# -- every part is killed ---------------------------------------------------------------------------------------------


def killed(project: Project, service: str) -> None:
    """Kill a container's main process and wait until another one is there and healthy."""
    before = project.inspect(service)["State"]["Pid"]
    assert before > 0
    os.kill(before, signal.SIGKILL)

    def is_back() -> bool:
        return project.inspect(service)["State"]["Pid"] not in (0, before) and project.is_healthy(service)

    until(is_back, f"{service} back", seconds=LONG, every=0.1)


@contextlib.contextmanager
def data_of_prometheus(project: Project) -> Iterator[None]:
    at = time.time()
    until(lambda: project.query(f'up{{job="prometheus"}} @ {at:.3f}'), "a sample", seconds=LONG)
    yield
    until(lambda: project.query(f'up{{job="prometheus"}} @ {at:.3f}'), "the sample of before", seconds=LONG)


@contextlib.contextmanager
def data_of_relay(project: Project) -> Iterator[None]:
    until(lambda: messages(project), "messages", seconds=LONG)
    before = {one["group_key"] for one in messages(project)}
    yield
    until(lambda: before <= {one["group_key"] for one in messages(project)}, "the messages of before", seconds=LONG)


@contextlib.contextmanager
def data_of_alertmanager(project: Project) -> Iterator[None]:
    silence = {
        "matchers": [{"name": "alertname", "value": "Nothing", "isRegex": False}],
        "startsAt": "2026-01-01T00:00:00Z",
        "endsAt": "2099-01-01T00:00:00Z",
        "createdBy": "test",
        "comment": "test",
    }
    made = json.loads(fetch(project.url("alertmanager", "/api/v2/silences"), json.dumps(silence).encode()))["silenceID"]
    until(lambda: made in read(project, "alertmanager", "/alertmanager/silences"), "its snapshot", seconds=LONG)
    yield
    assert json.loads(project.get("alertmanager", f"/api/v2/silence/{made}"))["status"]["state"] == "active"


@contextlib.contextmanager
def data_of_grafana(project: Project) -> Iterator[None]:
    inode = ("exec", project.container("grafana"), "stat", "--format=%i", "/var/lib/grafana/grafana.db")
    before = project.engine.run(*inode)
    yield
    assert project.engine.run(*inode) == before


@contextlib.contextmanager
def data_of_vault(project: Project) -> Iterator[None]:
    """It forgets all; what it held is there again, with new credentials that the relay can use."""
    before = read(project, "relay", "/run/approle/role-id")
    yield
    until(lambda: read(project, "relay", "/run/approle/role-id") != before, "seeded again", seconds=LONG)
    until(lambda: project.is_healthy("vault-seed"), "vault-seed healthy", seconds=LONG)
    pair = {key: read(project, "relay", f"/run/approle/{key.replace('_', '-')}") for key in ("role_id", "secret_id")}
    address = project.url("vault", "/v1/auth/approle/login")
    token = json.loads(fetch(address, json.dumps(pair).encode()))["auth"]["client_token"]
    request = urllib.request.Request(
        project.url("vault", "/v1/secret/data/hostwatch/slack"), headers={"X-Vault-Token": token}
    )
    assert json.loads(fetch(request))["data"]["data"] == {"channel": "#ops", "bot_token": TOKEN}


KEPT: dict[str, Callable[[Project], contextlib.AbstractContextManager[None]]] = {
    "prometheus": data_of_prometheus,
    "relay": data_of_relay,
    "alertmanager": data_of_alertmanager,
    "grafana": data_of_grafana,
    "vault": data_of_vault,
}


@pytest.mark.parametrize("service", PARTS)
def test_killed_part_comes_back_with_its_data(fast: Demo, service: str) -> None:
    with KEPT.get(service, lambda _: contextlib.nullcontext())(fast):
        killed(fast, service)


# a heartbeat a second is expected
ENDED_SECONDS = 10.0


@pytest.mark.parametrize("service", ["relay", "alertmanager", "prometheus"])
def test_heartbeat_ends_while_a_part_of_the_pipeline_stays_down(fast: Demo, service: str) -> None:
    until(lambda: fast.outside.quiet_seconds < 2, "a heartbeat", seconds=LONG, every=0.2)
    silences = len(silences_told(fast))
    fast.engine.run("kill", fast.container(service))
    try:
        until(lambda: fast.outside.quiet_seconds > ENDED_SECONDS, "no heartbeat", seconds=LONG, every=0.2)
        if service != "relay":  # which tells it itself, too
            until(lambda: len(silences_told(fast)) > silences, "the silence in Slack", seconds=LONG, every=0.2)
    finally:
        fast.run("start", service)
    until(lambda: fast.outside.quiet_seconds < 2, "a heartbeat again", seconds=LONG, every=0.2)


def silences_told(project: Demo) -> list[str]:
    """Return what Slack shows of the pipeline's silence, each time it was told."""
    shown = (json.dumps([one.text, one.attachments]) for one in project.slack.shown("#ops"))
    return [text for text in shown if "Watchdog" in text]


def test_parts_that_stay_down_are_told_by_name(fast: Demo) -> None:
    """Nobody would notice before Slack's token is renewed, or somebody looks for a dashboard."""
    names = {service: fast.container(service) for service in ("vault", "vault-seed", "grafana")}
    fast.engine.run("kill", *names.values())
    try:
        for name in names.values():
            until(lambda name=name: has_message(fast, "ContainerFailed", name), name, seconds=LONG, every=0.2)
    finally:
        fast.run("start", *names)
    until(lambda: all(fast.is_healthy(service) for service in names), "all back", seconds=LONG, every=0.2)


def test_proxy_that_stays_down_is_told_since_containers_are_not_seen(fast: Demo) -> None:
    # what never worked is no failure: a stack that has just begun has to have seen containers once
    worked = 'instance_collector:scrape_collector_success:max1d{collector="containers",instance="localhost"} == 1'
    until(lambda: fast.query(worked), "it worked once", seconds=LONG, every=0.5)
    fast.engine.run("kill", fast.container("docker-proxy"))
    try:
        until(lambda: has_message(fast, "CollectorFailing", "containers"), "the message", seconds=LONG, every=0.2)
    finally:
        fast.run("start", "docker-proxy")
    until(
        lambda: has_message(fast, "CollectorFailing", "containers", state="resolved"),
        "it ends",
        seconds=LONG,
        every=0.2,
    )


def test_exporter_that_stays_away_is_told_and_resolved_when_it_is_back(fast: Demo) -> None:
    fast.run("stop", "--timeout", "1", "exporter")
    until(lambda: has_message(fast, "HostDown", "localhost"), "the message", seconds=LONG, every=0.2)
    fast.run("start", "exporter")
    until(lambda: has_message(fast, "HostDown", "localhost", state="resolved"), "resolved", seconds=LONG, every=0.2)


# -- secrets ----------------------------------------------------------------------------------------------------------


def test_slack_token_goes_through_vault_and_reaches_slack(fast: Demo) -> None:
    until(lambda: json.loads(project_status(fast)).get("token", {}).get("ok"), "a token in force", seconds=LONG)
    status = json.loads(project_status(fast))
    assert status["mode"] == "slack"
    assert "Vault" in status["token"]["text"]


def test_no_secret_is_in_any_place_where_others_look(fast: Demo) -> None:
    """Inspect, history, logs, environment: none but Grafana's password, once, in the log of init."""
    password = shown_password(fast)
    secrets = {
        "relay token": read(fast, "relay", "/etc/hostwatch/relay-token").strip(),
        "Slack token": TOKEN,
        "heartbeat": fast.outside.secret,
        "root token": read(fast, "vault", "/run/vault/.vault-token"),
        "secret_id": read(fast, "relay", "/run/approle/secret-id"),
        "password": password,
    }
    assert all(len(secret) > 20 for secret in secrets.values())
    services = json.loads(fast.run("config", "--format", "json"))["services"]
    containers = [fast.container(service) for service in services]
    places = {
        "inspect": fast.engine.run("inspect", *containers, IMAGE),
        "history": fast.engine.run("history", "--no-trunc", IMAGE),
        "compose config": fast.run("config"),
        "logs": "".join(logs(fast.engine, name) for name in containers).replace(f"password {password} --", "", 1),
    }
    for service in PARTS:
        pid = fast.inspect(service)["State"]["Pid"]
        places[f"environment of {service}"] = Path(f"/proc/{pid}/environ").read_text()
        places[f"arguments of {service}"] = Path(f"/proc/{pid}/cmdline").read_text()
    for kind, secret in secrets.items():
        assert not [place for place, text in places.items() if secret in text], kind


def test_readers_of_the_secrets_are_those_who_need_them(fast: Demo) -> None:
    """A file belongs to one user, and is in one service's volume."""
    look = "stat --format='%a %u:%g' /etc/hostwatch/relay-token /run/approle/secret-id"
    assert fast.engine.run("exec", fast.container("relay"), "sh", "-c", look).split("\n")[:2] == [
        "400 10101:10101",
        "440 10100:10101",
    ]
    mounts = {service: {mount.get("Name", "") for mount in fast.inspect(service)["Mounts"]} for service in PARTS}
    holders = {service for service, names in mounts.items() if any(name.endswith("_secrets") for name in names)}
    assert not holders, "the master copies are for init alone"
