"""report-containers.yml on a machine with systemd: a timer writes the pages, and goes when it is not wanted."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import Engine
from tests.support.exporter import ROOT
from tests.support.installed import COMMAND, install
from tests.support.systemd_machine import Machine

pytestmark = [pytest.mark.slow, pytest.mark.needs("docker-engine"), pytest.mark.needs("systemd-machine")]

DEADLINE = 60
PAGES = "/var/www/containers"
PASSWORD = "correct horse"

# a Prometheus that knows one container, and asks for a password
PROMETHEUS = """
import base64, http.server, json, sys, urllib.parse
WANTED = "Basic " + base64.b64encode(b"me:" + sys.argv[1].encode()).decode()
ROW = {"job": "node", "instance": "web", "environment": "production", "name": "shop", "image": "x", "state": "exited"}
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query).get("query", [""])[0]
        rows = [{"metric": ROW, "value": [1, "1"]}] if query.startswith("host_container_state{") else []
        body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": rows}}).encode()
        self.send_response(200 if self.headers.get("Authorization") == WANTED else 401)
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("127.0.0.1", 9090), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def machine(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Machine, Path]]:
    folder = tmp_path_factory.mktemp("report")
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    with Machine(engine) as one:
        install(one)
        one.exec(
            "sh", "-c", "mkdir -p /root/.ssh && cat >/root/.ssh/authorized_keys", stdin=Path(f"{key}.pub").read_bytes()
        )
        one.copy(PROMETHEUS, "/opt/prometheus.py")
        one.exec("systemd-run", "--unit=prometheus", "python3", "/opt/prometheus.py", PASSWORD)
        inventory = (
            f"[prometheus]\nmonitor ansible_host={one.address} ansible_user=root ansible_ssh_private_key_file={key}\n"
            f"[all:vars]\nhostwatch_report_command={COMMAND}\nhostwatch_report_interval=5s\n"
            f'hostwatch_report_username=me\nhostwatch_report_password="{PASSWORD}"\n'
        )
        (folder / "inventory.ini").write_text(inventory)
        yield one, folder


def play(folder: Path, *more: str) -> str:
    """Run the playbook and return its recap's line."""
    known = f"-o StrictHostKeyChecking=no -o UserKnownHostsFile={folder}/known_hosts"
    env = {
        "ANSIBLE_SSH_ARGS": f"{known} -o ControlMaster=auto -o ControlPersist=3s",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(folder / "cm"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "ansible"),
        "HOME": str(folder),
    }
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(folder / "inventory.ini"),
            "report-containers.yml", *more,
        ],
        cwd=ROOT / "ansible",
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    return done.stdout.rstrip().splitlines()[-1]


def test_a_timer_writes_the_pages_until_it_is_removed(machine: tuple[Machine, Path]) -> None:
    one, folder = machine
    first = play(folder)
    assert "changed=0 " not in first
    assert "failed=0" in first
    listed = one.exec("ls", PAGES).split()
    assert "index.html" in listed
    assert len(listed) == 2
    assert "production" in one.exec("cat", f"{PAGES}/index.html")
    assert "changed=0 " in play(folder), "nothing is left to change"

    written = one.exec("stat", "--format=%y", f"{PAGES}/index.html")
    deadline = time.monotonic() + DEADLINE
    while one.exec("stat", "--format=%y", f"{PAGES}/index.html") == written:
        assert time.monotonic() < deadline, one.exec("systemctl", "list-timers", "--all")
        time.sleep(0.2)
    assert one.exec("stat", "--format=%U %a", f"{PAGES}/index.html") == "hostwatch-report 644\n"
    assert one.exec("systemctl", "is-enabled", "hostwatch-report.timer") == "enabled\n"

    play(folder, "-e", "hostwatch_report_remove=true")
    left = one.exec("sh", "-c", "ls /etc/systemd/system /etc/hostwatch 2>/dev/null || true")
    assert "report" not in left
    assert "index.html" in one.exec("ls", PAGES), "the pages stay"
