"""Install a release on a machine: install.py ROOT ARCHIVE RELEASE SHA256. A folder of its own, whole or not at all.

The archive is one of wheelhouse.py, and goes. Needs no network and no pip but the one that ensurepip brings (Debian:
python3-venv). Standard library only; it comes through standard input.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path


class InstallError(Exception):
    """What failed, for a person."""


def main() -> None:
    """Install what the arguments name; a session that is cut off ends in order."""
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit("interrupted"))
    # a stricter one of the machine would keep the unit's user from what venv and pip make
    os.umask(0o022)
    root, archive, release, digest = sys.argv[1:]
    try:
        install(Path(root), Path(archive), release, digest)
    except (InstallError, OSError, subprocess.SubprocessError) as err:
        sys.exit(str(err))


def install(root: Path, archive: Path, release: str, digest: str) -> bool:
    """Make root/release from the archive, and say whether it was not there yet. Raises InstallError, OSError."""
    folder = root / release
    if (folder / ".whole").exists():
        return False
    try:
        _check(archive, digest)
        shutil.rmtree(folder, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=".wheels-") as wheels:
            with tarfile.open(archive) as tar:
                tar.extractall(wheels)  # noqa: S202 -- its digest was checked
            # Debian's own pip works from its wheel: to install it first would take longer than all the rest
            _run(sys.executable, "-m", "venv", "--without-pip", str(folder))
            pip = ("env", f"PYTHONPATH={_pip()}", str(folder / "bin/python"), "-m", "pip", "--quiet", "--no-input")
            hashes = ("--no-deps", "--require-hashes", "--requirement", f"{wheels}/requirements.txt")
            offline = ("--disable-pip-version-check", "--no-index", "--no-cache-dir", f"--find-links={wheels}")
            _run(*pip, "install", *offline, *hashes)
            _run(*pip, "check")
        _run(str(folder / "bin/hostwatch"), "--version")
        (folder / ".whole").touch()
        os.sync()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        archive.unlink(missing_ok=True)
    return True


def _check(archive: Path, digest: str) -> None:
    if hashlib.sha256(archive.read_bytes()).hexdigest() != digest:
        raise InstallError(f"{archive}: expected SHA-256 {digest}; the copy is broken")


def _pip() -> Path:
    """Return the wheel of pip that comes with Python's ensurepip (Debian: python3-venv)."""
    folders = [sysconfig.get_config_var("WHEEL_PKG_DIR"), Path(os.__file__).parent / "ensurepip/_bundled"]
    wheels = [wheel for folder in folders if folder for wheel in Path(folder).glob("pip-*.whl")]
    try:
        import ensurepip  # noqa: F401, PLC0415 -- whether it is there
    except ImportError:
        wheels = []
    if not wheels:
        raise InstallError(f"{sys.executable} cannot make virtual environments: apt-get install python3-venv")
    return wheels[0]


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise InstallError(f"{' '.join(command[:5])} failed: {(done.stderr or done.stdout).strip()[-1000:]}")


if __name__ == "__main__":
    main()
