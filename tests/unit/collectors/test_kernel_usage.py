"""The usage gauges' numbers on Linux: against psutil on the running kernel, and on files that lack something."""

from pathlib import Path

import pytest

from exporter.collectors.kernel_usage import KernelUsage, cpu_times, memory_ratios
from exporter.history import CpuTime
from exporter.kernel import KernelError, KernelFiles
from exporter.portable import read_cpu_times, read_memory_ratio, read_swap_ratio
from exporter.settings.collectors import FilesystemSettings
from tests.support.kernel import MemoryFiles


def test_core_is_busy_when_neither_idle_nor_waiting() -> None:
    text = b"cpu  200 40 60 800 100 2 4 6 180 18\ncpu0 100 20 30 400 50 1 2 3 90 9\nintr 1\n"
    assert cpu_times(text, 100) == ([b"cpu0"], (CpuTime(1.56, 6.06),))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"cpu  1 1 1 1 1 1 1 1 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n",
        b"cpu  1 1\ncpu0 1 1\nintr 1\n",
        b"cpu  1 1 1 1 1 1 1 x 0 0\ncpu0 1 1 1 1 1 1 1 x 0 0\nintr 1\n",
    ],
    ids=["empty", "cut short", "too few counters", "no number"],
)
def test_cores_that_are_not_all_there_are_refused(text: bytes) -> None:
    with pytest.raises(KernelError, match="proc/stat"):
        cpu_times(text, 100)


@pytest.mark.parametrize("second", [b"cpu0", b"cpu", b"cpux", b"core1"])
def test_cores_without_a_number_of_their_own_are_refused(second: bytes) -> None:
    stat = b"cpu  1\ncpu0 1 1 1 1 1 1 1 1 0 0\n%s 1 1 1 1 1 1 1 1 0 0\nintr 1\n" % second
    files = MemoryFiles({"proc/stat": stat, "proc/1/mountinfo": b"1 0 8:1 / / rw - proc none rw\n"})
    with pytest.raises(KernelError, match="proc/stat: expected lines of cores, each once"):
        KernelUsage(files, FilesystemSettings())()


@pytest.mark.parametrize(
    ("text", "ratios"),
    [
        (b"MemTotal: 1000 kB\nMemAvailable: 250 kB\nSwapTotal: 400 kB\nSwapFree: 100 kB\n", (0.75, 0.75)),
        (b"MemTotal: 1000 kB\nMemAvailable: 250 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n", (0.75, None)),
        (b"MemTotal: 1000 kB\nMemFree: 250 kB\n", (None, None)),
    ],
    ids=["all", "no swap", "before 3.14"],
)
def test_absent_not_zero_what_the_kernel_does_not_tell(text: bytes, ratios: tuple[float | None, float | None]) -> None:
    assert memory_ratios(text) == ratios


@pytest.mark.parametrize(
    "text", [b"", b"MemTotal: 0 kB\n", b"MemTotal: 1000 kB\nMemAvailable: 25", b"MemTotal: x kB\n", b"\xff\x00"]
)
def test_file_that_is_not_the_kernels_is_refused(text: bytes) -> None:
    with pytest.raises(KernelError, match="proc/meminfo"):
        memory_ratios(text)


@pytest.mark.needs("linux")
def test_psutil_agrees_on_the_running_kernel() -> None:
    before = read_cpu_times()
    reading = KernelUsage(KernelFiles(), FilesystemSettings())()
    after = read_cpu_times()
    assert len(reading.cpu) == len(before)
    assert len(reading.core_numbers) == len(before)
    for low, ours, high in zip(before, reading.cpu, after, strict=True):
        assert low.busy - 0.02 <= ours.busy <= high.busy + 0.02
        assert low.total - 0.02 <= ours.total <= high.total + 0.02
    memory = read_memory_ratio()
    assert memory is not None
    assert reading.memory == pytest.approx(memory, abs=0.02)
    assert (reading.swap is None) == (read_swap_ratio() is None)


def test_recorded_host(tmp_path: Path) -> None:
    host = Path(__file__).parents[2] / "fixtures/hosts/debian12-vm-6.18"
    reading = KernelUsage(KernelFiles(host / "proc", host / "sys"), FilesystemSettings(), ticks_per_second=100)()
    assert len(reading.cpu) == 2
    assert reading.core_numbers == ("0", "1")
    assert reading.memory is not None
    assert 0 < reading.memory < 1
