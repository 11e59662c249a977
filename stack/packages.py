"""The programs that come from the distribution: found, or installed through apt."""

import shutil
import subprocess
from typing import Final, NamedTuple

from stack.failures import StackError
from stack.settings import ROOT

APT: Final = ROOT / "stack" / "apt.sh"


class Program(NamedTuple):
    """A program: the names under which it may be installed, and Debian's package of it."""

    names: tuple[str, ...]
    package: str


# Debian's alertmanager is named after its package, the project's own build is not
PROGRAMS: Final = {
    "prometheus": Program(("prometheus",), "prometheus"),
    "alertmanager": Program(("prometheus-alertmanager", "alertmanager"), "prometheus-alertmanager"),
}


def find_programs() -> dict[str, str]:
    """Return the path of each program, after installing what is missing. Blocks while apt works.

    Raises StackError with the command to type where that cannot be done.
    """
    missing = [program.package for program in PROGRAMS.values() if not _find(program)]
    if missing:
        _install(missing)
    found = {part: _find(program) for part, program in PROGRAMS.items()}
    if lost := [PROGRAMS[part].package for part, path in found.items() if path is None]:
        raise StackError(f"installed, and yet not found in PATH: {', '.join(lost)}")
    return {part: path for part, path in found.items() if path is not None}


def _find(program: Program) -> str | None:
    return next((path for name in program.names if (path := shutil.which(name))), None)


def _install(packages: list[str]) -> None:
    try:
        done = subprocess.run(["sh", APT, *packages], stdin=subprocess.DEVNULL, check=False)
    except OSError as err:
        raise StackError(f"{APT}: {err.strerror}") from err
    if done.returncode:
        raise StackError(f"cannot go on without {' and '.join(packages)}")
