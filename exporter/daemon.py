"""Wires the exporter: settings in, running daemon out."""

import asyncio
import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from exporter import __version__, collectors, logs
from exporter.collector import Collector
from exporter.collectors import Parts
from exporter.collectors.cardinality import Budget, count_series, explain
from exporter.collectors.containers import ContainerStates
from exporter.collectors.exporter import SettingsState
from exporter.collectors.kernel_usage import KernelUsage
from exporter.collectors.runner import FAMILIES, Runner
from exporter.history import History, Reading, Recorder, Sampler
from exporter.kernel import KernelFiles
from exporter.probes import Parts as ProbeParts
from exporter.probes import Probes
from exporter.processes import Scanner
from exporter.server.http import Handler, Routes
from exporter.server.listener import Server
from exporter.settings import SettingsError, load, override, parse_address
from exporter.settings.exporter import Exporter
from exporter.web import pages
from exporter.web.api import PREFIX, Api, Sources
from exporter.web.metrics import Metrics

if TYPE_CHECKING:
    from exporter.server.locks import Locks

log = logs.Log(__name__)

# SIGTERM to end takes at most this long for answers under way; a hung collector's thread is not waited for
STOP_SECONDS: Final = 1.0
# malloc.h
_M_ARENA_MAX: Final = -8
# a check is first tried within 15 s, and takes 5 s at most as a rule
WARM_UP_SECONDS: Final = 20.0


class Machine:
    """What reads this machine, for one version of the settings: collectors, scanner, probes and sampler."""

    def __init__(
        self,
        settings: Exporter,
        state: SettingsState,
        few_clients: Callable[[], bool] = lambda: False,
        files: KernelFiles | None = None,
        history: History | None = None,
    ) -> None:
        """Make them; a `history` of the same interval is gone on with."""
        files = _kernel_files(settings) if files is None else files
        if history is None or history.interval != settings.sampler.interval:
            history = History(settings.sampler.interval)
        self.history = history
        self.scanner = _scanner(settings)
        scanner = self.scanner
        last_scan = (lambda: None) if scanner is None else (lambda: scanner.last)
        budget = Budget(settings.scrape.series_per_family)
        made = collectors.make(
            Parts(files, settings.collectors, history, state, settings.paths, budget.dropped, last_scan)
        )
        self.probes = Probes(settings.probes, ProbeParts() if scanner is None else ProbeParts(scanner.count))
        self.collectors: Sequence[Collector] = (*made, *self.probes.collectors)
        self.runner = Runner(self.collectors, files, settings.scrape.collector_timeout, budget=budget)
        self.sampler: Sampler | None = None
        if settings.collectors.usage.enabled:
            containers = next((one for one in made if isinstance(one, ContainerStates)), None)
            sources = (self.probes.readings, Recorder(history.tops, last_scan, containers))
            self.sampler = Sampler(history, settings.sampler.interval, _reader(files, settings), sources)
        api = Api(Sources(history, is_sampled=self.sampler is not None))
        self.routes = _routes(self.runner, settings, few_clients, api)
        self._files = files

    def start(self) -> None:
        """Start the threads and, on the running loop, the probes."""
        for thread in (self.sampler, self.scanner):
            if thread is not None:
                thread.start()
        self.probes.start()

    def stop(self) -> None:
        """Let the threads and the probes end and close the kernel's files."""
        for thread in (self.sampler, self.scanner):
            if thread is not None:
                thread.stop()
        self.probes.stop()
        self.runner.close()
        self._files.close()


def _scanner(settings: Exporter, platform: str = sys.platform) -> Scanner | None:
    """Return what looks at all processes, where anybody asks for that and this system has them below /proc."""
    checks = settings.probes.process
    if platform != "linux" or not (settings.collectors.process_groups.enabled or checks):
        return None
    return Scanner(settings.collectors.process_groups, settings.paths, [check.match for check in checks])


def _routes(runner: Runner, settings: Exporter, few_clients: Callable[[], bool], api: Handler) -> Handler:
    landing = pages.landing(runner.names)
    return Routes(
        {
            "/": lambda _, reply: reply(landing),
            "/metrics": Metrics(runner, settings.scrape.timeout_offset, few_clients),
            "/-/healthy": pages.healthy,
            "/-/ready": pages.ready,
        },
        {PREFIX: api},
    )


def _kernel_files(settings: Exporter) -> KernelFiles:
    return KernelFiles(Path(settings.paths.procfs), Path(settings.paths.sysfs))


def _reader(files: KernelFiles, settings: Exporter, platform: str = sys.platform) -> Callable[[], Reading]:
    """Return what reads a sample on this system."""
    if platform == "linux":
        return KernelUsage(files, settings.collectors.filesystem, Path(settings.paths.rootfs))
    from exporter.portable import read_usage  # noqa: PLC0415 -- psutil only where it is needed

    return read_usage


class Daemon:
    """The running exporter: reloads on SIGHUP, ends on SIGTERM and SIGINT."""

    def __init__(
        self, settings: Exporter, config: Path | None, overrides: Mapping[str, object], locks: "Locks | None" = None
    ) -> None:
        self._config = config
        self._overrides = overrides
        self._locks = locks
        self._state = SettingsState(time.time(), locks)
        self._settings = settings
        self._server: Server | None = None
        self._machine = Machine(settings, self._state, self._has_few_clients)
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Serve until told to end. Raises ListenError when the address is taken."""
        loop = asyncio.get_running_loop()
        self._server = server = Server(self._machine.routes, self._settings.http, self._locks)
        host, port = parse_address(self._settings.listen)
        port = await server.listen(host, port)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ended.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload, server)
        log.info("exporter listens", address=host or "*", port=port, version=__version__, pid=os.getpid())
        self._machine.start()
        # nothing made so far goes away: a full collection then looks at 4 ms worth of objects less
        gc.collect()
        gc.freeze()
        await self._ended.wait()
        log.info("exporter ends")
        await server.stop(STOP_SECONDS)
        self._machine.stop()

    def _has_few_clients(self) -> bool:
        return self._server is not None and self._server.has_few_clients()

    def _reload(self, server: Server) -> None:
        """Read the settings file again; a bad one changes nothing but the family that tells of it."""
        if self._config is None:
            log.info("no settings file to read again")
            return
        try:
            settings = override(load(self._config, Exporter), self._overrides)
            machine = Machine(settings, self._state, self._has_few_clients, history=self._machine.history)
        except SettingsError as err:
            self._state.good = False
            log.error("settings not usable, the last good ones stay", problems=list(err.problems))
            return
        if settings.listen != self._settings.listen:
            log.warning("a new listen address needs a restart", listen=settings.listen)
        logs.setup(settings.log.format, settings.log.level)
        self._machine.stop()
        self._settings, self._machine = settings, machine
        self._state.good, self._state.read_at = True, time.time()
        server.limits = settings.http
        server.serve(machine.routes)
        machine.start()
        log.info("settings read again", file=str(self._config))


def explain_cardinality(config: Path | None, overrides: Mapping[str, object]) -> str:
    """Return a table of the families of one page of this machine, most series first. Raises SettingsError."""
    settings = override(Exporter() if config is None else load(config, Exporter), overrides)

    # one packet tells as much about the rows as a whole round
    ping = msgspec.structs.replace(settings.probes.ping, count=1)
    settings = msgspec.structs.replace(settings, probes=msgspec.structs.replace(settings.probes, ping=ping))

    async def scrape() -> tuple[bytes, Sequence[Collector]]:
        machine = Machine(settings, SettingsState(time.time()))
        machine.start()
        await _warm_up(machine)
        page: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        timeout = settings.scrape.collector_timeout + 1
        machine.runner.scrape(page.set_result, names=None, gzip=False, timeout=timeout)
        try:
            return await page, machine.collectors
        finally:
            machine.stop()

    page, made = asyncio.run(scrape())
    owners = [("runner", FAMILIES), *((collector.name, collector.families) for collector in made)]
    return explain(count_series(page, owners), settings.scrape.series_per_family)


async def _warm_up(machine: Machine) -> None:
    """Wait until processes were looked at twice and every probe has a result, for a while at most."""
    loop = asyncio.get_running_loop()
    scanner, until = machine.scanner, loop.time() + WARM_UP_SECONDS
    while loop.time() < until:
        scan = None if scanner is None else scanner.last
        is_listed = scanner is None or (scan is not None and (scan.other_cores is not None or not scan.complete))
        if is_listed and not machine.probes.untried:
            return
        await asyncio.sleep(0.05)


def _locks(web_config: Path) -> "Locks":
    from exporter.server.locks import Locks  # noqa: PLC0415 -- hmac brings OpenSSL, 4 MB that few need

    return Locks(web_config)


def _share_one_heap() -> None:
    """Let all threads allocate from one heap (mallopt(3), M_ARENA_MAX).

    glibc gives each busy thread a heap of its own, of which most stays empty: a quarter of a megabyte for our few.
    """
    if sys.platform != "linux":
        return
    import ctypes  # noqa: PLC0415 -- not everywhere

    try:
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    except AttributeError:  # another C library
        return


def run(config: Path | None, overrides: Mapping[str, object], web_config: Path | None = None) -> None:
    """Run the exporter until it is told to end. Raises SettingsError and ListenError for what the user can mend."""
    settings = override(Exporter() if config is None else load(config, Exporter), overrides)
    logs.setup(settings.log.format, settings.log.level)
    _share_one_heap()
    locks = None if web_config is None else _locks(web_config)

    async def serve() -> None:
        await Daemon(settings, config, overrides, locks).run()

    asyncio.run(serve())
