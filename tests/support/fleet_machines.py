"""A fleet on one internal network: three Debian machines with systemd and sshd; one with Prometheus and Alertmanager.

h1 and h2 are Debian 12, h3 is Debian 13; all three are as plain as a new machine: Python is there, pip and
python3-packaging are not, nothing of ours is. The fourth, `monitor`, runs what Debian 13 packages as Prometheus and
Alertmanager, with this tree's configuration and a scrape interval of 5 s; it has no targets and no rules yet.
"""

import contextlib
import ipaddress
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import yaml

from tests.support import debian13, systemd_machine
from tests.support.engine import Engine
from tests.support.systemd_machine import Machine

ROOT: Final = Path(__file__).resolve().parents[2]
RELEASES: Final = {"h1": "bookworm", "h2": "bookworm", "h3": "trixie"}
MONITOR: Final = "monitor"
USER: Final = "ops"
SCRAPE_SECONDS: Final = 5
DEADLINE_SECONDS: Final = 30
# the engine counts up from .2; these stay a machine's own when it is made anew
_FIRST_ADDRESS: Final = 100

_ADMIT: Final = f"""
set -e
id -u {USER} >/dev/null 2>&1 || useradd --create-home --shell /bin/bash {USER}
echo '{USER} ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/{USER}
install -d -m 700 -o {USER} -g {USER} /home/{USER}/.ssh
cat >/home/{USER}/.ssh/authorized_keys
chown {USER}:{USER} /home/{USER}/.ssh/authorized_keys
"""
_PROGRAMS: Final = ("prometheus", "prometheus-alertmanager", "amtool")
_MONITORING: Final = """
set -e
useradd --system --user-group --home-dir /var/lib/prometheus --create-home prometheus
install -d -o prometheus -g prometheus /var/lib/prometheus/metrics2 /var/lib/prometheus/alertmanager
for job in node prometheus alertmanager relay; do mkdir -p /etc/prometheus/targets/$job; done
mkdir -p /etc/prometheus/rules
systemctl daemon-reload
systemctl enable --now prometheus prometheus-alertmanager
"""


def is_possible() -> bool:
    """Whether the images, the programs for the monitoring machine and an ssh client are here."""
    return (
        all(systemd_machine.find(release) for release in set(RELEASES.values()))
        and all(debian13.find(program) for program in _PROGRAMS)
        and bool(shutil.which("ssh") and shutil.which("ssh-keygen"))
    )


class FleetMachines:
    """The four machines, for the length of a `with` block; `machines` has each by its name."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        """Take the engine, and a folder for the key and what an ssh client knows."""
        self._engine = engine
        self.folder = folder
        self.key = folder / "id_ed25519"
        self.known_hosts = folder / "known_hosts"
        self.machines: dict[str, Machine] = {}

    def __enter__(self) -> Self:
        make_key = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "fleet-of-the-tests", "-f", str(self.key))
        subprocess.run(make_key, check=True, stdin=subprocess.DEVNULL)
        self.network = self._engine.network()
        try:
            for name in (*RELEASES, MONITOR):
                self._boot(name)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        for machine in self.machines.values():
            machine.__exit__(None, None, None)
        self._engine.run("network", "rm", self.network)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names of the machines to roll out to."""
        return tuple(RELEASES)

    @property
    def prometheus_url(self) -> str:
        """Where Prometheus answers, from here and from each machine."""
        return f"http://{self.address(MONITOR)}:9090"

    @property
    def alertmanager_url(self) -> str:
        """Where Alertmanager answers, from here and from each machine."""
        return f"http://{self.address(MONITOR)}:9093"

    def address(self, name: str) -> str:
        """Return a machine's address, which it keeps over reboots and when it is made anew."""
        inspected = self._engine.run("network", "inspect", "--format", "{{json .IPAM.Config}}", self.network)
        subnet = ipaddress.ip_network(json.loads(inspected)[0]["Subnet"])
        return str(subnet[_FIRST_ADDRESS + (*RELEASES, MONITOR).index(name)])

    def __getitem__(self, name: str) -> Machine:
        return self.machines[name]

    def rebuild(self, *names: str) -> None:
        """Make machines anew from their images: the same name, address and ssh key of the host; nothing else stays."""
        for name in names:
            self.machines.pop(name).__exit__(None, None, None)
            self._boot(name)

    def _boot(self, name: str) -> None:
        options = ("--ip", self.address(name), "--hostname", name, "--network-alias", name)
        if name == MONITOR:
            options += tuple(f"--volume={_program(one)}:/usr/bin/{one}:ro" for one in _PROGRAMS)
        machine = Machine(self._engine, RELEASES.get(name, "bookworm"), network=self.network, options=options)
        self.machines[name] = machine.__enter__()
        machine.exec("sh", "-c", _ADMIT, stdin=self.key.with_suffix(".pub").read_bytes())
        self._know(name)
        if name == MONITOR:
            _install_monitoring(machine)
            _wait_for_port(machine.address, 9090)
            _wait_for_port(machine.address, 9093)
        _wait_for_port(machine.address, 22)

    def _know(self, name: str) -> None:
        """Tell the ssh client the machine's key, in place of the one it knew."""
        machine = self.machines[name]
        key = " ".join(machine.exec("cat", "/etc/ssh/ssh_host_ed25519_key.pub").split()[:2])
        with contextlib.suppress(FileNotFoundError):
            known = self.known_hosts.read_text().splitlines()
            others = [line for line in known if line.split()[0] != machine.address]
            self.known_hosts.write_text("".join(f"{line}\n" for line in others))
        with self.known_hosts.open("a") as file:
            file.write(f"{machine.address} {key}\n")

    def connection(self, name: str) -> dict[str, object]:
        """Return what Ansible has to know to reach a machine; a name that is none of ours leads nowhere."""
        if name not in self.machines:
            return {"ansible_host": "127.0.0.1", "ansible_port": 1}
        return {"ansible_host": self.address(name)}

    def write_inventory(
        self,
        path: Path,
        groups: Mapping[str, Mapping[str, Mapping[str, object]]],
        variables: Mapping[str, object] | None = None,
    ) -> Path:
        """Write an inventory in YAML: groups of hosts, each with variables of its own, and variables of all."""
        ssh = f"-o UserKnownHostsFile={self.known_hosts} -o StrictHostKeyChecking=yes -o ConnectTimeout=5"
        everybody = {
            "ansible_user": USER,
            "ansible_ssh_private_key_file": str(self.key),
            "ansible_ssh_common_args": ssh,
            "ansible_python_interpreter": "/usr/bin/python3",
            **(variables or {}),
        }
        children = {
            group: {"hosts": {name: {**self.connection(name), **own} for name, own in hosts.items()}}
            for group, hosts in groups.items()
        }
        path.write_text(yaml.safe_dump({"all": {"vars": everybody, "children": children}}, sort_keys=False))
        return path

    def ssh(self, name: str, command: str, seconds: float = 60) -> str:
        """Return the standard output of a command in a machine's shell, over ssh. Raises CalledProcessError."""
        options = f"-F none -o UserKnownHostsFile={self.known_hosts} -o StrictHostKeyChecking=yes -o BatchMode=yes"
        line = ("ssh", *options.split(), "-i", str(self.key), f"{USER}@{self.address(name)}", command)
        done = subprocess.run(
            line, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds
        )
        return done.stdout


def _program(name: str) -> Path:
    path = debian13.find(name)
    if path is None:
        raise FileNotFoundError(f"no {name} of Debian 13: make test-packages")
    return path


def _install_monitoring(machine: Machine) -> None:
    """Put Debian's units, and this tree's configuration, in place and start them."""
    folder = debian13.FOLDER
    for unit in ("prometheus", "prometheus-alertmanager"):
        machine.copy(folder / f"usr/lib/systemd/system/{unit}.service", f"/etc/systemd/system/{unit}.service")
        machine.copy("ARGS=''\n", f"/etc/default/{unit}")
    machine.copy(folder / "usr/share/prometheus", "/usr/share/prometheus")
    text = (ROOT / "prometheus/prometheus.yml").read_text()
    quick = text.replace("_interval: 15s", f"_interval: {SCRAPE_SECONDS}s")
    if quick.count(f"_interval: {SCRAPE_SECONDS}s") != 2:
        raise ValueError("prometheus/prometheus.yml has other intervals than expected")
    machine.copy(quick, "/etc/prometheus/prometheus.yml", 0o644)
    machine.copy((ROOT / "alertmanager/alertmanager.yml").read_text(), "/etc/prometheus/alertmanager.yml", 0o644)
    machine.exec("sh", "-c", _MONITORING)


def _wait_for_port(address: str, port: int) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            socket.create_connection((address, port), timeout=5).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
