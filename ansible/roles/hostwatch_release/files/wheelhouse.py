"""Make, on the control machine, the archive that a kind of machine is installed from where there is no network.

It holds the wheels of hostwatch and of all that it needs for one Python version and architecture, and a requirements
file with the hash of each. Prints one JSON object. The standard library only: it runs in whatever Python runs Ansible,
which needs pip and hatchling beside it (`make venv` has both).
"""

import argparse
import fcntl
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

# oldest first in what they ask of the C library; Debian 12 has 2.36
_LIBRARIES = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
_LOCK = "requirements/run.txt"
# what decides the content of hostwatch's own wheel
_SOURCES = ("exporter", "pyproject.toml", "README.md", "LICENSE")
_SECONDS = 600


class WheelhouseError(Exception):
    """The archive cannot be made; the text says why and what to do."""


def main() -> None:
    """Print release, version, archive, its SHA-256, and whether it was made just now. Blocks while pip downloads."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--source", type=Path, required=True, help="this repository, or another tree of it")
    parser.add_argument("--into", type=Path, required=True, help="folder that keeps the archives")
    parser.add_argument("--python", required=True, help="of the machines, such as 3.11")
    parser.add_argument("--machine", required=True, help="of the machines, such as x86_64")
    parser.add_argument("--dry-run", action="store_true", help="make nothing; what is not there yet has no archive")
    given = parser.parse_args()
    try:
        print(json.dumps(make(given.source, given.into, given.python, given.machine, dry_run=given.dry_run)))
    except WheelhouseError as err:
        sys.exit(str(err))


def make(source: Path, into: Path, python: str, machine: str, *, dry_run: bool = False) -> dict[str, object]:
    """Return what is known of the archive, made unless one of the same content is there. Raises WheelhouseError."""
    if not re.fullmatch(r"3\.\d+", python) or not re.fullmatch(r"\w+", machine):
        raise WheelhouseError(f"expected a Python such as 3.11 and a machine such as x86_64, got {python}, {machine}")
    known = into / f"cp{python.replace('.', '')}-{machine}-{_digest_of_sources(source)}.json"
    if dry_run and not known.exists():
        return {"release": f"{_version(source)}-new", "version": _version(source), "archive": "", "changed": True}
    into.mkdir(parents=True, exist_ok=True)
    with open(into / "lock", "w") as lock:  # several runs may share the folder
        fcntl.flock(lock, fcntl.LOCK_EX)
        if known.exists():
            found: dict[str, object] = json.loads(known.read_text())
            if Path(str(found["archive"])).exists():
                return {**found, "changed": False}
        made = _make(source, into, python, machine)
        known.write_text(json.dumps(made))
    return {**made, "changed": True}


def _make(source: Path, into: Path, python: str, machine: str) -> dict[str, object]:
    with tempfile.TemporaryDirectory(dir=into) as folder:
        wheels = Path(folder, "wheels")
        tag = f"cp{python.replace('.', '')}"
        abis = [f"--abi={abi}" for abi in (tag, "abi3", "none")]
        platforms = [f"--platform={library}_{machine}" for library in _LIBRARIES]
        chosen = ("--only-binary=:all:", f"--python-version={python}", "--implementation=cp", *abis, *platforms)
        locked = ("--no-deps", "--require-hashes", "--requirement", str(source / _LOCK))
        _run(source, "pip", "--quiet", "--no-input", "download", *chosen, *locked, "--dest", str(wheels))
        _run(source, "hatchling", "build", "-t", "wheel", "-d", str(wheels))
        text = _archive(wheels)
        digest = hashlib.sha256(text).hexdigest()
        release = f"{_version(source)}-{digest[:8]}"
        archive = into / f"hostwatch-{release}-{tag}-{machine}.tar"
        Path(folder, "tar").write_bytes(text)
        Path(folder, "tar").replace(archive)
    version = _version(source)
    return {"release": release, "version": version, "archive": str(archive.absolute()), "sha256": digest}


def _archive(wheels: Path) -> bytes:
    """Return the wheels and their requirements as tar: the same bytes for the same wheels, whenever it is made."""
    paths = sorted(wheels.glob("*.whl"))
    files = {path.name: path.read_bytes() for path in paths}
    lines = []
    for name, data in files.items():
        project, version = name.split("-")[:2]
        lines.append(f"{project}=={version} --hash=sha256:{hashlib.sha256(data).hexdigest()}\n")
    files["requirements.txt"] = "".join(lines).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _digest_of_sources(source: Path) -> str:
    digest = hashlib.sha256()
    for name in (*_SOURCES, _LOCK):
        top = source / name
        below = (path for path in top.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        paths = sorted(below) if top.is_dir() else [top]
        for path in paths:
            try:
                data = path.read_bytes()
            except OSError as err:
                raise WheelhouseError(f"{path}: {err.strerror}; is {source} a tree of hostwatch?") from err
            digest.update(f"{path.relative_to(source)} {len(data)}\n".encode() + data)
    return digest.hexdigest()[:16]


def _version(source: Path) -> str:
    found = re.search(r'^__version__ = "([\w.+!-]+)"$', (source / "exporter/__init__.py").read_text(), re.MULTILINE)
    if found is None:
        raise WheelhouseError(f'{source}/exporter/__init__.py: expected a line __version__ = "..."')
    return found[1]


def _run(source: Path, *module: str) -> None:
    command = [sys.executable, "-m", *module]
    # the same wheel whenever it is built
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1580601600", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    try:
        done = subprocess.run(
            command, cwd=source, env=environment, check=False, capture_output=True, text=True, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as err:
        raise WheelhouseError(f"{' '.join(module[:2])}: {err}") from err
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-1500:]
        hint = "; run Ansible from .venv (make venv)" if "No module named" in said else ""
        raise WheelhouseError(f"{module[0]} failed{hint}: {said}")


if __name__ == "__main__":
    main()
