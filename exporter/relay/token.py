"""The bearer token of the webhook: one line in a file, read again whenever the file changed."""

import hmac
import os
import stat
from pathlib import Path
from typing import Final

from exporter.logs import Log, Secret

MAX_BYTES: Final = 4096
_log = Log("exporter.relay.token")


class TokenError(Exception):
    """The token file cannot be used; the text names the file and the fix, never what the file holds."""


def read_token(path: Path, setting: str = "token_file") -> Secret:
    """Return the token in the file `path`, white space around it removed. Reads the file.

    Raises TokenError when it is missing, empty, too long, of more than one line or open to other users.
    """
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(MAX_BYTES + 1)
    except OSError as err:
        raise TokenError(f"{setting} {path}: cannot be read: {err.strerror}") from err
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        raise TokenError(f"{setting} {path}: open to every user (mode {stat.S_IMODE(mode):04o}); chmod o-rwx {path}")
    if len(data) > MAX_BYTES:
        raise TokenError(f"{setting} {path}: expected at most {MAX_BYTES} bytes")
    return _one_word(data, path, setting)


def _one_word(data: bytes, path: Path, setting: str) -> Secret:
    words = data.split()
    if not words:
        raise TokenError(f"{setting} {path}: empty; write a long random text into it")
    if len(words) > 1:
        raise TokenError(f"{setting} {path}: expected one token and nothing else")
    try:
        return Secret(words[0].decode("ascii"))
    except UnicodeDecodeError:
        # from None: the decoder's error object carries the bytes, which are the secret
        raise TokenError(f"{setting} {path}: expected ASCII characters only") from None


class Token:
    """The token in force. A change that cannot be used keeps the last good one, and `last_read_ok` says so."""

    def __init__(self, path: Path) -> None:
        """Read the file; raises TokenError."""
        self._path = path
        self._stamp = self._look()
        self._secret = read_token(path)
        self.last_read_ok = True

    def accepts(self, authorization: bytes) -> bool:
        """Say whether an Authorization header carries the token. Takes the same time wherever they differ."""
        self.refresh()
        scheme, _, given = authorization.partition(b" ")
        same = hmac.compare_digest(given.strip(), self._secret.reveal().encode())
        return same and scheme.lower() == b"bearer"

    def refresh(self) -> None:
        """Read the file again if it changed since the last look (one stat call when it did not)."""
        stamp = self._look()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._secret = read_token(self._path)
        except TokenError as err:
            self.last_read_ok = False
            _log.error("token file unusable, the last good token stays in force", error=str(err))
            return
        self.last_read_ok = True
        _log.info("token file read again", file=str(self._path))

    def _look(self) -> tuple[int, ...] | None:
        return file_stamp(self._path)


def file_stamp(path: Path) -> tuple[int, ...] | None:
    """Return what changes whenever a file does (one stat call); None for a file that cannot be looked at."""
    try:
        seen = path.stat()
    except OSError:
        return None
    # ctime sees a chmod too
    return seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns
