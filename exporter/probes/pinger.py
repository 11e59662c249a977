"""Rounds of echo requests to many hosts, on the running event loop.

Packets of different targets are spread over the time from one packet of a round to the next, a few at a time: to wake
this process up costs more than to send ten packets.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Final

from exporter.logs import Log
from exporter.probes.attempt import Reason
from exporter.probes.check import random_share
from exporter.probes.icmp import Mode
from exporter.probes.resolver import Address, ResolveError, resolve
from exporter.probes.rounds import Target
from exporter.probes.wire import Packet, Wire
from exporter.settings.probes import PingSettings

log = Log(__name__)

# how late a packet may be and the next one keep its time all the same
_SLACK: Final = 0.25
# how many packets go together at most: 25 are 2.5 kB, and each group of them wakes this process up
_TOGETHER: Final = 25
# a timer this late means that this process was stopped, or the whole machine: what got lost then, nobody knows
_STALL: Final = 1.0
# what an answer that is on its way gets at least, after the last packet, before anybody looks
_SOON: Final = 0.1

LookUp = Callable[[str, int | None, int, float], Coroutine[None, None, list[Address]]]


class Pinger:
    """Pings all targets, round by round, on the running loop."""

    def __init__(
        self,
        settings: PingSettings,
        wire: Wire,
        look_up: LookUp = resolve,
        wall: Callable[[], float] = time.time,
        share: Callable[[], float] = random_share,
    ) -> None:
        self._settings = settings
        self._wire = wire
        self._look_up = look_up
        self._wall = wall
        self._share = share
        self.targets = tuple(Target(target) for target in settings.hosts)
        self._tasks: set[asyncio.Task[None]] = set()
        self._look_ups: dict[Target, asyncio.Task[None]] = {}

    @property
    def mode(self) -> Mode:
        """The kind of socket that works."""
        return self._wire.mode

    @property
    def ignored(self) -> Mapping[str, int]:
        """Answers that counted for nothing, by why."""
        return self._wire.ignored

    def start(self) -> None:
        """Begin at random, the first round within one packet interval."""
        self._wire.open(socket.AF_INET)
        for target in self.targets:
            self._find(target)
        now = asyncio.get_running_loop().time()
        within = min(self._settings.packet_interval, self._settings.interval)
        first = self._share() * within
        for phase, targets in spread(self.targets, within):
            self._keep(self._run(targets, now + (first + phase) % within))

    def _keep(self, coroutine: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def stop(self) -> None:
        """End; what is under way counts for nothing."""
        for task in self._tasks:
            task.cancel()
        self._wire.close()

    async def _run(self, targets: Sequence[Target], begin: float) -> None:
        loop = asyncio.get_running_loop()
        broken = False
        while True:
            await _sleep_until(begin)
            try:
                await self._round(targets)
                broken = False
            except Exception as err:  # noqa: BLE001 -- the boundary of a round: the next one tries again
                if not broken:
                    log.error("ping broke", exc=err)
                broken = True
            # what was missed, as while this process was stopped, is not made up for
            missed = max(loop.time() - begin, 0.0) // self._settings.interval
            begin += (missed + 1) * self._settings.interval

    async def _round(self, targets: Sequence[Target]) -> None:
        loop = asyncio.get_running_loop()
        asleep = _suspended()
        stalled = False
        next_at = loop.time()
        for target in targets:
            self._find(target)
        for turn in range(self._settings.count):
            if turn:
                stalled |= await _sleep_until(next_at)
            next_at = max(next_at, loop.time() - _SLACK) + self._settings.packet_interval
            self._wire.read()
            for target in targets:
                if target.address is not None:
                    target.packets.append(self._wire.send(target.address))
        stalled |= await self._await_answers([packet for target in targets for packet in target.packets])
        stalled |= _suspended() - asleep > _STALL
        wall = self._wall()
        for target in targets:
            target.close_round(wall, stalled=stalled)

    async def _await_answers(self, packets: Sequence[Packet]) -> bool:
        """Wait until all are answered, or for the time-out; return whether this process was stopped meanwhile."""
        begin = asyncio.get_running_loop().time()
        timeout = self._settings.timeout
        trips = [packet.round_trip / 1e9 for packet in packets if packet.round_trip is not None]
        soon = min(max(2 * max(trips, default=0.0), _SOON), timeout)
        stalled = False
        # where an earlier packet got no answer, this look would be in vain
        if soon < timeout and (self._settings.count == 1 or trips):
            stalled = await _sleep_until(begin + soon)
            self._wire.read()
        if not all(map(_is_settled, packets)):
            stalled |= await _sleep_until(begin + timeout)
            self._wire.read()
        return stalled

    def _find(self, target: Target) -> None:
        """Look its name up beside the round: what comes of it counts from the next packet on."""
        if target.needs_address and target not in self._look_ups:
            task = self._look_ups[target] = self._keep(self._resolve(target))
            task.add_done_callback(lambda _: self._look_ups.pop(target))

    async def _resolve(self, target: Target) -> None:
        loop = asyncio.get_running_loop()
        try:
            found = await self._look_up(target.host, None, target.family, loop.time() + self._settings.interval)
            target.settle(found, loop.time())
        except ResolveError as err:
            target.unsettle(err.reason, loop.time())
        except Exception as err:  # noqa: BLE001 -- the boundary of a look-up: the next round asks again
            log.error("look-up broke", exc=err, target=target.name)
            target.unsettle(Reason.INTERNAL_ERROR, loop.time())


def _is_settled(packet: Packet) -> bool:
    return packet.answered or packet.reason is not None


async def _sleep_until(moment: float) -> bool:
    """Sleep until a moment of the loop's clock; return whether it was overslept as only who was stopped does."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(moment - loop.time())
    return loop.time() - moment > _STALL


def _suspended() -> float:
    """Return the seconds that the machine has slept since boot: the monotonic clock stands still meanwhile."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()


def spread(targets: Sequence[Target], seconds: float) -> list[tuple[float, Sequence[Target]]]:
    """Return the targets in small groups, each with its own moment within the given time."""
    groups = max(-(-len(targets) // _TOGETHER), 1)
    return [(seconds * group / groups, targets[group::groups]) for group in range(groups)]
