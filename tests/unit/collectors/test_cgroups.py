"""Control groups of containers: both versions, every driver's paths, namespaces, files that come and go."""

import shutil
from pathlib import Path

import pytest

from exporter.collectors import cgroup_paths, cgroups
from exporter.collectors.cgroups import MAX_KEPT, RETRY_SECONDS, STILL_SECONDS, Groups, Usage
from exporter.kernel import KernelFiles

ID = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4
MEMORY_STAT_1 = "cache 8192\ninactive_file 1\ntotal_cache 8192\ntotal_inactive_file 4096\ntotal_active_file 4096\n"
MEMORY_STAT_2 = "anon 1000\nfile 9000\ninactive_anon 5\ninactive_file 4096\nactive_file 4904\n"


class Machine:
    """A folder with proc and sys, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "sys/fs/cgroup"
        self.root.mkdir(parents=True)
        (folder / "proc").mkdir()
        self.now = 0.0

    def groups(self) -> Groups:
        files = KernelFiles(self.folder / "proc", self.folder / "sys")
        return Groups(files, lambda: self.now, ticks_per_second=100)

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def version_1(self, path: str, memory: int = 10_000) -> None:
        self.write(f"cpuacct/{path}/cpuacct.stat", "user 250\nsystem 75\n")
        self.write(f"memory/{path}/memory.usage_in_bytes", f"{memory}\n")
        self.write(f"memory/{path}/memory.stat", MEMORY_STAT_1)
        self.write(f"memory/{path}/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")

    def version_2(self, path: str, memory: int = 10_000) -> None:
        self.write("cgroup.controllers", "cpu memory\n")
        self.write(f"{path}/cpu.stat", "usage_usec 3250001\nuser_usec 2500001\nsystem_usec 750000\nnr_periods 0\n")
        self.write(f"{path}/memory.current", f"{memory}\n")
        self.write(f"{path}/memory.stat", MEMORY_STAT_2)
        self.write(f"{path}/memory.events", "low 0\nhigh 0\nmax 9\noom 3\noom_kill 2\noom_group_kill 0\n")

    def process(self, pid: int, text: str) -> None:
        (self.folder / f"proc/{pid}").mkdir()
        (self.folder / f"proc/{pid}/cgroup").write_text(text)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


USUAL = (f"docker/{ID}", f"system.slice/docker-{ID}.scope", f"machine.slice/libpod-{ID}.scope")


@pytest.mark.parametrize("path", USUAL, ids=["docker cgroupfs", "docker systemd", "podman systemd"])
def test_version_1(machine: Machine, path: str) -> None:
    machine.version_1(path)
    assert machine.groups().read([(ID, 0)]) == {ID: Usage(2.5, 0.75, 10_000 - 4096, 2)}


@pytest.mark.parametrize("path", USUAL, ids=["docker cgroupfs", "docker systemd", "podman systemd"])
def test_version_2(machine: Machine, path: str) -> None:
    machine.version_2(path)
    (usage,) = machine.groups().read([(ID, 0)]).values()
    assert usage == pytest.approx((2.500001, 0.75, 10_000 - 4096, 2))


def test_more_cache_than_use_is_nothing_not_less(machine: Machine) -> None:
    machine.version_2(f"docker/{ID}", memory=100)
    assert machine.groups().read([(ID, 0)])[ID].memory_bytes == 0


PROCESS_PATHS = {
    "version 2": (2, f"own.slice/docker-{ID}.scope", f"0::/own.slice/docker-{ID}.scope\n"),
    "below the container's own group": (2, f"own/{ID}", f"0::/own/{ID}/init.scope\n"),
    "version 1": (1, f"own/{ID}", f"9:name=systemd:/x\n4:memory:/own/{ID}\n2:cpu,cpuacct:/own/{ID}\n0::/y\n"),
    "engine in a container": (1, f"docker/{OTHER}/own/{ID}", f"4:memory:/docker/{OTHER}/own/{ID}\n"),
}


@pytest.mark.parametrize("case", PROCESS_PATHS)
def test_unusual_place_is_found_by_the_process(machine: Machine, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    version, path, text = PROCESS_PATHS[case]
    (machine.version_1 if version == 1 else machine.version_2)(path)
    machine.process(77, text)
    monkeypatch.setattr(cgroup_paths, "MAX_FOLDERS", 0)  # no walk
    assert ID in machine.groups().read([(ID, 77)])


def test_neighbours_of_one_that_was_found_need_no_process(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup_paths, "MAX_FOLDERS", 0)
    for container in (ID, OTHER):
        machine.version_2(f"own.slice/docker-{container}.scope")
    machine.process(77, f"0::/own.slice/docker-{ID}.scope\n")
    assert set(machine.groups().read([(ID, 77), (OTHER, 0)])) == {ID, OTHER}


@pytest.mark.parametrize(
    "text",
    [f"0::/../docker-{ID}.scope\n", "", "garbage\n", f"0::/somebody/else\n7:memory:/docker/{ID}\n", "0::/\n"],
    ids=["another cgroup namespace", "empty", "garbage", "left over of version 1", "not in a group"],
)
def test_place_that_the_process_does_not_tell_is_found_by_a_walk(machine: Machine, text: str) -> None:
    machine.version_2(f"user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope")
    machine.version_2(f"user.slice/libpod-conmon-{OTHER}.scope")
    machine.process(77, text)
    found = machine.groups().read([(ID, 77), (OTHER, 0)])
    assert set(found) == {ID}, "a monitor's group is not the container's"


def test_path_of_another_process_with_the_same_number_is_not_taken(machine: Machine) -> None:
    machine.version_2(f"docker/{OTHER}")
    machine.process(77, f"0::/docker/{OTHER}\n")
    assert machine.groups().read([(ID, 77)]) == {}


def test_walk_is_bounded(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup_paths, "MAX_DEPTH", 3)
    machine.version_2(f"a/b/c/d/e/f/{ID}")
    assert machine.groups().read([(ID, 0)]) == {}


def test_group_that_is_not_found_is_looked_for_again_only_after_a_while(machine: Machine) -> None:
    groups = machine.groups()
    assert groups.read([(ID, 0)]) == {}
    machine.version_1(f"docker/{ID}")
    assert groups.read([(ID, 0)]) == {}
    machine.now = RETRY_SECONDS
    assert set(groups.read([(ID, 0)])) == {ID}


BROKEN = {
    "no memory controller": ("memory.current", None, (2.500001, 0.75, None, 2)),
    "no memory.stat": ("memory.stat", None, (2.500001, 0.75, None, 2)),
    "memory.stat cut short": ("memory.stat", "anon 1\ninactive_file 40", (2.500001, 0.75, None, 2)),
    "no inactive_file": ("memory.stat", "anon 1\ntotal_inactive_file 7\n", (2.500001, 0.75, None, 2)),
    "memory cut short": ("memory.current", "100", (2.500001, 0.75, None, 2)),
    "memory is no number": ("memory.current", "max\n", (2.500001, 0.75, None, 2)),
    "no cpu.stat": ("cpu.stat", None, (None, None, 5904, 2)),
    "cpu.stat without modes": ("cpu.stat", "usage_usec 7\n", (None, None, 5904, 2)),
    "negative": ("cpu.stat", "user_usec -1\nsystem_usec 750000\n", (None, 0.75, 5904, 2)),
    "kernel without oom_kill": ("memory.events", "low 0\noom 3\n", (2.500001, 0.75, 5904, None)),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_a_group_does_not_tell_is_absent_not_zero(machine: Machine, case: str) -> None:
    name, text, expected = BROKEN[case]
    machine.version_2(f"docker/{ID}")
    file = machine.root / f"docker/{ID}/{name}"
    file.unlink() if text is None else file.write_text(text)
    usage = machine.groups().read([(ID, 0)])[ID]
    assert [value is None for value in usage] == [value is None for value in expected]
    assert [value for value in usage if value is not None] == pytest.approx(
        [value for value in expected if value is not None]
    )


def test_group_without_any_of_the_files_has_no_use(machine: Machine) -> None:
    machine.write("cgroup.controllers", "")
    (machine.root / f"docker/{ID}").mkdir(parents=True)
    assert machine.groups().read([(ID, 0)]) == {}


def test_files_of_a_restarted_container_are_its_new_groups(machine: Machine) -> None:
    machine.version_2(f"docker/{ID}")
    groups = machine.groups()
    groups.read([(ID, 0)])
    shutil.rmtree(machine.root / f"docker/{ID}")
    assert groups.read([]) == {}, "it does not run"
    machine.version_2(f"docker/{ID}", memory=5000)
    assert groups.read([(ID, 0)])[ID].memory_bytes == 5000 - 4096


def test_rest_is_read_where_cpu_or_memory_moved_and_now_and_then(machine: Machine) -> None:
    machine.version_2(f"docker/{ID}")
    groups = machine.groups()
    first = groups.read([(ID, 0)])[ID]
    machine.write(f"docker/{ID}/memory.stat", MEMORY_STAT_2.replace("4096", "1096"))
    assert groups.read([(ID, 0)])[ID] is first
    machine.now = STILL_SECONDS
    assert groups.read([(ID, 0)])[ID].memory_bytes == 10_000 - 1096
    machine.write(f"docker/{ID}/memory.stat", MEMORY_STAT_2)
    machine.write(f"docker/{ID}/memory.current", "20000\n")
    assert groups.read([(ID, 0)])[ID].memory_bytes == 20_000 - 4096


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.needs("linux")
def test_open_files_are_bounded_and_go_with_their_containers(machine: Machine) -> None:
    containers = [(f"{number:064x}", 0) for number in range(MAX_KEPT + 40)]
    for container, _ in containers:
        machine.version_2(f"docker/{container}")
    before = open_files()
    groups = machine.groups()
    assert len(groups.read(containers)) == len(containers)
    assert open_files() - before == 4 * MAX_KEPT
    groups.read(containers[:3])
    assert open_files() - before == 4 * 3
    groups.close()
    assert open_files() == before


def test_learned_places_are_bounded(machine: Machine) -> None:
    containers = [(f"{number:064x}", 0) for number in range(cgroup_paths.MAX_TEMPLATES + 10)]
    for number, (container, _) in enumerate(containers):
        machine.version_2(f"pod-{number}/{container}")
    groups = machine.groups()
    assert len(groups.read(containers)) == len(containers)
    assert groups._finder is not None
    assert len(groups._finder._templates) == cgroup_paths.MAX_TEMPLATES
    assert cgroups.VERSION_2.hierarchies == ("",)
