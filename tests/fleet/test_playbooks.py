"""The playbooks without machines: linted offline, only what Ansible itself brings, examples that parse to the same.

And what they would do on a machine that has nothing: dry runs on this one, with a systemctl that knows no unit.
"""

import http.server
import json
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.certificates import Authority
from tests.support.playbooks import ANSIBLE
from tests.support.web_server import WebServer, tls_of

BIN = Path(sys.executable).parent
ROLES = sorted((ANSIBLE / "roles").iterdir())


def run(*command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=ANSIBLE,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "NO_COLOR": "1", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
def test_playbooks_are_clean_by_the_strictest_profile(tmp_path: Path) -> None:
    playbooks = [path.name for path in ANSIBLE.glob("*.yml")]
    assert len(playbooks) >= 3
    done = run("ansible-lint", "--offline", "--profile=production", *playbooks, ANSIBLE_HOME=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Passed: 0 failure(s), 0 warning(s)" in done.stdout + done.stderr


def modules(tasks: object) -> set[str]:
    """Return the names of all modules in a list of tasks, blocks included."""
    found: set[str] = set()
    for task in tasks if isinstance(tasks, list) else []:
        found |= {key for key in task if "." in key}
        for part in ("block", "rescue", "always", "tasks"):
            found |= modules(task.get(part))
    return found


def test_only_modules_that_come_with_ansible_are_used() -> None:
    files = [*ANSIBLE.glob("*.yml"), *ANSIBLE.glob("roles/*/tasks/*.yml"), *ANSIBLE.glob("roles/*/handlers/*.yml")]
    used = set().union(*(modules(yaml.safe_load(file.read_text())) for file in files))
    assert len(used) > 10
    assert {name.rpartition(".")[0] for name in used} == {"ansible.builtin"}


@pytest.mark.slow
def test_both_example_inventories_say_the_same(tmp_path: Path) -> None:
    listed = []
    for name in ("example.yml", "example.ini"):
        done = run("ansible-inventory", "-i", f"inventories/{name}", "--list", ANSIBLE_HOME=str(tmp_path))
        assert done.returncode == 0, done.stderr
        inventory = json.loads(done.stdout)
        variables = inventory.pop("_meta")["hostvars"]
        inventory.pop("all")  # whose children one lists by what stands in it
        groups = {key: {part: sorted(names) for part, names in group.items()} for key, group in inventory.items()}
        listed.append((variables, groups))
    assert listed[0] == listed[1]
    assert listed[0][0]["web-01.example.com"]["hostwatch_exporter_environment"] == "production"


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_each_role_has_what_a_role_has_and_describes_each_default(role: Path) -> None:
    for part in ("defaults/main.yml", "meta/main.yml", "meta/argument_specs.yml", "tasks/main.yml", "README.md"):
        assert (role / part).is_file(), part
    defaults = yaml.safe_load((role / "defaults/main.yml").read_text())
    specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]
    options = set().union(*(spec["options"] for spec in specs.values()))
    assert set(defaults) <= options
    readme = (role / "README.md").read_text()
    assert [name for name in defaults if f"`{name}`" not in readme] == []


# --- on this machine


class Here:
    """Playbooks against names that all are this machine, as it is; its own programs go before the system's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "hostwatch"
        (folder / "bin").mkdir()
        self.program("systemctl", "exit 0")

    def program(self, name: str, line: str) -> None:
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)

    def play(
        self, playbook: str | Path, *arguments: str, groups: dict[str, dict[str, dict[str, object]]], **more: object
    ) -> "subprocess.CompletedProcess[str]":
        variables = {
            "ansible_connection": "local",
            "ansible_become": False,
            "ansible_python_interpreter": sys.executable,
            "hostwatch_release_python": sys.executable,
            "hostwatch_release_root": str(self.root),
            "hostwatch_release_wheelhouse": str(self.folder / "wheelhouse"),
            "hostwatch_relay_token": "a-token-of-the-tests-0123456789",
            "hostwatch_monitoring_packages": False,
            "hostwatch_monitoring_folder": str(self.folder / "prometheus"),
            "hostwatch_monitoring_textfile_folder": str(self.folder / "textfile"),
            **more,
        }
        children = {group: {"hosts": hosts} for group, hosts in groups.items()}
        inventory = self.folder / "inventory.yml"
        inventory.write_text(yaml.safe_dump({"all": {"vars": variables, "children": children}}))
        return run(
            *("ansible-playbook", "-i", str(inventory), str(playbook), *arguments),
            ANSIBLE_HOME=str(self.folder / "home"),
            ANSIBLE_CONFIG=str(ANSIBLE / "ansible.cfg"),
            PATH=f"{self.folder / 'bin'}:{BIN}:{os.environ['PATH']}",
        )


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here(tmp_path)


def tasks(text: str) -> dict[str, str]:
    """Return what each task said, by its name."""
    parts = re.split(r"^(?:TASK|RUNNING HANDLER) \[\w+ : (.+?)\] \*+$", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


OTHERS = {"m2": {"ansible_host": "fd00::2"}, "m3": {}, "m4": {"ansible_host": "192.0.2.4"}}
ALL_URLS = ["127.0.0.1:9093", "[fd00::2]:9093", "m3:9093", "192.0.2.4:9093"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("others", "own", "urls"),
    [({}, {}, ALL_URLS[:1]), (OTHERS, {}, ALL_URLS), (OTHERS, {"hostwatch_relay_alertmanager_urls": []}, [])],
    ids=["one", "several", "none wanted"],
)
def test_tag_relay_is_the_whole_relay_with_evidence_and_every_alertmanager(
    here: Here, others: dict[str, dict[str, object]], own: dict[str, object], urls: list[str]
) -> None:
    groups = {"prometheus": {"m1": {}, **others}}
    done = here.play(
        "deploy-monitoring.yml", "--check", "--diff", "--tags", "relay", "--limit", "m1", groups=groups, **own
    )
    assert done.returncode == 0, done.stdout
    said = tasks(done.stdout)
    parts = ("Install the release beside the one that runs", "Write the settings", "Write the unit file")
    assert [name for name in parts if "changed: [m1]" not in said[name]] == []
    assert "Ask whether it answers" in said
    assert "Write the rules" not in said
    lines = [line[1:] for line in said["Write the settings"].splitlines() if re.match(r"\+(?!\+)", line)]
    settings = yaml.safe_load("\n".join(lines))
    assert settings["evidence"] == {"prometheus_url": "http://127.0.0.1:9090"}
    assert settings.get("alertmanager_urls", []) == [f"http://{url}" for url in urls]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("listed", "more"),
    [("", []), ("echo 'promtool - tool for Prometheus'", ["promtool"])],
    ids=["Debian 12", "Debian 13"],
)
def test_tag_monitoring_is_a_dry_run_on_a_machine_without_prometheus_and_takes_promtool_where_it_is(
    here: Here, listed: str, more: list[str]
) -> None:
    here.program("apt-cache", listed or "exit 0")
    done = here.play(
        *("deploy-monitoring.yml", "--check", "-vvv", "--tags", "monitoring"),
        groups={"prometheus": {"m1": {}}},
        hostwatch_monitoring_packages=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    said = tasks(done.stdout)
    asked = said["Install the packages"].partition("module_args:")[2]
    assert re.findall(r"- (prometheus\S*|promtool)$", asked, re.MULTILINE)[: 2 + len(more)] == [
        *("prometheus", "prometheus-alertmanager", *more)
    ]
    assert ("promtool" in asked) == bool(more)
    assert "changed: [m1]" in said["Write Prometheus' configuration"]
    assert "skipping: [m1]" in said["Reload Prometheus"]
    assert "Write the settings" not in said


@pytest.mark.slow
def test_tokens_of_the_relay_are_in_no_output_however_much_is_told(here: Here) -> None:
    secrets = {
        "hostwatch_relay_token": "canary-bearer-5d01c2e8",
        "hostwatch_relay_slack_token": "xoxb-canary-93b7aa41",
        "hostwatch_relay_vault_role_id": "canary-role-7c20be96",
        "hostwatch_relay_vault_secret_id": "canary-secret-b1f4d870",
    }
    done = here.play("deploy-monitoring.yml", "--check", "-vvv", "--diff", groups={"prometheus": {"m1": {}}}, **secrets)
    assert done.returncode == 0, done.stdout[-3000:]
    said = tasks(done.stdout)
    # each was written, Alertmanager's copy of the first included
    assert said["Write tokens"].count("changed: [m1] => (item=") == len(secrets)
    assert said["Write what opens locks"].count("changed: [m1] => (item=") == 1
    text = done.stdout + done.stderr
    assert [name for name, secret in secrets.items() if secret in text] == []


@pytest.mark.slow
@pytest.mark.parametrize("playbook", ["deploy-exporter.yml", "remove-exporter.yml"])
def test_folder_that_others_may_share_is_refused_by_name(here: Here, playbook: str) -> None:
    shared = str(here.folder / "opt")
    groups: dict[str, dict[str, dict[str, object]]] = {"hostwatch": {"m1": {}}}
    done = here.play(playbook, "--check", groups=groups, hostwatch_release_root=shared)
    assert done.returncode != 0
    assert f"hostwatch_release_root: {shared}: expected a folder of its own" in " ".join(done.stdout.split())


@pytest.mark.slow
def test_exporter_that_anybody_can_ask_is_warned_of(here: Here) -> None:
    groups: dict[str, dict[str, dict[str, object]]] = {
        "hostwatch": {
            "open": {},
            "locked": {"hostwatch_exporter_users": {"prometheus": "$2b$10$x"}},
            "guarded": {"hostwatch_exporter_guarded_by": "nftables"},
            "own": {"hostwatch_exporter_settings": {"listen": "127.0.0.1:10101"}},
            "also-open": {"hostwatch_exporter_settings": {"listen": "192.0.2.7:10101"}},
        }
    }
    done = here.play("deploy-exporter.yml", "--check", "--tags", "configure", groups=groups)
    assert done.returncode == 0, done.stdout[-3000:]
    text = " ".join(done.stdout.split())
    assert sorted(re.findall(r"WARNING: (\S+): whoever reaches", text)) == ["also-open", "open"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ours", "another's"])
def test_removing_takes_the_command_where_it_is_ours(here: Here, kind: str) -> None:
    command = here.folder / "bin/hostwatch"
    if kind == "ours":
        command.symlink_to(here.root / "current/bin/hostwatch")
    elif kind == "another's":
        command.write_text("#!/bin/sh\n")
    groups: dict[str, dict[str, dict[str, object]]] = {"hostwatch": {"m1": {}}}
    # with --check alone: this machine may have an exporter
    place = f"hostwatch_exporter_path_command={command}"
    done = here.play("remove-exporter.yml", "--check", "-e", place, groups=groups)
    assert done.returncode == 0, done.stdout[-3000:]
    assert (f"(item={command})" in done.stdout) == (kind == "ours")
    assert command.is_symlink() == (kind == "ours")


# --- the verification of a machine that wants a client's certificate


class Exporter(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        text = b'host_exporter_build_info{version="1.2.3"} 1\nnode_scrape_collector_success{collector="cpu"} 1\n'
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "clients")


@pytest.fixture
def locked_exporter(authority: Authority) -> Iterator[WebServer]:
    context = tls_of(*authority.issue("server"))
    context.load_verify_locations(authority.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    with WebServer(Exporter, tls=context) as server:
        yield server


@pytest.mark.slow
def test_machine_that_wants_a_certificate_is_verified_with_ours_or_by_prometheus_alone(
    here: Here, authority: Authority, locked_exporter: WebServer
) -> None:
    here.root.mkdir()
    (here.root / "deploy.py").write_text("print('{}')\n")  # it runs, and stays
    ours, strange = authority.issue("prometheus"), Authority(here.folder / "strangers").issue("prometheus")
    pairs = {
        name: {
            "hostwatch_exporter_verify_certificate": pair.certificate.read_text(),
            "hostwatch_exporter_verify_key": pair.key.read_text(),
        }
        for name, pair in (("with-ours", ours), ("with-another", strange))
    }
    playbook = here.folder / "verify.yml"
    play = {
        "name": "Verify",
        "hosts": "hostwatch",
        "gather_facts": False,
        "tasks": [
            {"ansible.builtin.set_fact": {"hostwatch_release_wanted": {"version": "{{ wanted | default('1.2.3') }}"}}},
            {"ansible.builtin.import_role": {"name": "hostwatch_exporter", "tasks_from": "verify.yml"}},
        ],
    }
    playbook.write_text(yaml.safe_dump([play]))
    done = here.play(
        *(playbook, "-vvv"),
        groups={"hostwatch": {**pairs, "without": {}, "old": {**pairs["with-ours"], "wanted": "1.2.4"}}},
        hostwatch_exporter_address="127.0.0.1",
        hostwatch_exporter_port=locked_exporter.port,
        hostwatch_exporter_tls_certificate="there is one",
        hostwatch_exporter_tls_client_ca=authority.certificate.read_text(),
        hostwatch_exporter_collectors=["cpu"],
        hostwatch_exporter_verify_seconds=3,
    )
    assert done.returncode != 0
    said, url = tasks(done.stdout), f"https://127.0.0.1:{locked_exporter.port}/metrics"
    proven = said["Ask whether the unit is active, and has been since it was started"]
    assert set(re.findall(r"^ok: \[(\S+)\]", proven, re.MULTILINE)) == {"with-ours", "without"}
    compared = " ".join(said["Compare"].split())
    assert "skipping: [without]" in compared
    assert f"{url}: runs version 1.2.3, expected 1.2.4" in compared
    assert re.search(rf"fatal: \[with-another\].*{url}: ended the connection", compared)
    alone = " ".join(said["Tell that Prometheus alone verifies"].split())
    assert "without wants a client" in alone
    assert "No Prometheus is asked either" in alone
    assert max(ours.key.read_text().split(), key=len) not in done.stdout
