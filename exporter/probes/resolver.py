"""Names to addresses without holding up the event loop, on at most eight threads however many look-ups hang."""

import asyncio
import queue
import socket
import threading
from collections.abc import Callable
from typing import Final, NamedTuple

from exporter.probes.attempt import AttemptError, Reason, reason_of

MAX_THREADS: Final = 8
_MAX_LABEL: Final = 63

SocketAddress = tuple[str, int] | tuple[str, int, int, int]


class Address(NamedTuple):
    """An address that a name stands for."""

    family: int
    """AF_INET or AF_INET6."""
    host: str
    """The address as text, with its scope where it has one."""
    sockaddr: SocketAddress
    """What a socket of that family takes; port 0 where none was asked for."""


class ResolveError(AttemptError):
    """A name gave no address: no_such_name where there is none, otherwise nobody could tell."""


_LookUp = Callable[[str, int], list[Address]]
_Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[list[Address]]"]


class _Job:
    """One look-up that runs or waits for a thread, and those who want its result."""

    __slots__ = ("family", "host", "waiters")

    def __init__(self, host: str, family: int) -> None:
        self.host = host
        self.family = family
        self.waiters: list[_Waiter] = []


class Resolver:
    """Look-ups on daemon threads: an executor's are joined at exit, and a dead name server would hold that up.

    Those who ask for one name at a time share one look-up, so that a name that hangs takes one thread.
    """

    def __init__(self, look_up: _LookUp | None = None, max_threads: int = MAX_THREADS) -> None:
        self._look_up = look_up_now if look_up is None else look_up
        self._max_threads = max_threads
        self._lock = threading.Lock()
        self._jobs: dict[tuple[str, int], _Job] = {}
        self._queue: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._threads = 0
        self._unfinished = 0

    async def resolve(self, host: str, port: int | None, family: int, deadline: float) -> list[Address]:
        """Return the addresses of a name; see the function of that name."""
        numeric = _numeric(host, family)
        if numeric is None:
            numeric = await self._wait(host, family, deadline)
        return [_with_port(address, port or 0) for address in numeric]

    async def _wait(self, host: str, family: int, deadline: float) -> list[Address]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Address]] = loop.create_future()
        self._submit(host, family, (loop, future))
        try:
            async with asyncio.timeout_at(deadline):
                return await future
        except TimeoutError as err:
            raise ResolveError(Reason.RESOLVER_FAILED, f"{host}: the look-up did not end in time") from err

    def _submit(self, host: str, family: int, waiter: _Waiter) -> None:
        with self._lock:
            job = self._jobs.get((host, family))
            if job is None:
                job = self._jobs[host, family] = _Job(host, family)
                self._unfinished += 1
                if self._threads < min(self._unfinished, self._max_threads):
                    threading.Thread(target=self._run, daemon=True, name=f"resolver-{self._threads}").start()
                    self._threads += 1
                self._queue.put(job)
            job.waiters = [other for other in job.waiters if not other[1].done()]  # of those who gave up nothing stays
            job.waiters.append(waiter)

    def _run(self) -> None:
        while True:
            job = self._queue.get()
            with self._lock:
                wanted = any(not future.done() for _, future in job.waiters)
                if not wanted:
                    del self._jobs[job.host, job.family]
            if wanted:
                self._finish(job)
            with self._lock:
                self._unfinished -= 1

    def _finish(self, job: _Job) -> None:
        result: list[Address] | ResolveError
        try:
            result = self._look_up(job.host, job.family)
        except ResolveError as err:
            result = err
        except Exception as err:  # noqa: BLE001 -- the thread's boundary: whoever waits is told
            result = ResolveError(Reason.INTERNAL_ERROR, f"{job.host}: {err}")
        with self._lock:
            del self._jobs[job.host, job.family]
        for loop, future in job.waiters:
            try:
                loop.call_soon_threadsafe(_settle, future, result)
            except RuntimeError:  # the loop has ended meanwhile
                continue


def _settle(future: "asyncio.Future[list[Address]]", result: list[Address] | ResolveError) -> None:
    if future.done():
        return
    if isinstance(result, ResolveError):
        future.set_exception(
            ResolveError(result.reason, result.detail)
        )  # each waiter's own: tracebacks are added to it
    else:
        future.set_result(result)


def look_up_now(host: str, family: int) -> list[Address]:
    """Return the addresses of a name. Blocks for as long as getaddrinfo(3) does. Raises ResolveError."""
    name = _encoded(host)
    try:
        found = socket.getaddrinfo(name, None, family, socket.SOCK_STREAM)
    except socket.gaierror as err:
        raise ResolveError(_GAI.get(err.errno, Reason.RESOLVER_FAILED), f"{host}: {err.strerror}") from err
    except OSError as err:
        raise ResolveError(reason_of(err), f"{host}: {err.strerror}") from err
    return [_address(row[0], row[4]) for row in found]


_GAI: Final = {
    socket.EAI_NONAME: Reason.NO_SUCH_NAME,
    getattr(socket, "EAI_NODATA", socket.EAI_NONAME): Reason.NO_SUCH_NAME,
    getattr(socket, "EAI_ADDRFAMILY", socket.EAI_NONAME): Reason.NO_SUCH_NAME,
    socket.EAI_MEMORY: Reason.OUT_OF_RESOURCES,
}


def _encoded(host: str) -> bytes:
    """Return a name as it is asked for. Raises ResolveError for what can be no name."""
    if host.isascii():
        # as bytes: a text would bring the tables of Unicode, 1 MB, for which there is no need here
        labels = host.removesuffix(".").split(".")
        if "\0" not in host and all(0 < len(label) <= _MAX_LABEL for label in labels):
            return host.encode()
    else:
        try:
            return host.encode("idna")
        except UnicodeError as err:
            raise ResolveError(Reason.NO_SUCH_NAME, f"{host}: {err}") from err
    raise ResolveError(Reason.NO_SUCH_NAME, f"{host}: no name can have an empty part, or one of over {_MAX_LABEL}")


def _numeric(host: str, family: int) -> list[Address] | None:
    """Return what an address stands for, None for a name. Raises ResolveError for one of the other family, or none."""
    try:
        found = socket.getaddrinfo(_encoded(host), None, family, socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror as err:
        if err.errno == getattr(socket, "EAI_ADDRFAMILY", None):
            raise ResolveError(Reason.NO_SUCH_NAME, f"{host}: no address of the wanted family") from err
        return None
    return [_address(row[0], row[4]) for row in found]


def _address(family: int, sockaddr: tuple[object, ...]) -> Address:
    host, *rest = sockaddr
    numbers = tuple(number for number in rest if isinstance(number, int))
    shown = str(host)
    if family == socket.AF_INET6:
        return Address(family, shown, (shown, 0, numbers[1], numbers[2]))
    return Address(family, shown, (shown, 0))


def _with_port(address: Address, port: int) -> Address:
    host, _, *rest = address.sockaddr
    sockaddr = (host, port, rest[0], rest[1]) if rest else (host, port)
    return address._replace(sockaddr=sockaddr)


_shared: Final = Resolver()


async def resolve(host: str, port: int | None, family: int, deadline: float) -> list[Address]:
    """Return the addresses of a name, best first, as getaddrinfo(3) sorts them; an address stands for itself.

    `family` is AF_INET, AF_INET6 or AF_UNSPEC (0) for both; `deadline` is a moment of the loop's clock. Does not block.
    Raises ResolveError: no_such_name where the name does not exist or has no such address; resolver_failed where
    nobody could tell in time.
    """
    return await _shared.resolve(host, port, family, deadline)
