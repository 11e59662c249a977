"""Names to addresses: on few threads, shared, and never holding up who does not wait for them."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from exporter.probes.attempt import Reason
from exporter.probes.resolver import Address, ResolveError, Resolver, look_up_now, resolve

SOMEWHERE = [Address(socket.AF_INET, "192.0.2.1", ("192.0.2.1", 0))]


class Gate:
    """A look-up that hangs for names that begin with "slow" until the test is over."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.open = threading.Event()

    def __call__(self, host: str, family: int) -> list[Address]:
        self.asked.append(host)
        if host.startswith("slow"):
            assert self.open.wait(20)
        if host.startswith("broken"):
            raise RuntimeError("a fault")
        return SOMEWHERE


@contextmanager
def gate() -> Iterator[Gate]:
    made = Gate()
    try:
        yield made
    finally:
        made.open.set()


async def ask(resolver: Resolver, host: str, seconds: float = 10, port: int | None = None) -> list[Address]:
    return await resolver.resolve(host, port, 0, asyncio.get_running_loop().time() + seconds)


@pytest.mark.parametrize(
    ("host", "family", "sockaddr"),
    [
        ("127.0.0.1", socket.AF_INET, ("127.0.0.1", 80)),
        ("::1", socket.AF_INET6, ("::1", 80, 0, 0)),
        ("fe80::1%lo", socket.AF_INET6, ("fe80::1", 80, 0, 1)),
    ],
)
def test_address_stands_for_itself_without_a_look_up(host: str, family: int, sockaddr: tuple[object, ...]) -> None:
    with gate() as look_up:
        (found,) = asyncio.run(ask(Resolver(look_up), host, port=80))
    assert (found.family, found.sockaddr) == (family, sockaddr)
    assert look_up.asked == []


def test_address_of_the_other_family_is_no_such_name() -> None:
    async def main() -> None:
        with pytest.raises(ResolveError, match="family") as caught:
            await resolve("::1", None, socket.AF_INET, asyncio.get_running_loop().time() + 5)
        assert caught.value.reason is Reason.NO_SUCH_NAME

    asyncio.run(main())


def test_localhost_is_found_by_the_system() -> None:
    async def main() -> list[Address]:
        return await resolve("localhost", 8080, socket.AF_INET, asyncio.get_running_loop().time() + 10)

    assert Address(socket.AF_INET, "127.0.0.1", ("127.0.0.1", 8080)) in asyncio.run(main())


def test_hung_look_up_delays_no_other() -> None:
    async def main(resolver: Resolver) -> None:
        hung = asyncio.ensure_future(ask(resolver, "slow.example"))
        await asyncio.sleep(0)
        assert await ask(resolver, "quick.example") == SOMEWHERE
        assert not hung.done()
        hung.cancel()

    with gate() as look_up:
        asyncio.run(main(Resolver(look_up)))


def test_name_that_hangs_takes_one_thread_however_many_ask() -> None:
    async def main(resolver: Resolver, look_up: Gate) -> None:
        asked = [asyncio.ensure_future(ask(resolver, "slow.example")) for _ in range(20)]
        assert await ask(resolver, "quick.example") == SOMEWHERE
        look_up.open.set()
        assert await asyncio.gather(*asked) == [SOMEWHERE] * 20

    with gate() as look_up:
        asyncio.run(main(Resolver(look_up, max_threads=2), look_up))
    assert look_up.asked.count("slow.example") == 1


def test_threads_are_bounded_and_a_look_up_that_found_none_fails_in_time() -> None:
    async def main(resolver: Resolver, look_up: Gate) -> None:
        before = threading.active_count()
        hung = [asyncio.ensure_future(ask(resolver, f"slow{n}.example")) for n in range(10)]
        await asyncio.sleep(0)
        with pytest.raises(ResolveError) as caught:
            await ask(resolver, "quick.example", seconds=0.02)
        assert caught.value.reason is Reason.RESOLVER_FAILED
        assert threading.active_count() - before == 3
        look_up.open.set()
        assert await asyncio.gather(*hung) == [SOMEWHERE] * 10
        assert await ask(resolver, "quick.example") == SOMEWHERE

    with gate() as look_up:
        asyncio.run(main(Resolver(look_up, max_threads=3), look_up))
    assert look_up.asked.count("quick.example") == 1, "nobody waited for the first one any more"


def test_fault_in_a_look_up_is_told_and_the_thread_goes_on() -> None:
    async def main(resolver: Resolver) -> None:
        with pytest.raises(ResolveError, match="a fault") as caught:
            await ask(resolver, "broken.example")
        assert caught.value.reason is Reason.INTERNAL_ERROR
        assert await ask(resolver, "quick.example") == SOMEWHERE

    with gate() as look_up:
        asyncio.run(main(Resolver(look_up, max_threads=1)))


def test_thread_outlives_a_loop_that_ended_before_its_answer() -> None:
    async def give_up(resolver: Resolver) -> None:
        with pytest.raises(ResolveError):
            await ask(resolver, "slow.example", seconds=0.01)

    with gate() as look_up:
        resolver = Resolver(look_up, max_threads=1)
        asyncio.run(give_up(resolver))
        look_up.open.set()
        assert asyncio.run(ask(resolver, "quick.example")) == SOMEWHERE


def fails(number: int) -> Callable[..., object]:
    def getaddrinfo(*_: object, **__: object) -> object:
        raise socket.gaierror(number, "words")

    return getaddrinfo


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (socket.EAI_NONAME, Reason.NO_SUCH_NAME),
        (socket.EAI_NODATA, Reason.NO_SUCH_NAME),
        (socket.EAI_AGAIN, Reason.RESOLVER_FAILED),
        (socket.EAI_FAIL, Reason.RESOLVER_FAILED),
        (socket.EAI_MEMORY, Reason.OUT_OF_RESOURCES),
    ],
)
def test_only_a_name_that_does_not_exist_is_a_failure(
    number: int, reason: Reason, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", fails(number))
    with pytest.raises(ResolveError, match=r"host\.example: words") as caught:
        look_up_now("host.example", 0)
    assert caught.value.reason is reason


@pytest.mark.parametrize("host", ["", "a..b", ".example", "x" * 64 + ".example", "a\0b", "\u00fc" * 64], ids=ascii)
def test_what_can_be_no_name_is_no_such_name(host: str) -> None:
    with pytest.raises(ResolveError) as caught:
        asyncio.run(ask(Resolver(), host))
    assert caught.value.reason is Reason.NO_SUCH_NAME


def test_name_in_other_letters_is_asked_for_as_dns_knows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def getaddrinfo(name: object, *_: object, **__: object) -> list[object]:
        asked.append(name)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert look_up_now("b\u00fccher.example", 0) == look_up_now("books.example", 0) == []
    assert asked == [b"xn--bcher-kva.example", b"books.example"]
