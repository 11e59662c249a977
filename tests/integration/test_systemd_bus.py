"""Units of a systemd that is not real, over a bus that is: ours and node_exporter's rows, side by side."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.clients.dbus import BusError
from exporter.collector import NoData
from exporter.collectors.systemd import Options, SystemdUnits
from tests.support.fake_systemd import FakeSystemd, FakeUnit, OnBus
from tests.support.trees import OneCollector, series

CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
  "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
  </policy>
</busconfig>
"""
OPTIONS = (
    "--collector.systemd.enable-task-metrics",
    "--collector.systemd.enable-restarts-metrics",
    "--collector.systemd.enable-start-time-metrics",
)


def many(count: int) -> list[FakeUnit]:
    """Return units of each kind, in each state."""
    states = ("active", "inactive", "failed", "activating", "deactivating", "reloading")
    units = []
    for number in range(count):
        state = states[number % len(states)]
        kind = ("service", "timer", "socket", "mount", "slice")[number % 5]
        units.append(
            FakeUnit(
                f"unit-{number}@x\\x2d{number}.{kind}",
                state,
                "not-found" if number % 17 == 3 else "loaded",
                {
                    ("Service", "Type"): ("s", ("simple", "notify", "oneshot")[number % 3]),
                    ("Service", "NRestarts"): ("u", number),
                    ("Service", "TasksCurrent"): ("t", 2**64 - 1 if number % 2 else number),
                    ("Service", "TasksMax"): ("t", 4915),
                    ("Unit", "ActiveEnterTimestamp"): ("t", 1_700_000_000_000_000 + number * 1001),
                    ("Timer", "LastTriggerUSec"): ("t", 1_700_000_000_000_000 + number),
                    ("Socket", "NAccepted"): ("u", number),
                    ("Socket", "NConnections"): ("u", 2),
                    ("Socket", "NRefused"): ("u", 2**32 - 1),
                },
            )
        )
    return units


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Path]:
    """Start a dbus-daemon of our own; give its socket."""
    path = tmp_path / "bus"
    (tmp_path / "bus.conf").write_text(CONFIGURATION.format(path))
    command = ["dbus-daemon", f"--config-file={tmp_path / 'bus.conf'}", "--nofork", "--nopidfile"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as daemon:
        deadline = time.monotonic() + 20
        while not path.exists():
            assert daemon.poll() is None, "dbus-daemon did not start"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield path
        daemon.terminate()


def wait_for_name(path: Path) -> None:
    """Wait until the fake owns systemd's name on the bus."""
    deadline = time.monotonic() + 20
    while True:
        try:
            SystemdUnits(Options(), str(path)).collect()
        except (NoData, BusError):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        else:
            return


@pytest.mark.needs("dbus-daemon", "node_exporter")
@pytest.mark.parametrize("count", [12, pytest.param(400, marks=pytest.mark.slow)])
def test_rows_are_those_of_node_exporter(bus: Path, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    service = OnBus(str(bus), FakeSystemd(many(count)))
    wait_for_name(bus)
    monkeypatch.setitem(os.environ, "DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={bus}")
    try:
        ours = series(SystemdUnits(Options(start_times=True, tasks=True, restarts=True), str(bus)).collect())
        with OneCollector("systemd", *OPTIONS) as peer:
            theirs = series(peer.page(), "node_systemd_")
    finally:
        service.stop()
    assert len(ours) > count
    assert ours.keys() == theirs.keys()
    assert ours == pytest.approx(theirs, rel=1e-12, abs=0)
