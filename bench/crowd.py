"""A crowd of processes, and what it costs to look at them: run as process 1 of a pid namespace of its own.

`python -m bench.crowd watch PROCESSES ACTIVE BLOCKS SCANS PEER FOLDER` tells on standard output, as JSON, the CPU
seconds per process and scan of each way to look, block by block; `python -m bench.crowd scan WAY` is our side of it.
When process 1 ends, the kernel ends the whole crowd with it.
"""

import contextlib
import ctypes
import gc
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from bench.failures import BenchError
from bench.processes import ADDRESS, Server
from exporter.collectors.process_groups import ProcessGroups
from exporter.processes.census import Census
from exporter.processes.procfs import clock_of
from exporter.settings.exporter import Paths
from exporter.settings.processes import GroupSettings, Match, ProcessGroupsSettings
from exporter.settings.values import Regex

OURS: Final = "groups"
OURS_TOP: Final = "top"
PEER: Final = "peer"

NAMES: Final = 40
"""So many names have the processes, and so many groups both sides; all but the first few have a name in turn."""

_PR_SET_NAME: Final = 15  # linux/prctl.h
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_WAKE: Final = signal.SIGUSR1
# between two scans, so that neither side finds the caches as warm as back to back
_PAUSE_SECONDS: Final = 0.1
# our first scans read everything of everybody, as the peer's first scrape does
_WARM_UP: Final = 2


class Crowd:
    """Processes that sleep; a context manager. Some of them run for a moment when told to."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._pids: list[int] = []
        self._turn = 0
        self._acks = os.pipe()

    def __enter__(self) -> "Crowd":
        signal.pthread_sigmask(signal.SIG_BLOCK, {_WAKE})
        gc.freeze()  # what children share with us stays shared
        for number in range(self.size):
            pid = os.fork()
            if pid == 0:
                _sleep_for_ever(f"worker-{number % NAMES}", self._acks[1])
            self._pids.append(pid)
        return self

    def __exit__(self, *_: object) -> None:
        for pid in self._pids:
            os.kill(pid, signal.SIGKILL)
        for pid in self._pids:
            os.waitpid(pid, 0)

    def wake(self, count: int) -> None:
        """Let `count` of them run for a moment, each time others; return when they have."""
        chosen = [self._pids[(self._turn + number) % self.size] for number in range(count)]
        self._turn += count
        for pid in chosen:
            os.kill(pid, _WAKE)
        left = count
        while left:
            left -= len(os.read(self._acks[0], left))


def _sleep_for_ever(name: str, acks: int) -> None:
    _LIBC.prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
    while True:
        signal.sigwait({_WAKE})
        os.write(acks, b".")


def settings_of(way: str) -> ProcessGroupsSettings:
    """Return our settings: a group per name, or none as by default."""
    if way == OURS_TOP:
        return ProcessGroupsSettings()
    names = [f"worker-{number}" for number in range(NAMES)]
    return ProcessGroupsSettings(groups=tuple(GroupSettings(name, Match(name=Regex(name))) for name in names))


def scan(way: str) -> None:
    """Scan, and make the rows, once for each line of standard input; answer each with the bytes of the rows."""
    census = Census(settings_of(way), Paths())
    last = [census.scan()]
    rows = ProcessGroups(lambda: last[0])
    for _ in sys.stdin:
        last[0] = census.scan()
        print(len(rows.collect()), flush=True)


class Ours:
    """Our scanner in a process of its own; a context manager."""

    def __init__(self, way: str) -> None:
        pipe = subprocess.PIPE
        command = [sys.executable, "-m", "bench.crowd", "scan", way]
        self._child = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self.pid = self._child.pid

    def __enter__(self) -> "Ours":
        return self

    def __exit__(self, *_: object) -> None:
        self._child.communicate()

    def look(self) -> None:
        """Let it scan once."""
        if self._child.stdin is None or self._child.stdout is None:
            raise BenchError("the scanner has no pipes")
        self._child.stdin.write("\n")
        self._child.stdin.flush()
        if int(self._child.stdout.readline()) <= 0:
            raise BenchError("the scanner has no rows")


class Peer:
    """process-exporter with one group per name; a context manager."""

    def __init__(self, command: str, folder: Path) -> None:
        config = folder / "process-exporter.yml"
        config.write_text("process_names:\n  - name: '{{.Comm}}'\n    cmdline: ['.+']\n")
        argv = [command, f"--config.path={config}", f"--web.listen-address={ADDRESS}"]
        self._server = Server("process-exporter", argv, folder / "process-exporter.log")

    def __enter__(self) -> "Peer":
        self._server.__enter__()
        self.pid = self._server.pid
        self._scraper = self._server.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self._scraper.close()
        self._server.stop()

    def look(self) -> None:
        """Let it scan once: at each scrape it does."""
        answer = self._scraper.scrape()
        text = gzip.decompress(answer.body) if answer.gzip else answer.body
        if b'num_procs{groupname="worker-1"}' not in text:
            raise BenchError(f"process-exporter shows no group per name: {text[:200]!r}")


def watch(crowd: Crowd, active: float, plan: tuple[int, int], peer: str, folder: Path) -> dict[str, list[float]]:
    """Return the CPU seconds per process and scan of each way to look; `plan` is blocks, and scans of a block.

    The ways take turns, block by block.
    """
    blocks, scans = plan
    with contextlib.ExitStack() as stack:
        ways: dict[str, Ours | Peer] = {way: stack.enter_context(Ours(way)) for way in (OURS, OURS_TOP)}
        ways[PEER] = stack.enter_context(Peer(peer, folder))
        for way in ways.values():
            _measure(crowd, active, _WARM_UP, way)
        rounds = [{name: _measure(crowd, active, scans, way) for name, way in ways.items()} for _ in range(blocks)]
        return {name: [figures[name] for figures in rounds] for name in ways}


def _measure(crowd: Crowd, active: float, scans: int, way: Ours | Peer) -> float:
    used = 0.0
    for _ in range(scans):
        crowd.wake(max(round(crowd.size * active), 1))
        time.sleep(_PAUSE_SECONDS)
        before = time.clock_gettime(clock_of(way.pid))
        way.look()
        used += time.clock_gettime(clock_of(way.pid)) - before
    processes = sum(name.isdigit() for name in os.listdir("/proc"))  # noqa: PTH208 -- names only
    return used / scans / processes


def main(arguments: list[str]) -> None:
    """Take one of the two parts; see the module."""
    if arguments[0] == "scan":
        scan(arguments[1])
        return
    size, active, blocks, scans, peer, folder = arguments[1:]
    with Crowd(int(size)) as crowd:
        print(json.dumps(watch(crowd, float(active), (int(blocks), int(scans)), peer, Path(folder))))


if __name__ == "__main__":
    main(sys.argv[1:])
