"""Rows of containers: one-hot states, absent values, labels; a machine without an engine, or without a right to it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.clients.docker import EngineError
from exporter.collector import NoData
from exporter.collectors.cardinality import DEFAULT_PER_FAMILY, Budget
from exporter.collectors.container_families import HEALTH_STATES, STATES
from exporter.collectors.containers import ContainerStates, ContainerUse
from exporter.collectors.sysfs import Absence
from exporter.kernel import KernelFiles
from exporter.settings.containers import ContainersSettings
from exporter.settings.values import Duration
from tests.support.fake_engine import (
    FakeContainer,
    FakeEngine,
    Handler,
    closing,
    every_state,
    failure,
    recorded,
    saying,
    silent,
    trickling,
    whole,
)
from tests.support.kernel import collect
from tests.support.trees import series


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += Absence.SECONDS + 1  # absence is never remembered
        return self.now


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeEngine]:
    with FakeEngine(tmp_path / "docker.sock", every_state()) as fake:
        yield fake


def collector_of(path: Path, labels: dict[str, str | None] | None = None, timeout: float = 3) -> ContainerStates:
    """Return a collector of the engine at `path`, with the control groups that stand beside it."""
    settings = ContainersSettings(socket=str(path), labels=labels or {}, timeout=Duration(timeout))
    files = KernelFiles(path.parent / "proc", path.parent / "sys")
    return ContainerStates(files, settings, Clock())


def values(block: bytes, family: str, *keys: str) -> dict[str, float]:
    """Return a family's values by the values of these labels, `name` by default."""
    found = {}
    for (name, labels), value in series(block).items():
        if name == f"host_container_{family}":
            by = dict(labels)
            found[" ".join(by.get(key, "") for key in keys or ("name",))] = value
    return found


def group(folder: Path, container: FakeContainer, seconds: float = 2.5, memory: int = 10_000) -> None:
    """Put a control group of version 2 beside an engine's socket."""
    root = folder / "sys/fs/cgroup"
    own = root / f"docker/{container.id}"
    own.mkdir(parents=True, exist_ok=True)
    (root / "cgroup.controllers").write_text("cpu memory\n")
    (own / "cpu.stat").write_text(f"usage_usec 0\nuser_usec {int(seconds * 1e6)}\nsystem_usec 500000\n")
    (own / "memory.current").write_text(f"{memory}\n")
    (own / "memory.stat").write_text("inactive_file 4000\n")
    (own / "memory.events").write_text("oom 3\noom_kill 2\n")


def test_state_is_one_hot_over_all_states(fake: FakeEngine) -> None:
    rows = values(collect(collector_of(fake.path)), "state", "name", "state")
    assert rows == {f"{one.name} {state}": float(one.state == state) for one in fake.containers for state in STATES}


def test_state_that_nobody_knows_is_none_of_the_states(fake: FakeEngine) -> None:
    fake.containers = [FakeContainer("odd", state="hibernating")]
    assert set(values(collect(collector_of(fake.path)), "state", "state").values()) == {0.0}


def test_health_is_one_hot_where_a_running_container_has_a_check(fake: FakeEngine) -> None:
    fake.container("failed").health = "unhealthy"  # Docker keeps the last word of a container that ended
    rows = values(collect(collector_of(fake.path)), "health", "name", "status")
    healths = {"web": "healthy", "slow": "starting", "sick": "unhealthy"}
    assert rows == {f"{name} {one}": float(one == health) for name, health in healths.items() for one in HEALTH_STATES}


def test_exit_code_is_there_for_what_has_ended(fake: FakeEngine) -> None:
    assert values(collect(collector_of(fake.path)), "exit_code") == {"done": 0, "failed": 3, "hungry": 137, "corpse": 1}


def test_out_of_memory_restarts_and_limit(fake: FakeEngine) -> None:
    block = collect(collector_of(fake.path))
    assert {name for name, value in values(block, "oom_killed").items() if value} == {"hungry"}
    assert {name: value for name, value in values(block, "restarts_total").items() if value} == {"sick": 4, "loop": 7}
    assert values(block, "memory_limit_bytes") == {"web": 256 << 20}


def test_moments_that_never_were_are_absent(fake: FakeEngine) -> None:
    block = collect(collector_of(fake.path))
    names = {one.name for one in fake.containers}
    assert values(block, "created_timestamp_seconds") == dict.fromkeys(names, 1_700_000_000)
    assert values(block, "started_timestamp_seconds") == dict.fromkeys(names - {"new"}, 1_700_000_001.123)
    ended = {"done", "failed", "going", "corpse"}
    assert values(block, "finished_timestamp_seconds") == dict.fromkeys(ended, 1_700_010_123.5)


def test_image_has_its_version_in_one_family_only(fake: FakeEngine) -> None:
    fake.containers = [FakeContainer("web", image="registry:5000/team/app:1.2"), FakeContainer("db", image="postgres")]
    block = collect(collector_of(fake.path))
    expected = {"web registry:5000/team/app 1.2": 1.0, "db postgres latest": 1.0}
    assert values(block, "info", "name", "image", "version") == expected
    assert set(values(block, "state", "image")) == {"registry:5000/team/app", "postgres"}


def test_new_version_is_the_same_series_of_states(fake: FakeEngine) -> None:
    collector = collector_of(fake.path)
    before = values(collect(collector), "state", "name", "image", "state")
    fake.containers = [FakeContainer(**{**vars(one), "image": "registry:5000/team/app:1.3"}) for one in fake.containers]
    assert values(collect(collector), "state", "name", "image", "state") == before


def test_labels_of_containers_are_shown_where_wanted(fake: FakeEngine) -> None:
    fake.containers = [
        FakeContainer("web", labels={"com.docker.compose.service": "front", "team": 'a "b"\n', "long": "x" * 999}),
        FakeContainer("db", labels=None),
    ]
    wanted: dict[str, str | None] = {"com.docker.compose.service": "compose_service", "team": None, "long": None}
    block = collect(collector_of(fake.path, wanted))
    rows = values(block, "info", "name", "compose_service", "team", "long")
    assert set(rows) == {f'web front a "b"\n {"x" * 200}', "db   "}
    assert b"compose_service" not in collect(collector_of(fake.path))


def test_neither_id_nor_sentence_stands_on_the_page(fake: FakeEngine) -> None:
    block = collect(collector_of(fake.path))
    for one in fake.containers:
        assert one.id[:12].encode() not in block
    for word in (b"Up ", b"ago", b"Exited", b"sha256"):
        assert word not in b"\n".join(line for line in block.split(b"\n") if not line.startswith(b"#"))


def test_cpu_and_memory_are_those_of_running_ones(fake: FakeEngine) -> None:
    for one in fake.containers:
        group(fake.path.parent, one)  # of those that ended there would be none
    collector = collector_of(fake.path)
    block = collect(collector)
    running = {"web", "slow", "sick", "quiet"}
    assert values(block, "cpu_seconds_total", "name", "mode") == {
        f"{name} {mode}": seconds for name in running for mode, seconds in (("user", 2.5), ("system", 0.5))
    }
    assert values(block, "memory_usage_bytes") == dict.fromkeys(running, 6000)
    assert values(block, "oom_kills_total") == dict.fromkeys(running, 2)
    image = "registry:5000/team/app"
    by_name = {use.name: use for use in collector.last}
    assert by_name["web"] == ContainerUse("web", image, "running", 3.0, 6000)
    assert by_name["done"] == ContainerUse("done", image, "exited", None, None)
    assert len(by_name) == len(fake.containers)


def test_running_container_without_a_group_has_no_use(fake: FakeEngine) -> None:
    collector = collector_of(fake.path)
    block = collect(collector)
    assert values(block, "cpu_seconds_total") == values(block, "memory_usage_bytes") == {}
    assert {use.cpu_seconds_total for use in collector.last} == {None}


def test_removed_container_leaves_nothing(fake: FakeEngine) -> None:
    collector = collector_of(fake.path)
    group(fake.path.parent, fake.container("web"))
    assert b'name="web"' in collect(collector)
    fake.containers.remove(fake.container("web"))
    assert b'name="web"' not in collect(collector)


def test_engine_without_containers_is_success_without_rows(fake: FakeEngine) -> None:
    fake.containers = []
    assert collect(collector_of(fake.path)) == b""


def test_no_socket_is_no_data(tmp_path: Path) -> None:
    collector = collector_of(tmp_path / "docker.sock")
    assert not collector.blocking
    with pytest.raises(NoData):
        collector.collect()


def test_absence_is_remembered_for_some_seconds(tmp_path: Path) -> None:
    now = [100.0]
    settings = ContainersSettings(socket=str(tmp_path / "docker.sock"))
    collector = ContainerStates(KernelFiles(), settings, lambda: now[0])
    with pytest.raises(NoData):
        collect(collector)
    with FakeEngine(tmp_path / "docker.sock", every_state()):
        assert not collector.blocking
        now[0] += Absence.SECONDS
        assert collector.blocking
        assert collect(collector)


def test_socket_that_goes_and_comes_back(tmp_path: Path) -> None:
    collector = collector_of(tmp_path / "docker.sock")
    before = open_files()
    for _ in range(3):
        with FakeEngine(tmp_path / "docker.sock", every_state()):
            assert collect(collector)
            assert collector.last
            assert collector.last_at is not None
        with pytest.raises(NoData):
            collect(collector)
        assert collector.last == ()
        assert collector.last_at is None
        assert open_files() == before, "nothing is left open"


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_no_permission_is_no_data_and_told_once(
    fake: FakeEngine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chmod(fake.path, 0o600)  # noqa: PTH101 -- a socket
    collector = collector_of(fake.path)

    def refuse(path: str, deadline: float) -> None:  # root may do everything
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("exporter.clients.docker.Connection", refuse)
        for _ in range(3):
            with pytest.raises(NoData):
                collect(collector)
    (record,) = caplog.records
    fields = record.__dict__["fields"]
    assert (fields["socket"], fields["mode"]) == (str(fake.path), "srw-------")
    assert (fields["our_uid"], fields["owner_uid"]) == (os.geteuid(), os.geteuid())
    assert collect(collector), "it recovers"


ILL: dict[str, Handler] = {
    "slow": silent,
    "trickling": trickling,
    "cut off": closing(whole(b"[]" * 50)[:-20]),
    "garbage": closing(os.urandom(500)),
    "500": saying(failure("500 Internal Server Error", "x")),
    "no JSON": saying(whole(b"<html>")),
    "hangs up": closing(),
}


@pytest.mark.parametrize("case", ILL)
def test_ill_engine_is_a_failure_without_rows_that_ends_by_itself(fake: FakeEngine, case: str) -> None:
    collector = collector_of(fake.path, timeout=0.05)
    collect(collector_of(fake.path))
    assert collect(collector)
    fake.ill["/containers/json"] = ILL[case]
    for _ in range(2):
        start = time.monotonic()
        with pytest.raises(EngineError):
            collect(collector)
        assert time.monotonic() - start < 1
        assert collector.last == ()
    fake.ill.clear()
    collector._settings = ContainersSettings(socket=str(fake.path))
    assert len(values(collect(collector), "created_timestamp_seconds")) == len(fake.containers)


@pytest.mark.measured
@pytest.mark.slow
def test_two_thousand_containers_are_bounded_in_series_and_time(fake: FakeEngine) -> None:
    fake.containers = recorded(2000)
    for one in fake.containers[:200]:
        group(fake.path.parent, one)
    collector = collector_of(fake.path)
    budget = Budget(DEFAULT_PER_FAMILY)
    spent: list[float] = []
    known = 0
    while known < 2000 and len(spent) < 40:
        start = time.monotonic()
        raw = collect(collector)
        spent.append(time.monotonic() - start)
        known = raw.count(b"\nhost_container_restarts_total{")
    print(f"2,000 containers: {len(spent)} scrapes until all are inspected, {max(spent):.2f} s the longest")
    assert known == 2000, spent
    # coverage, where it watches, takes longer than what it watches
    assert max(spent) < (1 if sys.gettrace() is None else 4), spent
    rows = budget.keep("containers", raw).split(b"\n")
    assert sum(row.startswith(b"host_container_state{") for row in rows) == DEFAULT_PER_FAMILY
    assert sum(row.startswith(b"host_container_exit_code{") for row in rows) == 200, "all are inspected by now"
    assert budget.dropped["containers"] > 0
    exited = sum(b'state="exited"} 1' in row for row in rows)
    assert exited == 200, "what does not run is not what the cap cuts"
    assert len(collector.last) == 2000


def test_machine_without_an_engine_imports_no_client() -> None:
    program = (
        "import sys\n"
        "from exporter.collector import NoData\n"
        "from exporter.collectors.containers import ContainerStates\n"
        "from exporter.kernel import KernelFiles\n"
        "from exporter.settings.containers import ContainersSettings\n"
        "collector = ContainerStates(KernelFiles(), ContainersSettings(socket='/nowhere/docker.sock'))\n"
        "assert not collector.blocking\n"
        "try:\n    collector.collect()\nexcept NoData:\n    pass\n"
        "print([name for name in sys.modules if name.startswith('exporter.clients')])\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
