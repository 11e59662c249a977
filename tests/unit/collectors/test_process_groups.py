"""Rows of groups and lists: of the last scan, and none of one that is too old."""

import re
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.collector import NoData
from exporter.collectors.process_groups import ProcessGroups
from exporter.processes import Scan
from exporter.processes.census import Census
from exporter.processes.procfs import PAGE_BYTES, TICKS_PER_SECOND
from exporter.processes.table import Clocks
from exporter.settings.exporter import Paths
from exporter.settings.processes import ProcessGroupsSettings
from tests.support.kernel import collect, rows_of
from tests.support.processes import Machine, group
from tests.support.trees import check_golden

TREES = Path(__file__).parents[2] / "fixtures/processes"
GROUPS = (
    group("web", unit=r"nginx\.service|httpd\.service"),
    group("docker", executable="/usr/bin/containerd|/usr/sbin/dockerd"),
    group("kernel", name="k.*"),
    group("sessions", cgroup="^/user.slice/"),
    group("not there"),
)


@pytest.mark.parametrize("case", ["debian12-vm-6.18", "centos7-3.10"])
def test_page_is_the_recorded_one(case: str, rewrite_golden: bool) -> None:
    assert (PAGE_BYTES, TICKS_PER_SECOND) == (4096, 100), "the recorded pages are those of such a machine"
    now = [1000.0]
    census = Census(
        ProcessGroupsSettings(groups=GROUPS, top=3),
        Paths(procfs=str(TREES / case / "proc"), rootfs=str(TREES / case)),
        clocks=Clocks(lambda: now[0], lambda: now[0], None),
        wall=lambda: 1_700_000_000 + now[0],
    )
    census.scan()
    now[0] += 10
    scan = census.scan()
    check_golden(TREES / case / "page.prom", collect(ProcessGroups(lambda: scan)), rewrite=rewrite_golden)
    census.close()


def test_rows_say_what_the_groups_have() -> None:
    machine = Machine(group("web"))
    machine.start(5, "web", start=100, open_files=512)
    machine.scan()
    machine[5].user, machine[5].read = 150, 4096
    scan = machine.scan().scan
    assert rows_of(collect(ProcessGroups(lambda: scan))) >= {
        ('host_process_group_processes{group="web"}', 1.0),
        ('host_process_group_cpu_seconds_total{group="web",mode="user"}', 1.5),
        ('host_process_group_cpu_seconds_total{group="web",mode="system"}', 0.0),
        ('host_process_group_read_bytes_total{group="web"}', 4096.0),
        ('host_process_group_open_files_limit_ratio{group="web"}', 0.5),
        ('host_process_group_states{group="web",state="sleeping"}', 1.0),
        ('host_process_group_oldest_start_timestamp_seconds{group="web"}', 1e9 + 1),
        ('host_process_top_cpu_cores{name="web"}', 0.15),
        ('host_process_top_cpu_cores{name="other"}', 0.0),
        ("host_process_scan_complete", 1.0),
        ("host_process_scan_processes", 2.0),
    }


def test_no_scan_and_no_process_are_no_data() -> None:
    with pytest.raises(NoData):
        ProcessGroups(lambda: None).collect()
    machine = Machine()
    machine.end(1)
    scan = machine.scan().scan
    with pytest.raises(NoData):
        ProcessGroups(lambda: scan).collect()


def test_text_is_kept_until_there_is_a_new_scan() -> None:
    machine = Machine(group("web"))
    last = [machine.scan().scan]
    collector = ProcessGroups(lambda: last[0])
    first = collector.collect()
    assert collector.collect() == first
    last[0] = machine.scan().scan
    assert collector.collect() != first


def test_group_that_changes_while_others_do_not_has_its_own_rows_changed() -> None:
    machine = Machine(group("a"), group("b"), group("c"))
    for pid, name in enumerate("abc", 5):
        machine.start(pid, name, start=1)
    last: list[Scan] = [machine.scan().scan]
    collector = ProcessGroups(lambda: last[0])
    collector.collect()
    for pid, changed in [(6, {"threads": 9}), (7, {"denied": {"io"}}), (5, {"open_files": 77}), (7, {"denied": set()})]:
        vars(machine[pid]).update(changed)
        machine[pid].user += 1
        for _ in range(6):
            last[0] = machine.scan().scan
            assert rows_of(collector.collect()) == rows_of(ProcessGroups(lambda: last[0]).collect())
    rows = dict(rows_of(collector.collect()))
    assert rows['host_process_group_threads{group="b"}'] == 9
    assert rows['host_process_group_open_files{group="a"}'] == 77
    assert 'host_process_group_hidden{group="c",field="io"}' not in rows


def test_hidden_fields_take_their_rows_with_them_and_are_counted() -> None:
    machine = Machine(group("web"))
    machine.start(5, "web").denied |= {"io", "fd"}
    scan = machine.scan().scan
    page = collect(ProcessGroups(lambda: scan)).decode()
    assert 'host_process_group_hidden{group="web",field="io"} 1\n' in page
    assert 'host_process_group_hidden{group="web",field="open_files"} 1\n' in page
    assert not re.search(r"^host_process_group_(read|written|open_files)", page, re.MULTILINE)
    assert 'host_process_group_processes{group="web"} 1\n' in page


def test_machine_that_hides_processes_has_only_the_rows_that_say_so() -> None:
    machine = Machine(group("web"))
    machine.start(5, "web").denied.add("stat")
    scan = machine.scan().scan
    names = {key.split("{")[0] for key, _ in rows_of(collect(ProcessGroups(lambda: scan)))}
    assert ("host_process_scan_complete", 0.0) in rows_of(collect(ProcessGroups(lambda: scan)))
    assert all(name.startswith("host_process_scan_") for name in names)


def test_whatever_a_name_holds_the_page_can_be_read() -> None:
    machine = Machine(group('we"b\\\n', name=".*"))
    machine.start(5, 'a"b\\c\nd)', resident=1 << 20)
    machine.start(6, "", resident=1 << 20)
    machine.scan()
    scan = machine.scan().scan
    families = list(text_string_to_metric_families(collect(ProcessGroups(lambda: scan)).decode()))
    names = {s.labels["name"] for f in families for s in f.samples if s.name == "host_process_top_resident_bytes"}
    assert {'a"b\\c\nd)', "(nameless)"} <= names


def test_no_family_names_a_pid_or_a_command_line() -> None:
    labels = {label for family in ProcessGroups.families for label in family.labels}
    assert labels == {"group", "mode", "state", "field", "name"}


@pytest.mark.measured
@pytest.mark.parametrize("groups", [256])
def test_many_groups_cost_little_where_few_of_them_change(groups: int) -> None:
    machine = Machine(*[group(f"g{number}") for number in range(groups)])
    machine.start(5, "g7")
    last = [machine.scan().scan]
    collector = ProcessGroups(lambda: last[0])
    start = time.thread_time()
    collector.collect()
    whole = time.thread_time() - start
    machine[5].user += 1
    last[0] = machine.scan().scan
    start = time.thread_time()
    collector.collect()
    assert time.thread_time() - start < whole / 3
