"""What groups count, what the lists sum up, and how little is read for it."""

import pytest

from exporter.kernel import KernelError
from exporter.processes.procfs import PAGE_BYTES, TICKS_PER_SECOND
from exporter.processes.table import MAX_PROCESSES
from exporter.settings.processes import Match
from exporter.settings.values import Regex
from tests.support.processes import KERNEL_THREAD, FakeProcess, Machine, group

SECOND = TICKS_PER_SECOND


def test_group_without_processes_is_zero_and_has_no_oldest_start() -> None:
    machine = Machine(group("web"))
    sums = machine.scan()["web"].sums
    assert sums is not None
    assert (sums.processes, sums.resident, sums.swap, sums.threads, sums.open_files) == (0, 0, 0, 0, 0)
    assert sums.states == (0,) * 7
    assert sums.start is None
    assert sums.open_files_ratio is None


def test_what_members_have_is_summed_up() -> None:
    machine = Machine(group("web"))
    machine.start(5, "web", start=700, threads=3, virtual=100, resident=2 * PAGE_BYTES, swap=2048, open_files=10)
    machine.start(6, "web", start=800, state="D", virtual=200, resident=PAGE_BYTES, open_files=50, limit="100")
    machine.start(7, "database")
    sums = machine.scan()["web"].sums
    assert sums is not None
    assert sums == (2, 3 * PAGE_BYTES, 300, 2048, 4, 60, 0.5, (0, 1, 1, 0, 0, 0, 0), 700)


def test_counters_begin_at_zero_when_hostwatch_begins_to_watch() -> None:
    machine = Machine(group("web"))
    machine.start(5, "web", start=3, user=50 * SECOND, read=10**9)
    assert machine.scan()["web"].user_seconds == 0
    machine[5].user += 2 * SECOND
    machine[5].system += SECOND
    machine[5].read += 4096
    machine[5].written += 512
    web = machine.scan()["web"]
    assert (web.user_seconds, web.system_seconds, web.read_bytes, web.written_bytes) == (2, 1, 4096, 512)


def test_all_that_a_process_used_counts_when_it_was_born_since_the_last_scan() -> None:
    machine = Machine(group("web"))
    machine.scan()
    machine.start(5, "web", user=3 * SECOND, read=100)
    web = machine.scan()["web"]
    assert (web.user_seconds, web.read_bytes) == (3, 100)


def test_an_old_process_that_shows_up_late_counts_from_then_on() -> None:
    machine = Machine(group("web"))
    machine.scan()
    machine.start(5, "web", start=3, user=3 * SECOND, read=100)
    web = machine.scan()["web"]
    assert (web.user_seconds, web.read_bytes) == (0, 0)


def test_counters_keep_what_ended_processes_used() -> None:
    machine = Machine(group("web"))
    machine.scan()
    machine.start(5, "web", user=3 * SECOND)
    machine.scan()
    machine.end(5)
    web = machine.scan()["web"]
    assert web.user_seconds == 3
    assert web.sums is not None
    assert web.sums.processes == 0


@pytest.mark.parametrize("used", [0, 9], ids=["less CPU than the one before", "more CPU"])
def test_a_pid_that_somebody_else_has_now_is_another_process(used: int) -> None:
    machine = Machine(group("web"), group("database"))
    machine.scan()
    machine.start(5, "web", user=3 * SECOND)
    machine.scan()
    machine.start(5, "database", user=used * SECOND)
    seen = machine.scan()
    assert (seen["web"].user_seconds, seen["database"].user_seconds) == (3, used)
    assert seen["web"].sums is not None
    assert seen["web"].sums.processes == 0


def test_exec_moves_a_process_with_what_it_uses_from_then_on() -> None:
    machine = Machine(group("shell"), group("web"))
    machine.scan()
    machine.start(5, "shell", user=SECOND)
    machine.scan()
    machine[5].name = "web"
    machine[5].user += 2 * SECOND
    seen = machine.scan()
    assert (seen["shell"].user_seconds, seen["web"].user_seconds) == (1, 2)
    assert seen["shell"].sums is not None
    assert seen["shell"].sums.processes == 0


def test_exec_under_the_same_name_is_seen_while_a_process_is_young() -> None:
    machine = Machine(group("job", command_line="job"), interval=1)
    machine.scan()
    machine.start(61, "python3", command_line=b"python3\0server.py")
    machine.scan()
    machine[61].command_line = b"python3\0job.py"
    machine[61].user += 1
    sums = machine.scan()["job"].sums
    assert sums is not None
    assert sums.processes == 1


def test_zombie_that_ran_another_program_before_it_ended_goes_by_its_name() -> None:
    machine = Machine(group("shell"), group("web"))
    machine.start(5, "shell")
    machine.scan()
    machine[5].name, machine[5].state, machine[5].user = "web", "Z", 1
    assert machine.scan()["web"].sums.processes == 1


def test_a_command_line_that_changes_later_is_seen_within_a_minute() -> None:
    machine = Machine(group("job", command_line="job"))
    machine.start(5)
    for _ in range(10):
        machine.scan()
    machine[5].command_line = b"job"
    assert any(machine.scan()["job"].sums.processes for _ in range(6))


def test_first_group_that_matches_has_the_process() -> None:
    machine = Machine(group("a", name="we.*"), group("b", name="web"))
    machine.start(5, "web")
    seen = machine.scan()
    assert [seen[name].sums.processes for name in "ab"] == [1, 0]


def test_zombie_keeps_its_group_though_its_command_line_is_gone() -> None:
    machine = Machine(group("job", command_line="job"))
    machine.start(5, command_line=b"job")
    machine.scan()
    machine[5].state, machine[5].command_line = "Z", b""
    machine[5].user += 1
    for _ in range(7):
        seen = machine.scan()
    assert seen["job"].sums.processes == 1
    assert seen["job"].sums.states == (0, 0, 0, 0, 1, 0, 0)


@pytest.mark.parametrize(
    ("letter", "state"),
    [("R", 0), ("S", 1), ("D", 2), ("T", 3), ("t", 3), ("Z", 4), ("I", 5), ("X", 6), ("P", 6), ("?", 6)],
)
def test_state_of_each_letter(letter: str, state: int) -> None:
    machine = Machine(group("app"))
    machine.start(5, state=letter)
    assert machine.scan()["app"].sums.states[state] == 1


# ---- what permissions hide


@pytest.mark.parametrize(
    ("file", "field", "absent"),
    [
        ("io", "io", ("read_bytes", "written_bytes")),
        ("fd", "open_files", ("sums.open_files", "sums.open_files_ratio")),
        ("status", "swap", ("sums.swap",)),
    ],
)
def test_a_field_that_is_hidden_of_one_member_is_absent_not_summed_up_wrongly(
    file: str, field: str, absent: tuple[str, ...]
) -> None:
    machine = Machine(group("app"))
    machine.start(5)
    machine.start(6).denied.add(file)
    machine.scan()
    machine[5].user += SECOND
    app = machine.scan()["app"]
    assert app.hidden == ((field, 1),)
    values = {name: getattr(app, name) for name in ("read_bytes", "written_bytes")}
    values |= {f"sums.{name}": getattr(app.sums, name) for name in ("swap", "open_files", "open_files_ratio")}
    assert {name for name, value in values.items() if value is None} == set(absent)
    machine.end(6)
    assert machine.scan()["app"].hidden == ()


def test_a_group_whose_members_cannot_be_told_is_absent_and_says_so() -> None:
    machine = Machine(group("web", executable="/usr/sbin/web"), group("app", name="app"), group("other", name="x"))
    machine.start(5).denied.add("exe")
    machine.start(6, executable="/usr/sbin/web")
    seen = machine.scan()
    assert seen["web"].sums is None
    assert seen["web"].hidden == (("executable", 1),)
    assert seen["app"].sums is None, "the process is in one of the two"
    assert seen["other"].sums is not None
    machine.end(5)
    assert machine.scan()["web"].sums.processes == 1


@pytest.mark.parametrize("file", ["exe", "cgroup", "fd", "status", "limits"])
def test_odd_process_hides_itself_and_no_other(file: str) -> None:
    """Whoever may make folders can make a path that is longer than the kernel tells."""
    fields = {"exe": "executable", "cgroup": "unit"}
    odd = group("odd", **({fields[file]: "none"} if file in fields else {"name": "odd"}))
    machine = Machine(odd, group("web", name="web"))
    machine.start(5, "odd").too_long.add(file)
    machine.start(6, "web")
    assert machine.scan()["web"].sums.processes == 1
    assert machine.scan()["odd"].hidden or file == "limits"


def test_another_expression_that_fails_settles_what_a_hidden_field_leaves_open() -> None:
    machine = Machine(group("web", executable="/usr/sbin/web", name="web"))
    machine.start(5, "database").denied.add("exe")
    assert machine.scan()["web"].sums.processes == 0


def test_processes_that_are_not_listed_make_every_sum_wrong_so_none_is_shown() -> None:
    machine = Machine(group("app"))
    machine.end(1)
    machine.start(5)
    machine.scan()
    scan = machine.scan().scan
    assert not scan.complete
    assert (scan.groups, scan.top_cpu, scan.other_cores, scan.counts) == ((), (), None, {})
    machine.start(1, "init")
    assert machine.scan()["app"].sums.processes == 1


def test_processes_that_are_listed_but_may_not_be_read_likewise() -> None:
    machine = Machine(group("app"))
    machine.start(5).denied.add("stat")
    assert not machine.scan().scan.complete


def test_kernel_that_does_not_count_io_leaves_its_rows_out() -> None:
    machine = Machine(group("app"))
    machine.proc.counts_io = False
    assert machine.scan()["app"].read_bytes is None


# ---- what a parent inherits from its children


def test_bytes_of_a_child_count_once_though_its_parent_inherits_them() -> None:
    machine = Machine(group("app"))
    machine.start(5, parent=1)
    machine.scan()
    machine.start(6, parent=5, read=1000)
    assert machine.scan()["app"].read_bytes == 1000
    machine[6].read += 24  # after the last look at it
    machine.reap(6)
    machine[5].read += 1
    assert machine.scan()["app"].read_bytes == 1025


def test_bytes_of_grandchildren_that_end_together_count_once() -> None:
    machine = Machine(group("app"))
    machine.start(5)
    machine.scan()
    machine.start(6, parent=5, written=100)
    machine.start(7, parent=6, written=1000)
    machine.scan()
    machine.reap(7)
    machine.reap(6)
    assert machine.scan()["app"].written_bytes == 1100


def test_what_the_parent_inherits_a_moment_after_it_was_read_counts_once() -> None:
    machine = Machine(group("app"))
    machine.start(5)
    machine.scan()
    machine.start(6, parent=5, read=1000)
    machine.scan()
    machine.end(6)  # was waited for, which what was read of the parent just before does not show
    machine[5].user += 1
    machine.scan()
    machine[5].user, machine[5].child_faults, machine[5].read = 2, 10, 1000 + 7
    assert machine.scan()["app"].read_bytes == 1007


def test_orphan_leaves_its_bytes_to_process_1_not_to_who_has_its_parents_pid_now() -> None:
    machine = Machine(group("app"), group("init"))
    machine.start(5)
    machine.start(6, parent=5, read=1000)
    machine.scan()
    machine.reap(5)
    machine.proc.monotonic += 1
    machine.start(5, more=1)
    machine[6].parent = 1  # does not show while it sleeps
    machine.reap(6)
    seen = machine.scan()
    assert (seen["app"].read_bytes, seen["init"].read_bytes) == (0, 0)


def test_parent_that_does_not_wait_inherits_nothing_and_its_own_bytes_count() -> None:
    machine = Machine(group("app"))
    machine.start(5)
    machine.scan()
    machine.start(6, parent=5, read=1000)
    machine.scan()
    machine.end(6)
    machine[5].user += 1
    machine[5].read += 500
    assert machine.scan()["app"].read_bytes == 1500
    for _ in range(3):
        machine[5].user += 1
        machine[5].read += 500
        seen = machine.scan()
    assert seen["app"].read_bytes == 3000


# ---- the lists


def test_nothing_is_listed_until_there_are_two_scans() -> None:
    scan = Machine().scan().scan
    assert (scan.top_cpu, scan.other_cores, scan.top_memory, scan.other_resident) == ((), None, (), None)


def test_names_are_summed_up_and_the_rest_is_other() -> None:
    machine = Machine(top=2)
    for pid, (name, used) in enumerate([("a", 5), ("a", 4), ("b", 3), ("c", 2), ("d", 1)], 10):
        machine.start(pid, name, resident=used * PAGE_BYTES)
    machine.scan()
    for pid, used in enumerate([5, 4, 3, 2, 1], 10):
        machine[pid].user += used * SECOND
    seen = machine.scan()
    assert seen.cores == pytest.approx({"a": 0.9, "b": 0.3, "other": 0.3})
    assert seen.resident == {"init": 16 * PAGE_BYTES, "a": 9 * PAGE_BYTES, "other": 6 * PAGE_BYTES}
    assert seen.scan.top_cpu[0].processes == 2


def test_process_named_other_is_part_of_the_rest() -> None:
    machine = Machine(top=2)
    machine.start(5, "other", resident=1 << 30)
    machine.scan()
    machine[5].user += SECOND
    seen = machine.scan()
    assert seen.cores == pytest.approx({"other": 0.1})
    assert set(seen.resident) == {"init", "other"}


def test_name_that_hardly_runs_has_no_row_of_its_own() -> None:
    machine = Machine()
    machine.start(5).clock = 0
    machine.scan()
    machine[5].clock = 9_000_000
    assert machine.scan().cores == pytest.approx({"other": 0.0009})
    machine[5].clock += 10_000_000
    assert machine.scan().cores == pytest.approx({"app": 0.001, "other": 0})


@pytest.mark.parametrize(
    ("name", "shown"),
    [("kworker/0:1-events", "kworker"), ("ksoftirqd/0", "ksoftirqd"), ("kswapd0", "kswapd0"), ("jbd2/vda1-8", "jbd2")],
)
def test_kernel_threads_are_summed_up_without_number_and_device(name: str, shown: str) -> None:
    machine = Machine()
    machine.start(5, name, flags=KERNEL_THREAD)
    machine.scan()
    machine[5].system += SECOND
    machine[5].name = name + "x"  # a worker's name tells what it did last
    assert set(machine.scan().cores) == {shown if "/" in name else name + "x", "other"}


def test_bytes_per_second_of_a_name_are_known_from_its_second_scan_in_the_list() -> None:
    machine = Machine()
    machine.start(5, read=10**6)
    rates = []
    for _ in range(4):
        rates.append([use.read_bytes_per_second for use in machine.scan().scan.top_cpu])
        machine[5].user += SECOND
        machine[5].read += 1000
    assert rates == [[], [None], [100], [100]]


def test_bytes_per_second_are_not_those_of_an_earlier_stay_in_the_list() -> None:
    machine = Machine(top=1)
    machine.start(5, resident=1 << 30)
    machine.start(6, "big", resident=0)
    for _ in range(2):
        machine.scan()
        machine[5].user += SECOND
    machine.scan()
    machine[5].resident, machine[6].resident = 0, 1 << 30
    for _ in range(3):
        machine[5].user, machine[5].read = machine[5].user + 1, machine[5].read + 10**6
        machine[6].user += SECOND
        machine.scan()
    machine[5].user += 9 * SECOND
    (use,) = machine.scan().scan.top_cpu
    assert (use.name, use.read_bytes_per_second) == ("app", None)


def test_hidden_bytes_are_unknown_not_zero() -> None:
    machine = Machine()
    machine.start(5).denied.add("io")
    for _ in range(3):
        seen = machine.scan()
        machine[5].user += SECOND
    assert [use.read_bytes_per_second for use in seen.scan.top_cpu] == [None]


# ---- how little is read


def test_only_those_are_read_that_have_run_and_the_others_by_turns_within_a_minute() -> None:
    machine = Machine()
    for pid in range(2, 62):
        machine.start(pid)
    machine.scan()
    machine.proc.names_read("stat")
    read: set[int] = set()
    for _ in range(6):
        machine[7].user += 1
        machine.scan()
        now = machine.proc.names_read("stat")
        assert len(now) <= 12
        assert 7 in now
        read |= now
    assert read == set(range(1, 62))


def test_memory_that_the_kernel_took_from_a_sleeper_shows_within_a_minute() -> None:
    machine = Machine(group("app"))
    machine.start(5, resident=100 * PAGE_BYTES)
    machine.scan()
    machine[5].resident = PAGE_BYTES
    assert [machine.scan()["app"].sums.resident for _ in range(6)][-1] == PAGE_BYTES


def test_dear_fields_are_read_of_members_only_and_only_when_they_ran() -> None:
    machine = Machine(group("web"), top=0)
    machine.start(5, "web")
    machine.start(6)
    machine.scan()
    for name in ("io", "fd", "limits", "status"):
        machine.proc.reads.clear()
        machine[6].user += 1
        for _ in range(6):
            machine.scan()
        found = {pid for pid, what in machine.proc.reads if what == name}
        assert found == ({5} if name == "status" else set()), name
    machine[5].user += 1
    machine.scan()
    assert {(5, "io"), (5, "fd")} <= set(machine.proc.reads)


def test_without_groups_nobody_is_asked_who_he_is() -> None:
    machine = Machine()
    machine.start(5)
    machine.scan()
    machine.scan()
    assert {what for _, what in machine.proc.reads} <= {"stat", "io"}


def test_swap_is_not_read_while_nothing_is_swapped() -> None:
    machine = Machine(group("app"))
    machine.start(5, swap=0)
    machine.proc.swapping = False
    assert machine.scan()["app"].sums.swap == 0
    assert not machine.proc.names_read("status")


def test_without_clocks_everybody_is_read_and_counted() -> None:
    machine = Machine(group("app"), clocks=False)
    machine.start(5)
    machine.scan()
    machine[5].user += 2 * SECOND
    machine[5].open_files = 9
    seen = machine.scan()
    assert seen["app"].user_seconds == 2
    assert seen.cores == pytest.approx({"app": 0.2, "other": 0})
    assert machine.proc.names_read("stat") == {1, 5}
    machine[5].open_files = 11
    assert machine.scan()["app"].sums.open_files == 11


# ---- what goes wrong


def test_process_that_ends_between_listing_and_reading_is_gone() -> None:
    machine = Machine(group("app"))
    machine.start(5)
    machine.start(6, user=1)
    machine.scan()
    machine.proc.vanish |= {5, 6, 7}
    machine.start(7)
    machine[6].user += 1
    for _ in range(6):
        seen = machine.scan()
    assert seen["app"].sums.processes == 0
    assert seen.scan.processes == 1


@pytest.mark.parametrize("name", ["io", "limits", "fd", "status", "user", "exe", "cgroup", "cmdline"])
def test_process_that_ends_before_a_further_file_is_read_does_no_harm(name: str) -> None:
    fields = ("name", "user", "executable", "cgroup", "command_line")
    machine = Machine(group("app", **dict.fromkeys(fields, ".*")))
    machine.scan()
    real, gone = machine.proc.find, {5}

    def find(pid: int, what: str = "") -> FakeProcess:
        if what == name and pid in gone:
            raise ProcessLookupError(3, "No such process")
        return real(pid, what)

    machine.proc.find = find  # type: ignore[method-assign]
    machine.start(5)
    machine.start(6)
    seen = machine.scan()
    assert seen["app"].hidden == ()
    machine.end(5)
    assert machine.scan()["app"].sums.processes == 2


def test_more_processes_than_can_be_kept_are_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    monkeypatch.setattr(machine.proc, "pids", lambda: list(range(1, MAX_PROCESSES + 2)))
    with pytest.raises(KernelError, match="at most 65536 processes, got 65537"):
        machine.scan()


def test_after_a_scan_that_broke_off_nobody_is_counted_twice_and_nothing_falls() -> None:
    machine = Machine(group("app"))
    machine.start(5)
    machine.start(6)
    machine.scan()
    machine[5].user += SECOND
    assert machine.scan()["app"].user_seconds == 1
    machine.end(5)
    machine[6].name = "x) not a stat ("
    machine[6].user += SECOND
    text = machine[6].text
    machine[6].text = lambda pid, name: b"garbage" if name == "stat" else text(pid, name)  # type: ignore[method-assign]
    assert machine.scan_or_reset() is None
    machine.start(6, user=70)
    seen = machine.scan()
    assert seen["app"].user_seconds == 1
    assert seen["app"].sums.processes == 1
    machine[6].user += SECOND
    assert machine.scan()["app"].user_seconds == 2


def test_command_line_that_blocks_leaves_open_its_own_groups_only() -> None:
    machine = Machine(group("job", command_line="job"), group("web", command_line="x", name="web"))
    machine.blocking.hanging.add(machine.proc.path(5, "cmdline"))
    machine.start(5)
    seen = machine.scan()
    assert seen["job"].sums is None
    assert seen["job"].hidden == (("command_line", 1),)
    assert seen["web"].sums is not None


def test_clock_that_is_set_moves_the_boot_and_small_steps_do_not() -> None:
    machine = Machine()
    first = machine.scan().scan.boot
    assert first == 1e9
    machine.census._wall = lambda: machine.proc.monotonic + 1e9 + 0.9
    assert machine.scan().scan.boot == first
    machine.census._wall = lambda: machine.proc.monotonic + 1e9 + 500
    assert machine.scan().scan.boot == first + 500


# ---- checks of processes


def test_matches_are_counted_whatever_the_groups_and_zombies_are_not() -> None:
    machine = Machine(group("app"))
    wanted, line = Match(name=Regex("app")), Match(command_line=Regex("--flag$"))
    machine.start(5)
    machine.start(6, state="Z", command_line=b"")
    machine.start(7, "web")
    machine.scan()
    machine.census.watch([wanted, line])
    seen = machine.scan()
    assert seen.scan.counts == {wanted: 1, line: 3}
    assert seen["app"].sums.processes == 2
    machine.end(5)
    assert machine.scan().scan.counts == {wanted: 0, line: 2}


def test_number_that_a_hidden_field_leaves_open_is_unknown() -> None:
    machine = Machine()
    match = Match(executable=Regex(".*/web"))
    machine.census.watch([match])
    machine.start(5).denied.add("exe")
    assert machine.scan().scan.counts == {match: None}
