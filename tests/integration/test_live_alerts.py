"""Alerts by real causes, all the way: exporters, Prometheus with the shipped rules, Alertmanager, relay in preview."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import psutil
import pytest

from tests.support.alert_watch import Alert, Watch
from tests.support.client import until
from tests.support.engine import Engine
from tests.support.faults import BUSY, Fault, Program, hog, pinned
from tests.support.live_scene import DARK, FACTOR, PINNED, SLOW, WELL, Scene
from tests.support.services_api import instance

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs(
        *("linux", "root", "prometheus", "alertmanager", "stress-ng", "docker-engine", "loop", "ip", "tun", "openssl")
    ),
]

# much, so that what others take or give back meanwhile is less than half of it
HOG_MEGABYTES: Final = min(4096, psutil.virtual_memory().available // 4 >> 20)
# until everything has arrived, and again until all is resolved: a busy machine takes its time
PATIENCE_SECONDS: Final = 150
Action = Callable[[], object]


@pytest.fixture
def scene(tmp_path: Path, engine: Engine) -> Iterator[Scene]:
    with Scene(tmp_path, engine) as running:
        yield running


def nothing() -> None:
    """What another fault does as well, or what ends by itself."""


def sent(pid: int, number: int) -> Callable[[], None]:
    return lambda: os.kill(pid, number)


def of_the_machine(scene: Scene, started: list[Program]) -> list[Fault]:
    """Load, memory, disks and processes of web-01."""
    load, memory, group = Program(*BUSY), hog(HOG_MEGABYTES), pinned(PINNED)
    started += [load, memory, group]
    group.start()
    full, inodes, worn = scene.full, scene.inodes, scene.worn

    def take_memory() -> None:
        lower_threshold(scene)
        memory.start()

    return [
        Fault("stress-ng on every core", "HostCpuHigh", "web-01", load.start, load.stop),
        Fault(f"stress-ng takes {HOG_MEGABYTES} MB", "HostMemoryHigh", "web-01", take_memory, memory.stop),
        Fault("a file system is full", "HostDiskAlmostFull", "web-01", full.fill, full.empty),
        Fault("no inode is left", "HostInodesLow", "web-01", inodes.use_up_inodes, inodes.empty),
        Fault("mounted read-only", "HostDiskReadOnly", "web-01", worn.read_only, worn.writable),
        Fault("a pinned process was killed", "ProcessGroupGone", "web-01", group.stop, group.start),
    ]


def of_services(scene: Scene) -> list[Fault]:
    """Services and containers that web-01 watches."""
    shop, search, vault, cloud = scene.shop, scene.search, scene.vault, scene.cloud
    well, api, batch = dict(cloud.instances), scene.api, scene.batch
    overload, relieve = _both(cloud.instances.update, {name: instance("99%") for name in well}, well)
    return [
        Fault("a web server was stopped", "ServiceDown", "web-01", shop.stop, shop.start),
        Fault("0.5 s for each page", "ServiceSlow", "web-01", *_both(search.slow_down, 0.5, 0.0)),
        Fault("an expired certificate", "CertificateExpiresIn3Days", "web-01", *_both(vault.show, *scene.pairs)),
        Fault("its instances are overloaded", "ServiceTooFewInstances", "web-01", overload, relieve),
        Fault("a container ended with 3", "ContainerFailed", "web-01", api.fail, api.run),
        Fault("a container wants 64 of its 16 MB", "ContainerOomKilled", "web-01", batch.run_out_of_memory, batch.run),
        Fault("the same, seen by the kernel", "HostOomKill", "web-01", nothing, nothing),
    ]


def _both(change: Callable[..., object], bad: object, good: object) -> tuple[Action, Action]:
    return lambda: change(bad), lambda: change(good)


def of_the_network(scene: Scene) -> list[Fault]:
    """The long path and the dark target of edge-01: one device, whose hosts change together."""
    ill = {SLOW: {"delay": 0.25}, DARK: {"loss": 1.0}}
    begin, end = _both(scene.far.become, ill, WELL)
    return [
        Fault("a path of 250 ms", "PingLatencyHigh", "edge-01", begin, end),
        Fault("a target answers nothing", "PingUnreachable", "edge-01", nothing, nothing),
    ]


_HOLD: Final = (signal.SIGSTOP, signal.SIGCONT)


def of_the_fleet(scene: Scene) -> list[Fault]:
    """Exporters and targets."""
    killed, held = scene.exporters["web-03"], scene.exporters["web-04"]
    refused = scene.settings_file("web-02")
    good = refused.read_text()

    def reread(text: str) -> None:
        refused.write_text(text)
        scene.exporters["web-02"].signal(signal.SIGHUP)

    def revive() -> None:
        killed.end()
        scene.revive("web-03")

    return [
        Fault("SIGKILL to its exporter", "HostDown", "web-03", sent(killed.pid, signal.SIGKILL), revive),
        Fault("SIGSTOP to its exporter", "HostDown", "web-04", *(sent(held.pid, number) for number in _HOLD)),
        Fault("its target was removed", "HostMissing", "web-05", scene.lose_target, scene.find_target),
        Fault("settings nobody can read", "SettingsReloadFailed", "web-02", *_both(reread, "listen: [", good)),
    ]


def of_the_pipeline(scene: Scene) -> list[Fault]:
    """Parts of the pipeline that do not stop it."""
    broken = scene.configs.prometheus.parent / "rules" / "broken.yml"
    alertmanager, good = scene.configs.alertmanager, scene.configs.alertmanager.read_text()

    def rules(text: str) -> None:
        broken.write_text(text)
        scene.prometheus.reload()

    def routes(text: str) -> None:
        alertmanager.write_text(text)
        scene.alertmanager.reload()

    break_rules, mend_rules = _both(rules, "groups: 7", "groups: []")
    return [
        Fault("SIGKILL to a relay", "PipelinePartDown", "prom-02", scene.spare.kill, scene.spare.start),
        Fault("a rule file that is none", "PrometheusReloadFailed", "prom-01", break_rules, mend_rules),
        Fault("routes that are none", "AlertmanagerReloadFailed", "prom-01", *_both(routes, "route: 7", good)),
    ]


def prepare(scene: Scene) -> None:
    """Say what is expected, and lower the thresholds that this machine is too large or too fast for."""
    until(lambda: scene.prometheus.value(_MEMORY) is not None, "memory is known", seconds=PATIENCE_SECONDS, every=0.2)
    lines = [
        'host_expected_info{target="web-05"} 1',
        'host_threshold_override{threshold="service_duration_seconds",check="search"} 0.2',
    ]
    scene.write_textfile("operators", "\n".join([*lines, ""]))


def lower_threshold(scene: Scene) -> None:
    """Let memory alert at what is in use now and half of what is going to be taken."""
    usage, hogged = scene.prometheus.value(_MEMORY) or 0, scene.prometheus.value(_SHARE.format(HOG_MEGABYTES)) or 0
    override = f'host_threshold_override{{threshold="memory_usage_ratio"}} {usage + hogged / 2}'
    scene.write_textfile("memory", f"{override}\n")


_MEMORY = 'instance:memory_usage_ratio:avg5m{instance="web-01"}'
_SHARE = '{} * 1048576 / node_memory_MemTotal_bytes{{instance="web-01"}}'


def test_real_causes_raise_their_alerts_which_arrive_and_resolve(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    programs: list[Program] = []
    with Watch(scene.look) as watch:
        prepare(scene)
        all_faults = [
            *of_the_machine(scene, programs),
            *of_services(scene),
            *of_the_network(scene),
            *of_the_fleet(scene),
            *of_the_pipeline(scene),
        ]
        try:
            prove(watch, all_faults)
        finally:
            for program in programs:
                program.stop()
        silent = pipeline_stopped(scene, watch)
    with capsys.disabled():
        print(f"\nalerts by real causes, times scaled by {FACTOR}:", *watch.table([*all_faults, silent]), sep="\n")


def prove(watch: Watch, those: list[Fault]) -> None:
    """Begin all of them in silence, see each arrive, end all of them, see each resolved."""
    alerts: set[Alert] = {(fault.alert, fault.instance) for fault in those}
    until(lambda: not alerts & watch.now.troubles, "silence before the faults", seconds=PATIENCE_SECONDS, every=0.2)
    watch.begin(those)
    watch.wait("all of them arrive", watch.arrived, alerts, PATIENCE_SECONDS)
    watch.end(those)
    watch.wait("all of them are resolved", watch.resolved, alerts, PATIENCE_SECONDS)


def pipeline_stopped(scene: Scene, watch: Watch) -> Fault:
    """Hold Prometheus, whose Watchdog then stays away: the relay itself tells."""
    silent = Fault("SIGSTOP to Prometheus", "AlertPipelineSilent", "", scene.hold_prometheus, scene.release_prometheus)
    watch.begin([silent])
    watch.wait("the relay tells", watch.arrived, {(silent.alert, silent.instance)}, PATIENCE_SECONDS)
    watch.end([silent])
    watch.wait("the Watchdog is back", watch.resolved, {(silent.alert, silent.instance)}, PATIENCE_SECONDS)
    return silent
