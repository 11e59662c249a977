"""The units of an installed host, on Debian 12 and 13: how confined they are, and how they come back in any case."""

import re
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from tests.support import installed, memory_pressure, unit_templates, units
from tests.support.client import until
from tests.support.engine import Engine
from tests.support.engine_remains import EngineError
from tests.support.parity import values_in
from tests.support.services import Service
from tests.support.systemd_machine import Machine

pytestmark = [pytest.mark.slow, pytest.mark.needs("root", "docker-engine", "fleet-machines")]

EXPORTER, RELAY, EVERYTHING = "hostwatch-exporter", "hostwatch-relay", "hostwatch-everything"
PORTS = {EXPORTER: 10101, RELAY: 10102, EVERYTHING: 10103}
# with the profile that the goal has no room for; it need not run
WITH_CLOCK = "hostwatch-with-clock"
# what the others are compared with: root's, and as free as root is
FREE, FREE_PORT = "free", 10104
BACK_SECONDS = 5.0
# RestartSec=
PAUSE_SECONDS = 1.0
# systemd's patience in the tests: long for a slow machine, short to wait for
PATIENCE_SECONDS = 4
# shorter ones are over before the pressure has built up
SOAK_SECONDS = 60
CREDENTIALS = "/etc/hostwatch/credentials"
SETTINGS = {
    EXPORTER: """
        listen: 0.0.0.0:10101
        collectors:
          timex: {enabled: false}
          process_groups: {interval: 1s, groups: [{name: init, match: {executable: .*/systemd}}]}
        probes: {ping: {targets: [127.0.0.1], interval: 5s, count: 1}}
        """,
    RELAY: """
        listen: 0.0.0.0:10102
        token_file: /run/credentials/hostwatch-relay.service/relay-token
        database: /var/lib/hostwatch-relay/relay.db
        slack:
          api_url: http://127.0.0.1:9/
          token_file: /run/credentials/hostwatch-relay.service/slack-token
        """,
    EVERYTHING: """
        listen: 0.0.0.0:10103
        collectors:
          timex: {enabled: false}
          containers: {socket: /srv/docker.sock}
          process_groups: {interval: 1s, groups: [{name: init, match: {executable: .*/systemd}}]}
        probes: {ping: {targets: [127.0.0.1], interval: 5s, count: 1}}
        """,
}
# no program but ours may ever see one of these
SECRETS = {"relay-token": "canary-bearer-5d01c2", "slack-token": "xoxb-canary-93b7aa"}
SET_UP = f"""
set -e
useradd --system --no-create-home hostwatch
useradd --system --no-create-home hostwatch-relay
groupadd --system docker
chgrp docker /srv/docker.sock
chmod 0660 /srv/docker.sock
chmod 0400 {CREDENTIALS}/*
systemctl daemon-reload
systemctl enable --quiet --now {EXPORTER} {RELAY} {EVERYTHING}
"""


def unit_texts() -> dict[str, str]:
    settings = {name: f"/etc/hostwatch/{name}.yml" for name in PORTS}
    secrets = {name: f"{CREDENTIALS}/{name}" for name in SECRETS}
    profiles = {"raw_ping": True, "docker": True, "process_details": True}
    return {
        EXPORTER: unit_templates.exporter(config_file=settings[EXPORTER]),
        RELAY: unit_templates.relay(config_file=settings[RELAY], credentials=secrets),
        EVERYTHING: unit_templates.exporter(config_file=settings[EVERYTHING], **profiles),
        WITH_CLOCK: unit_templates.exporter(config_file=settings[EVERYTHING], **profiles, clock=True),
        FREE: f"""[Service]
            ExecStart={installed.COMMAND} serve --listen 0.0.0.0:{FREE_PORT} --config {settings[EVERYTHING]}
            """,
    }


class Installed:
    """A machine with all three units, running and enabled."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.services = {name: Service(machine, name, port) for name, port in PORTS.items()}

    def set_up(self, release: str) -> None:
        installed.install(self.machine, release, "hostwatch[relay]")
        for name, text in SETTINGS.items():
            self.machine.copy(textwrap.dedent(text), f"/etc/hostwatch/{name}.yml", 0o644)
        for name, text in SECRETS.items():
            self.machine.copy(f"{text}\n", f"{CREDENTIALS}/{name}", 0o400)
        for name, text in unit_texts().items():
            self.machine.copy(text, f"/etc/systemd/system/{name}.service", 0o644)
        self.machine.exec("sh", "-c", SET_UP)
        for service in self.services.values():
            service.wait()

    def restart(self, names: Sequence[str]) -> None:
        """Put changed units in force."""
        self.machine.exec("systemctl", "daemon-reload")
        self.machine.exec("systemctl", "restart", *names)
        for name in names:
            self.services[name].wait()

    def allowance(self, *names: str) -> float:
        """Return how long the services may take to be back: the goal, or more where an ordinary start takes long.

        An orderly restart just now is what a machine is measured by that others keep busy.
        """
        began = time.monotonic()
        self.machine.exec("systemctl", "restart", *names)
        return max(BACK_SECONDS, PAUSE_SECONDS + 3 * (time.monotonic() - began))

    def wait_until_new(self, name: str, old: str, seconds: float) -> float:
        """Wait until another process of the service than `old` answers; return how long that took."""
        service, began = self.services[name], time.monotonic()
        deadline = began + seconds
        while True:
            try:
                service.page()
                if service.show("MainPID") != old:
                    return time.monotonic() - began
            except OSError:
                pass
            if time.monotonic() > deadline:
                raise AssertionError(self.machine.exec("journalctl", "--no-pager", "--lines=40", "--unit", name))
            time.sleep(0.02)


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def host(engine: Engine, request: pytest.FixtureRequest) -> Iterator[Installed]:
    # ping sockets are closed to all groups, as on a machine whose administrator wants it so
    options = ("--volume", f"{engine.socket}:/srv/docker.sock", "--sysctl", "net.ipv4.ping_group_range=1 0")
    with Machine(engine, request.param, options=options) as machine:
        one = Installed(machine)
        one.set_up(request.param)
        yield one


def values(service: Service, family: str) -> dict[str, float]:
    """Return a family's values by the value of its only label."""
    found = {}
    for (name, labels), value in values_in(service.page()).items():
        if name == family:
            found["".join(text for _, text in labels)] = value
    return found


def families(service: Service) -> set[str]:
    return {name for name, _ in values_in(service.page())}


def failing(service: Service) -> set[str]:
    return {name for name, value in values(service, "node_scrape_collector_success").items() if value != 1}


def test_systemd_finds_nothing_to_say_about_the_units(host: Installed) -> None:
    files = [f"/etc/systemd/system/{name}.service" for name in (*PORTS, WITH_CLOCK)]
    assert host.machine.exec("sh", "-c", f"systemd-analyze verify {' '.join(files)} 2>&1") == ""


@pytest.mark.parametrize(("name", "limit"), [(EXPORTER, 1.5), (RELAY, 1.5), (EVERYTHING, 2.1), (WITH_CLOCK, 2.4)])
def test_exposure(host: Installed, name: str, limit: float) -> None:
    told = host.machine.exec("systemd-analyze", "security", "--no-pager", f"{name}.service")
    level = re.search(r"Overall exposure level for .*: ([0-9.]+)", told)
    assert level, told
    print(f"{name}: {level[1]}, goal {limit}")
    assert float(level[1]) <= limit, told


def test_every_profile_gets_what_it_is_for_and_every_collector_works(host: Installed) -> None:
    host.machine.exec("systemctl", "start", FREE)
    free = Service(host.machine, FREE, FREE_PORT)
    free.wait()
    default, everything = host.services[EXPORTER], host.services[EVERYTHING]
    for service in (default, everything, free):
        until(lambda s=service: "host_process_scan_complete" in families(s), "a look at the processes", seconds=30)
        until(lambda s=service: values(s, "host_ping_mode_info"), "the first ping", seconds=30)
    assert failing(everything) == failing(free)
    assert failing(default) == failing(free) | {"containers"}
    free.stop()
    assert values(default, "host_ping_mode_info") == {"none": 1}
    assert values(everything, "host_ping_mode_info") == {"raw": 1}
    until(lambda: values(everything, "host_ping_received_total").get("127.0.0.1"), "an answer", seconds=30)
    assert not values(default, "host_process_group_processes"), "whose programs are hidden cannot be counted"
    assert values(everything, "host_process_group_processes") == {"init": 1}


@pytest.mark.measured
def test_killed_each_is_back_soon(host: Installed) -> None:
    for name, service in host.services.items():
        allowed = host.allowance(name)
        old = service.show("MainPID")
        host.machine.exec("kill", "-KILL", old)
        seconds = host.wait_until_new(name, old, 60)
        print(f"{name}: killed, back after {seconds:.2f} s, goal {BACK_SECONDS}, here {allowed:.2f}")
        assert seconds <= allowed


@pytest.mark.measured
def test_after_a_reboot_each_is_back_soon(host: Installed) -> None:
    allowed = host.allowance(*PORTS)
    host.machine.reboot()
    ready = "ActiveEnterTimestampMonotonic"
    booted = int(units.show(host.machine, "basic.target", ready))
    for name, service in host.services.items():
        service.wait()
        seconds = (int(service.show(ready)) - booted) / 1e6
        print(f"{name}: serves {seconds:.2f} s after the boot, goal {BACK_SECONDS}, here {allowed:.2f}")
        assert seconds <= allowed


@contextmanager
def impatient(host: Installed, names: Sequence[str]) -> Iterator[None]:
    """Let systemd wait less for services to prove that they work."""
    folders = [f"/etc/systemd/system/{name}.service.d" for name in names]
    for folder in folders:
        host.machine.copy(f"[Service]\nWatchdogSec={PATIENCE_SECONDS}s\n", f"{folder}/patience.conf")
    host.restart(names)
    try:
        yield
    finally:
        host.machine.exec("rm", "-r", *folders)
        host.restart(names)


@pytest.mark.measured
def test_stopped_in_its_tracks_each_is_back_once_systemd_has_lost_patience(host: Installed) -> None:
    names = (EXPORTER, RELAY)
    with impatient(host, names):
        for name in names:
            first = units.show(host.machine, name, "WatchdogTimestamp")
            units.wait_for(host.machine, name, "WatchdogTimestamp", lambda now, first=first: now not in {first, ""})
        allowed = PATIENCE_SECONDS + host.allowance(*names)
        old = {name: host.services[name].show("MainPID") for name in names}
        host.machine.exec("kill", "-STOP", *old.values())
        began = time.monotonic()
        for name in names:
            host.wait_until_new(name, old[name], 60)
            seconds = time.monotonic() - began
            goal = PATIENCE_SECONDS + BACK_SECONDS
            print(f"{name}: stopped, back after {seconds:.2f} s, goal {goal}, here {allowed:.2f}")
            assert seconds <= allowed
        for name in names:
            told = host.machine.exec("journalctl", "--no-pager", "--output=cat", "--unit", name)
            assert "Watchdog timeout" in told
            assert "Fatal Python error: Aborted" in told, "where it hung is in the journal"


@pytest.mark.soak(300, 5)
@pytest.mark.needs("stress-ng")
def test_under_memory_pressure_each_stays_the_same_process_and_answers(
    host: Installed, engine: Engine, count: int
) -> None:
    pids = {name: service.show("MainPID") for name, service in host.services.items()}
    slowest, began, stalled = 0.0, time.monotonic(), memory_pressure.stalled_seconds()
    with memory_pressure.pressed(engine, host.machine, count) as lasts:
        while lasts():
            for service in host.services.values():
                asked = time.monotonic()
                service.page()
                slowest = max(slowest, time.monotonic() - asked)
            time.sleep(0.5)
        share = (memory_pressure.stalled_seconds() - stalled) / (time.monotonic() - began)
    print(f"pressure {share:.0%}, slowest answer {slowest:.2f} s")
    assert {name: service.show("MainPID") for name, service in host.services.items()} == pids
    assert share > (0.5 if count >= SOAK_SECONDS else 0.0)


def test_a_reload_takes_good_settings_and_refuses_bad_ones(host: Installed) -> None:
    service, file = host.services[EXPORTER], f"/etc/hostwatch/{EXPORTER}.yml"
    good = textwrap.dedent(SETTINGS[EXPORTER])
    before = service.show("MainPID")
    try:
        host.machine.copy(good.replace("collectors:\n", "collectors:\n  loadavg: {enabled: false}\n"), file, 0o644)
        host.machine.exec("systemctl", "reload", EXPORTER)
        until(lambda: b"node_load1 " not in service.page(), "the new settings", seconds=30)
        host.machine.copy("collectors: {loadavg: 5}\n", file, 0o644)
        with pytest.raises(EngineError, match="failed"):
            host.machine.exec("systemctl", "reload", EXPORTER)
        assert b"node_load1 " not in service.page()
        assert "collectors.loadavg" in host.machine.exec("journalctl", "--no-pager", "--unit", EXPORTER)
    finally:
        host.machine.copy(good, file, 0o644)
        host.machine.exec("systemctl", "reload", EXPORTER)
    until(lambda: b"node_load1 " in service.page(), "the old settings", seconds=30)
    assert service.show("MainPID") == before
    assert service.show("StatusText") == "Serves on 0.0.0.0:10101"


def test_settings_that_cannot_be_used_are_tried_once(host: Installed) -> None:
    name = "hostwatch-unusable"
    host.machine.copy("collectors: 5\n", f"/etc/hostwatch/{name}.yml", 0o644)
    text = unit_templates.exporter(config_file=f"/etc/hostwatch/{name}.yml")
    host.machine.copy(text, f"/etc/systemd/system/{name}.service", 0o644)
    host.machine.exec("systemctl", "daemon-reload")
    with pytest.raises(EngineError, match="failed"):
        host.machine.exec("systemctl", "start", name)
    assert units.show(host.machine, name, "ActiveState") == "failed"
    assert units.show(host.machine, name, "NRestarts") == "0"


def test_secrets_are_nowhere_but_in_their_files_and_with_their_service(host: Installed) -> None:
    relay = host.services[RELAY]
    until(relay.page, "the relay", seconds=30)
    pattern = "canary-"
    places = f"grep -rlIs --exclude-dir=proc --exclude-dir=sys -e {pattern} / || true"
    found = set(host.machine.exec("sh", "-c", places).split())
    allowed = {f"{folder}/{name}" for name in SECRETS for folder in (CREDENTIALS, f"/run/credentials/{RELAY}.service")}
    assert found == allowed
    for command in (
        "journalctl --no-pager --output=export",
        f"systemctl cat {' '.join(PORTS)}",
        f"systemctl show {' '.join(PORTS)}",
        "cat /proc/[0-9]*/cmdline",
        "cat /proc/[0-9]*/environ",
    ):
        # a process may go while it is looked at
        assert pattern not in host.machine.exec("sh", "-c", f"{command} 2>/dev/null || true"), command
    for other in ("hostwatch", "nobody"):
        for file in allowed:
            with pytest.raises(EngineError, match="Permission denied"):
                host.machine.exec("setpriv", f"--reuid={other}", "--clear-groups", "cat", file)
