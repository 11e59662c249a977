"""The reader of a services API: `GET /servers` lists the addresses of instances, `GET /ADDRESS` tells of one.

    api = ServicesApi("api.internal:8080")
    poll = await api.poll(seconds=20)
    for instance in poll.instances: ...

Such a server often takes one request at a time and keeps five waiting: the number of requests at a time is small, each
has a connection of its own, and what is wrong with one instance costs that instance only.
"""

import asyncio
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from exporter.fleet.errors import FetchError, Kind
from exporter.fleet.fetch import Address, Answer, LookUp, get, look_up
from exporter.settings.services_api import ApiAddress, api_address
from exporter.settings.values import shown

__all__ = ["Broken", "FetchError", "Instance", "Kind", "Limits", "Poll", "ServicesApi", "parse_percent"]

MAX_LIST_BYTES: Final = 1024 * 1024
MAX_INSTANCE_BYTES: Final = 64 * 1024
MAX_SERVICE: Final = 200

_PERCENT: Final = re.compile(r"\s{0,20}([0-9]{1,3}(?:\.[0-9]{1,15})?)\s{0,20}%\s{0,20}", re.ASCII)


class Instance(NamedTuple):
    """One instance of a service."""

    ip: str
    service: str
    cpu_ratio: float
    """0 to 1, as is `memory_ratio`."""
    memory_ratio: float

    def is_healthy(self, cpu_threshold: float = 0.75, memory_threshold: float = 0.75) -> bool:
        """Whether both are below their thresholds."""
        return self.cpu_ratio < cpu_threshold and self.memory_ratio < memory_threshold


class Broken(NamedTuple):
    """An instance that is listed and of which nothing is known."""

    ip: str
    """As the API wrote it, cut to a line."""
    kind: Kind
    detail: str
    """For people: what was expected and what came."""


class Poll(NamedTuple):
    """All that one poll found, in the order of the list."""

    instances: tuple[Instance, ...]
    broken: tuple[Broken, ...]
    left_out: int = 0
    """Instances over the limit, which were not asked for."""
    ordered: "tuple[Instance | Broken, ...]" = ()
    """Both kinds, in the order of the list."""


class Limits(NamedTuple):
    """What a poll may take."""

    timeout: float = 5.0
    """Seconds for one request."""
    concurrency: int = 4
    """Requests at a time."""
    max_instances: int = 1000


class ServicesApi:
    """One services API; all its methods run on the loop that calls them."""

    def __init__(self, base: str, limits: Limits = Limits(), look_up: LookUp = look_up) -> None:  # noqa: B008 -- frozen
        """Take HOST:PORT or http://HOST:PORT/PATH as the base. Raises ValueError for what is neither."""
        self._at = api_address(base)
        self._limits = limits
        self._look_up = look_up
        self._host = _host_header(self._at)

    async def poll(
        self,
        seconds: float,
        skip: Callable[[str], bool] = lambda _ip: False,
        progress: Callable[[int, int], None] = lambda _done, _of: None,
    ) -> Poll:
        """Return all instances, within so many seconds: those not reached by then are broken (out_of_time).

        Those that `skip` names are left alone. `progress` is told how many are there, and of how many.
        Raises FetchError when there is no list.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        address, listed = await self._list(deadline)
        taken = listed[: self._limits.max_instances]
        asked = [ip for ip in taken if not skip(ip)]
        found: dict[str, Instance | Broken] = {}
        waiting = iter(asked)

        async def work() -> None:
            for ip in waiting:
                found[ip] = await self._ask(address, ip)
                progress(len(found), len(asked))

        workers = [loop.create_task(work()) for _ in range(min(self._limits.concurrency, len(asked)))]
        try:
            await _all_done(workers, deadline)
        finally:
            for worker in workers:
                worker.cancel()
        late = "the poll ended before it was answered"
        every = [found.get(ip) or Broken(_shown_ip(ip), Kind.OUT_OF_TIME, late) for ip in asked]
        return Poll(
            tuple(one for one in every if isinstance(one, Instance)),
            tuple(one for one in every if isinstance(one, Broken)),
            len(listed) - len(taken),
            tuple(every),
        )

    async def _list(self, deadline: float) -> tuple[Address, list[str]]:
        """Return the first of the server's addresses that answers, and the list. Raises FetchError."""
        loop = asyncio.get_running_loop()
        until = min(deadline, loop.time() + self._limits.timeout)
        failure = FetchError(Kind.NO_SUCH_NAME, f"{self._at.host}: no address")
        for address in await self._look_up(self._at.host, self._at.port, until):
            left = min(self._limits.timeout, deadline - loop.time())
            try:
                answer = await get(address, self._host, f"{self._at.path}/servers", left, MAX_LIST_BYTES)
                return address, _parse_list(answer)
            except FetchError as err:
                # what tells most: why the first one failed of those that could be asked at all
                if not failure.kind.was_asked or failure.kind is Kind.NO_SUCH_NAME:
                    failure = err
        raise failure

    async def _ask(self, address: Address, ip: str) -> Instance | Broken:
        if not _is_ip(ip):
            return Broken(_shown_ip(ip), Kind.BAD_VALUE, "no IP address")
        try:
            target = f"{self._at.path}/{ip}"
            return parse_instance(ip, await get(address, self._host, target, self._limits.timeout, MAX_INSTANCE_BYTES))
        except FetchError as err:
            return Broken(ip, err.kind, err.detail)


async def _all_done(workers: "Sequence[asyncio.Task[None]]", deadline: float) -> None:
    """Wait for all, no longer than until a moment of the loop's clock. Raises what one of them raised."""
    if not workers:
        return
    timeout = deadline - asyncio.get_running_loop().time()
    done, _ = await asyncio.wait(workers, timeout=timeout, return_when=asyncio.FIRST_EXCEPTION)
    for worker in done:
        worker.result()


def _host_header(at: ApiAddress) -> str:
    return f"[{at.host}]:{at.port}" if ":" in at.host else f"{at.host}:{at.port}"


def _is_ip(text: str) -> bool:
    """Whether a text is an address and nothing else: it becomes part of a request and a label."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
        except (OSError, ValueError):
            continue
        return True
    return False


def _shown_ip(ip: str) -> str:
    return ip if _is_ip(ip) else shown(ip)


def _decode(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise FetchError(Kind.BAD_JSON, f"no JSON: {err}, got {shown(body[:100])}") from err


def _parse_list(answer: Answer) -> list[str]:
    """Return the listed addresses, each once. Raises FetchError for what is no list of texts."""
    if answer.status != 200:
        raise FetchError(Kind.BAD_STATUS, f"expected status 200, got {answer.status}")
    entries = _decode(answer.body)
    if not isinstance(entries, list):
        raise FetchError(Kind.BAD_VALUE, f"expected a list of addresses, got {shown(entries)}")
    return list(dict.fromkeys(_texts(entries)))


def _texts(entries: Sequence[object]) -> Iterator[str]:
    """Yield entries as text; what is none becomes one that is no address, and costs itself only."""
    for entry in entries:
        yield entry if isinstance(entry, str) else shown(entry)


def parse_instance(ip: str, answer: Answer) -> Instance:
    """Return what an answer tells of an instance; fields that are not ours may stand beside. Raises FetchError."""
    if answer.status != 200:
        raise _refusal(answer)
    fields = _decode(answer.body)
    if not isinstance(fields, dict):
        raise FetchError(Kind.BAD_VALUE, f"expected an object, got {shown(fields)}")
    for name in ("service", "cpu", "memory"):
        if name not in fields:
            raise FetchError(Kind.MISSING_FIELD, f"expected the field {name!r}")
    service = fields["service"]
    if not isinstance(service, str) or not service.strip() or len(service) > MAX_SERVICE:
        raise FetchError(Kind.BAD_VALUE, f"service: expected a name, got {shown(service)}")
    return Instance(ip, service.strip(), _ratio("cpu", fields["cpu"]), _ratio("memory", fields["memory"]))


def _refusal(answer: Answer) -> FetchError:
    """Return what a status other than 200 means: with an object that says `error` the API does not know the address."""
    try:
        fields = _decode(answer.body)
    except FetchError:
        fields = None
    if answer.status in (400, 404) and isinstance(fields, dict) and isinstance(fields.get("error"), str):
        return FetchError(Kind.GONE, f"listed, and a moment later: {shown(fields['error'])}")
    return FetchError(Kind.BAD_STATUS, f"expected status 200, got {answer.status}")


def _ratio(name: str, value: object) -> float:
    try:
        return parse_percent(value)
    except ValueError as err:
        raise FetchError(Kind.BAD_VALUE, f"{name}: {err}") from err


def parse_percent(value: object) -> float:
    """Return the ratio, 0 to 1, that a text such as `61%` or ` 61 % ` means. Raises ValueError for anything else."""
    found = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if found is None or float(found[1]) > 100:
        raise ValueError(f"expected 0% to 100%, got {shown(value)}")
    # digits are put one place behind another, not divided: 0.57 is what 57 % reads as, 57 / 100 may be another number
    return float(f"{found[1]}e-2")
