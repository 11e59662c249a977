"""The doctor names each fault, with its fix, and finds nothing wrong with what is healthy."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from exporter.cli import main
from exporter.clients.http_get import Access
from exporter.doctor import exporter, grafana
from exporter.doctor.files import Files
from exporter.logs import Secret
from exporter.relay.settings import Relay
from tests.support.patient import Patient, alert

Break = Callable[[Patient], object]


@pytest.fixture
def patient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Patient]:
    with Patient(tmp_path) as one:
        monkeypatch.setattr(exporter, "WHERE", one.where)
        yield one


def row(old: str, new: str) -> Break:
    """Return what changes a row of the exporter's page."""

    def change(patient: Patient) -> None:
        assert old in patient.page
        patient.page = patient.page.replace(old, new)

    return change


def relay(part: str, **values: object) -> Break:
    return lambda patient: patient.relay[part].update(values)


def no_slack(patient: Patient) -> None:
    patient.relay["mode"] = "preview"
    del patient.relay["slack"], patient.relay["token"]


def written(name: str, text: str, mode: int = 0o600) -> Callable[[Patient], Path]:
    def write(patient: Patient) -> Path:
        path = patient.folder / name
        path.write_text(text)
        path.chmod(mode)
        return path

    return write


def exporter_file(text: str) -> Break:
    return lambda patient: setattr(patient, "files", Files(exporter=written("exporter.yml", text)(patient)))


def relay_file(text: str) -> Break:
    def change(patient: Patient) -> None:
        patient.files = Files(relay=written("relay.yml", text)(patient), relay_kind=Relay)

    return change


def readable_token(patient: Patient) -> None:
    token = written("relay-token", "secret", 0o644)(patient)
    relay_file(f"token_file: {token}\n")(patient)


def old_textfile(patient: Patient) -> None:
    path = written("raid.prom", "raid_good 1\n")(patient)
    os.utime(path, (1, 1))
    exporter_file(f"collectors: {{textfile: {{directories: ['{patient.folder}']}}}}\n")(patient)


def textfile_that_leads_nowhere(patient: Patient) -> None:
    (patient.folder / "raid.prom").symlink_to("no-such-file")
    exporter_file(f"collectors: {{textfile: {{directories: ['{patient.folder}']}}}}\n")(patient)


def open_textfile_folder(patient: Patient) -> None:
    folder = patient.folder / "open"
    folder.mkdir()
    folder.chmod(0o777)
    exporter_file(f"collectors: {{textfile: {{directories: ['{folder}']}}}}\n")(patient)


def target(**values: object) -> Break:
    return lambda patient: patient.targets[0].update(values)


def sample(value: str, **labels: str) -> list[dict[str, Any]]:
    return [{"metric": labels, "value": [1.0, value]}]


def vector(part: str, value: str, **labels: str) -> Break:
    return lambda patient: patient.vectors.update({part: sample(value, **labels)})


def hook(patient: Patient) -> dict[str, Any]:
    found: dict[str, Any] = patient.config["receivers"][0]["webhook_configs"][0]
    return found


def elsewhere(patient: Patient) -> None:
    patient.config["receivers"].append({"name": "mail"})
    patient.config["route"]["receiver"] = "mail"


def one_route_elsewhere(patient: Patient) -> None:
    patient.config["receivers"].append({"name": "mail"})
    patient.config["route"]["routes"].append({"receiver": "mail"})


def docker_refused(patient: Patient) -> None:
    patient.where["containers"] = written("docker.sock", "")(patient)
    row('success{collector="containers"} 1', 'success{collector="containers"} 0')(patient)


def exporter_down(patient: Patient) -> None:
    patient.unreachable.add("exporter")
    patient.targets[0]["scrapeUrl"] = patient.place("exporter").at("/metrics")


def relay_down(patient: Patient) -> None:
    patient.unreachable.add("relay")
    hook(patient)["url"] = patient.place("relay").at("/alertmanager")


def with_password(then: Break) -> Break:
    def change(patient: Patient) -> None:
        patient.grafana_password = Access("admin", Secret("x"))
        then(patient)

    return change


# what is broken: how, the part and the check that name it, and words of the fix
FAULTS: dict[str, tuple[Break, str, str, str]] = {
    "settings file with an unknown key": (exporter_file("listen: x\n"), "settings", "file", "config check"),
    "relay's settings of a wrong type": (relay_file("limits: 3\n"), "settings", "file", "config check"),
    "web configuration without a key": (
        lambda p: setattr(p, "files", Files(web=written("web.yml", "tls_server_config: {cert_file: a}\n")(p))),
        "settings",
        "file",
        "config check",
    ),
    "token file that is not there": (relay_file("token_file: /no/such\n"), "settings", "secret", "write it"),
    "token file for everybody": (readable_token, "settings", "secret", "chmod o="),
    "textfile folder that is not there": (
        exporter_file("collectors: {textfile: {directories: [/no/such]}}\n"),
        "settings",
        "textfile",
        "install -d",
    ),
    "textfile folder for everybody": (open_textfile_folder, "settings", "textfile", "chmod o-w"),
    "textfile that leads nowhere": (textfile_that_leads_nowhere, "settings", "textfile", "remove"),
    "textfile that nobody writes any more": (old_textfile, "settings", "textfile", "timer"),
    "exporter down": (exporter_down, "exporter", "reachable", "systemctl status"),
    "another program at its port": (
        lambda p: setattr(p, "page", "node_uname_info 1\n"),
        "exporter",
        "port",
        "ss -ltnp",
    ),
    "a page that is none": (lambda p: setattr(p, "page", "<html>"), "exporter", "port", "ss -ltnp"),
    "exporter that answers with an error": (lambda p: setattr(p, "status", 500), "exporter", "port", "ss -ltnp"),
    "older version running": (row('version="', 'version="0.0.'), "exporter", "version", "restart"),
    "Docker's socket refused": (docker_refused, "exporter", "collector", "SupplementaryGroups=docker"),
    "the clock's calls forbidden": (row('"timex"} 1', '"timex"} 0'), "exporter", "collector", "adjtimex"),
    "textfile that cannot be read": (row("scrape_error 0", "scrape_error 1"), "exporter", "textfile", "rename"),
    "no right to ping": (
        row('{mode="none"} 0', '{mode="none"} 1'),
        "exporter",
        "ping",
        "ping_group_range",
    ),
    "hidepid": (row("scan_complete 1", "scan_complete 0"), "exporter", "processes", "hidepid"),
    "other users' processes": (row('group="web"} 0', 'group="web"} 3'), "exporter", "details", "CAP_SYS_PTRACE"),
    "settings not taken at reload": (
        row("settings_reload_successful 1", "settings_reload_successful 0"),
        "exporter",
        "reload",
        "config check",
    ),
    "locks not taken": (
        row("web_config_reload_successful 1", "web_config_reload_successful 0"),
        "exporter",
        "locks",
        "config check",
    ),
    "series dropped": (row('"netdev"} 0', '"netdev"} 7'), "exporter", "cardinality", "--explain-cardinality"),
    "clock that nobody keeps": (row("sync_status 1", "sync_status 0"), "exporter", "clock", "chrony"),
    "Prometheus down": (lambda p: p.unreachable.add("prometheus"), "prometheus", "reachable", "systemctl"),
    "clocks apart": (lambda p: setattr(p, "skew", 30.0), "prometheus", "clock", "chrony"),
    "exporter is no target": (lambda p: p.targets.clear(), "prometheus", "target", "targets/node"),
    "target down": (target(health="down", lastError="401"), "prometheus", "target", "authentication"),
    "target of another job": (
        target(labels={"instance": "x", "job": "hosts"}),
        "prometheus",
        "job",
        "name the job node",
    ),
    "node_exporter beside us": (vector("node_uname_info", "2", nodename="web-1"), "prometheus", "twice", "targets out"),
    "rules not loaded": (lambda p: p.rules.clear(), "prometheus", "rules", "rule_files"),
    "rule that fails": (
        lambda p: p.rules.append(alert("Mine", health="err", lastError="many-to-many")),
        "prometheus",
        "rule",
        "promtool",
    ),
    "Watchdog that does not fire": (
        lambda p: p.rules[0].update(state="pending"),
        "prometheus",
        "watchdog",
        "evaluated",
    ),
    "nobody to send alerts to": (lambda p: p.managers.clear(), "prometheus", "alertmanagers", "targets/alertmanager"),
    "alerts that could not be sent": (
        vector("notifications_errors", "4"),
        "prometheus",
        "notifications",
        "Alertmanager",
    ),
    "Alertmanager down": (lambda p: p.unreachable.add("alertmanager"), "alertmanager", "reachable", "systemctl"),
    "no webhook of the relay": (lambda p: p.config["receivers"].pop(), "alertmanager", "receiver", "alertmanager.yml"),
    "alerts that go elsewhere": (elsewhere, "alertmanager", "route", "receiver: relay"),
    "a route that leads elsewhere": (one_route_elsewhere, "alertmanager", "route", "relay's receiver"),
    "no token sent": (lambda p: hook(p).pop("http_config"), "alertmanager", "token", "credentials_file"),
    "resolved not told": (lambda p: hook(p).update(send_resolved=False), "alertmanager", "resolved", "send_resolved"),
    "webhook to another address": (
        lambda p: hook(p).update(url="http://127.0.0.1:9/alertmanager"),
        "alertmanager",
        "address",
        "/alertmanager",
    ),
    "relay down": (relay_down, "relay", "reachable", "hostwatch-relay"),
    "database not writable": (relay("queue", writable=False), "relay", "database", "df"),
    "queue that does not move": (relay("queue", oldest_seconds=300.0, snapshots=4), "relay", "queue", "Vault"),
    "dead letters": (relay("queue", dead_letters=2), "relay", "dead-letters", "replay"),
    "no Watchdog arrives": (relay("watchdog", fresh=False, silent_since="12:00"), "relay", "watchdog", "route"),
    "no Watchdog yet": (relay("watchdog", fresh=False), "relay", "watchdog", "Wait"),
    "Vault sealed": (relay("token", ok=False, text="Vault is sealed"), "relay", "token", "docs/vault.md"),
    "bot not in the channel": (
        relay("slack", failing_since="12:00", last_error="not_in_channel"),
        "relay",
        "slack",
        "/invite",
    ),
    "token refused": (relay("slack", failing_since="12:00", last_error="invalid_auth"), "relay", "slack", "xoxb-"),
    "channel gone": (
        relay("slack", undeliverable=1, errors={"permanent: channel_not_found": 1}),
        "relay",
        "slack",
        "channel's ID",
    ),
    "no Slack token at all": (no_slack, "relay", "preview", "bot token"),
    "Grafana's database": (lambda p: p.grafana.update(database="failing"), "grafana", "health", "log"),
    "Grafana down": (lambda p: p.unreachable.add("grafana"), "grafana", "reachable", "running"),
    "no data source": (
        with_password(lambda p: setattr(p, "data_source", (404, {}))),
        "grafana",
        "datasource",
        "provision",
    ),
    "data source that does not answer": (
        with_password(lambda p: setattr(p, "data_source", (400, {"status": "ERROR", "message": "refused"}))),
        "grafana",
        "datasource",
        "Grafana runs",
    ),
}


@pytest.mark.parametrize(("spoil", "part", "check", "fix"), FAULTS.values(), ids=FAULTS)
def test_each_fault_is_named_alone_with_its_fix(
    patient: Patient, spoil: Break, part: str, check: str, fix: str
) -> None:
    spoil(patient)
    (found,) = patient.faults()
    assert (found.part, found.check) == (part, check), found
    assert fix in found.fix


def test_nothing_is_wrong_with_what_is_healthy(patient: Patient) -> None:
    exporter_file("collectors: {}\n")(patient)
    patient.grafana_password = Access("admin", Secret("x"))
    found = patient.examined()
    assert {one.verdict for one in found} == {"ok"}, found
    assert {one.part for one in found} == {"settings", "exporter", "prometheus", "alertmanager", "relay", "grafana"}


def test_collectors_of_what_a_machine_may_be_without_are_no_fault(patient: Patient) -> None:
    row('collector="containers"} 1', 'collector="containers"} 0')(patient)
    row('collector="nvme"} 1', 'collector="nvme"} 0')(patient)
    assert patient.faults() == []
    (told,) = [one.text for one in patient.examined() if one.check == "collectors"]
    assert told == "2 of 4 collectors have rows; nothing of the kind is here: containers, nvme"


def test_what_is_not_here_was_not_asked_for_and_is_no_fault(patient: Patient) -> None:
    patient.given = False
    patient.unreachable = {"prometheus", "alertmanager", "relay", "grafana"}
    assert patient.faults() == []
    assert sum(one.verdict == "skipped" for one in patient.examined()) == 5  # four parts, and no settings file


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"[]",
        b"null",
        b'{"config": {"original": "["}}',
        b'{"config": {"original": "3"}}',
        b"\xff\xfe",
        b'{"data": 3}',
    ],
)
def test_garbage_is_told_and_ends_nothing(patient: Patient, garbage: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patient, "answer", lambda path: (200, garbage))
    monkeypatch.setattr(patient, "vector", lambda query: garbage)
    found = patient.faults()
    assert {one.part for one in found} == {"exporter", "prometheus", "alertmanager", "relay", "grafana"}


def run(patient: Patient, *more: str) -> tuple[int, str]:
    places = [f"--{name}={patient.url}" for name in ("exporter", "prometheus", "alertmanager", "relay", "grafana")]
    done = CliRunner().invoke(main, ["doctor", *places, *more])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def test_the_command_shows_what_it_found_and_ends_with_0(patient: Patient) -> None:
    code, out = run(patient)
    assert code == 0, out
    assert out.splitlines()[-1].startswith("Nothing is wrong; ")


def test_the_command_ends_with_1_for_a_problem_and_shows_the_fix(patient: Patient) -> None:
    patient.managers.clear()
    code, out = run(patient)
    assert code == 1
    assert "it sends alerts to nobody\n     fix: `alerting: alertmanagers:`" in out
    assert "1 problem;" in out


def test_warnings_end_with_1_where_they_shall(patient: Patient) -> None:
    row("sync_status 1", "sync_status 0")(patient)
    assert run(patient)[0] == 0
    assert run(patient, "--strict")[0] == 1


def test_json_is_a_list_for_programs(patient: Patient) -> None:
    patient.targets.clear()
    code, out = run(patient, "--json", "--only", "prometheus")
    found = json.loads(out)
    assert code == 1
    assert {one["part"] for one in found} == {"prometheus"}
    assert [one["check"] for one in found if one["verdict"] == "problem"] == ["target"]


@pytest.mark.parametrize("url", ["nowhere", "ftp://x", "http://", "http://x:port", "http://x:0"])
def test_an_address_that_is_none_is_a_usage_error(url: str) -> None:
    done = CliRunner().invoke(main, ["doctor", "--prometheus", url])
    assert done.exit_code == 2
    assert "--prometheus: expected an address such as http://localhost:9090" in done.output


def test_a_password_file_that_is_not_there_is_a_usage_error() -> None:
    done = CliRunner().invoke(main, ["doctor", "--password-file", "/no/such"])
    assert (done.exit_code, done.output) == (2, "--password-file: /no/such: No such file or directory\n")


def test_the_data_source_is_the_provisioned_one() -> None:
    file = Path(__file__).parents[3] / "grafana" / "provisioning" / "datasources" / "hostwatch.yml"
    (source,) = yaml.safe_load(file.read_text())["datasources"]
    assert source["uid"] == grafana.DATA_SOURCE
