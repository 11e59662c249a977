"""Installed on a machine with systemd: its units beside node_exporter's, and everything from inside a hardened unit."""

import shutil
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import debian13, installed, units
from tests.support.engine import Engine
from tests.support.parity import Comparison, Exceptions, Scrape, Values, show, values_in
from tests.support.services import DEADLINE_SECONDS, HARDENED, NODE, Host, Service
from tests.support.systemd_machine import Machine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs("root", "docker-engine", "systemd-machine", "node_exporter", "node_exporter-1.9"),
]

SCRAPES = 50
# the loop devices of a machine beneath are everybody's: its own nodes are made, and allowed, like those of a disk
LOOP = ("--device-cgroup-rule=b 7:* rwm", "--device-cgroup-rule=c 10:237 rwm")
DISKS = """
set -e
mknod /dev/loop-control c 10 237
for n in $(seq 0 31); do mknod "/dev/loop$n" b 7 "$n"; done
mkdir -p /srv/disk /srv/bound /srv/fixed
truncate -s 20M /srv/disk.img
mkfs.ext4 -q /srv/disk.img
mount -o loop /srv/disk.img /srv/disk
mkdir /srv/disk/part
mount --bind /srv/disk/part /srv/bound
mount -t tmpfs -o size=3M,nr_inodes=77 tmpfs /home
mount -t tmpfs -o ro,size=1M tmpfs /srv/fixed
"""
MORE = (
    "--collector.systemd.enable-task-metrics --collector.systemd.enable-restarts-metrics"
    " --collector.systemd.enable-start-time-metrics"
)
SETTINGS = {
    "more": "collectors: {systemd: {start_times: true, tasks: true, restarts: true}}\n",
    # / is an overlay here, which is left out otherwise; credentials are root's alone
    "all": """
        collectors:
          filesystem:
            fs_types_exclude: '^$'
            mount_points_exclude: '^/(dev|proc|sys|run/credentials/.+)($|/)'
        """,
}


@pytest.fixture(scope="module")
def host(engine: Engine) -> Iterator[Host]:
    with Machine(engine, options=LOOP) as machine:
        installed.install(machine)
        for version, path in {
            "1.5": shutil.which("prometheus-node-exporter"),
            "1.9": debian13.find("prometheus-node-exporter"),
        }.items():
            machine.copy(Path(str(path)), f"/opt/node_exporter-{version}")
        for name, text in SETTINGS.items():
            machine.copy(textwrap.dedent(text), f"/etc/hostwatch/{name}.yml")
        machine.exec("useradd", "--system", "--no-create-home", "hostwatch")
        machine.exec("sh", "-c", DISKS)
        units.furnish(machine)
        yield Host(machine)


@pytest.fixture(scope="module")
def free(host: Host) -> Service:
    return host.hostwatch("free")


@pytest.fixture(scope="module")
def confined(host: Host) -> Service:
    return host.hostwatch("confined", HARDENED)


@pytest.fixture(scope="module")
def node15(host: Host) -> Service:
    return host.node_exporter("1.5")


@pytest.fixture(scope="module")
def node19(host: Host) -> Service:
    return host.node_exporter("1.9")


def rows(page: bytes, prefix: str) -> Values:
    return {key: value for key, value in values_in(page).items() if key[0].startswith(prefix)}


def meet(*reads: Callable[[], Values]) -> list[Values]:
    """Return what they read at the first moment when all read the same, or at the last before the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        found = [read() for read in reads]
        if all(values == found[0] for values in found) or time.monotonic() > deadline:
            return found


def difference(ours: Values, theirs: Values) -> list[str]:
    return sorted(
        f"{show(key)}: {ours.get(key)} here, {theirs.get(key)} there"
        for key in ours.keys() | theirs.keys()
        if ours.get(key) != theirs.get(key)
    )


def states(page: Values) -> dict[str, tuple[str, str]]:
    """Return state and type by unit; one that reloads is in no state that has a row."""
    found = [dict(labels) for (name, labels), value in page.items() if name == "node_systemd_unit_state" and value == 1]
    return {labels["name"]: (labels["state"], labels.get("type", "")) for labels in found}


def of_unit(page: Values, family: str, unit: str) -> float:
    return page[family, frozenset({("name", unit)})]


def test_units_are_told_as_by_both_of_node_exporters(free: Service, node15: Service, node19: Service) -> None:
    ours, *theirs = meet(*(lambda s=s: rows(s.page(), "node_systemd_") for s in (free, node15, node19)))
    assert [difference(ours, values) for values in theirs] == [[], []]
    expected = {
        "failed.service": ("failed", "simple"),
        "restarted.service": ("active", "simple"),
        "idle.service": ("inactive", "oneshot"),
        "starting.service": ("activating", "oneshot"),
        "stopping.service": ("deactivating", "simple"),
        "forked.service": ("active", "forking"),
        "kept.service": ("active", "oneshot"),
        units.ESCAPED.replace("\\", r"\\"): ("active", "simple"),
        "tick.timer": ("active", ""),
        "echo.socket": ("active", ""),
    }
    found = states(ours)
    assert {name: found.get(name) for name in expected} == expected
    assert "reloading.service" not in found
    assert of_unit(ours, "node_systemd_socket_current_connections", "echo.socket") == 1
    assert of_unit(ours, "node_systemd_socket_refused_connections_total", "echo.socket") == 2
    assert of_unit(ours, "node_systemd_timer_last_trigger_seconds", "tick.timer") == pytest.approx(time.time(), abs=600)
    assert of_unit(ours, "node_systemd_timer_last_trigger_seconds", "never.timer") == 0


def test_tasks_restarts_and_start_times_too(host: Host) -> None:
    ours = host.hostwatch("more", arguments="--config /etc/hostwatch/more.yml")
    theirs = [host.node_exporter(version, f"{NODE} {MORE}", "more") for version in ("1.5", "1.9")]
    found, *values = meet(*(lambda s=s: rows(s.page(), "node_systemd_") for s in (ours, *theirs)))
    assert [difference(found, theirs) for theirs in values] == [[], []]
    assert of_unit(found, "node_systemd_service_restart_total", "restarted.service") == 2
    assert of_unit(found, "node_systemd_unit_tasks_current", "bounded.service") == 2
    assert of_unit(found, "node_systemd_unit_tasks_max", "bounded.service") == 7
    for service in (ours, *theirs):
        service.stop()


def test_the_whole_page_is_node_exporters_on_a_machine_with_systemd(
    free: Service, node15: Service, node19: Service
) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    problems = ["not compared"]
    while problems and time.monotonic() < deadline:
        scrape = Scrape({"1.5": node15.page(), "1.9": node19.page()}, free.page())
        problems = Comparison(scrape, Exceptions.load()).problems
    assert not problems


def test_rows_of_file_systems_are_those_of_an_unconfined_run(host: Host) -> None:
    free, confined = (
        host.hostwatch(f"{name}-all", properties, "--config /etc/hostwatch/all.yml")
        for name, properties in (("free", ""), ("confined", HARDENED))
    )
    found, wanted = meet(*(lambda s=s: rows(s.page(), "node_filesystem_") for s in (confined, free)))
    assert not difference(found, wanted)
    points = {dict(labels)["mountpoint"]: value for (name, labels), value in found.items() if name.endswith("readonly")}
    expected = {"/": 0, "/home": 0, "/tmp": 0, "/srv/disk": 0, "/srv/bound": 0, "/srv/fixed": 1, "/etc/hosts": 0}
    assert {point: points.get(point) for point in expected} == expected
    own = confined.mounts()
    assert all(own[point] == "ro" for point in ("/", "/home", "/srv/disk", "/srv/bound"))
    for service in (free, confined):
        service.stop()


def test_what_hides_a_file_system_from_the_unit_alone_never_answers_for_it(host: Host, free: Service) -> None:
    hiding = "ProtectHome=tmpfs\nInaccessiblePaths=/srv/fixed\n"
    service = host.hostwatch("hidden", HARDENED.replace("ProtectHome=read-only\n", hiding))
    found, wanted = (
        {
            (name, dict(labels)["mountpoint"]): value
            for (name, labels), value in rows(s.page(), "node_filesystem_").items()
        }
        for s in (service, free)
    )
    hidden = {"/home", "/srv/fixed"}
    assert {point: found["node_filesystem_device_error", point] for point in hidden} == dict.fromkeys(hidden, 1)
    assert {name for name, point in found if point in hidden} == {"node_filesystem_device_error"}
    assert {key for key in wanted if key[1] not in hidden} == {key for key in found if key[1] not in hidden}
    service.stop()


def successful(page: bytes) -> set[str]:
    scraped = rows(page, "node_scrape_collector_success")
    return {dict(labels)["collector"] for (_, labels), value in scraped.items() if value == 1}


def test_every_collector_that_succeeds_unconfined_succeeds_confined(free: Service, confined: Service) -> None:
    status = confined.status()
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    assert "CapBnd:\t0000000000000000" in status
    assert "Uid:\t0" not in status
    assert successful(confined.page()) == successful(free.page()) > {"systemd", "timex", "filesystem", "netclass"}


def test_every_row_there_is_unconfined_is_there_confined(free: Service, confined: Service) -> None:
    found, wanted = meet(*(lambda s=s: dict.fromkeys(rows(s.page(), ""), 0.0) for s in (confined, free)))
    assert not difference(found, wanted)


def test_a_protected_clock_costs_the_collector_of_the_clocks_discipline_alone(host: Host, free: Service) -> None:
    service = host.hostwatch("clock", f"{HARDENED}ProtectClock=yes\n")
    assert successful(free.page()) - successful(service.page()) == {"timex"}
    service.stop()


def test_a_dynamic_user_costs_the_units_alone_and_the_journal_tells_why(host: Host, free: Service) -> None:
    service = host.hostwatch("dynamic", HARDENED.replace("User=hostwatch\n", ""))
    assert successful(free.page()) - successful(service.page()) == {"systemd"}
    (failure,) = [event for event in service.events() if event["event"] == "collector failed"]
    assert "run as a user who is there" in str(failure["error"])
    service.stop()


def test_stop_ends_it_cleanly_and_restart_brings_it_back(host: Host) -> None:
    tell = "ExecStopPost=+/bin/sh -c 'echo $SERVICE_RESULT $EXIT_CODE $EXIT_STATUS >>/srv/ends'\n"
    service = host.hostwatch("stopped", HARDENED + tell)
    start = time.monotonic()
    service.stop()
    assert time.monotonic() - start < 2
    service.start()
    before = service.show("MainPID")
    service.restart()
    assert service.show("MainPID") not in {before, "0"}
    assert host.machine.exec("cat", "/srv/ends").splitlines() == ["success exited 0"] * 2
    events = service.events()
    assert sum(event["event"] == "exporter listens" for event in events) == 3
    assert all({"time", "level", "logger", "event"} <= event.keys() for event in events)
    assert not [event for event in events if event["level"] in {"warning", "error"}]
    service.stop()


@pytest.mark.measured
def test_resident_memory_beside_node_exporters(host: Host) -> None:
    without = "InaccessiblePaths=/run/dbus\n"
    pairs = {
        "with a system bus": (host.hostwatch("rss"), host.node_exporter("1.5", name="rss"), 1.35),
        "without one": (
            host.hostwatch("rss-alone", without),
            host.node_exporter("1.5", "--web.listen-address=0.0.0.0:PORT", "rss-alone"),
            1.2,
        ),
    }
    ratios = {}
    for name, (ours, theirs, goal) in pairs.items():
        for _ in range(SCRAPES):
            ours.page()
            theirs.page()
        mine, peers = ours.resident_bytes(), theirs.resident_bytes()
        print(f"{name}: {mine / 1e6:.1f} MB, node_exporter 1.5 {peers / 1e6:.1f} MB: {mine / peers:.2f}, goal {goal}")
        ratios[name] = mine / peers / goal
        assert ("systemd" in successful(ours.page())) == (name == "with a system bus")
        ours.stop()
        theirs.stop()
    assert max(ratios.values()) <= 1, ratios
