"""Usage gauges: what the sampler read last; absent what is not known."""

import pytest

from exporter.collector import NoData
from exporter.collectors.kernel_usage import KernelUsage
from exporter.collectors.usage import UsageGauges
from exporter.history import CpuTime, FileSystemUse, History, Sample
from exporter.settings.collectors import FilesystemSettings
from tests.support.kernel import MemoryFiles, rows_of

FS = FileSystemUse("/dev/vda", "ext4", "/", 0.5)


class Machine:
    """A collector whose samples a test adds; time stands at the newest."""

    def __init__(self) -> None:
        self.now = 100.0
        self.history = History(5, clock=lambda: self.now)
        self.collector = UsageGauges(self.history)

    def sample(self, *cores: tuple[float, float], memory: float | None = None, swap: float | None = None,
               file_systems: tuple[FileSystemUse, ...] = ()) -> dict[str, float]:  # fmt: skip
        self.now += 5
        numbers = tuple(str(core) for core in range(len(cores)))
        cpu = tuple(CpuTime(*core) for core in cores)
        self.history.add(Sample(self.now, cpu, memory, swap, file_systems, numbers))
        return dict(rows_of(self.collector.collect()))


def test_nothing_before_the_first_sample() -> None:
    with pytest.raises(NoData):
        Machine().collector.collect()


def test_first_sample_has_no_cpu_usage_yet() -> None:
    assert Machine().sample((1, 2), memory=0.5) == {"host_memory_usage_ratio": 0.5}


def test_usage_between_two_samples() -> None:
    machine = Machine()
    machine.sample((0, 0), (0, 0))
    assert machine.sample((1, 4), (3, 4), memory=0.25, swap=0.125, file_systems=(FS,)) == {
        "host_cpu_usage_ratio": 0.5,
        'host_cpu_core_usage_ratio{cpu="0"}': 0.25,
        'host_cpu_core_usage_ratio{cpu="1"}': 0.75,
        "host_memory_usage_ratio": 0.25,
        "host_swap_usage_ratio": 0.125,
        'host_filesystem_usage_ratio{device="/dev/vda",fstype="ext4",mountpoint="/"}': 0.5,
    }


def stat(**cores: tuple[int, int]) -> bytes:
    """Return /proc/stat of cores that were busy and idle for so many ticks."""
    lines = [f"{core} {busy} 0 0 {idle} 0 0 0 0 0 0\n" for core, (busy, idle) in cores.items()]
    return "".join(["cpu  0\n", *lines, "intr 1\n"]).encode()


def test_core_keeps_its_number_where_one_before_it_is_off() -> None:
    machine = Machine()
    contents = {"proc/meminfo": b"MemTotal: 1 kB\n", "proc/1/mountinfo": b"1 0 8:1 / / rw - proc none rw\n"}
    read = KernelUsage(MemoryFiles(contents), FilesystemSettings(), ticks_per_second=100)

    def sample(text: bytes) -> dict[str, float]:
        contents["proc/stat"] = text
        machine.now += 5
        machine.history.add(Sample(machine.now, *read()))
        return dict(rows_of(machine.collector.collect()))

    sample(stat(cpu0=(100, 100), cpu2=(100, 100)))
    assert sample(stat(cpu0=(100, 200), cpu2=(200, 100))) == {
        "host_cpu_usage_ratio": 0.5,
        'host_cpu_core_usage_ratio{cpu="0"}': 0,
        'host_cpu_core_usage_ratio{cpu="2"}': 1,
    }
    moment = machine.history.past.row(0, 1e12)
    assert moment is not None
    assert {key for key in moment[1] if key[0] == "core"} == {("core", "0"), ("core", "2")}
    assert sample(stat(cpu0=(100, 300), cpu1=(500, 500))) == {}, "another core than before: nobody knows what it did"


def test_missing_swap_is_absent_not_zero_and_may_come() -> None:
    machine = Machine()
    assert "host_swap_usage_ratio" not in machine.sample(memory=0.5)
    assert machine.sample(memory=0.5, swap=0.0)["host_swap_usage_ratio"] == 0
    assert "host_swap_usage_ratio" not in machine.sample(memory=0.5)


def test_file_system_that_goes_takes_its_row_with_it() -> None:
    machine = Machine()
    assert len(machine.sample(file_systems=(FS, FS._replace(mount_point="/srv")))) == 2
    assert [key for key in machine.sample(file_systems=(FS,)) if "srv" in key] == []
    assert machine.sample() == {}


def test_text_is_kept_until_there_is_a_new_sample() -> None:
    machine = Machine()
    machine.sample(memory=0.5)
    assert machine.collector.collect() is machine.collector.collect()
    assert machine.sample(memory=0.75) == {"host_memory_usage_ratio": 0.75}


def test_sampler_that_hangs_is_no_data_rather_than_an_old_number() -> None:
    machine = Machine()
    machine.sample(memory=0.5)
    machine.now += 17
    with pytest.raises(NoData):
        machine.collector.collect()


def test_ratio_is_rounded_to_a_millionth() -> None:
    assert b"host_memory_usage_ratio 0.333333\n" in _page(1 / 3)


def _page(memory: float) -> bytes:
    machine = Machine()
    machine.sample(memory=memory)
    return machine.collector.collect()
