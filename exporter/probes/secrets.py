"""Passwords and tokens out of files, read when they are used: whoever changes one restarts nothing."""

from pathlib import Path
from typing import Final

from exporter.probes.attempt import AttemptError, Reason

MAX_BYTES: Final = 16384


def read_secret(path: str) -> str:
    """Return what a file holds, without the end of its line. Reads the file.

    Raises AttemptError naming the file that cannot be used: nobody was asked then.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as err:
        raise AttemptError(Reason.UNREADABLE_FILE, f"{path}: {err.strerror}") from err
    if not data.strip() or len(data) > MAX_BYTES:
        raise AttemptError(Reason.UNREADABLE_FILE, f"{path}: expected 1 to {MAX_BYTES} bytes")
    try:
        text = data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        text = "\n"
    if not text.isprintable():
        raise AttemptError(Reason.UNREADABLE_FILE, f"{path}: expected one line of text")
    return text
