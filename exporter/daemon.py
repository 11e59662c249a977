"""Wires the exporter: settings in, running daemon out."""

import asyncio
import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from exporter import __version__, collectors, logs
from exporter.collectors import Parts
from exporter.collectors.cardinality import Budget, count_series, explain
from exporter.collectors.exporter import SettingsState
from exporter.collectors.kernel_usage import KernelUsage
from exporter.collectors.runner import FAMILIES, Runner
from exporter.history import History, Reading, Sampler
from exporter.kernel import KernelFiles
from exporter.server.http import Handler, Routes
from exporter.server.listener import Server
from exporter.settings import SettingsError, load, override, parse_address
from exporter.settings.exporter import Exporter
from exporter.web import pages
from exporter.web.metrics import Metrics

if TYPE_CHECKING:
    from exporter.server.locks import Locks

log = logs.Log(__name__)

# SIGTERM to end takes at most this long for answers under way; a hung collector's thread is not waited for
STOP_SECONDS: Final = 1.0


class Machine:
    """The collectors and the sampler for one version of the settings."""

    def __init__(
        self,
        settings: Exporter,
        state: SettingsState,
        few_clients: Callable[[], bool] = lambda: False,
        files: KernelFiles | None = None,
    ) -> None:
        files = _kernel_files(settings) if files is None else files
        history = History(settings.sampler.interval)
        budget = Budget(settings.scrape.series_per_family)
        parts = Parts(files, settings.collectors, history, state, settings.paths, budget.dropped)
        self.runner = Runner(collectors.make(parts), files, settings.scrape.collector_timeout, budget=budget)
        self.sampler: Sampler | None = None
        if settings.collectors.usage.enabled:
            self.sampler = Sampler(history, settings.sampler.interval, _reader(files, settings))
        self.routes = _routes(self.runner, settings, few_clients)
        self._files = files

    def start(self) -> None:
        """Start the sampler."""
        if self.sampler is not None:
            self.sampler.start()

    def stop(self) -> None:
        """Let the threads end and close the kernel's files."""
        if self.sampler is not None:
            self.sampler.stop()
        self.runner.close()
        self._files.close()


def _routes(runner: Runner, settings: Exporter, few_clients: Callable[[], bool]) -> Handler:
    landing = pages.landing(runner.names)
    return Routes(
        {
            "/": lambda _, reply: reply(landing),
            "/metrics": Metrics(runner, settings.scrape.timeout_offset, few_clients),
            "/-/healthy": pages.healthy,
            "/-/ready": pages.ready,
        }
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
        self._machine.start()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ended.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload, server)
        log.info("exporter listens", address=host or "*", port=port, version=__version__, pid=os.getpid())
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
            machine = Machine(settings, self._state, self._has_few_clients)
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

    async def scrape() -> bytes:
        machine = Machine(settings, SettingsState(time.time()))
        page: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        timeout = settings.scrape.collector_timeout + 1
        machine.runner.scrape(page.set_result, names=None, gzip=False, timeout=timeout)
        return await page

    owners = [("runner", FAMILIES), *((row.kind.name, row.kind.families) for row in collectors.COLLECTORS)]
    return explain(count_series(asyncio.run(scrape()), owners), settings.scrape.series_per_family)


def _locks(web_config: Path) -> "Locks":
    from exporter.server.locks import Locks  # noqa: PLC0415 -- hmac brings OpenSSL, 4 MB that few need

    return Locks(web_config)


def run(config: Path | None, overrides: Mapping[str, object], web_config: Path | None = None) -> None:
    """Run the exporter until it is told to end. Raises SettingsError and ListenError for what the user can mend."""
    settings = override(Exporter() if config is None else load(config, Exporter), overrides)
    logs.setup(settings.log.format, settings.log.level)

    locks = None if web_config is None else _locks(web_config)

    async def serve() -> None:
        await Daemon(settings, config, overrides, locks).run()

    asyncio.run(serve())
