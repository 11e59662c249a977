"""psutil's numbers, and its zeros that are none."""

import warnings
from collections import namedtuple
from types import SimpleNamespace

import psutil
import pytest

from exporter import portable

Linux = namedtuple("Linux", "user nice system idle iowait irq softirq steal guest guest_nice")
Mac = namedtuple("Mac", "user nice system idle")
Windows = namedtuple("Windows", "user system idle interrupt dpc")


@pytest.mark.parametrize(
    ("times", "busy", "total"),
    [
        pytest.param(Linux(1, 2, 4, 8, 16, 32, 64, 128, 1, 2), 231, 255, id="Linux: guest is in user already"),
        pytest.param(Mac(1, 2, 4, 8), 7, 15, id="macOS"),
        pytest.param(Windows(1, 4, 8, 99, 99), 5, 13, id="Windows: interrupts are in system already"),
    ],
)
def test_busy_is_all_but_idle_and_waiting(
    monkeypatch: pytest.MonkeyPatch, times: object, busy: float, total: float
) -> None:
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: [times, times])
    assert portable.read_cpu_times() == [portable.CpuTime(busy, total)] * 2


def warn_and(value: object) -> object:
    """As psutil does for a field that it could not read: a warning, and a zero in its place."""

    def read() -> object:
        warnings.warn("'buffers' memory stats couldn't be determined and was set to 0", RuntimeWarning, stacklevel=2)
        return value

    return read


@pytest.mark.parametrize(
    ("memory", "ratio"),
    [
        pytest.param(lambda: SimpleNamespace(total=100, available=25), 0.75, id="normal"),
        pytest.param(lambda: SimpleNamespace(total=0, available=0), None, id="no memory to speak of"),
        pytest.param(warn_and(SimpleNamespace(total=100, available=0)), None, id="psutil put a zero"),
    ],
)
def test_memory_ratio_is_absent_where_psutil_made_it_up(
    monkeypatch: pytest.MonkeyPatch, memory: object, ratio: object
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", memory)
    assert portable.read_memory_ratio() == ratio


@pytest.mark.parametrize(
    ("swap", "ratio"),
    [
        pytest.param(lambda: SimpleNamespace(total=100, used=25, free=75), 0.25, id="normal"),
        pytest.param(lambda: SimpleNamespace(total=100, used=0, free=100), 0.0, id="unused is a true zero"),
        pytest.param(lambda: SimpleNamespace(total=0, used=0, free=0), None, id="no swap"),
        pytest.param(warn_and(SimpleNamespace(total=0, used=0, free=0)), None, id="psutil put a zero"),
    ],
)
def test_swap_ratio_is_absent_where_there_is_none(monkeypatch: pytest.MonkeyPatch, swap: object, ratio: object) -> None:
    monkeypatch.setattr(psutil, "swap_memory", swap)
    assert portable.read_swap_ratio() == ratio


def test_file_system_that_cannot_be_asked_or_has_no_size_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"/": SimpleNamespace(total=10, percent=43.2), "/empty": SimpleNamespace(total=0, percent=0.0)}

    def usage(path: str) -> object:
        if path not in answers:
            raise PermissionError(13, "Permission denied", path)
        return answers[path]

    partitions = [
        SimpleNamespace(device="disk1", fstype="apfs", mountpoint=path) for path in ("/", "/locked", "/empty")
    ]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: partitions)
    monkeypatch.setattr(psutil, "disk_usage", usage)
    assert portable.read_file_systems() == [portable.FileSystemUse("disk1", "apfs", "/", pytest.approx(0.432))]


def test_cores_are_numbered_in_their_order() -> None:
    reading = portable.read_usage()
    assert reading.core_numbers == tuple(str(core) for core in range(len(reading.cpu)))


def test_running_system_answers() -> None:
    assert portable.read_cpu_times()
    assert 0 < (portable.read_memory_ratio() or 0) < 1
    assert portable.read_swap_ratio() is None or 0 <= (portable.read_swap_ratio() or 0) <= 1
