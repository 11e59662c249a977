"""Programs of Debian 13's packages, which stack/debian13.sh unpacks beside this machine's own."""

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parents[2] / ".local" / "debian13"


def find(program: str) -> Path | None:
    """Return the program's path, None where it was not fetched (`make test-packages`)."""
    path = FOLDER / "usr" / "bin" / program
    return path if path.exists() else None
