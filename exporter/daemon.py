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
from exporter.collectors import Parts, device_filter
from exporter.collectors.cardinality import Budget, count_series, explain
from exporter.collectors.containers import ContainerStates
from exporter.collectors.exporter import SettingsState
from exporter.collectors.kernel_rates import KernelRates
from exporter.collectors.kernel_usage import KernelUsage
from exporter.collectors.mounts import Askers
from exporter.collectors.runner import FAMILIES, Runner
from exporter.history import History, Reading, Recorder, Sampler, Source
from exporter.kernel import KernelFiles
from exporter.probes import Parts as ProbeParts
from exporter.probes import Probes
from exporter.processes import Scanner
from exporter.server.http import Handler, Routes
from exporter.server.listener import Server
from exporter.server.notify import Notifier
from exporter.settings import SettingsError, load, override, parse_address
from exporter.settings.exporter import Exporter
from exporter.web import pages
from exporter.web.face import Face
from exporter.web.metrics import Metrics
from exporter.web.sources import Sources

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
        before: "Machine | None" = None,
    ) -> None:
        """Make them; a history of the same interval, and threads that mounts hold, are taken over from `before`."""
        files = _kernel_files(settings) if files is None else files
        if before is not None and before.history.interval == settings.sampler.interval:
            history = before.history
        else:
            history = History(settings.sampler.interval)
        self.history: History = history
        # a page and a sample do not wait for each other
        self.page_askers: Askers = Askers() if before is None else before.page_askers
        self.sample_askers: Askers = Askers() if before is None else before.sample_askers
        self.scanner = _scanner(settings)
        scanner = self.scanner
        last_scan = (lambda: None) if scanner is None else (lambda: scanner.last)
        budget = Budget(settings.scrape.series_per_family)
        made = collectors.make(
            Parts(
                files,
                settings.collectors,
                history,
                state,
                settings.paths,
                budget.dropped,
                last_scan,
                self.page_askers,
            )
        )
        self.probes = Probes(settings.probes, ProbeParts() if scanner is None else ProbeParts(scanner.count))
        self.collectors: Sequence[Collector] = (*made, *self.probes.collectors)
        self.runner = Runner(self.collectors, files, settings.scrape.collector_timeout, budget=budget)
        self.sampler: Sampler | None = None
        if settings.collectors.usage.enabled:
            containers = next((one for one in made if isinstance(one, ContainerStates)), None)
            sources: list[Source] = [self.probes.readings, Recorder(history.tops, last_scan, containers)]
            sources += _rates(files, settings)
            read = _reader(files, settings, self.sample_askers)
            self.sampler = Sampler(history, settings.sampler.interval, read, sources)
        self.face = _face(self.runner, settings, history, is_sampled=self.sampler is not None)
        self.routes = _routes(self.runner, settings, few_clients, self.face)
        self._files = files

    def start(self) -> None:
        """Start the threads and, on the running loop, the probes."""
        for thread in (self.sampler, self.scanner):
            if thread is not None:
                thread.start()
        self.probes.start()

    async def page(self, seconds: float) -> bytes:
        """Return the page, without what takes longer than `seconds`."""
        page: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def deliver(text: bytes) -> None:
            if not page.done():  # nobody waits any more
                page.set_result(text)

        self.runner.scrape(deliver, names=None, gzip=False, timeout=seconds)
        return await page

    def stop(self) -> None:
        """Let the threads and the probes end and close the kernel's files."""
        for thread in (self.sampler, self.scanner):
            if thread is not None:
                thread.stop()
        self.probes.stop()
        self.face.close()
        self.runner.close()
        self._files.close()


def _scanner(settings: Exporter, platform: str = sys.platform) -> Scanner | None:
    """Return what looks at all processes, where anybody asks for that and this system has them below /proc."""
    checks = settings.probes.process
    if platform != "linux" or not (settings.collectors.process_groups.enabled or checks):
        return None
    return Scanner(settings.collectors.process_groups, settings.paths, [check.match for check in checks])


def _face(runner: Runner, settings: Exporter, history: History, *, is_sampled: bool) -> Face:
    timeout = settings.scrape.collector_timeout
    landing = pages.landing(runner.names)
    return Face(Sources(history, is_sampled, runner, timeout, settings.dashboard), lambda _, reply: reply(landing))


def _routes(runner: Runner, settings: Exporter, few_clients: Callable[[], bool], face: Face) -> Handler:
    return Routes(
        {
            **face.handlers,
            "/metrics": Metrics(runner, settings.scrape.timeout_offset, few_clients),
            "/-/healthy": pages.healthy,
            "/-/ready": pages.ready,
        },
        face.below,
    )


def _rates(files: KernelFiles, settings: Exporter, platform: str = sys.platform) -> Sequence[Source]:
    """Return what reads the rates of disks and network for the history, of the devices that the settings want."""
    if platform != "linux":
        return ()
    network, disks = settings.collectors.netdev, settings.collectors.diskstats
    interfaces = device_filter(network) if network.enabled else None
    return (KernelRates(files, interfaces, device_filter(disks) if disks.enabled else None),)


def _kernel_files(settings: Exporter) -> KernelFiles:
    return KernelFiles(Path(settings.paths.procfs), Path(settings.paths.sysfs))


def _reader(
    files: KernelFiles, settings: Exporter, askers: Askers, platform: str = sys.platform
) -> Callable[[], Reading]:
    """Return what reads a sample on this system."""
    if platform == "linux":
        return KernelUsage(files, settings.collectors.filesystem, Path(settings.paths.rootfs), askers=askers)
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
        self._notifier = Notifier()
        self._status = ""

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
        self._status = f"Serves on {host or '*'}:{port}"
        self._notifier.ready(self._status)
        proof = self._prove(server)
        await self._ended.wait()
        log.info("exporter ends")
        self._notifier.stopping()
        if proof is not None:
            proof.cancel()
        await server.stop(STOP_SECONDS)
        self._machine.stop()

    def _prove(self, server: Server) -> "asyncio.Task[None] | None":
        """Begin to prove to systemd that we work, where it waits for that."""
        if self._notifier.watchdog_seconds is None:
            return None
        import faulthandler  # noqa: PLC0415 -- for those alone who asked

        from exporter.web import proof  # noqa: PLC0415

        faulthandler.enable()  # systemd ends a process that hangs by SIGABRT: the journal then shows where it hung

        async def page(seconds: float) -> bytes:
            return await self._machine.page(seconds)  # after a reload of the new one

        return asyncio.create_task(proof.prove(self._notifier, page, server, lambda: self._status))

    def _has_few_clients(self) -> bool:
        return self._server is not None and self._server.has_few_clients()

    def _reload(self, server: Server) -> None:
        """Read the settings file again, and tell systemd when that begins and ends."""
        self._notifier.reloading()
        problem = self._read_again(server)
        self._notifier.ready(f"{self._status}; {problem}" if problem else self._status)

    def _read_again(self, server: Server) -> str:
        """Return what is wrong with the settings file: a bad one changes nothing but the family that tells of it."""
        if self._config is None:
            log.info("no settings file to read again")
            return ""
        try:
            settings = override(load(self._config, Exporter), self._overrides)
            machine = Machine(settings, self._state, self._has_few_clients, before=self._machine)
        except SettingsError as err:
            self._state.good = False
            log.error("settings not usable, the last good ones stay", problems=list(err.problems))
            return f"settings not usable: {err.problems[0]}"
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
        return ""


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
        try:
            return await machine.page(settings.scrape.collector_timeout + 1), machine.collectors
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
