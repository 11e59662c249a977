"""The doctor beside a whole stack that runs, and beside one of which a part was taken away."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import until
from tests.support.scaling import scale_tree
from tests.support.stack import ROOT, Terminal

pytestmark = [pytest.mark.slow, pytest.mark.needs("linux", "prometheus", "alertmanager")]

# what a test machine may really lack, and a preview is one
ALLOWED = {("relay", "preview"), ("exporter", "clock")}


def examined(stack: Terminal, *more: str) -> tuple[int, list[dict[str, Any]]]:
    """Return the exit code and the findings of a doctor who is told where each part is."""
    parts = ("exporter", "prometheus", "alertmanager", "relay")
    places = [f"--{part}=http://127.0.0.1:{stack.ports[part]}" for part in parts]
    files = ["--config", str(stack.state / "exporter.yml"), "--relay-config", str(stack.state / "relay.yml")]
    command = [sys.executable, "-m", "exporter", "doctor", *places, *files, "--json", *more]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def wrong(findings: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(one["part"], one["check"]) for one in findings if one["verdict"] in {"warning", "problem"}}


def test_nothing_is_wrong_with_a_stack_that_runs_and_what_is_taken_away_is_named(tmp_path: Path) -> None:
    scale_tree(ROOT, tmp_path / "configs", 30)
    with Terminal(tmp_path / "state", tmp_path / "configs") as stack:
        stack.wait_for("Everything runs")
        until(lambda: examined(stack)[0] == 0, "a healthy stack", seconds=60, every=1)
        _, found = examined(stack)
        assert wrong(found) <= ALLOWED, found
        parts = {one["part"] for one in found if one["verdict"] == "ok"}
        assert parts == {"settings", "exporter", "prometheus", "alertmanager", "relay"}

        (stack.state / "prometheus" / "targets" / "node" / "localhost.yml").write_text("[]\n")
        until(lambda: ("prometheus", "target") in wrong(examined(stack)[1]), "the lost target", seconds=60, every=1)
        assert examined(stack)[0] == 1
