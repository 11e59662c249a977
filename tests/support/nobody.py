"""A user without rights, and a folder that such a user may look into, which pytest's are not."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def no_rights() -> Iterator[None]:
    """Be nobody for a time, where we are root; whoever else we are has no rights anyway."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


@contextmanager
def open_folder() -> Iterator[Path]:
    """Yield a folder with a short path that everybody may look into; it is removed afterwards."""
    made = Path(tempfile.mkdtemp())
    try:
        made.chmod(0o755)
        yield made
    finally:
        shutil.rmtree(made)
