"""`hostwatch drill`: what it refuses and why, what it plans, and what it reports; nothing is broken here."""

import json
import os
import shutil
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from exporter.cli import main
from exporter.drills import ledger, plans, preflight
from exporter.drills.fault import Fault
from exporter.drills.faults import FAULTS, OUT_OF_REACH
from exporter.drills.faults.host import floor
from exporter.drills.faults.services import ServiceStopped
from tests.support.fake_pipeline import FakePipeline
from tests.support.nobody import no_rights, open_folder

GB = 1024**3
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePipeline]:
    # this machine has enough of everything, whatever else runs on it
    monkeypatch.setattr(preflight, "available", lambda: (8 * GB, 16 * GB))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100 * GB, 50 * GB, 50 * GB))
    with FakePipeline(tmp_path / "targets") as running:
        yield running


def drill(pipeline: FakePipeline, state: Path, *arguments: str, before: tuple[str, ...] = ()) -> Result:
    return CliRunner().invoke(main, ["drill", *pipeline.options(state), *before, *arguments])


def run(pipeline: FakePipeline, state: Path, *before: str) -> Result:
    return drill(pipeline, state, "run", "service-stopped", "--yes", before=before)


def test_list_shows_every_drill(pipeline: FakePipeline, tmp_path: Path) -> None:
    done = drill(pipeline, tmp_path, "list")
    assert [line.split()[0] for line in done.stdout.splitlines()] == [fault.name for fault in FAULTS]


def test_plan_says_what_happens_and_does_nothing(pipeline: FakePipeline, tmp_path: Path) -> None:
    done = drill(pipeline, tmp_path / "state", "plan", "service-stopped")
    assert done.exit_code == 0, done.output
    for part in ("ServiceDown", "cap", "undo", "told within", "DRILL"):
        assert part in done.stdout
    assert not (tmp_path / "state").exists()


def test_plan_says_what_is_missing(pipeline: FakePipeline, tmp_path: Path) -> None:
    done = drill(pipeline, tmp_path, "plan", "container-exited")
    assert done.exit_code == 3
    assert "no Docker Engine" in done.stdout
    assert "--docker" in done.stdout


def test_whole_host_plan_says_what_is_off(pipeline: FakePipeline, tmp_path: Path) -> None:
    assert "HostMemoryHigh of localhost for the time" in drill(pipeline, tmp_path, "plan", "memory").stdout


def test_nobody_to_ask_is_no_consent(pipeline: FakePipeline, tmp_path: Path) -> None:
    done = drill(pipeline, tmp_path, "run", "service-stopped")
    assert done.exit_code == 3
    assert "--yes" in done.stderr


def test_another_alert_refuses(pipeline: FakePipeline, tmp_path: Path) -> None:
    pipeline.alerts.append({"labels": {"alertname": "HostDown"}, "state": "firing", "activeAt": ""})
    done = run(pipeline, tmp_path)
    assert done.exit_code == 3
    assert "HostDown fires" in done.stderr
    site = plans_site(pipeline, tmp_path, ignored=("HostDown",))
    assert preflight.not_green(site[0], site[1]) == []


def test_pending_alerts_and_other_drills_refuse_nothing(pipeline: FakePipeline, tmp_path: Path) -> None:
    pipeline.alerts += [
        {"labels": {"alertname": "HostDown"}, "state": "pending", "activeAt": ""},
        {"labels": {"alertname": "HostDown", "drill": "true"}, "state": "firing", "activeAt": ""},
    ]
    assert preflight.refusals(*plans_site(pipeline, tmp_path)) == []


def test_remote_pipeline_refuses(pipeline: FakePipeline, tmp_path: Path) -> None:
    site, view = plans_site(pipeline, tmp_path)
    import msgspec

    remote = msgspec.structs.replace(site.options, prometheus="http://192.0.2.7:9090")
    (reason,) = preflight.refusals(msgspec.structs.replace(site, options=remote), view)
    assert "Prometheus (http://192.0.2.7:9090)" in reason
    allowed = msgspec.structs.replace(remote, allow_remote_observe=True)
    assert preflight.refusals(msgspec.structs.replace(site, options=allowed), view) == []


@pytest.mark.parametrize("which", ["labels", "external_labels"])
def test_production_refuses(pipeline: FakePipeline, tmp_path: Path, which: str) -> None:
    getattr(pipeline, which)["environment"] = "production"
    done = run(pipeline, tmp_path)
    assert done.exit_code == 3
    assert "no drills in production" in done.stderr


def test_two_at_once_refuse(pipeline: FakePipeline, tmp_path: Path) -> None:
    lock = ledger.take_lock(tmp_path)
    done = run(pipeline, tmp_path)
    os.close(lock)
    assert done.exit_code == 3
    assert "another drill runs" in done.stderr


def test_what_an_earlier_drill_left_refuses(pipeline: FakePipeline, tmp_path: Path) -> None:
    ledger.Ledger(tmp_path / "a.ledger", ledger.Head("a", 1, 0, "another boot"))
    done = run(pipeline, tmp_path)
    assert done.exit_code == 3
    assert "drill halt" in done.stderr


def test_short_of_memory_refuses(pipeline: FakePipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "available", lambda: (GB, 16 * GB))
    done = run(pipeline, tmp_path)
    assert done.exit_code == 3
    assert "1024 MB of memory are free" in done.stderr


def test_short_of_disk_refuses(pipeline: FakePipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100 * GB, 96 * GB, 4 * GB))
    done = run(pipeline, tmp_path)
    assert done.exit_code == 3
    assert "4096 MB are free" in done.stderr


def test_busy_machine_refuses(pipeline: FakePipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (1e6, 0, 0))
    done = run(pipeline, tmp_path)
    assert done.exit_code == 3
    assert "the load is" in done.stderr


def test_prometheus_that_does_not_answer_refuses(pipeline: FakePipeline, tmp_path: Path) -> None:
    done = run(pipeline, tmp_path, "--prometheus=http://127.0.0.1:1")
    assert done.exit_code == 3
    assert "--prometheus says where it is" in done.stderr


def test_targets_that_cannot_be_written_refuse(pipeline: FakePipeline, tmp_path: Path) -> None:
    shutil.rmtree(pipeline.targets)
    pipeline.targets.mkdir()
    done = run(pipeline, tmp_path)
    assert done.exit_code == 3
    assert "--targets" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["run"], "either names", id="nothing"),
        pytest.param(["run", "cpu", "--all"], "either names", id="both"),
        pytest.param(["run", "cpus"], "no such drill", id="unknown"),
        pytest.param(["plan", "cpus"], "no such drill", id="unknown-plan"),
        pytest.param(["--relay=http://127.0.0.1:9", "run", "cpus"], "no such drill", id="unknown and nobody answers"),
        pytest.param(["plan"], "Missing argument", id="no name"),
        pytest.param(["run", "cpu", "--at-once=0"], "--at-once", id="value"),
        pytest.param(["run", "cpu", "--bellow"], "--bellow", id="option"),
        pytest.param(["ran", "cpu"], "ran", id="command"),
        pytest.param(["--max-load=much", "run", "cpu"], "--max-load", id="value of the group"),
        pytest.param(["--gentel", "run", "cpu"], "--gentel", id="option of the group"),
        pytest.param([], "Usage:", id="no command"),
        pytest.param(["report", "--html=/nonexistent/page.html"], "/nonexistent/page.html: No such file", id="page"),
    ],
)
def test_wrong_call_is_refused_and_never_looks_like_a_verdict(
    pipeline: FakePipeline, tmp_path: Path, arguments: list[str], says: str
) -> None:
    done = drill(pipeline, tmp_path, *arguments)
    assert done.exit_code == 3, done.output
    assert says in done.stderr


def test_drill_without_a_threshold_has_nothing_to_stay_below(pipeline: FakePipeline, tmp_path: Path) -> None:
    done = drill(pipeline, tmp_path, "run", "service-stopped", "--below", "--yes")
    assert done.exit_code == 3
    assert "no threshold" in done.stderr


def test_report_of_nothing_says_so(pipeline: FakePipeline, tmp_path: Path) -> None:
    done = drill(pipeline, tmp_path, "report", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["proven"] == {}
    page = tmp_path / "page.html"
    assert drill(pipeline, tmp_path, "report", f"--html={page}").exit_code == 0
    assert page.read_text().startswith("<!doctype html>")


def test_nothing_to_halt(pipeline: FakePipeline, tmp_path: Path) -> None:
    done = drill(pipeline, tmp_path, "halt")
    assert (done.exit_code, done.stdout) == (0, "nothing to undo\n")


def test_ledger_that_cannot_be_read_is_the_loudest(pipeline: FakePipeline, tmp_path: Path) -> None:
    (tmp_path / "a.ledger").write_text("nonsense\n")
    assert drill(pipeline, tmp_path, "halt").exit_code == 4


@pytest.mark.parametrize(
    ("reason", "found"),
    [
        pytest.param("fires, and is no drill", {"alertname": "HostDown", "severity": "critical"}, id="critical"),
        pytest.param("", {"alertname": "HostDown", "severity": "warning"}, id="warning"),
        pytest.param("", {"alertname": "HostDown", "severity": "critical", "drill": "true"}, id="drill"),
        pytest.param("", {"alertname": "Before", "severity": "critical"}, id="fired-before"),
    ],
)
def test_other_trouble_ends_a_drill(pipeline: FakePipeline, tmp_path: Path, reason: str, found: dict[str, str]) -> None:
    pipeline.alerts.append({"labels": found, "state": "firing", "activeAt": ""})
    reasons = preflight.aborts(*plans_site(pipeline, tmp_path), frozenset({"Before"}), 0)
    assert [reason in one for one in reasons] == ([True] if reason else [])


def test_memory_that_runs_out_ends_a_drill(
    pipeline: FakePipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, view = plans_site(pipeline, tmp_path)
    monkeypatch.setattr(preflight, "available", lambda: (floor(16 * GB) // 2, 16 * GB))
    assert "of memory are free" in preflight.aborts(site, view, frozenset(), 0)[0]


@pytest.mark.parametrize(
    ("load", "tasks", "ends"),
    [
        pytest.param(40.0, 0, True, id="others"),
        pytest.param(40.0, 16, False, id="the-drills-own"),
        pytest.param(31.0, 0, False, id="little"),
    ],
)
def test_load_that_is_no_drill_s_ends_it(
    pipeline: FakePipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: float, tasks: int, ends: bool
) -> None:
    site, view = plans_site(pipeline, tmp_path)
    site = msgspec.structs.replace(site, options=msgspec.structs.replace(site.options, max_load=8.0))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    reasons = preflight.aborts(site, view, frozenset(), tasks)
    assert ["the load is 40, over 32" in one for one in reasons] == ([True] if ends else [])


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_drill_knows_when_its_metric_shows_the_fault(fault: type[Fault]) -> None:
    has_level = fault.level is not Fault.level
    assert has_level or fault.crossed is not Fault.crossed
    assert has_level or not fault.has_threshold, "a drill below the threshold has to see how near it came"


def test_every_shipped_alert_is_drilled_or_says_why_not() -> None:
    import yaml

    files = (Path(__file__).parents[3] / "prometheus" / "rules").glob("*.yml")
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    shipped = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    drilled = {alert for fault in FAULTS for alert in fault.alerts}
    assert drilled | OUT_OF_REACH.keys() == shipped
    assert not drilled & OUT_OF_REACH.keys()


def test_names_are_unique_and_say_what_they_may_do() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    for fault in FAULTS:
        assert fault.summary.endswith(".")
        assert fault.cap
        assert fault.alerts


def test_plan_is_for_people(pipeline: FakePipeline, tmp_path: Path) -> None:
    text = plans.text(ServiceStopped(), plans_site(pipeline, tmp_path)[0])
    assert max(map(len, text.splitlines())) <= 110


@pytest.mark.parametrize(("command", "code"), [("halt", 4), ("report", 3)])
def test_folder_that_is_closed_to_us_is_not_taken_for_an_empty_one(
    pipeline: FakePipeline, command: str, code: int
) -> None:
    with open_folder() as folder:
        state = folder / "state"
        state.mkdir()
        (state / "a.ledger").touch()
        site, view = plans_site(pipeline, state / "below")
        # what it imports may be closed to a user without rights as well
        drill(pipeline, folder / "another", command)
        state.chmod(0)
        with no_rights():
            done = drill(pipeline, state, command)
            reasons = preflight.refusals(site, view)
    assert done.exit_code == code, done.output
    assert "run it as root" in done.stderr
    assert "nothing to undo" not in done.stdout
    assert isinstance(done.exception, SystemExit)
    assert ["run it as root" in one for one in reasons] == [True]


def test_state_of_another_user_refuses(pipeline: FakePipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.ledger").touch()
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    for done, code in ((run(pipeline, tmp_path), 3), (drill(pipeline, tmp_path, "halt"), 4)):
        assert done.exit_code == code
        assert "belongs to user" in done.stderr
    assert (tmp_path / "a.ledger").exists()


def test_ledger_that_was_never_begun_stands_in_no_way(pipeline: FakePipeline, tmp_path: Path) -> None:
    (tmp_path / "a.ledger").touch()
    assert preflight.unfinished(plans_site(pipeline, tmp_path)[0]) == []


def test_time_that_is_too_short_refuses(
    pipeline: FakePipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "longest", lambda *_: 4 * 3600.0)
    done = drill(pipeline, tmp_path, "run", "service-stopped", "service-hung", "--yes")
    assert done.exit_code == 3
    assert "--at-once 2" in done.stderr


def test_alert_that_came_while_somebody_was_asked_refuses(
    pipeline: FakePipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from exporter.cli import drill as command

    def asked(*_: object) -> None:
        pipeline.alerts.append({"labels": {"alertname": "HostDown"}, "state": "firing", "activeAt": ""})

    monkeypatch.setattr(command, "ask", asked)
    monkeypatch.setattr(command, "_run", lambda *_, **__: pytest.fail("it began"))
    done = drill(pipeline, tmp_path, "run", "service-stopped")
    assert done.exit_code == 3, done.output
    assert "HostDown fires" in done.stderr


def test_alerts_that_fired_when_it_was_admitted_are_known_to_the_run(
    pipeline: FakePipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from exporter.cli import drill as command

    pipeline.alerts.append({"labels": {"alertname": "HostDown"}, "state": "firing", "activeAt": ""})
    seen = []

    def begun(
        faults: object, site: object, view: preflight.View, *_: object, **__: object
    ) -> tuple[list[object], list[str]]:
        seen.append(set(preflight.firing(view)))
        return [], ["process 1 does not end"]

    monkeypatch.setattr(command, "_run", begun)
    done = run(pipeline, tmp_path, "--ignore-alert=HostDown")
    assert seen == [{"Watchdog", "HostDown"}]
    assert done.exit_code == 4
    assert "not undone: process 1" in done.stderr


def plans_site(
    pipeline: FakePipeline, state: Path, ignored: tuple[str, ...] = ()
) -> tuple[preflight.Site, preflight.View]:
    from exporter.drills.site import Options, look, see

    url = pipeline.url
    options = Options(prometheus=url, alertmanager=url, relay=url, state=state, ignored_alerts=ignored, max_load=1000)
    return look(options), see(options)
