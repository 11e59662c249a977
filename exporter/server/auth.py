"""Basic authentication by bcrypt, off the event loop.

A bcrypt check takes 60 ms of a core. So each runs on one thread of its own; credentials that passed are remembered as
a keyed hash and cost a microsecond from then on, and are never limited; so are those that failed, and an address with
too many of them gets 429 without a check. A scraper that is known goes on undisturbed beside an attacker from the same
address; one that is not known yet gets through as soon as it tries again (see `Tries`).
"""

import base64
import binascii
import time
from collections.abc import Callable, Mapping
from typing import Final

from exporter.logs import Log
from exporter.server.credentials import Checker, Tries, Verified
from exporter.server.http import FAILED, Handler, Reply, Request, Response

log = Log(__name__)

_REFUSED: Final = Response(
    401,
    b"401: user and password, please\n",
    headers=('WWW-Authenticate: Basic realm="hostwatch", charset="UTF-8"',),
)
_LIMITED: Final = Response(429, b"429: too many wrong passwords from your address\n", headers=("Retry-After: 1",))


class Memory:
    """What outlives a new version of the configuration: verified credentials, tries by address, the thread."""

    def __init__(self) -> None:
        self.verified = Verified()
        self.tries = Tries()
        self.checker = Checker()


class Guard:
    """A handler in front of another: lets those through who know a password."""

    def __init__(
        self, handler: Handler, users: Mapping[str, str], memory: Memory, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._handler = handler
        self._users = {name.encode(): hashed.encode() for name, hashed in users.items()}
        # what an unknown user's password is checked against: as costly as the others, so that the time tells nothing
        self._nobody = max(self._users.values(), key=lambda hashed: hashed[4:6])[:7] + b"." * 53
        self._memory = memory
        self._clock = clock
        memory.verified.keep(self._users)

    def __call__(self, request: Request, reply: Reply) -> None:
        """Let the request through, refuse it, or have its password checked."""
        user, password = parse_basic(request.headers.get(b"authorization", b""))
        if user is None or password is None:
            reply(_REFUSED)
            return
        hashed = self._users.get(user, self._nobody)
        key = self._memory.verified.key(user, hashed, password)
        if self._memory.verified.knows(user, key):
            self._handler(request, reply)
        elif self._memory.tries.failed(key):
            reply(_REFUSED)
        elif not self._check(request, reply, (user, hashed, password), key):
            reply(_LIMITED)

    def _check(self, request: Request, reply: Reply, credentials: tuple[bytes, bytes, bytes], key: bytes) -> bool:
        """Have the password checked, and answer then; False where the address, or all together, asked too much."""
        user, hashed, password = credentials
        known = user in self._users
        memory, now = self._memory, self._clock()

        def answered(good: bool) -> None:  # noqa: FBT001 -- a callback with one meaning
            if good and known:
                memory.verified.remember(user, key)
                memory.tries.give_back(request.client, key)
                self._go_on(request, reply)
            else:
                memory.tries.fail(key)
                reply(_REFUSED)

        if memory.checker.joins(key, answered):
            return True
        return memory.tries.may_try(request.client, key, now) and memory.checker.ask(key, (password, hashed), answered)

    def _go_on(self, request: Request, reply: Reply) -> None:
        try:
            self._handler(request, reply)
        except Exception as err:  # noqa: BLE001 -- the boundary around handlers, here in a turn of the loop of its own
            log.error("request failed", method=request.method, path=request.path[:200], exc=err)
            reply(FAILED)


def parse_basic(header: bytes) -> tuple[bytes | None, bytes | None]:
    """Return user and password of an Authorization header (RFC 7617), None where it is none."""
    scheme, _, encoded = header.partition(b" ")
    if scheme.lower() != b"basic":
        return None, None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except binascii.Error:
        return None, None
    return (user, password) if colon else (None, None)
