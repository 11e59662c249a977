"""What every test can use: `needs` marks, `soak` counts, the golden switch."""

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import debian13, effort, fleet_machines, stand_ins, systemd_machine
from tests.support import engine as docker

REQUIRE_ALL = os.environ.get("HOSTWATCH_REQUIRE_ALL") == "1"
SOAK = os.environ.get("HOSTWATCH_SOAK") == "1"

# what a test may need of the machine, and how to see whether it is there
NEEDS: dict[str, Callable[[], bool]] = {
    "root": lambda: os.geteuid() == 0,
    "linux": lambda: sys.platform == "linux",
    "prometheus": lambda: bool(shutil.which("prometheus") and shutil.which("promtool")),
    "alertmanager": lambda: bool(shutil.which("prometheus-alertmanager") and shutil.which("amtool")),
    "blackbox_exporter": lambda: bool(shutil.which("prometheus-blackbox-exporter")),
    "node_exporter": lambda: bool(shutil.which("prometheus-node-exporter")),
    "node_exporter-1.9": lambda: bool(debian13.find("prometheus-node-exporter")),
    "prometheus-2.53": lambda: bool(debian13.find("prometheus") and debian13.find("promtool")),
    "alertmanager-0.28": lambda: bool(debian13.find("prometheus-alertmanager") and debian13.find("amtool")),
    "ip": lambda: bool(shutil.which("ip")),
    "ping": lambda: bool(shutil.which("ping")),
    "tun": lambda: os.geteuid() == 0 and Path("/dev/net/tun").exists(),
    "unshare": lambda: bool(shutil.which("unshare")),
    "process-exporter": lambda: bool(shutil.which("prometheus-process-exporter")),
    "stress-ng": lambda: bool(shutil.which("stress-ng")),
    "fuse": lambda: os.geteuid() == 0 and Path("/dev/fuse").exists(),
    "loop": lambda: os.geteuid() == 0 and Path("/dev/loop-control").exists() and bool(shutil.which("mkfs.ext4")),
    "openssl": lambda: bool(shutil.which("openssl")),
    "dbus-daemon": lambda: bool(shutil.which("dbus-daemon")),
    "docker-engine": docker.is_possible,
    "systemd-machine": lambda: bool(systemd_machine.find("bookworm")),
    "fleet-machines": fleet_machines.is_possible,
    "compose": lambda: docker.is_possible() and stand_ins.are_possible(),
    "wrk": lambda: bool(shutil.which("wrk")),
    "chromium": lambda: bool(shutil.which("chromium")),
}

effort.register_profiles()


def pytest_configure() -> None:
    """Undo what nohup and a shell's background jobs do: children would inherit that Ctrl-C and hang-ups are ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-golden", action="store_true", help="write golden files anew instead of comparing")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--rewrite-golden"):  # only what writes: what reads may come before it
        items[:] = [item for item in items if "rewrite_golden" in getattr(item, "fixturenames", ())]
    for item in items:
        if item.get_closest_marker("measured"):
            item.add_marker(pytest.mark.flaky(reruns=3, reruns_delay=5))
    if REQUIRE_ALL:
        return  # `missing_parts_fail` turns what is missing into failures
    for item in items:
        for missing in _missing(item):
            item.add_marker(pytest.mark.skip(reason=f"needs {missing}, which this machine lacks"))


@pytest.fixture(autouse=True)
def missing_parts_fail(request: pytest.FixtureRequest) -> None:
    """Fail, where everything has to run, what elsewhere is skipped."""
    if REQUIRE_ALL and (missing := _missing(request.node)):
        pytest.fail(f"HOSTWATCH_REQUIRE_ALL=1, and this machine lacks {', '.join(missing)}")


def _missing(item: pytest.Item) -> list[str]:
    wanted = [what for mark in item.iter_markers("needs") for what in mark.args]
    return [what for what in wanted if not NEEDS[what]()]


@pytest.fixture
def count(request: pytest.FixtureRequest) -> int:
    """How often a `soak(full, small)` test repeats: the full count under `make soak`, else the small one."""
    mark = request.node.get_closest_marker("soak")
    full, small = mark.args
    return int(full if SOAK else small)


@pytest.fixture
def rewrite_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--rewrite-golden"))


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.Engine]:
    """Run a Docker Engine of our own from the first test that asks to the end: mark it `needs("docker-engine")`."""
    with docker.Engine() as running:
        yield running


@pytest.fixture(scope="session", name="fleet_machines")
def machines_of_a_fleet(
    engine: docker.Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[fleet_machines.FleetMachines]:
    """Run three machines to roll out to and one that monitors: mark it `needs("docker-engine", "fleet-machines")`."""
    with fleet_machines.FleetMachines(engine, tmp_path_factory.mktemp("fleet")) as running:
        yield running


@pytest.fixture
def environment_kept() -> Iterator[None]:
    """Put os.environ back after a test that changes it."""
    saved = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(saved)
