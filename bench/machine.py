"""Where and what was measured: machine, interpreter, commit, and how busy others kept the machine."""

import os
import platform
import re
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Machine:
    """What a reader must know to judge the figures; no host name, no path."""

    date: str
    commit: str
    cpu: str
    cores: int
    kernel: str
    python: str
    peer: str

    def plain(self) -> dict[str, object]:
        """Return the fields, for JSON."""
        return asdict(self)


def read_machine(peer: str) -> Machine:
    """Return what this machine is; `peer` is the other's version. Runs git."""
    return Machine(
        date=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        commit=read_commit(ROOT),
        cpu=parse_cpu_model(Path("/proc/cpuinfo").read_text(errors="replace")),
        cores=len(os.sched_getaffinity(0)),
        kernel=platform.release(),
        python=platform.python_version(),
        peer=f"node_exporter {peer}",
    )


def parse_cpu_model(text: str) -> str:
    """Return the model's name out of /proc/cpuinfo; "unknown" where it has none, as on ARM."""
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return found[1].strip() if found else "unknown"


def read_commit(folder: Path) -> str:
    """Return the short commit of a working tree, marked when it holds changes; "unknown" without git."""
    try:
        commit = _git(folder, "rev-parse", "--short", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return commit + (" with changes" if changed else "")


def _git(folder: Path, *args: str) -> str:
    done = subprocess.run(["git", "-C", folder, *args], capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def parse_busy_seconds(text: str, ticks_per_second: int = 100) -> float:
    """Return the seconds that all cores worked for anybody, out of /proc/stat; steal counts as work for others."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, text.splitlines()[0].split()[1:9])
    return (user + nice + system + irq + softirq + steal) / ticks_per_second


def read_busy_seconds() -> float:
    """Return `parse_busy_seconds` of this machine."""
    return parse_busy_seconds(Path("/proc/stat").read_text(), os.sysconf("SC_CLK_TCK"))
