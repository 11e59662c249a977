"""Basic authentication by bcrypt, off the event loop.

A bcrypt check takes 60 ms of a core. So each runs on one thread of its own; credentials that passed are remembered as
a keyed hash and cost a microsecond from then on, and are never limited; an address whose credentials failed too often
gets 429 without a check. A scraper that is known goes on undisturbed beside an attacker from the same address.
"""

import asyncio
import base64
import binascii
import hmac
import os
import queue
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Final

from exporter.server.http import Handler, Reply, Request, Response

REMEMBERED: Final = 256
FAILURES_ALLOWED: Final = 10
"""Failures that an address may have at once; one more each second after that."""
ADDRESSES: Final = 1024
WAITING: Final = 32
"""Checks that may wait for the thread; more than that is answered with 429 at once."""

# compared with where the user is not known, so that the time tells nothing; no password has this hash
_NOBODY: Final = b"$2b$10$" + b"." * 53

_REFUSED: Final = Response(
    401, b"401: user and password, please\n", headers=('WWW-Authenticate: Basic realm="hostwatch"',)
)
_LIMITED: Final = Response(429, b"429: too many wrong passwords from your address\n", headers=("Retry-After: 1",))


class Guard:
    """A handler in front of another: lets those through who know a password."""

    def __init__(
        self, handler: Handler, users: Mapping[str, str], memory: "Memory", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._handler = handler
        self._users = {name.encode(): hashed.encode() for name, hashed in users.items()}
        self._memory = memory
        self._clock = clock

    def __call__(self, request: Request, reply: Reply) -> None:
        """Let the request through, refuse it, or have its password checked."""
        header = request.headers.get(b"authorization", b"")
        user, password = parse_basic(header)
        if user is None or password is None:
            reply(_REFUSED)
            return
        hashed = self._users.get(user, _NOBODY)
        key = self._memory.key(user, hashed, password)
        if self._memory.knows(key):
            self._handler(request, reply)
        elif not self._memory.may_try(request.client, self._clock()):
            reply(_LIMITED)
        else:
            self._check(request, reply, (password, hashed), key)

    def _check(self, request: Request, reply: Reply, question: tuple[bytes, bytes], key: bytes) -> None:
        def answered(good: bool) -> None:  # noqa: FBT001 -- a callback with one meaning
            if good:
                self._memory.remember(key, request.client)
                self._handler(request, reply)
            else:
                reply(_REFUSED)

        if not self._memory.checker.ask(question, answered):
            reply(_LIMITED)


class Memory:
    """What outlives a new version of the configuration: verified credentials, failures by address, the thread."""

    def __init__(self) -> None:
        self.checker = Checker()
        self._secret = os.urandom(32)
        self._verified: OrderedDict[bytes, None] = OrderedDict()
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def key(self, user: bytes, hashed: bytes, password: bytes) -> bytes:
        """Return what credentials are remembered under; the stored hash is in it, so a new password ends the old."""
        parts = b"".join(len(part).to_bytes(4, "big") + part for part in (user, hashed, password))
        return hmac.digest(self._secret, parts, "sha256")

    def knows(self, key: bytes) -> bool:
        """Whether these credentials passed before."""
        return key in self._verified

    def remember(self, key: bytes, address: str) -> None:
        """Remember credentials that passed; they give the address one of its tries back."""
        self._verified[key] = None
        if len(self._verified) > REMEMBERED:
            self._verified.popitem(last=False)
        if tries := self._failures.get(address):
            tries.pop()

    def may_try(self, address: str, now: float) -> bool:
        """Whether an address may have a password checked now; counts the try."""
        tries = self._failures.setdefault(address, deque(maxlen=FAILURES_ALLOWED))
        self._failures.move_to_end(address)
        if len(self._failures) > ADDRESSES:
            self._failures.popitem(last=False)
        while tries and now - tries[0] >= FAILURES_ALLOWED:
            tries.popleft()
        if len(tries) == FAILURES_ALLOWED:
            return False
        tries.append(now)
        return True


class Checker:
    """One daemon thread that runs bcrypt, made on first use."""

    def __init__(self) -> None:
        self._questions: queue.Queue[tuple[tuple[bytes, bytes], Callable[[bool], None]]] = queue.Queue(WAITING)
        self._loop: asyncio.AbstractEventLoop | None = None

    def ask(self, question: tuple[bytes, bytes], answered: Callable[[bool], None]) -> bool:
        """Check a password against a hash; `answered` is called on the event loop. False when too many wait."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            threading.Thread(target=self._run, daemon=True, name="bcrypt").start()
        try:
            self._questions.put_nowait((question, answered))
        except queue.Full:
            return False
        return True

    def _run(self) -> None:
        import bcrypt  # noqa: PLC0415 -- only where passwords are asked for

        while True:
            (password, hashed), answered = self._questions.get()
            try:
                good = bcrypt.checkpw(password, hashed) and hashed != _NOBODY
            except ValueError:  # over 72 bytes, which no hash of bcrypt can tell apart
                good = False
            try:
                if self._loop is not None:
                    self._loop.call_soon_threadsafe(answered, good)
            except RuntimeError:  # the loop is closed: the process is ending
                return


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
