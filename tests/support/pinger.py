"""Our pinger as a process: python -m tests.support.pinger '{"settings": {...}, "rounds": 1, "user": 65534}'

Prints "started", runs until every target has had its rounds, and prints JSON: mode,
rounds, what the page shows, and CPU seconds. With `user` it gives up all privilege after its imports.
"""

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

from exporter import logs
from exporter.probes.ping import Ping
from exporter.probes.pinger import Pinger
from exporter.probes.rounds import Target
from exporter.probes.wire import Wire
from exporter.settings.probes import PingSettings
from exporter.settings.values import Duration


def settings_of(plain: dict[str, Any]) -> PingSettings:
    """Return settings from plain values; durations in seconds."""
    return msgspec.convert(plain, PingSettings, dec_hook=lambda kind, value: Duration(value))


def watch(target: Target, rounds: list[dict[str, Any]], told: Callable[[], None]) -> None:
    """Note every round of a target."""
    plain = target.close_round

    def close_round(wall: float, *, stalled: bool) -> None:
        plain(wall, stalled=stalled)
        last = target.last
        if last is not None:
            rounds.append({"sent": last.sent, "received": last.received, "trips": last.round_trips})
        told()

    target.close_round = close_round  # type: ignore[method-assign]


async def ping(spec: dict[str, Any]) -> dict[str, Any]:
    settings = settings_of(spec["settings"])
    wire = Wire(settings.payload_bytes, settings.timeout)
    pinger = Pinger(settings, wire)
    rounds: dict[str, list[dict[str, Any]]] = {target.name: [] for target in pinger.targets}
    done = asyncio.Event()

    def look() -> None:
        if min(map(len, rounds.values())) >= spec.get("rounds", 1):
            done.set()

    for target in pinger.targets:
        watch(target, rounds[target.name], look)
    gc.collect()
    gc.freeze()
    cpu = time.process_time()
    pinger.start()
    print("started", flush=True)
    await done.wait()
    cpu = time.process_time() - cpu
    await asyncio.sleep(spec.get("linger", 0))
    wire.read()
    page = Ping(pinger).collect().decode()
    pinger.stop()
    return {"mode": page.partition('mode="')[2].partition('"')[0], "rounds": rounds, "page": page, "cpu": cpu}


def main() -> None:
    spec = json.loads(sys.argv[1])
    logs.setup("text", "info")
    if user := spec.get("user"):
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    print(json.dumps(asyncio.run(ping(spec))), flush=True)


if __name__ == "__main__":
    main()
