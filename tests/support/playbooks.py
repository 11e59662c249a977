"""Ansible's playbooks, run against the machines of fleet_machines.py as an operator runs them."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.support.fleet_machines import MONITOR, ROOT, FleetMachines

ANSIBLE: Final = ROOT / "ansible"
SECONDS: Final = 600
DEADLINE_SECONDS: Final = 90
# what a tree needs to be rolled out
_TREE: Final = ("exporter", "pyproject.toml", "README.md", "LICENSE", "requirements", "prometheus", "alertmanager")


class Run(NamedTuple):
    """What a playbook said; `hosts` has its recap: counts by host."""

    code: int
    text: str
    seconds: float

    @property
    def hosts(self) -> dict[str, dict[str, int]]:
        recap = self.text.partition("PLAY RECAP")[2]
        rows = re.findall(r"^(\S+)\s+: (.+)$", recap, re.MULTILINE)
        return {host: {key: int(n) for key, n in re.findall(r"(\w+)=(\d+)", counts)} for host, counts in rows}

    @property
    def changed(self) -> dict[str, int]:
        return {host: counts["changed"] for host, counts in self.hosts.items()}

    @property
    def reason(self) -> str:
        """The one line that says why it stopped; Ansible folds it."""
        found = re.findall(r"^ +msg: (.+?)(?=^\S|\Z|^$)", self.text.partition("Stop]")[2], re.MULTILINE | re.DOTALL)
        return " ".join(found[0].strip("'\"\n ").split()) if found else ""

    def good(self) -> "Run":
        assert self.code == 0, self.text[-6000:]
        return self


class Playbooks:
    """A control machine: a tree of its own to roll out from, an inventory, and the playbooks."""

    def __init__(self, fleet: FleetMachines, folder: Path) -> None:
        self.fleet = fleet
        self.folder = folder
        self.tree = self.copy_tree("base")
        self.inventory = self.write_inventory("fleet.yml", {name: {} for name in fleet.hosts})

    def copy_tree(self, name: str, *changes: tuple[str, str, str]) -> Path:
        """Return a copy of what is rolled out, with texts replaced: file, old, new."""
        tree = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))
        for part in _TREE:
            source = ROOT / part
            copy: Callable[..., object] = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, tree / part)
        for file, old, new in changes:
            text = (tree / file).read_text()
            assert old in text, f"{file} has no {old!r}"
            (tree / file).write_text(text.replace(old, new))
        return tree

    def write_inventory(self, name: str, hosts: Mapping[str, Mapping[str, object]], **more: object) -> Path:
        variables = {
            "hostwatch_release_source": str(self.tree),
            "hostwatch_release_wheelhouse": str(ROOT / ".local/wheelhouse"),
            "hostwatch_exporter_environment": "test",
            **more,
        }
        groups = {"hostwatch": hosts, "prometheus": {MONITOR: {}}}
        return self.fleet.write_inventory(self.folder / name, groups, variables)

    def start(self, playbook: str, *arguments: str, **variables: object) -> "subprocess.Popen[str]":
        inventory = () if "-i" in arguments else ("-i", str(self.inventory))
        extra = ("-e", json.dumps(variables)) if variables else ()
        command = (str(Path(sys.executable).with_name("ansible-playbook")), playbook, *inventory, *arguments, *extra)
        return subprocess.Popen(
            command,
            cwd=ANSIBLE,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg"),
            "ANSIBLE_HOME": str(self.folder / "home"),
            # not pytest's folder: the path of a socket has 107 bytes at most
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.fleet.folder),
            "ANSIBLE_NOCOLOR": "1",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    def run(self, playbook: str, *arguments: str, **variables: object) -> Run:
        begun = time.monotonic()
        with self.start(playbook, *arguments, **variables) as process:
            try:
                text, _ = process.communicate(timeout=SECONDS)
            except BaseException:
                process.kill()
                raise
        return Run(process.returncode, text, time.monotonic() - begun)

    def roll_out(self, *arguments: str, **variables: object) -> Run:
        return self.run("deploy-exporter.yml", *arguments, **variables)

    def ping_seconds(self) -> float:
        """Return how long Ansible takes here and now to run next to nothing on all machines: the peer of a run."""
        command = [str(Path(sys.executable).with_name("ansible")), "hostwatch", "-i", str(self.inventory), "-m", "ping"]
        begun = time.monotonic()
        environment = self._environment()
        subprocess.run(command, cwd=ANSIBLE, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=True)
        return time.monotonic() - begun

    def page(self, name: str) -> str:
        with urllib.request.urlopen(f"http://{self.fleet.address(name)}:10101/metrics", timeout=20) as answer:
            return str(answer.read().decode())

    def version(self, name: str) -> str:
        found = re.search(r'host_exporter_build_info\{.*version="([^"]+)"', self.page(name))
        assert found
        return found[1]

    def runs(self, name: str, version: str) -> bool:
        """Whether it answers with that version now."""
        try:
            return self.version(name) == version
        except OSError:  # it just starts
            return False

    def state(self, name: str) -> str:
        """Return all that a rollout may change on a machine, and which process runs there."""
        look = """
            cd /opt/hostwatch && ls -A . */.whole 2>/dev/null; readlink current previous
            ls -lA --time-style=+ /usr/local/bin
            sha256sum deploy.py /etc/hostwatch/* /etc/systemd/system/hostwatch-exporter.service
            systemctl show -p MainPID,ActiveState,NRestarts,UnitFileState hostwatch-exporter
            ls /run/hostwatch-deploy; systemctl list-timers --all --no-legend 'hostwatch*'
            """
        return self.fleet[name].exec("sh", "-c", f"({look}) 2>&1 | sort")

    def query(self, text: str) -> list[dict[str, str]]:
        """Return the labels of what Prometheus answers."""
        url = f"{self.fleet.prometheus_url}/api/v1/query?{urllib.parse.urlencode({'query': text})}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            return [row["metric"] for row in json.load(answer)["data"]["result"]]

    def silences(self, state: str = "active") -> list[str]:
        """Return what is silenced now, or was (`expired`), in order: the matchers of each, such as `instance="h1"`."""
        with urllib.request.urlopen(f"{self.fleet.alertmanager_url}/api/v2/silences", timeout=20) as answer:
            found = [one["matchers"] for one in json.load(answer) if one["status"]["state"] == state]
        return sorted(",".join(_matcher(matcher) for matcher in matchers) for matchers in found)


def _matcher(matcher: Mapping[str, Any]) -> str:
    """Return an Alertmanager's matcher as its web page shows it."""
    operator = ("=" if matcher["isEqual"] else "!") + ("~" if matcher["isRegex"] else "" if matcher["isEqual"] else "=")
    return f'{matcher["name"]}{operator}"{matcher["value"]}"'


def wait_until(what: Callable[[], bool], seconds: float = DEADLINE_SECONDS) -> None:
    """Poll until it is so. Raises AssertionError."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.2)
