"""What it costs to watch without being asked: history, scans of 500 processes, 20 probes at 15 s."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.access import HOST
from bench.measure import Step
from bench.peers import OURS_WATCHING, Sides
from bench.plan import Plan
from bench.servers import start
from bench.summary import Record
from stack.leash import leash

PROCESSES: Final = 500
"""On the whole machine."""
CHECKS: Final = 8
"""Of each kind, http and tcp; beside them as many pings as make it 20."""
PINGED: Final = ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4")


def settings(port: int) -> str:
    """Return a settings file with probes that ask a server of this machine at this port."""
    http = [f"    - {{name: web-{n}, url: 'http://{HOST}:{port}/-/healthy'}}" for n in range(CHECKS)]
    tcp = [f"    - {{name: port-{n}, address: '{HOST}:{port}'}}" for n in range(CHECKS)]
    return "\n".join(["probes:", f"  ping: {{targets: [{', '.join(PINGED)}]}}", "  http:", *http, "  tcp:", *tcp, ""])


def measure_watching(sides: Sides, folder: Path, plan: Plan, record: Record, step: Step) -> None:
    """Leave ours alone with all that it does by itself: CPU per second. Raises BenchError when it does not start."""
    with contextlib.ExitStack() as stack:
        asked = start(stack, sides.quiet(), folder)
        stack.enter_context(sleepers(PROCESSES))
        target = start(stack, sides.watching(settings(asked.server.port)), folder)
        time.sleep(plan.settle_seconds)
        for _ in range(plan.idle_blocks):
            step("watching")
            begin, cpu = time.monotonic(), target.server.cpu_seconds()
            time.sleep(plan.idle_seconds)
            used = target.server.cpu_seconds() - cpu
            record.add(OURS_WATCHING, "watching_cpu", used / (time.monotonic() - begin))


@contextlib.contextmanager
def sleepers(wanted: int) -> Iterator[None]:
    """Fill the machine up to so many processes."""
    there = sum(name.isdigit() for name in os.listdir("/proc"))  # noqa: PTH208 -- names only
    made: list[subprocess.Popen[bytes]] = []
    try:
        more = range(wanted - there)
        made.extend(subprocess.Popen(["sleep", "infinity"], preexec_fn=leash()) for _ in more)  # noqa: PLW1509 -- one thread
        yield
    finally:
        for process in made:
            process.kill()
        for process in made:
            process.wait()
