"""Where a part is, and one GET there."""

import time
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from exporter.clients.http_get import Access, GetError, get
from exporter.clients.unix_http import Answer

MAX_BYTES: Final = 32 * 1024 * 1024
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Place(NamedTuple):
    """The address of a part; `given` by the user, or one where it usually is."""

    url: str
    given: bool
    seconds: float = 10.0
    access: Access = Access()

    def at(self, path: str) -> str:
        """Return the address of a path there."""
        return self.url.rstrip("/") + path

    @property
    def deadline(self) -> float:
        """The moment (time.monotonic()) until which a request that begins now may take."""
        return time.monotonic() + self.seconds

    @property
    def host_and_port(self) -> tuple[str, int]:
        """What the address names; the port as the scheme has it where none is given."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)

    def get(self, path: str) -> Answer:
        """Return what is answered there. Raises GetError."""
        return get(self.at(path), self.deadline, MAX_BYTES, self.access)

    def read(self, path: str) -> bytes:
        """Return what is answered there with status 200. Raises GetError."""
        answer = self.get(path)
        if answer.status != 200:
            raise GetError(f"HTTP status {answer.status}")
        return answer.body


def is_absent(err: GetError) -> bool:
    """Whether nothing listens there at all."""
    return "refused" in str(err).lower()
