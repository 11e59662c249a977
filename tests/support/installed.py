"""hostwatch as an operator gets it: wheels of this tree and of what it needs, installed where there is no network."""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.support.systemd_machine import Machine

ROOT: Final = Path(__file__).resolve().parents[2]
LOCK: Final = ROOT / "requirements/run.txt"
COMMAND: Final = "/opt/hostwatch/bin/hostwatch"
# Debian's releases and their Pythons
PYTHONS: Final = {"bookworm": "3.11", "trixie": "3.13"}
_LIBRARIES: Final = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")


def _wheelhouse(python: str) -> Path:
    """Return the folder of the locked packages' wheels for that Python; fetched once for each lock file."""
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]
    folder = ROOT / ".local/wheels" / f"{python}-{digest}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as making:
            _run("pip", "download", *_options(python), "--dest", f"{making}/wheels", "--requirement", str(LOCK))
            Path(making, "wheels").replace(folder)
    return folder


def _options(python: str) -> list[str]:
    tag = f"cp{python.replace('.', '')}"
    abis = [f"--abi={abi}" for abi in (tag, "abi3", "none")]
    platforms = [f"--platform={library}_{os.uname().machine}" for library in _LIBRARIES]
    chosen = [f"--python-version={python}", "--implementation=cp", *abis, *platforms]
    return ["--quiet", "--no-input", "--no-deps", "--require-hashes", "--only-binary=:all:", *chosen]


def _run(*module: str) -> None:
    subprocess.run([sys.executable, "-m", *module], cwd=ROOT, check=True, stdout=subprocess.DEVNULL, timeout=180)


def install(machine: Machine, release: str = "bookworm", what: str = "hostwatch") -> None:
    """Install this tree on a machine, its command as COMMAND; nothing is fetched there. `what` may name extras."""
    machine.copy(_wheelhouse(PYTHONS[release]), "/opt/wheels")
    with tempfile.TemporaryDirectory() as folder:
        _run("hatchling", "build", "-t", "wheel", "-d", folder)
        for wheel in Path(folder).iterdir():
            machine.copy(wheel, f"/opt/wheels/{wheel.name}")
    machine.exec("python3", "-m", "venv", "/opt/hostwatch")
    pip = ("/opt/hostwatch/bin/pip", "install", "--quiet", "--no-index", "--find-links=/opt/wheels")
    machine.exec(*pip, what)
