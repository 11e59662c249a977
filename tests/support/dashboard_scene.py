"""An exporter with an hour behind it, for pictures and browsers: `python -m tests.support.dashboard_scene CONFIG`.

The hour is made up (a backup a quarter of an hour ago, a resolver that loses packets), and what comes after it goes on
with it; what the kernel tells is that of a recorded machine. All else is the exporter's own.
"""

import asyncio
import json
import math
import random
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from exporter import daemon, logs
from exporter.collectors.containers import ContainerUse
from exporter.history import CpuTime, FileSystemUse, History, Key, Reading
from exporter.processes import ProcessUse
from exporter.settings import load
from exporter.settings.exporter import Exporter
from tests.support.exporter import Child
from tests.support.fake_engine import FakeContainer, FakeEngine
from tests.support.web_server import WebServer

CORES = 4
HOST = Path(__file__).parents[1] / "fixtures/hosts/debian12-vm-6.18"
HOSTILE = "<img src=x onerror=alert(1)>"
_BURST = (900.0, 1400.0)
"""Seconds ago, from and to, in which a backup ran."""


def fill(history: History, cores: int = CORES, seed: int = 7) -> None:
    """Put an hour into a history that is empty."""
    chance = random.Random(seed)
    boot = history.since_boot(history.now())
    for back in range(3595, 5, -int(history.interval)):
        history.past.add(boot - back, _values(back, cores, chance))
        if back % 10 == 0:
            history.tops.add_processes(back, _processes(back, chance))
            history.tops.add_containers(back, _containers(back))


def _values(back: float, cores: int, chance: random.Random) -> dict[Key, float]:
    burst = _BURST[0] < back < _BURST[1]
    wave = 0.16 + 0.08 * math.sin(back / 300) + 0.04 * chance.random()
    used = [
        min(wave * (0.6 + 0.3 * core) + (0.62 if burst else 0) + 0.06 * chance.random(), 1) for core in range(cores)
    ]
    values: dict[Key, float] = {("core", str(core)): value for core, value in enumerate(used)}
    values["cpu",] = sum(used) / cores
    values["memory",] = 0.48 + 0.05 * math.sin(back / 900) + (0.13 if burst else 0)
    values["swap",] = 0.02 + (0.03 if back < _BURST[0] else 0)
    values["filesystem", "/"] = 0.68 + 0.02 * (1 - back / 3600)
    values["receive", "eth0"] = 2.1e6 + 9e5 * math.sin(back / 200) + 3e5 * chance.random()
    values["transmit", "eth0"] = 8e5 + 2e5 * chance.random() + (2.6e7 if burst else 0)
    values["read", "nvme0n1"] = 4e5 * chance.random() + (6.4e7 if burst else 0)
    values["written", "nvme0n1"] = 1.6e6 + 9e5 * chance.random()
    for target, middle in (("gateway", 0.0008), ("resolver-a", 0.0112), ("resolver-b", 0.0176)):
        values["latency", target] = middle * (1 + 0.3 * chance.random() + (1.4 if burst else 0))
        values["loss", target] = 0.2 if target == "resolver-b" and burst and chance.random() < 0.4 else 0.0
    values["service", "http", "shop"] = 0.0 if burst else 1.0
    return values


class Going:
    """What the sampler reads from then on: the same machine, calm."""

    def __init__(self, sysfs: Path) -> None:
        self.history: History
        self._sysfs = sysfs
        self._chance = random.Random(3)
        self._cpu = [0.0] * CORES
        self._began = time.monotonic() - 1

    def __call__(self) -> dict[Key, float]:
        """Return the values of this moment, and keep a list of processes."""
        self.history.tops.add_processes(0, _processes(0, self._chance))
        for name, cores, memory in (("db", 0.31, 1460 << 20), ("web", 0.24, 640 << 20), ("cache", 0.015, 74 << 20)):
            _use(self._sysfs, name, cores, memory)
        return _values(0, CORES, self._chance)

    def read(self) -> Reading:
        """Return what the kernel would tell."""
        passed = time.monotonic() - self._began
        now = _values(0, CORES, self._chance)
        for core in range(CORES):
            self._cpu[core] = max(self._cpu[core], passed * now["core", str(core)])
        cpu = tuple(CpuTime(busy, passed) for busy in self._cpu)
        disk = FileSystemUse("/dev/vda", "ext4", "/", now["filesystem", "/"])
        return Reading(cpu, now["memory",], now["swap",], (disk,), tuple(str(core) for core in range(CORES)))


def _tree(folder: Path) -> Path:
    """Copy a recorded machine, with memory and swap that fit the hour."""
    shutil.copytree(HOST, folder)
    info = folder / "proc/meminfo"
    text = info.read_text()
    total = 16 * 1024 * 1024
    for key, value in {
        "MemTotal": total,
        "MemAvailable": int(total * 0.51),
        "SwapTotal": total // 8,
        "SwapFree": total // 8 * 95 // 100,
    }.items():
        text = re.sub(rf"^{key}: +\d+", f"{key}: {value}", text, flags=re.MULTILINE)
    info.write_text(text)
    return folder


def _processes(back: float, chance: random.Random) -> Iterator[ProcessUse]:
    burst = _BURST[0] < back < _BURST[1]
    if burst:
        yield ProcessUse("restic", 1, 2.31 + 0.2 * chance.random(), 912 << 20, 6.1e7, 2.2e4)
    yield ProcessUse("postgres", 14, 0.31 + 0.05 * chance.random(), 1460 << 20, 2.4e5, 1.1e6)
    yield ProcessUse("node", 3, 0.22 + 0.05 * chance.random(), 640 << 20, 0.0, 4.1e4)
    yield ProcessUse(HOSTILE, 1, 0.08, 22 << 20, 0.0, 0.0)
    yield ProcessUse("nginx", 5, 0.05 + 0.02 * chance.random(), 96 << 20, 1.2e3, 8.8e4)
    yield ProcessUse("dockerd", 1, 0.021, 118 << 20, 0.0, 9.2e2)
    yield ProcessUse("redis-server", 1, 0.014, 74 << 20, 0.0, 3.1e3)
    yield ProcessUse("systemd-journald", 1, 0.006, 41 << 20, 0.0, 6.3e3)
    yield ProcessUse("sshd", 3, 0.001, 18 << 20, None, None)


def _containers(back: float) -> list[ContainerUse]:
    seconds = 4000 - back
    busy = 0.3 * seconds
    return [
        ContainerUse("db", "registry:5000/shop/postgres", "running", busy, 1460 << 20),
        ContainerUse("web", "registry:5000/shop/web", "running", busy / 2, 640 << 20),
        ContainerUse("cache", "registry:5000/shop/redis", "running", busy / 20, 74 << 20),
    ]


def containers() -> list[FakeContainer]:
    """Return the containers of the engine beside it: some run, some do not."""
    shop = "registry:5000/shop"
    hours = {"started": _text(time.time() - 19_000)}
    return [
        FakeContainer("db", f"{shop}/postgres:16.4", health="healthy", **hours),
        FakeContainer("web", f"{shop}/web:2.19.0", health="unhealthy", restarts=3, **hours),
        FakeContainer("cache", f"{shop}/redis:7.4", **hours),
        FakeContainer("migrate", f"{shop}/web:2.19.0", "exited", exit_code=1, finished=_text(time.time() - 700)),
        FakeContainer("worker", f"{shop}/worker:2.19.0", "restarting", restarts=41),
    ]


def _use(sysfs: Path, name: str, cores: float, memory: int) -> None:
    """Put a container's control group (version 2) below a /sys of our own, by the clock."""
    own = sysfs / f"fs/cgroup/docker/{FakeContainer(name).id}"
    if not own.exists():
        own.mkdir(parents=True)
        (sysfs / "fs/cgroup/cgroup.controllers").write_text("cpu memory\n")
        (own / "memory.current").write_text(f"{memory}\n")
        (own / "memory.stat").write_text("inactive_file 0\n")
    used = int(cores * time.monotonic() * 1e6)
    (own / "cpu.stat").write_text(f"user_usec {used:020}\nsystem_usec 0\n")  # in place: it stays open


def _text(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def alerts() -> list[dict[str, Any]]:
    """Return what its Prometheus says, with an address that no page must make a link of."""
    return [
        {
            "labels": {"alertname": "ServiceDown", "severity": "critical", "instance": "localhost", "check": "shop"},
            "annotations": {
                "summary": "Check shop (http) has been failing for 2 minutes.",
                "runbook_url": "https://runbooks.example.com/ServiceDown",
            },
            "state": "firing",
            "activeAt": _text(time.time() - 130),
        },
        {
            "labels": {"alertname": "HostDiskFillsIn24Hours", "severity": "warning", "instance": "localhost"},
            "annotations": {"summary": "/ is full in 19 hours if it goes on like this.", "runbook_url": "javascript:0"},
            "state": "pending",
            "activeAt": _text(time.time() - 1500),
        },
        {"labels": {"alertname": "Watchdog", "severity": "none"}, "state": "firing", "activeAt": _text(0)},
    ]


class _Shop(BaseHTTPRequestHandler):
    """A Prometheus whose alerts are these, and a shop that is broken."""

    def do_GET(self) -> None:
        is_known = self.path == "/api/v1/alerts"
        told = {"status": "success", "data": {"alerts": alerts()}}
        body = json.dumps(told).encode() if is_known else b"out of order"
        self.send_response(200 if is_known else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class' name
        """Say nothing."""


@contextmanager
def scene(folder: Path, more: str = "", cores: int = CORES) -> Iterator[Child]:
    """Run it, with an engine, a Prometheus and a service beside it; `more` is YAML at the end of its settings.

    `cores` is how many the machine had in the hour before.
    """
    socket, config = folder / "docker.sock", folder / "exporter.yml"
    tree = _tree(folder / "machine")
    with WebServer(_Shop) as server, FakeEngine(socket, containers()):
        config.write_text(_settings(tree, socket, server.url) + more)
        child = Child([sys.executable, "-m", "tests.support.dashboard_scene", str(config), str(cores)])
        try:
            yield child
        finally:
            child.end()


def _settings(tree: Path, socket: Path, url: str) -> str:
    return (
        "listen: 127.0.0.1:0\n"
        f"paths: {{procfs: {tree}/proc, sysfs: {tree}/sys}}\n"
        f"collectors: {{process_groups: {{enabled: false}}, containers: {{socket: {socket}}}}}\n"
        f"dashboard: {{prometheus_url: '{url}'}}\n"
        f"probes: {{ping: {{targets: []}}, http: [{{name: shop, url: '{url}/', interval: 2s, timeout: 2s}}, "
        f"{{name: prometheus, url: '{url}/api/v1/alerts', interval: 2s, timeout: 2s}}]}}\n"
    )


def main(config: Path, cores: int) -> None:
    """Run the exporter until it is told to end."""
    settings = load(config, Exporter)
    logs.setup(settings.log.format, settings.log.level)

    going = Going(Path(settings.paths.sysfs))
    daemon._reader = lambda *_: going.read  # type: ignore[assignment]
    daemon._rates = lambda *_: (going,)  # type: ignore[assignment]

    async def serve() -> None:
        made = daemon.Daemon(settings, config, {})
        going.history = made._machine.history
        fill(made._machine.history, cores)
        await made.run()

    asyncio.run(serve())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
