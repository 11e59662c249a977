"""What is remembered of credentials, how many may be tried, and the thread that checks them."""

import asyncio
import hmac
import os
import queue
import threading
from array import array
from collections import OrderedDict, deque
from collections.abc import Callable, Container
from typing import Final

BURST: Final = 10
"""Credentials that an address may have checked at once; as many again only 10 s later, so one a second on average."""
ADDRESSES: Final = 1024
WAITING: Final = 32
"""Checks that may wait for the thread; more than that is answered with 429 at once."""
AGAIN_SECONDS: Final = 1.0

Answer = Callable[[bool], None]


class Verified:
    """Credentials that passed: for each user the last, as a keyed hash with a key that only this process knows."""

    def __init__(self) -> None:
        self._secret = os.urandom(32)
        self._keys: dict[bytes, bytes] = {}

    def key(self, user: bytes, hashed: bytes, password: bytes) -> bytes:
        """Return what credentials are remembered under; the stored hash is in it, so a new password ends the old."""
        parts = b"".join([len(part).to_bytes(4, "big") + part for part in (user, hashed, password)])
        return hmac.digest(self._secret, parts, "sha256")

    def knows(self, user: bytes, key: bytes) -> bool:
        """Whether these credentials passed before."""
        return self._keys.get(user) == key

    def remember(self, user: bytes, key: bytes) -> None:
        """Remember credentials that passed."""
        self._keys[user] = key

    def keep(self, users: Container[bytes]) -> None:
        """Forget all but these users."""
        self._keys = {user: key for user, key in self._keys.items() if user in users}


class Tries:
    """Who may have credentials checked. Every address has a budget, and another for credentials that come again.

    A scraper repeats its credentials, an attacker's guesses differ. So what was turned away and comes again, a second
    later or more, does not compete with the guesses from the same address: after a restart amid an attack a scraper is
    let through at its second try. What failed is refused without a check, so sending it again takes nobody's budget.
    An attacker who sends each of very many guesses twice competes again, and delays a new scraper, never a known one.
    """

    def __init__(self) -> None:
        self._spent: OrderedDict[tuple[str, bool], deque[float]] = OrderedDict()
        self._seen = Seen()

    def may_try(self, address: str, key: bytes, now: float) -> bool:
        """Whether credentials may be checked now; counts them if so, else notes that they were here."""
        if self._spend(address, now, again=False):
            return True
        first = self._seen.since(key, now)
        return now - first >= AGAIN_SECONDS and self._spend(address, now, again=True)

    def _spend(self, address: str, now: float, *, again: bool) -> bool:
        spent = self._spent.setdefault((address, again), deque(maxlen=BURST))
        self._spent.move_to_end((address, again))
        if len(self._spent) > ADDRESSES:
            self._spent.popitem(last=False)
        while spent and now - spent[0] >= BURST:
            spent.popleft()
        if len(spent) == BURST:
            return False
        spent.append(now)
        return True

    def give_back(self, address: str, key: bytes) -> None:
        """Give an address the try back that was well spent."""
        self._seen.forget(key)
        if spent := self._spent.get((address, False)):
            spent.pop()

    def fail(self, key: bytes) -> None:
        """Remember credentials as wrong."""
        self._seen.fail(key)

    def failed(self, key: bytes) -> bool:
        """Whether these credentials were found wrong, as far as is remembered."""
        return self._seen.failed(key)


class Seen:
    """When credentials were first turned away, or that they are wrong: in bounded memory, made on first use.

    A table with one place for each remainder of the key: newer ones push older ones out. At 1,000 guesses a second
    four of five are still there after 15 s, and two of five after a minute.
    """

    SIZE: Final = 1 << 16
    _WRONG: Final = -1.0

    def __init__(self) -> None:
        self._keys = array("Q")
        self._times = array("d")

    def since(self, key: bytes, now: float) -> float:
        """Return when credentials were first seen, which is now if they are not there."""
        place, short = self._place(key)
        if self._keys[place] != short:
            self._keys[place], self._times[place] = short, now
        return self._times[place]

    def fail(self, key: bytes) -> None:
        """Remember credentials as wrong."""
        place, short = self._place(key)
        self._keys[place], self._times[place] = short, self._WRONG

    def failed(self, key: bytes) -> bool:
        """Whether credentials are remembered as wrong."""
        if not self._keys:
            return False
        place, short = self._place(key)
        return self._keys[place] == short and self._times[place] == self._WRONG

    def forget(self, key: bytes) -> None:
        """Forget credentials."""
        place, short = self._place(key)
        if self._keys[place] == short:
            self._keys[place] = 0

    def _place(self, key: bytes) -> tuple[int, int]:
        if not self._keys:
            self._keys = array("Q", bytes(8 * self.SIZE))
            self._times = array("d", bytes(8 * self.SIZE))
        return int.from_bytes(key[:4], "big") % self.SIZE, int.from_bytes(key[8:16], "big")


class Checker:
    """One daemon thread that runs bcrypt, made on first use; the same credentials are checked once for all who wait."""

    def __init__(self) -> None:
        self._questions: queue.Queue[tuple[bytes, bytes, bytes]] = queue.Queue(WAITING)
        self._waiting: dict[bytes, list[Answer]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def joins(self, key: bytes, answered: Answer) -> bool:
        """Wait for a check of the same credentials that is under way; False when there is none."""
        if key not in self._waiting:
            return False
        self._waiting[key].append(answered)
        return True

    def ask(self, key: bytes, question: tuple[bytes, bytes], answered: Answer) -> bool:
        """Check a password against a hash; `answered` is called on the event loop. False when too many wait."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            threading.Thread(target=self._run, daemon=True, name="bcrypt").start()
        try:
            self._questions.put_nowait((key, *question))
        except queue.Full:
            return False
        self._waiting[key] = [answered]
        return True

    def _tell(self, key: bytes, good: bool) -> None:  # noqa: FBT001 -- call_soon hands on by position
        for answered in self._waiting.pop(key):
            answered(good)

    def _run(self) -> None:
        import bcrypt  # noqa: PLC0415 -- only where passwords are asked for

        while True:
            key, password, hashed = self._questions.get()
            try:
                good = bcrypt.checkpw(password, hashed)
            except ValueError:  # over 72 bytes, which no hash of bcrypt can tell apart
                good = False
            try:
                if self._loop is not None:
                    self._loop.call_soon_threadsafe(self._tell, key, good)
            except RuntimeError:  # the loop is closed: the process is ending
                return
