"""The playbooks without machines: linted offline, only what Ansible itself brings, examples that parse to the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.playbooks import ANSIBLE

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
