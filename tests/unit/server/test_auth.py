"""Basic authentication: who is let through, who is limited, and what is remembered of it."""

import asyncio
import base64
import threading
import time
from collections.abc import Iterator

import bcrypt
import pytest

from exporter.server import credentials
from exporter.server.auth import Guard, Memory, parse_basic
from exporter.server.credentials import BURST, Checker, Seen, Tries, Verified
from exporter.server.http import Reply, Request, Response
from exporter.server.limiter import Limiter
from tests.support.clock import Clock

PAGE = Response(200, b"page")


def hashed(password: str, prefix: bytes = b"2b") -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4, prefix)).decode()


def basic(user: str | bytes, password: str | bytes) -> bytes:
    user, password = (part.encode() if isinstance(part, str) else part for part in (user, password))
    return b"Basic " + base64.b64encode(user + b":" + password)


def request(header: bytes | None, client: str = "192.0.2.1") -> Request:
    return Request("GET", "/metrics", "", {} if header is None else {b"authorization": header}, client)


def page(_: Request, reply: Reply) -> None:
    reply(PAGE)


async def status(guard: Guard, header: bytes | None, client: str = "192.0.2.1") -> int:
    answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
    guard(request(header, client), answer.set_result)
    return (await asyncio.wait_for(answer, 10)).status


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """The passwords that bcrypt was asked about."""
    asked: list[bytes] = []
    real = bcrypt.checkpw

    def counted(password: bytes, stored: bytes) -> bool:
        asked.append(password)
        return real(password, stored)

    monkeypatch.setattr(bcrypt, "checkpw", counted)
    return asked


USERS = {"alice": hashed("secret"), "bob": hashed("grün:ß", b"2a"), "": hashed("nobody")}

HEADERS: dict[str, tuple[bytes | None, int]] = {
    "none": (None, 401),
    "empty": (b"", 401),
    "right": (basic("alice", "secret"), 200),
    "right, scheme in capitals": (b"BASIC" + basic("alice", "secret")[5:], 200),
    "right, two spaces": (b"Basic  " + basic("alice", "secret")[6:], 200),
    "right, with a colon and UTF-8": (basic("bob", "grün:ß"), 200),
    "right, user without a name": (basic("", "nobody"), 200),
    "latin-1 for UTF-8": (basic("bob", "grün:ß".encode("latin-1")), 401),
    "wrong": (basic("alice", "Secret"), 401),
    "empty password": (basic("alice", ""), 401),
    "another's password": (basic("alice", "grün:ß"), 401),
    "unknown user": (basic("mallory", "secret"), 401),
    "over 72 bytes, the first of them right": (basic("alice", "secret" + "\0secret" * 20), 401),
    "no colon": (b"Basic " + base64.b64encode(b"alice"), 401),
    "no base64": (b"Basic %%%%", 401),
    "base64 that ends early": (basic("alice", "secret")[:-3], 401),
    "garbage": (bytes(range(1, 256)), 401),
    "another scheme": (b"Bearer secret", 401),
    "the stored hash": (basic("alice", USERS["alice"]), 401),
}


@pytest.mark.parametrize(("header", "expected"), HEADERS.values(), ids=HEADERS)
def test_only_right_credentials_come_through(header: bytes | None, expected: int) -> None:
    assert asyncio.run(status(Guard(page, USERS, Memory()), header)) == expected


def test_a_refusal_says_what_is_asked_for() -> None:
    answers: list[Response] = []
    Guard(page, USERS, Memory())(request(None), answers.append)
    assert answers[0].headers == ('WWW-Authenticate: Basic realm="hostwatch", charset="UTF-8"',)


def test_what_passed_is_not_checked_again(checks: list[bytes]) -> None:
    async def scenario() -> None:
        guard = Guard(page, USERS, Memory())
        for _ in range(100):
            assert await status(guard, basic("alice", "secret")) == 200

    asyncio.run(scenario())
    assert checks == [b"secret"]


def test_what_failed_is_not_checked_again(checks: list[bytes]) -> None:
    async def scenario() -> None:
        guard = Guard(page, USERS, Memory())
        for _ in range(100):
            assert await status(guard, basic("alice", "wrong")) == 401

    asyncio.run(scenario())
    assert checks == [b"wrong"]


def test_many_who_come_at_once_with_the_same_credentials_share_a_check(checks: list[bytes]) -> None:
    async def scenario() -> list[int]:
        guard = Guard(page, USERS, Memory())
        return await asyncio.gather(*(status(guard, basic("alice", "secret")) for _ in range(64)))

    assert asyncio.run(scenario()) == [200] * 64
    assert checks == [b"secret"]


def test_an_unknown_user_costs_as_much_as_the_costliest_known_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []
    monkeypatch.setattr(bcrypt, "checkpw", lambda _, stored: bool(asked.append(stored)))
    users = {"a": "$2y$05$" + "." * 53, "b": "$2a$11$" + "." * 53}
    assert asyncio.run(status(Guard(page, users, Memory()), basic("mallory", "x"))) == 401
    assert asked == [b"$2a$11$" + b"." * 53]


def test_an_unknown_user_never_passes_whatever_bcrypt_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bcrypt, "checkpw", lambda *_: True)
    assert asyncio.run(status(Guard(page, USERS, Memory()), basic("mallory", "x"))) == 401


def test_an_old_password_is_refused_once_its_hash_has_changed() -> None:
    async def scenario() -> None:
        memory = Memory()
        assert await status(Guard(page, {"alice": hashed("old")}, memory), basic("alice", "old")) == 200
        changed = Guard(page, {"alice": hashed("new")}, memory)
        assert await status(changed, basic("alice", "old")) == 401
        assert await status(changed, basic("alice", "new")) == 200

    asyncio.run(scenario())


def test_what_was_wrong_passes_once_it_is_the_password() -> None:
    async def scenario() -> None:
        memory = Memory()
        assert await status(Guard(page, {"alice": hashed("old")}, memory), basic("alice", "new")) == 401
        assert await status(Guard(page, {"alice": hashed("new")}, memory), basic("alice", "new")) == 200

    asyncio.run(scenario())


def test_a_user_who_is_gone_is_forgotten() -> None:
    async def scenario() -> None:
        memory = Memory()
        assert await status(Guard(page, USERS, memory), basic("alice", "secret")) == 200
        without = Guard(page, {"bob": USERS["bob"]}, memory)
        assert await status(without, basic("alice", "secret")) == 401
        assert not memory.verified._keys

    asyncio.run(scenario())


def test_guesses_are_limited_and_who_is_known_is_not(clock: Clock, checks: list[bytes]) -> None:
    async def scenario() -> None:
        guard = Guard(page, USERS, Memory(), clock)
        assert await status(guard, basic("alice", "secret")) == 200
        found = [await status(guard, basic("alice", f"guess {n}")) for n in range(100)]
        assert found == [401] * BURST + [429] * (100 - BURST)
        assert await status(guard, basic("alice", "secret")) == 200
        assert await status(guard, basic("bob", "grün:ß"), client="192.0.2.2") == 200, "another address"

    asyncio.run(scenario())
    assert len(checks) == BURST + 2


def test_an_address_has_its_tries_back_after_a_while(clock: Clock) -> None:
    async def scenario() -> None:
        guard = Guard(page, USERS, Memory(), clock)
        for n in range(BURST):
            await status(guard, basic("alice", f"guess {n}"))
        assert await status(guard, basic("alice", "guess")) == 429
        clock.now += BURST
        assert await status(guard, basic("alice", "another guess")) == 401

    asyncio.run(scenario())


def test_right_credentials_do_not_use_tries_up(clock: Clock) -> None:
    async def scenario() -> None:
        users = {f"user {n}": hashed("secret") for n in range(3 * BURST)}
        guard = Guard(page, users, Memory(), clock)
        for name in users:
            assert await status(guard, basic(name, "secret")) == 200

    asyncio.run(scenario())


def test_a_new_scraper_gets_through_an_attack_from_its_own_address_at_its_second_try(clock: Clock) -> None:
    """As after a restart amid the attack, with a scrape every 15 s."""

    async def scenario() -> list[int]:
        guard = Guard(page, USERS, Memory(), clock)
        found = []
        for scrape in range(3):
            clock.now += 15
            for n in range(2 * BURST):  # the attacker is always first, and his guesses are never the same
                assert await status(guard, basic("alice", f"guess {scrape} {n}")) == (401 if n < BURST else 429)
            found.append(await status(guard, basic("alice", "secret")))
        return found

    assert asyncio.run(scenario()) == [429, 200, 200]


def test_credentials_that_come_again_have_a_budget_of_their_own() -> None:
    tries = Tries()
    keys = [bytes([n]) * 32 for n in range(1, 250)]
    for key in keys[:BURST]:
        assert tries.may_try("a", key, 0.0)
    assert not any(tries.may_try("a", key, 0.0) for key in keys[BURST:])
    assert not tries.may_try("a", keys[-1], 0.9), "too soon"
    assert tries.may_try("a", keys[-1], 1.0)
    assert sum(tries.may_try("a", key, 1.0) for key in keys[BURST:-1]) == BURST - 1, "and that is limited too"


def test_memory_of_addresses_is_bounded() -> None:
    tries = Tries()
    for n in range(5 * credentials.ADDRESSES):
        tries.may_try(f"address {n}", bytes(32), 0.0)
    assert len(tries._spent) == credentials.ADDRESSES


def test_what_was_seen_is_pushed_out_by_newer_ones_only() -> None:
    verified, seen = Verified(), Seen()
    keys = [verified.key(b"alice", b"", b"%d" % n) for n in range(15_000)]
    for key in keys:
        seen.since(key, 5.0)
    left = sum(seen.since(key, 20.0) == 5.0 for key in keys[:1000])
    assert left > 700, "15 s at 1,000 guesses a second leave four of five"
    assert len(seen._keys) == len(seen._times) == Seen.SIZE


def test_what_is_remembered_tells_users_and_passwords_apart() -> None:
    verified = Verified()
    assert verified.key(b"ab", b"h", b"c") != verified.key(b"a", b"h", b"bc")
    assert verified.key(b"a", b"h", b"c") != Verified().key(b"a", b"h", b"c"), "another process, another key"


def test_too_many_that_wait_are_turned_away_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(bcrypt, "checkpw", lambda *_: release.wait(10))

    async def scenario() -> None:
        checker, answers = Checker(), []
        taken = [checker.ask(b"%d" % n, (b"p", b"h"), answers.append) for n in range(3 * credentials.WAITING)]
        assert credentials.WAITING <= sum(taken) <= credentials.WAITING + 1
        release.set()
        deadline = time.monotonic() + 10
        while len(answers) < sum(taken):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.001)
        assert not checker._waiting

    asyncio.run(scenario())


def test_a_handler_that_fails_after_the_check_is_a_500() -> None:
    def fail(_: Request, __: Reply) -> None:
        raise RuntimeError("a handler's fault")

    assert asyncio.run(status(Guard(fail, USERS, Memory()), basic("alice", "secret"))) == 500


@pytest.mark.parametrize("header", [b"Basic", b"basic ", b"Basic =", b"Basic YQ==", b"\xff" * 100])
def test_what_is_no_header_of_basic_authentication_is_none(header: bytes) -> None:
    assert parse_basic(header) == (None, None)


LIMITS: dict[str, tuple[float, int, list[tuple[float, bool]]]] = {
    "no burst lets nobody through": (1.0, 0, [(0, False), (100, False)]),
    "a burst, then one an interval": (1.0, 2, [(0, True), (0, True), (0, False), (1, True), (0.5, False), (0.5, True)]),
    "what is saved up is a burst": (0.1, 2, [(100, True), (0, True), (0, False)]),
}


@pytest.mark.parametrize(("seconds", "burst", "steps"), LIMITS.values(), ids=LIMITS)
def test_the_rate_limit(clock: Clock, seconds: float, burst: int, steps: list[tuple[float, bool]]) -> None:
    limiter = Limiter(page, seconds, burst, clock)
    for wait, through in steps:
        clock.now += wait
        answers: list[Response] = []
        limiter(request(None), answers.append)
        assert answers[0].status == (200 if through else 429)
