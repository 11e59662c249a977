"""Connections to a target, plain or in TLS, on the running loop.

The loop's own streams know no TLS here: asyncio is imported without ssl (docs/decisions/0001), and they tell neither
how long a handshake took nor, when it fails, what certificate was shown.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from exporter.probes.attempt import AttemptError, Outcome, Reason, reason_of
from exporter.probes.resolver import Address, resolve
from exporter.probes.stopwatch import Stopwatch
from exporter.settings.targets import Family, TlsOptions

if TYPE_CHECKING:
    from exporter.probes.secure import Secure

CHUNK: Final = 65536

_FAMILIES: Final[dict[Family, int]] = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
_FIRST: Final[dict[Family, int]] = {"ipv4_first": socket.AF_INET, "ipv6_first": socket.AF_INET6}

T = TypeVar("T")


class Stream:
    """A connection. Reads and writes end when the task is cancelled; `close` is always called."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._loop = asyncio.get_running_loop()
        self._secure: Secure | None = None

    async def send(self, data: bytes) -> None:
        """Send all of the data. Raises OSError, AttemptError for TLS."""
        if self._secure is not None:
            data = self._secure.encrypt(data)
        await self._loop.sock_sendall(self._socket, data)

    async def receive(self) -> bytes:
        """Return the next bytes, at most 64 KiB; none at the end. Raises OSError, AttemptError for TLS."""
        if self._secure is None:
            return await self._loop.sock_recv(self._socket, CHUNK)
        while (data := self._secure.decrypt()) is None:
            self._secure.feed(await self._loop.sock_recv(self._socket, CHUNK))
        return data

    async def start_tls(self, secure: "Secure") -> None:
        """Do the handshake. Raises OSError; AttemptError with the reason why it failed."""
        try:
            while not secure.shake_hands():
                await self._loop.sock_sendall(self._socket, secure.outgoing())
                secure.feed(await self._loop.sock_recv(self._socket, CHUNK))
            await self._loop.sock_sendall(self._socket, secure.outgoing())
        except AttemptError:
            self._say_last(secure.outgoing())
            raise
        self._secure = secure

    def _say_last(self, data: bytes) -> None:
        """Tell the peer why, if there is room for it at once: nobody waits for that."""
        try:
            self._socket.send(data)
        except OSError:
            return

    def close(self) -> None:
        """Close the connection; in TLS with a word of farewell, if there is room for it."""
        if self._secure is not None:
            self._say_last(self._secure.farewell())
        self._socket.close()


async def connect(host: str, port: int, family: Family, watch: Stopwatch, deadline: float) -> Stream:
    """Return a connection to the first of a name's addresses that takes one. Raises AttemptError when none does."""

    async def attempt(address: Address) -> Stream:
        return Stream(await _connect(address, socket.SOCK_STREAM))

    addresses = await look_up(host, port, family, watch, deadline)
    watch.enter("connect")
    return await first_of(addresses, attempt, deadline)


async def handshake(stream: Stream, options: TlsOptions, host: str, watch: Stopwatch) -> None:
    """Go on in TLS, and note what certificates were shown, good or not. Raises OSError, AttemptError."""
    from exporter.probes.secure import Secure  # noqa: PLC0415 -- OpenSSL takes 4 MB

    watch.enter("tls")
    secure = Secure(options, host)
    try:
        await stream.start_tls(secure)
    finally:
        seen, before = secure.certificates(), watch.certificates
        if seen is not None and (before is None or seen.not_after < before.not_after):
            watch.certificates = seen


async def look_up(host: str, port: int, family: Family, watch: Stopwatch, deadline: float) -> list[Address]:
    """Return the addresses to ask, in their order. Raises AttemptError."""
    watch.enter("resolve")
    addresses = await resolve(host, port, _FAMILIES.get(family, socket.AF_UNSPEC), deadline)
    if family in _FIRST:
        addresses.sort(key=lambda address: address.family != _FIRST[family])
    return addresses


async def connect_datagram(address: Address) -> Stream:
    """Return a UDP socket that hears this address only. Raises OSError."""
    return Stream(await _connect(address, socket.SOCK_DGRAM))


async def first_of(addresses: Sequence[Address], attempt: Callable[[Address], Awaitable[T]], deadline: float) -> T:
    """Return what the first address gives that does not fail. Each gets its share of the time that is left.

    Raises the AttemptError that tells most: why the first one of those failed that could be asked at all.
    """
    loop = asyncio.get_running_loop()
    failures: list[AttemptError] = []
    for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
        # the last has all the rest, and ends with the attempt itself
        share = None if left == 1 else loop.time() + (deadline - loop.time()) / left
        try:
            async with asyncio.timeout_at(share):
                return await attempt(address)
        except AttemptError as err:
            failures.append(err)
        except TimeoutError as err:
            failures.append(AttemptError(Reason.TIMEOUT, f"{_shown(address)}: {err.strerror or 'no answer in time'}"))
        except OSError as err:
            failures.append(AttemptError(reason_of(err), f"{_shown(address)}: {err.strerror or err}"))
    asked = [failure for failure in failures if failure.reason.outcome is Outcome.FAILED]
    raise (asked or failures or [AttemptError(Reason.NO_SUCH_NAME, "no address")])[0]


async def _connect(address: Address, kind: int) -> socket.socket:
    """Return a connected socket. Raises OSError. The loop's own way hands addresses with a scope to an executor."""
    made = socket.socket(address.family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        error = made.connect_ex(address.sockaddr)
        if error == errno.EINPROGRESS:
            await _writable(made)
            error = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))  # noqa: TRY301 -- it is here that the socket is closed
    except BaseException:
        made.close()
        raise
    return made


async def _writable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_writer(sock, _set, ready)
    try:
        await ready
    finally:
        loop.remove_writer(sock)


def _set(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


def _shown(address: Address) -> str:
    host, port = address.sockaddr[:2]
    return f"[{host}]:{port}" if address.family == socket.AF_INET6 else f"{host}:{port}"
