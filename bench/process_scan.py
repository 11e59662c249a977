"""What it costs to look at all processes: ours beside process-exporter, over crowds in a pid namespace of their own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

from bench.failures import BenchError
from bench.measure import Step
from bench.plan import Plan
from bench.processes import plain_environment
from bench.summary import Record
from stack.leash import leash

PEER: Final = "prometheus-process-exporter"
_SECONDS: Final = 600


class Case(NamedTuple):
    """How many processes, and the share of them that runs between two scans."""

    processes: int
    active: float

    @property
    def name(self) -> str:
        """As it stands in the table."""
        return f"{self.processes} processes, {self.active:.0%} active"

    def server(self, way: str) -> str:
        """Return the name that a way to look (bench.crowd) has in the record."""
        return f"{way}-{self.processes}-{self.active}"


CASES: Final = (Case(50, 0.02), Case(500, 0.02), Case(2000, 0.02), Case(2000, 1.0))
WAYS: Final = ("groups", "top", "peer")


def missing() -> str:
    """Return why this machine cannot compare; empty where it can."""
    if os.geteuid() != 0:
        return "needs root"
    lacking = [program for program in ("unshare", PEER) if shutil.which(program) is None]
    return f"needs {' and '.join(lacking)}" if lacking else ""


def measure_process_scans(folder: Path, plan: Plan, record: Record, step: Step) -> None:
    """Measure CPU per process and scan, or keep the reason why it cannot be measured here."""
    reason = missing()
    for case in CASES:
        step("processes")
        if reason:
            for way in WAYS:
                record.excuse(case.server(way), reason)
            continue
        for way, blocks in _watch(case, plan, folder).items():
            for seconds in blocks:
                record.add(case.server(way), "process_scan", seconds)


def _watch(case: Case, plan: Plan, folder: Path) -> dict[str, list[float]]:
    """Return the CPU seconds per process and scan of each way, block by block. Raises BenchError."""
    command = [
        "unshare",
        "--pid",
        "--fork",
        "--mount-proc",
        "--kill-child",
        sys.executable,
        "-m",
        "bench.crowd",
        "watch",
    ]
    numbers = [str(value) for value in (*case, plan.process_blocks, plan.process_scans)]
    try:
        done = subprocess.run(
            [*command, *numbers, str(shutil.which(PEER)), str(folder)],
            capture_output=True,
            text=True,
            check=True,
            timeout=_SECONDS,
            env=plain_environment(),
            preexec_fn=leash(),
        )
    except subprocess.CalledProcessError as err:
        raise BenchError(f"bench.crowd: {err.stderr.strip()[-500:]}") from err
    except subprocess.TimeoutExpired as err:
        raise BenchError(f"bench.crowd: not done within {_SECONDS} s") from err
    found: dict[str, list[float]] = json.loads(done.stdout)
    return found
