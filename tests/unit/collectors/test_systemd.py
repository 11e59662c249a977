"""Units of systemd: rows, changes, a bus that restarts, a machine without."""

import subprocess
import sys
from pathlib import Path

import pytest

from exporter.clients.dbus import BusError
from exporter.collector import NoData
from exporter.collectors.systemd import Options, SystemdUnits
from exporter.settings.values import Regex
from tests.support.fake_systemd import FakeBus, FakeSystemd, FakeUnit
from tests.support.kernel import collect
from tests.support.trees import series

ALL = Options(start_times=True, tasks=True, restarts=True)


def machine() -> list[FakeUnit]:
    return [
        FakeUnit(
            "ssh.service",
            properties={
                ("Service", "Type"): ("s", "notify"),
                ("Service", "NRestarts"): ("u", 3),
                ("Service", "TasksCurrent"): ("t", 5),
                ("Service", "TasksMax"): ("t", 2**64 - 1),
                ("Unit", "ActiveEnterTimestamp"): ("t", 1700000000123456),
            },
        ),
        FakeUnit("cron.service", "failed", properties={("Service", "Type"): ("s", "simple")}),
        FakeUnit("no-type.service", "reloading"),
        FakeUnit("daily.timer", properties={("Timer", "LastTriggerUSec"): ("t", 1700000001500000)}),
        FakeUnit("new.timer", properties={("Timer", "LastTriggerUSec"): ("t", 0)}),
        FakeUnit(
            "dbus.socket",
            properties={
                ("Socket", "NAccepted"): ("u", 7),
                ("Socket", "NConnections"): ("u", 2),
                ("Socket", "NRefused"): ("u", 1),
            },
        ),
        FakeUnit("old.socket", "inactive", properties={("Socket", "NAccepted"): ("u", 0)}),
        FakeUnit("gone.service", "inactive", "not-found"),
        FakeUnit("-.mount", properties={("Mount", "Type"): ("s", "ext4")}),
        FakeUnit('we\\x2dird "q".service', properties={("Service", "Type"): ("s", "exec")}),
    ]


def values(block: bytes, family: str) -> dict[str, float]:
    """Return a family's values by name, or by state or version."""
    found = {}
    for (name, labels), value in series(block).items():
        if name == f"node_systemd_{family}":
            by = dict(labels)
            found[by.get("name") or by.get("state") or by.get("version") or ""] = value
    return found


def state_of(block: bytes, unit: str) -> str:
    """Return the state whose row is 1, and the type after a slash."""
    on = [
        dict(labels)
        for (name, labels), value in series(block).items()
        if name == "node_systemd_unit_state" and value and dict(labels)["name"] == unit
    ]
    return "+".join(f"{labels['state']}/{labels.get('type', '')}" for labels in on)


def test_rows(tmp_path: Path) -> None:
    with FakeBus(tmp_path / "bus", FakeSystemd(machine())) as bus:
        block = collect(SystemdUnits(ALL, bus.path))
    assert state_of(block, "ssh.service") == "active/notify"
    assert state_of(block, "cron.service") == "failed/simple"
    assert state_of(block, "no-type.service") == ""  # a state that has no row
    assert state_of(block, "daily.timer") == "active/"
    assert values(block, "units") == {
        "active": 6, "activating": 0, "deactivating": 0, "inactive": 2, "failed": 1, "reloading": 1,
    }  # fmt: skip
    assert values(block, "version") == {"252.38-1~deb12u1": 252.38}
    assert values(block, "system_running") == {"": 1}
    assert values(block, "timer_last_trigger_seconds") == {"daily.timer": 1700000001.5, "new.timer": 0}
    assert values(block, "socket_accepted_connections_total") == {"dbus.socket": 7, "old.socket": 0}
    assert values(block, "socket_current_connections") == {"dbus.socket": 2}
    assert values(block, "socket_refused_connections_total") == {"dbus.socket": 1}
    assert values(block, "service_restart_total") == {"ssh.service": 3}
    assert values(block, "unit_tasks_current") == {"ssh.service": 5}
    assert values(block, "unit_tasks_max") == {}, "no limit is no number"
    started = values(block, "unit_start_time_seconds")
    assert (started["ssh.service"], started["cron.service"]) == (1700000000.123456, 0)
    assert not any("gone.service" in line or "-.mount" in line for line in block.decode().splitlines())


def test_what_costs_a_question_more_for_each_unit_is_asked_only_where_wanted(tmp_path: Path) -> None:
    with FakeBus(tmp_path / "bus", FakeSystemd(machine())) as bus:
        block = collect(SystemdUnits(Options(), bus.path))
        asked = {question[-1] for question in bus.systemd.asked}
    assert not asked & {"NRestarts", "TasksCurrent", "TasksMax", "ActiveEnterTimestamp"}
    assert b"start_time" not in block


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (Options(include=Regex("ssh|cron")), set()),
        (Options(include=Regex(r"(ssh|cron)\.service")), {"ssh.service", "cron.service"}),
        (Options(include=Regex(r".*\.mount"), exclude=Regex("^$")), {"-.mount"}),
        (Options(exclude=Regex(r".*\.(service|timer)")), {"dbus.socket", "old.socket", "-.mount"}),
    ],
    ids=["whole names only", "include", "mounts", "exclude"],
)
def test_units_are_chosen_by_whole_names(tmp_path: Path, options: Options, names: set[str]) -> None:
    with FakeBus(tmp_path / "bus", FakeSystemd(machine())) as bus:
        block = collect(SystemdUnits(options, bus.path))
    found = {dict(labels)["name"] for name, labels in series(block) if name == "node_systemd_unit_state"}
    assert found == names


def test_changes_show_in_the_next_scrape_and_types_are_asked_again_only_then(tmp_path: Path) -> None:
    units = machine()
    now = 0.0
    with FakeBus(tmp_path / "bus", FakeSystemd(units)) as bus:
        collector = SystemdUnits(Options(), bus.path, lambda: now)
        first = collect(collector)
        bus.systemd.asked.clear()
        assert collect(collector) == first
        assert ("Service", "Type") not in bus.systemd.asked
        units[3].properties["Timer", "LastTriggerUSec"] = ("t", 1700000009000000)
        assert values(collect(collector), "timer_last_trigger_seconds")["daily.timer"] == 1700000009
        units[0].active = "deactivating"
        units.pop(1)
        block = collect(collector)
        assert state_of(block, "ssh.service") == "deactivating/notify"
        assert b"cron.service" not in block
        units[0].properties["Service", "Type"] = ("s", "forking")
        assert state_of(collect(collector), "ssh.service") == "deactivating/notify"
        now = SystemdUnits.TYPES_SECONDS
        assert state_of(collect(collector), "ssh.service") == "deactivating/forking"
        assert bus.connections == 1


def test_bus_that_was_restarted_costs_no_scrape(tmp_path: Path) -> None:
    with FakeBus(tmp_path / "bus", FakeSystemd(machine())) as bus:
        collector = SystemdUnits(Options(), bus.path)
        first = collect(collector)
        bus.drop_all()
        assert collect(collector) == first
        assert bus.connections == 2


def test_bus_that_is_gone_is_no_data_and_back_when_it_is_back(tmp_path: Path) -> None:
    now = 0.0
    with FakeBus(tmp_path / "bus", FakeSystemd(machine())) as bus:
        collector = SystemdUnits(Options(), bus.path, lambda: now)
        first = collect(collector)
    assert not collector.blocking
    for _ in range(2):
        with pytest.raises(NoData):
            collector.collect()
    now = 30.0
    with FakeBus(tmp_path / "bus", FakeSystemd(machine())):
        assert collector.blocking
        assert collect(collector) == first


@pytest.mark.parametrize("error", ["ServiceUnknown", "NameHasNoOwner"])
def test_bus_without_systemd_is_no_data(tmp_path: Path, error: str) -> None:
    fake = FakeSystemd()
    answer = fake.answer
    fake.answer = lambda m: f"org.freedesktop.DBus.Error.{error}" if m.fields.get(3) != "Hello" else answer(m)  # type: ignore[method-assign]
    with FakeBus(tmp_path / "bus", fake) as bus, pytest.raises(NoData):
        collect(SystemdUnits(Options(), bus.path))


def test_bus_that_denies_the_list_is_a_failure_that_says_so(tmp_path: Path) -> None:
    fake = FakeSystemd()
    answer = fake.answer
    fake.answer = lambda m: "org.freedesktop.DBus.Error.AccessDenied" if m.fields.get(3) != "Hello" else answer(m)  # type: ignore[method-assign]
    with FakeBus(tmp_path / "bus", fake) as bus, pytest.raises(BusError, match=r"ListUnits: .*AccessDenied"):
        collect(SystemdUnits(Options(), bus.path))


@pytest.mark.parametrize(
    ("version", "found"),
    [("257.7-1", {"257.7-1": 257.7}), ("249", {"249": 249}), ("v255~rc1", {"v255~rc1": 255}), ("99", {}), ("", {})],
)
def test_version(tmp_path: Path, version: str, found: dict[str, float]) -> None:
    fake = FakeSystemd(machine())
    fake.manager["Version"] = ("s", version)
    with FakeBus(tmp_path / "bus", fake) as bus:
        assert values(collect(SystemdUnits(Options(), bus.path)), "version") == found


def test_degraded_system_is_not_running(tmp_path: Path) -> None:
    fake = FakeSystemd(machine())
    fake.manager["SystemState"] = ("s", "degraded")
    with FakeBus(tmp_path / "bus", fake) as bus:
        assert values(collect(SystemdUnits(Options(), bus.path)), "system_running") == {"": 0}


def test_property_of_another_type_than_expected_is_a_failure_or_absent(tmp_path: Path) -> None:
    units = machine()
    units[3].properties["Timer", "LastTriggerUSec"] = ("s", "soon")
    with FakeBus(tmp_path / "bus", FakeSystemd(units)) as bus:
        assert values(collect(SystemdUnits(Options(), bus.path)), "timer_last_trigger_seconds") == {"new.timer": 0}


def test_machine_without_a_bus_imports_no_client() -> None:
    program = (
        "import sys\n"
        "from exporter.collector import NoData\n"
        "from exporter.collectors.systemd import Options, SystemdUnits\n"
        "collector = SystemdUnits(Options(), '/nowhere/bus')\n"
        "assert not collector.blocking\n"
        "try:\n    collector.collect()\nexcept NoData:\n    pass\n"
        "print([name for name in sys.modules if name.startswith('exporter.clients')])\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
