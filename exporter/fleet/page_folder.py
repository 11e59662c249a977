"""Writes pages into a folder that a web server reads: whole files only, and none that is out of date stays."""

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from exporter.fleet.container_pages import GENERATOR

_OURS: Final = f'<meta name="generator" content="{GENERATOR}">'.encode()
_NAME: Final = re.compile(r"environment-.*\.html", re.DOTALL)
_READ: Final = 4096
_MODE: Final = 0o644
"""Whoever may enter the folder may read: a web server runs as somebody else."""


def write_pages(folder: Path, pages: Mapping[str, str]) -> None:
    """Write every page in its order, each at once, then remove those of ours that were not written this time.

    Makes the folder where it is missing. Raises OSError naming the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        _replace(folder / name, text)
    for name in os.listdir(folder):  # noqa: PTH208 -- names are what is looked at
        file = folder / name
        if _NAME.fullmatch(name) and name not in pages and _is_ours(file):
            file.unlink(missing_ok=True)


def _replace(file: Path, text: str) -> None:
    number, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with open(number, "w", encoding="utf-8", errors="replace") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(number)  # else a crash may leave an empty page behind the new name
        Path(name).chmod(_MODE)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _is_ours(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return _OURS in opened.read(_READ)
    except OSError:
        return False
