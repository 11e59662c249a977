"""The playbooks against three machines, a Prometheus and an Alertmanager: rolled out, broken in each way, repaired."""

import json
import os
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest

from exporter.drills.ledger import File, Head, Ledger
from tests.support import debian13
from tests.support.certificates import Authority
from tests.support.engine import Engine
from tests.support.fake_vault import FakeVault
from tests.support.fleet_machines import MONITOR, FleetMachines
from tests.support.playbooks import Playbooks, Run, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.needs("root", "docker-engine", "fleet-machines")]

VERSION = re.compile(r'__version__ = "(.+)"')
# the goals, on a machine that has nothing else to do: there Ansible's own ping of the three takes two seconds and a
# half; on one that others keep busy it takes longer like everything else
FIRST_SECONDS = 90.0
SECOND_SECONDS = 30.0
REGISTER_SECONDS = 60.0
PING_SECONDS = 2.5


def assert_within(goal: float, seconds: float, *pings: float) -> None:
    slowness = max(1.0, sum(pings) / len(pings) / PING_SECONDS)
    print(f"{seconds:.0f} s, goal {goal:.0f} s, on a machine {slowness:.1f} times as slow as an idle one")
    assert seconds < goal * slowness


class World:
    """A fleet that is rolled out; each test leaves it as it found it."""

    def __init__(self, playbooks: Playbooks) -> None:
        self.playbooks = playbooks
        self.fleet = playbooks.fleet
        # releases of their own size: a disk that can be filled
        self.fleet["h2"].exec("sh", "-c", "mount -t tmpfs -o size=120M,mode=755 tmpfs /opt")
        # a hardened machine: what sudo runs makes files that only root can read, unless it says otherwise
        self.fleet["h2"].exec("sh", "-c", "echo 'Defaults umask=0077' >/etc/sudoers.d/umask")
        for name in self.fleet.hosts:
            self.fleet[name].exec("touch", "/run/before-the-dry-run")
        self.dry = playbooks.roll_out("--check", "--diff")
        self.written = {name: self._written(name) for name in self.fleet.hosts}
        ping = playbooks.ping_seconds()
        self.first = playbooks.roll_out().good()
        self.pings = (ping, playbooks.ping_seconds())
        # Alertmanager keeps them for days
        self.silenced = playbooks.silences("expired")
        found = VERSION.search((playbooks.tree / "exporter/__init__.py").read_text())
        assert found
        self.version = found[1]

    def _written(self, name: str) -> str:
        """Return each file written since, that is no log and no state of a login or of Ansible's own."""
        look = "find / /opt -xdev -cnewer /run/before-the-dry-run -not -type d"
        skipped = "^/(home/ops/.ansible|proc|run|tmp|var/(tmp|log|lib/(sudo|systemd|private)))/|^/etc/resolv.conf$"
        return self.fleet[name].exec("sh", "-c", f"{look} | grep -Ev '{skipped}'; getent passwd hostwatch; true")

    def deploy_monitoring(self, tree: Path, *arguments: str, **more: object) -> Run:
        """Put a tree's rules, routes and relay in force beside the Prometheus that is there."""
        self.fleet[MONITOR].copy(Path(str(debian13.find("promtool"))), "/usr/bin/promtool")
        variables = {
            "hostwatch_monitoring_source": str(tree),
            "hostwatch_monitoring_packages": False,
            "hostwatch_monitoring_scrape_interval": "5s",
            "hostwatch_relay_token": "a-token-of-the-tests-0123456789",
            **more,
        }
        return self.playbooks.run("deploy-monitoring.yml", *arguments, **variables).good()

    def command(self, name: str) -> str:
        """Return where the command of everybody's PATH leads on a machine; "" where there is none."""
        return self.fleet[name].exec("sh", "-c", "readlink /usr/local/bin/hostwatch || true").strip()

    def release(self, name: str, version: str, *changes: tuple[str, str, str]) -> str:
        """Return a tree of another version."""
        line = f'__version__ = "{self.version}"'
        return str(
            self.playbooks.copy_tree(name, *changes, ("exporter/__init__.py", line, f'__version__ = "{version}"'))
        )


@pytest.fixture(scope="module")
def world(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with FleetMachines(engine, tmp_path_factory.mktemp("f")) as fleet:
        yield World(Playbooks(fleet, tmp_path_factory.mktemp("control")))


def test_dry_run_on_new_machines_tells_all_and_writes_nothing(world: World) -> None:
    world.dry.good()
    assert all(count > 0 for count in world.dry.changed.values()), world.dry.text
    assert "+listen: :10101" in world.dry.text
    assert "+    instance: h1" in world.dry.text or "+    instance: h1" in world.dry.text.replace("'", "")
    assert world.written == dict.fromkeys(world.fleet.hosts, "")


def test_first_run_installs_verifies_and_registers(world: World) -> None:
    assert set(world.first.hosts) == set(world.fleet.hosts)
    wanted = {(name, "test") for name in world.fleet.hosts}
    rows = world.playbooks.query('up{job="node"} == 1')
    assert {(row["instance"], row["environment"]) for row in rows} >= wanted
    assert {world.playbooks.version(name) for name in world.fleet.hosts} == {world.version}
    assert world.playbooks.silences() == []
    # while each was worked on, its alerts alone were silent; the dry run before silenced nobody
    assert world.silenced == [f'instance="{name}"' for name in sorted(world.fleet.hosts)]
    for name in world.fleet.hosts:
        assert world.command(name) == "/opt/hostwatch/current/bin/hostwatch"
        # as anybody, where root's files are for root alone, too
        assert world.version in world.fleet.ssh(name, "hostwatch --version")
    for name in world.fleet.hosts:
        assert f"WARNING: {name}: whoever reaches" in " ".join(world.first.text.split())
    assert_within(FIRST_SECONDS, world.first.seconds, *world.pings)


@pytest.mark.measured
def test_second_run_changes_and_restarts_nothing(world: World) -> None:
    before = states(world)
    ping = world.playbooks.ping_seconds()
    run = world.playbooks.roll_out().good()
    assert run.changed == dict.fromkeys(world.fleet.hosts, 0), run.text
    assert states(world) == before
    assert_within(SECOND_SECONDS, run.seconds, ping, world.playbooks.ping_seconds())


def test_dry_run_shows_the_exact_difference_and_writes_nothing(world: World) -> None:
    before = world.playbooks.state("h1")
    settings = {"log": {"level": "warning"}}
    run = world.playbooks.roll_out("--check", "--diff", "--limit", "h1", hostwatch_exporter_settings=settings).good()
    removed_added = re.findall(r"^[-+](?![-+]{2} ).+$", run.text, re.MULTILINE)
    assert removed_added == ["+log:", "+  level: warning"]
    assert world.playbooks.state("h1") == before


def failed_on_canary(world: World, run: Run, before: dict[str, str], *words: str) -> None:
    """The first machine is back on what ran, and answers; the others were not touched; one line says why."""
    assert run.code != 0, run.text
    assert set(run.hosts) == {"h1"}, run.text
    assert all(word in run.reason for word in ("h1: ", *words)), (run.reason, run.text[-5000:])
    wait_until(lambda: world.playbooks.runs("h1", world.version))
    after = {name: world.playbooks.state(name) for name in world.fleet.hosts}
    assert without_pid(after.pop("h1")) == without_pid(before.pop("h1"))
    assert after == before
    assert world.playbooks.silences() == []


def without_pid(state: str) -> str:
    return re.sub(r"MainPID=\d+|NRestarts=\d+", "", state)


def states(world: World) -> dict[str, str]:
    return {name: world.playbooks.state(name) for name in world.fleet.hosts}


def test_bad_settings_are_refused_before_they_are_in_place(world: World) -> None:
    before = states(world)
    pid = before["h1"]
    run = world.playbooks.roll_out(hostwatch_exporter_settings={"lissten": ":10101"})
    failed_on_canary(world, run, before, "Write the settings", "lissten", "which answers")
    assert world.playbooks.state("h1") == pid  # not even restarted


def test_version_that_starts_and_then_fails_is_taken_back(world: World) -> None:
    before = states(world)
    timer = "_end = threading.Timer(5, os._exit, [7])\n_end.daemon = True\n_end.start()\n"
    dies = f'"""hostwatch"""\nimport os\nimport threading\n\n{timer}'
    tree = world.release("dying", "9.9.9")
    package = Path(tree, "exporter/__init__.py")
    package.write_text(dies + package.read_text().partition('"""\n')[2])
    run = world.playbooks.roll_out(hostwatch_release_source=tree)
    failed_on_canary(world, run, {**before, "h1": before["h1"]}, "which answers")


def test_version_that_fails_while_it_starts_is_taken_back(world: World) -> None:
    before = states(world)
    tree = world.release(
        "stillborn", "9.9.8", ("exporter/daemon.py", "def run(", "raise OSError('no such luck')\n\n\ndef run(")
    )
    run = world.playbooks.roll_out(hostwatch_release_source=tree)
    failed_on_canary(world, run, before, "Put release, unit and settings in force", "does not start", "which answers")


def test_full_disk_leaves_the_old_version_and_the_next_run_goes_on(world: World) -> None:
    machine = world.fleet["h2"]
    before = world.playbooks.state("h2")
    tree = world.release("next", "0.99.0")
    machine.exec(
        "sh",
        "-c",
        "dd if=/dev/zero of=/opt/hostwatch/.filler bs=64k 2>/dev/null; truncate -s -12M /opt/hostwatch/.filler",
    )
    try:
        run = world.playbooks.roll_out("--limit", "h2", hostwatch_release_source=tree)
        assert run.code != 0
        assert "No space left" in run.reason, run.text[-3000:]
        assert "which answers" in run.reason
    finally:
        machine.exec("rm", "/opt/hostwatch/.filler")
    assert world.playbooks.state("h2") == before
    world.playbooks.roll_out("--limit", "h2", hostwatch_release_source=tree).good()
    wait_until(lambda: world.playbooks.runs("h2", "0.99.0"))
    # and back, which needs no copy of what is still there
    back = world.playbooks.roll_out("--limit", "h2").good()
    wait_until(lambda: world.playbooks.runs("h2", world.version))
    assert "changed: [h2]" not in back.text.partition("Install the release")[2].partition("TASK")[0]


def test_unreachable_machine_stops_the_run_before_the_others(world: World) -> None:
    before = states(world)
    # sessions that are open outlive the service, and ssh keeps one for the next run
    world.fleet["h1"].exec("sh", "-c", "systemctl stop ssh; pkill sshd || true")
    try:
        run = world.playbooks.roll_out()
    finally:
        world.fleet["h1"].exec("systemctl", "start", "ssh")
    assert run.code != 0
    assert run.hosts["h1"]["unreachable"] == 1
    assert set(run.hosts) == {"h1"}
    assert states(world) == before


def test_cut_connection_is_undone_by_the_machine_itself(world: World) -> None:
    machine = world.fleet["h1"]
    before = world.playbooks.state("h1")
    settings = {"log": {"level": "warning"}}
    # a collector that no machine has: the verification would wait until the cut
    wanted = {"hostwatch_exporter_settings": settings, "hostwatch_exporter_collectors": ["infiniband"]}
    undo = {"hostwatch_exporter_undo_seconds": 45, "hostwatch_exporter_verify_seconds": 600}
    with world.playbooks.start("deploy-exporter.yml", "--limit", "h1", **wanted, **undo) as process:
        try:
            wait_until(
                lambda: "true" in machine.exec("sh", "-c", 'grep -o "activated.: true" /run/hostwatch-deploy/* || true')
            )
            assert world.playbooks.silences() == ['instance="h1"']
            machine.exec("sh", "-c", "systemctl stop ssh; pkill -KILL sshd || true")
            text, _ = process.communicate(timeout=300)
        except BaseException:
            process.kill()
            raise
    assert process.returncode == 4, text  # unreachable
    wait_until(lambda: without_pid(world.playbooks.state("h1")) == without_pid(before), 120)
    wait_until(lambda: world.playbooks.runs("h1", world.version))
    machine.exec("systemctl", "start", "ssh")
    world.playbooks.roll_out("--limit", "h1", hostwatch_exporter_settings=settings).good()
    assert "level: warning" in machine.exec("cat", "/etc/hostwatch/exporter.yml")
    world.playbooks.roll_out("--limit", "h1").good()
    wait_until(lambda: world.playbooks.silences() == [])


@pytest.mark.parametrize(
    ("part", "tasks"),
    [
        ("verify", {"Compare", "Wait until Prometheus has scraped it"}),
        ("register", {"Write the machine's target and that it is expected"}),
        ("configure", {"Write the settings"}),
        ("unit", {"Write the unit file"}),
        ("install", {"Install the release beside the one that runs"}),
    ],
)
def test_each_part_runs_alone(world: World, part: str, tasks: set[str]) -> None:
    before = world.playbooks.state("h3")
    run = world.playbooks.roll_out("--limit", "h3", "--tags", part).good()
    others = {
        *("Compare", "Wait until Prometheus has scraped it", "Write the machine's target and that it is expected"),
        *("Write the settings", "Write the unit file", "Install the release beside the one that runs"),
    }
    ran = set(re.findall(r"TASK \[\w+ : (.+?)\] \*", run.text))
    assert ran & others == tasks
    assert run.changed == {"h3": 0}
    assert world.playbooks.state("h3") == before


@pytest.mark.measured
def test_hundred_machines_are_registered_within_a_minute(world: World) -> None:
    names = [f"web-{number:03}" for number in range(100)]
    hosts = {
        name: {"hostwatch_exporter_role": "web", "hostwatch_exporter_address": f"192.0.2.{n}"}
        for n, name in enumerate(names)
    }
    inventory = str(world.playbooks.write_inventory("hundred.yml", hosts))
    try:
        ping = world.playbooks.ping_seconds()
        run = world.playbooks.roll_out("-i", inventory, "--tags", "register").good()
        pings = (ping, world.playbooks.ping_seconds())
        assert sum(run.changed.values()) == 100
        listed = world.fleet[MONITOR].exec("sh", "-c", "cat /etc/prometheus/targets/node/web-*.yml")
        assert re.findall(r"- 192\.0\.2\.(\d+):10101", listed) == [str(number) for number in range(100)]
        assert re.findall(r"instance: (.+)", listed) == names
        expected = world.fleet[MONITOR].exec(
            "sh", "-c", "cat /var/lib/hostwatch/textfile/hostwatch-expected-web-*.prom"
        )
        assert re.findall(r'host_expected_info\{target="(.+)"\} 1', expected) == names
        assert_within(REGISTER_SECONDS, run.seconds, *pings)
    finally:
        world.playbooks.run("remove-exporter.yml", "-i", inventory, "--tags", "unregister").good()
    assert (
        world.fleet[MONITOR].exec(
            "sh", "-c", "ls /etc/prometheus/targets/node /var/lib/hostwatch/textfile | grep -c web- || true"
        )
        == "0\n"
    )


def test_secrets_are_in_their_files_and_nowhere_else(world: World, tmp_path: Path) -> None:
    pair = Authority(tmp_path).issue("h1", [f"IP:{world.fleet.address('h1')}"])
    certificate, key = pair.certificate, pair.key
    secret = max(key.read_text().split(), key=len)
    password = "correct-horse-battery-9d1f"
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
    variables = {
        "hostwatch_exporter_tls_certificate": certificate.read_text(),
        "hostwatch_exporter_tls_key": key.read_text(),
        "hostwatch_exporter_users": {"prometheus": hashed},
        "hostwatch_exporter_verify_user": "prometheus",
        "hostwatch_exporter_verify_password": password,
        # this Prometheus has no password
        "hostwatch_exporter_prometheus_url": "",
    }
    file = tmp_path / "secrets.json"
    file.write_text(json.dumps(variables))
    machine = world.fleet["h1"]
    try:
        run = world.playbooks.roll_out("--limit", "h1", "-vvv", "--diff", "-e", f"@{file}").good()
        for text in (secret, password, hashed):
            assert text not in run.text
        units = machine.exec("sh", "-c", "systemctl cat hostwatch-exporter; systemctl show hostwatch-exporter")
        processes = machine.exec(
            "sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'"
        )
        journal = machine.exec("journalctl", "--no-pager", "--output=export")
        for text in (secret, password, hashed):
            assert text not in units + processes + journal
        for text, files in (
            (secret, ["/etc/hostwatch/server.key"]),
            (hashed, ["/etc/hostwatch/web.yml"]),
            (password, []),
        ):
            look = (
                'grep -rlF --exclude-dir=proc --exclude-dir=sys --exclude-dir=credentials -e "$0" / 2>/dev/null || true'
            )
            assert machine.exec("sh", "-c", look, text, seconds=120).split() == files
        modes = machine.exec("stat", "-c", "%a %U %n", "/etc/hostwatch/server.key", "/etc/hostwatch/web.yml")
        assert modes == "400 root /etc/hostwatch/server.key\n400 root /etc/hostwatch/web.yml\n"
    finally:
        world.playbooks.roll_out("--limit", "h1").good()
    assert machine.exec("ls", "/etc/hostwatch").split() == ["exporter.yml"]


# as docs/fleet.md shows them, but that the address is the test's
FROM_FILE = "{{ lookup('ansible.builtin.file', 'PATH') }}"
FROM_VAULT = (
    "{{ (lookup('ansible.builtin.url', '%s/v1/secret/data/hostwatch/exporter', split_lines=false, use_proxy=false,"
    " headers={'X-Vault-Token': lookup('ansible.builtin.env', 'VAULT_TOKEN')}) | from_json).data.data.%s }}"
)


def test_locked_machine_opens_to_prometheus_with_what_vault_holds(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The password is Vault's alone; certificates are files of the control machine; what is wrong of both is seen."""
    playbooks, authority = world.playbooks, Authority(tmp_path / "authority")
    pair = authority.issue("h1", [f"IP:{world.fleet.address('h1')}"])
    # for whom the machine answers: Prometheus, and us; the stranger's is of another authority
    client, stranger = authority.issue("prometheus"), Authority(tmp_path / "strangers").issue("prometheus")
    password = "battery-staple-3c77"
    with FakeVault() as vault:
        vault.policies["hostwatch"].add("secret/data/hostwatch/exporter")
        hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
        vault.write("hostwatch/exporter", password=password, hash=hashed)
        login = json.dumps({"role_id": vault.role.role_id, "secret_id": vault.new_secret_id()}).encode()
        with urllib.request.urlopen(f"{vault.address}/v1/auth/approle/login", login, timeout=10) as answer:
            monkeypatch.setenv("VAULT_TOKEN", json.load(answer)["auth"]["client_token"])
        secret = {key: FROM_VAULT % (vault.address, key) for key in ("password", "hash")}
        locks = {
            "hostwatch_exporter_tls_certificate": FROM_FILE.replace("PATH", str(pair.certificate)),
            "hostwatch_exporter_tls_key": FROM_FILE.replace("PATH", str(pair.key)),
            "hostwatch_exporter_users": {"prometheus": secret["hash"]},
            "hostwatch_exporter_tls_client_ca": FROM_FILE.replace("PATH", str(authority.certificate)),
            "hostwatch_exporter_verify_user": "prometheus",
            "hostwatch_exporter_verify_password": secret["password"],
            "hostwatch_exporter_verify_certificate": FROM_FILE.replace("PATH", str(client.certificate)),
            "hostwatch_exporter_verify_key": FROM_FILE.replace("PATH", str(client.key)),
        }
        access = {
            "hostwatch_monitoring_node_access": {
                "tls_config": {
                    "ca_file": "exporters-ca.crt",
                    "cert_file": "prometheus.crt",
                    "key_file": "prometheus.key",
                },
                "basic_auth": {"username": "prometheus", "password_file": "exporters-password"},
            },
            "hostwatch_monitoring_secrets": {
                "exporters-ca.crt": authority.certificate.read_text(),
                "exporters-password": secret["password"],
                "prometheus.crt": client.certificate.read_text(),
                "prometheus.key": client.key.read_text(),
            },
        }
        try:
            world.deploy_monitoring(playbooks.tree, **access)
            playbooks.roll_out("--limit", "h1", **locks).good()
            assert playbooks.query('up{job="node",instance="h1"} == 1')
            assert "https" in world.fleet[MONITOR].exec("cat", "/etc/prometheus/targets/node/h1.yml")
            with pytest.raises(OSError, match=r"\S"):
                playbooks.page("h1")  # without TLS
            before = playbooks.state("h1")
            wrong = {**locks, "hostwatch_exporter_verify_password": "guessed"}
            run = playbooks.roll_out("--limit", "h1", "--tags", "verify", **wrong)
            assert run.code != 0
            assert "401" in run.reason, run.text[-3000:]
            assert playbooks.state("h1") == before
            strange = {
                "hostwatch_exporter_verify_certificate": FROM_FILE.replace("PATH", str(stranger.certificate)),
                "hostwatch_exporter_verify_key": FROM_FILE.replace("PATH", str(stranger.key)),
                "hostwatch_exporter_verify_seconds": 6,
            }
            run = playbooks.roll_out("--limit", "h1", "--tags", "verify", **{**locks, **strange})
            assert run.code != 0
            assert "ended the connection, as for a certificate" in run.reason, run.text[-3000:]
            # without one of ours Prometheus alone proves it: a change still can be rolled out
            nothing = {"hostwatch_exporter_verify_certificate": "", "hostwatch_exporter_verify_key": ""}
            run = playbooks.roll_out("--limit", "h1", **{**locks, **nothing}, hostwatch_exporter_memory_max="255M")
            assert "Prometheus has to scrape the new version" in " ".join(run.good().text.split())
            failing = {**locks, "hostwatch_exporter_collectors": ["infiniband"], "hostwatch_exporter_verify_seconds": 6}
            run = playbooks.roll_out("--limit", "h1", **failing)
            assert "no success of infiniband" in run.reason, run.text[-3000:]
            assert "which answers" in run.reason
            assert "MemoryMax=255M" in world.fleet["h1"].exec("systemctl", "cat", "hostwatch-exporter")
        finally:
            world.deploy_monitoring(playbooks.tree)
            playbooks.roll_out("--limit", "h1").good()
    assert playbooks.query('up{job="node",instance="h1"} == 1')


def drill_of_before_the_boot_is_undone(world: World) -> bool:
    """Leave on the monitoring machine what a drill left that lost power, and start what a boot starts."""
    monitor, folder = world.fleet[MONITOR], "/var/lib/hostwatch/drills"
    target = "/etc/prometheus/targets/node/hostwatch-drill-left.yml"
    kept = world.playbooks.folder / "drills"
    kept.mkdir()
    Ledger(kept / "left.ledger", Head("left", os.getpid(), 1, "another boot")).add(File(target))
    monitor.exec("sh", "-c", f"mkdir -p {folder}; echo '[]' >{target}")
    monitor.copy(kept / "left.ledger", f"{folder}/left.ledger")
    assert monitor.exec("systemctl", "is-enabled", "hostwatch-drill-halt").strip() == "enabled"
    monitor.exec("systemctl", "start", "hostwatch-drill-halt")
    return monitor.exec("sh", "-c", f"ls {target} {folder}/*.ledger 2>/dev/null || true") == ""


def test_vanished_lost_and_removed_machines(world: World) -> None:
    """Vanished: HostDown. File of targets lost: HostMissing. Removed by the playbook: neither, and no trace."""
    playbooks, monitor = world.playbooks, world.fleet[MONITOR]
    tree = playbooks.copy_tree(
        "quick", ("prometheus/rules/hosts.yml", "[1m]", "[10s]"), ("prometheus/rules/hosts.yml", "for: 1m", "for: 5s"),
        ("prometheus/rules/hosts.yml", "for: 5m", "for: 15s"), ("prometheus/rules/hosts.yml", "[4m]", "[12s]"),
    )  # fmt: skip
    own = str(playbooks.write_inventory("monitor.yml", {MONITOR: {}}))
    world.deploy_monitoring(tree)
    again = world.deploy_monitoring(tree)
    assert again.changed == {MONITOR: 0}, again.text
    for tag, ran in (("relay", "Ask whether it answers"), ("monitoring", "Write the rules")):
        part = world.deploy_monitoring(tree, "--tags", tag)
        assert f": {ran}] *" in part.text
        assert part.changed == {MONITOR: 0}, part.text
    assert "alertmanager_urls:\n- http://127.0.0.1:9093" in monitor.exec("cat", "/etc/hostwatch/relay.yml")
    assert world.command(MONITOR) == "/opt/hostwatch/relay/bin/hostwatch"
    assert drill_of_before_the_boot_is_undone(world)
    playbooks.roll_out("-i", own).good()
    assert world.command(MONITOR) == "/opt/hostwatch/current/bin/hostwatch"

    def firing() -> set[tuple[str, str]]:
        rows = playbooks.query('ALERTS{alertstate="firing",alertname=~"HostDown|HostMissing"}')
        return {(row["alertname"], row["instance"]) for row in rows}

    try:
        assert firing() == set()
        world.fleet["h3"].exec("systemctl", "stop", "hostwatch-exporter")
        monitor.exec("rm", "/etc/prometheus/targets/node/h2.yml")
        wait_until(lambda: firing() == {("HostDown", "h3"), ("HostMissing", "h2")})
        playbooks.run("remove-exporter.yml", "--limit", "h2,h3").good()
        wait_until(lambda: firing() == set())
        # the time in which it would have come is over, and it has not
        wait_until(lambda: not playbooks.query('last_over_time(host_expected_info{target="h3"}[40s])'), 90)
        assert not playbooks.query(
            'last_over_time(ALERTS{alertstate="firing",alertname="HostMissing",instance="h3"}[5m])'
        )
        for name in ("h2", "h3"):
            places = "/etc /opt /run /usr/local /var/lib /root /home"
            units = "systemctl list-units --all --no-legend 'hostwatch*'"
            look = f"find {places} -xdev -iname '*hostwatch*'; getent passwd hostwatch; {units}"
            assert world.fleet[name].exec("sh", "-c", f"({look}) || true") == ""
        left = monitor.exec("sh", "-c", "ls /etc/prometheus/targets/node /var/lib/hostwatch/textfile")
        assert not re.search(r"\bh[23]\b", left)
    finally:
        playbooks.run("remove-exporter.yml", "-i", own).good()
        playbooks.roll_out().good()
    # the relay stays, and with it its command
    assert world.command(MONITOR) == "/opt/hostwatch/relay/bin/hostwatch"
    wait_until(lambda: firing() == set())


def test_command_of_somebody_else_is_neither_taken_nor_removed(world: World) -> None:
    """What an administrator put on the PATH stays, and the play says so; removing leaves it, too."""
    machine, path = world.fleet["h3"], "/usr/local/bin/hostwatch"
    machine.exec("sh", "-c", f"rm {path}; echo '#!/bin/sh' >{path}")
    try:
        run = world.playbooks.roll_out("--limit", "h3").good()
        assert run.changed == {"h3": 0}, run.text
        assert f"{path} is not ours and stays as it is" in " ".join(run.text.split())
        world.playbooks.run("remove-exporter.yml", "--limit", "h3").good()
        assert machine.exec("cat", path) == "#!/bin/sh\n"
    finally:
        machine.exec("rm", "-f", path)
        world.playbooks.roll_out("--limit", "h3").good()
    assert world.command("h3") == "/opt/hostwatch/current/bin/hostwatch"


def test_release_that_cannot_be_started_again_is_told_and_the_next_rollout_goes_on(world: World) -> None:
    """The old release is broken by hand, so undoing a bad version fails; nothing has to be cleaned up for the next."""
    machine = world.fleet["h3"]
    python = machine.exec("readlink", "/opt/hostwatch/current/bin/python").strip()
    tree = world.release(
        "stillborn-too", "9.9.7", ("exporter/daemon.py", "def run(", "raise OSError('no such luck')\n\n\ndef run(")
    )
    try:
        machine.exec("ln", "-sfn", "/nonexistent", "/opt/hostwatch/current/bin/python")
        run = world.playbooks.roll_out("--limit", "h3", hostwatch_release_source=tree)
        assert run.code != 0
        assert "Going back failed too: files and links are as before, but" in run.reason, run.text[-3000:]
        assert "hostwatch-deploy" not in machine.exec("ls", "/run").split()
    finally:
        machine.exec("ln", "-sfn", python, "/opt/hostwatch/current/bin/python")
    world.playbooks.roll_out("--limit", "h3").good()
    wait_until(lambda: world.playbooks.runs("h3", world.version))
