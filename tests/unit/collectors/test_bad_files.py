"""Every collector on files that are cut short, empty, oversized, flipped, mixed up or garbage.

Either it fails with a KernelError, or each row that it gives stands in the file: never a wrong number, never another
exception; and whatever it read before, the next good file gives the page that a new collector would give.
"""

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from exporter.collector import NoData
from exporter.kernel import MAX_BYTES, KernelError, KernelFiles
from tests.support.effort import tries
from tests.support.hosts import HOSTS, WHOLE
from tests.support.kernel import CASES, MemoryFiles, Rows, collect, rows_of

SMALL = "container-5.15"
COLLECTORS = pytest.mark.parametrize("name", CASES)


def recorded(name: str, host: str) -> bytes:
    return (HOSTS / host / CASES[name].file).read_bytes()


def try_collect(name: str, text: bytes) -> Rows | None:
    """Return a new collector's rows, None where it says that the file is bad."""
    case = CASES[name]
    try:
        return rows_of(collect(case.make(MemoryFiles({case.file: text}))))
    except (KernelError, NoData):
        return None


@COLLECTORS
@pytest.mark.parametrize("host", WHOLE)
def test_good_file_gives_the_rows_that_stand_in_it(name: str, host: str) -> None:
    rows = try_collect(name, recorded(name, host))
    assert rows
    assert rows <= set(CASES[name].rows(recorded(name, host)))


@pytest.mark.parametrize("name", [name for name in CASES if name != "filesystem"])
@pytest.mark.parametrize("host", WHOLE)
def test_good_file_gives_all_rows_that_stand_in_it(name: str, host: str) -> None:
    assert try_collect(name, recorded(name, host)) == set(CASES[name].rows(recorded(name, host)))


@COLLECTORS
def test_every_beginning_of_a_file_gives_rows_of_the_whole_file_or_an_error(name: str) -> None:
    text = recorded(name, SMALL)
    good = set(CASES[name].rows(text))
    for end in range(len(text)):
        rows = try_collect(name, text[:end])
        assert rows is None or rows <= good, text[max(end - 80, 0) : end]


@COLLECTORS
@pytest.mark.parametrize("host", [host for host in WHOLE if host != SMALL])
def test_some_beginnings_of_other_files_give_rows_of_the_whole_file_or_an_error(name: str, host: str) -> None:
    text = recorded(name, host)
    good = set(CASES[name].rows(text))
    line_ends = [at + offset for at in range(len(text)) if text[at] == 10 for offset in (0, 1)]
    for end in random.Random(7).sample(line_ends, min(40, len(line_ends))) + random.Random(8).sample(
        range(len(text)), 20
    ):
        rows = try_collect(name, text[:end])
        assert rows is None or rows <= good, text[max(end - 80, 0) : end]


@COLLECTORS
@pytest.mark.parametrize(
    "text",
    [b"", b"\n", b"\0", b"\n\n\n", b" ", b"0", b"\xff\xfe", b"cpu  \n\nintr ", b"a b c d e f - g h i\n", bytes(1000)],
    ids=repr,
)
def test_empty_or_senseless_file_is_an_error(name: str, text: bytes) -> None:
    assert try_collect(name, text) is None


@COLLECTORS
@pytest.mark.parametrize("fill", [b"\0", b"x", b"\n", b"9", b"1 "], ids=repr)
def test_oversized_file_is_an_error(name: str, fill: bytes, tmp_path: Path) -> None:
    file = tmp_path / CASES[name].file
    file.parent.mkdir(parents=True)
    text = recorded(name, SMALL)
    file.write_bytes(text + (fill * MAX_BYTES)[: MAX_BYTES - len(text) + 1])
    with pytest.raises(KernelError, match="over"):
        collect(CASES[name].make(KernelFiles(tmp_path / "proc", tmp_path / "sys")))


@COLLECTORS
def test_missing_file_is_an_error_that_names_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(KernelError, match=f"{tmp_path}/{CASES[name].file}: No such file"):
        collect(CASES[name].make(KernelFiles(tmp_path / "proc", tmp_path / "sys")))


@st.composite
def damaged(draw: st.DrawFn, text: bytes) -> bytes:
    """A file of the kernel with a few bits flipped, pieces cut out, doubled, moved or put in."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(len(text) - 1, 0)))
        end = min(start + draw(st.integers(1, 120)), len(text))
        match draw(st.sampled_from(("flip", "cut", "double", "move", "insert", "line"))):
            case "flip" if text:
                text = text[:start] + bytes([text[start] ^ 1 << draw(st.integers(0, 7))]) + text[start + 1 :]
            case "cut":
                text = text[:start] + text[end:]
            case "double":
                text = text[:end] + text[start:]
            case "move":
                text = text[:start] + text[end:] + text[start:end]
            case "insert":
                text = text[:start] + draw(st.binary(max_size=8)) + text[start:]
            case "line":
                lines = text.split(b"\n")
                lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(lines)))
                text = b"\n".join(lines)
    return text


@COLLECTORS
@settings(max_examples=tries(300), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_damaged_file_gives_rows_that_stand_in_it_or_an_error(name: str, data: st.DataObject) -> None:
    text = data.draw(damaged(recorded(name, data.draw(st.sampled_from((SMALL, "armv7-no-swap-4.19"))))))
    rows = try_collect(name, text)
    assert rows is None or rows <= set(CASES[name].rows(text))


@COLLECTORS
@settings(max_examples=tries(100), deadline=None)
@given(st.binary(max_size=300))
def test_garbage_gives_rows_that_stand_in_it_or_an_error(name: str, text: bytes) -> None:
    rows = try_collect(name, text)
    assert rows is None or rows <= set(CASES[name].rows(text))


class LongLife(RuleBasedStateMachine):
    """One collector that lives through a sequence of files, beside a new one for each of them."""

    name = ""

    @initialize()
    def start(self) -> None:
        self.files = MemoryFiles({})
        self.collector = CASES[self.name].make(self.files)

    def scrape(self, text: bytes | None) -> None:
        case = CASES[self.name]
        self.files.contents.pop(case.file, None)
        if text is not None:
            self.files.contents[case.file] = text
        new = case.make(MemoryFiles(dict(self.files.contents)))
        try:
            wanted = collect(new)
        except KernelError:
            with pytest.raises(KernelError):
                collect(self.collector)
        else:
            assert collect(self.collector) == wanted

    @rule(host=st.sampled_from([host for host in WHOLE if not host.startswith("server")]))
    def good_file(self, host: str) -> None:
        self.scrape(recorded(self.name, host))

    @rule(host=st.sampled_from(WHOLE[:2]), end=st.floats(0, 1))
    def cut_file(self, host: str, end: float) -> None:
        text = recorded(self.name, host)
        self.scrape(text[: int(end * len(text))])

    @rule(data=st.data(), host=st.sampled_from(WHOLE[:2]))
    def lines_come_go_and_move(self, data: st.DataObject, host: str) -> None:
        lines = recorded(self.name, host).splitlines(keepends=True)
        head = 2 if self.name == "netdev" else 0
        kept = data.draw(st.lists(st.sampled_from(lines[head:]), unique=True))
        self.scrape(b"".join(lines[:head] + kept))

    @rule(data=st.data(), host=st.sampled_from(WHOLE[:2]))
    def damaged_file(self, data: st.DataObject, host: str) -> None:
        self.scrape(data.draw(damaged(recorded(self.name, host))))

    @rule(text=st.sampled_from((None, b"", b"\n", b"garbage\n", b"\0" * 50)))
    def no_file_of_the_kernel(self, text: bytes | None) -> None:
        self.scrape(text)


# cpu holds its counters' highest values, and so is not a function of one file: test_cpu.py
@pytest.mark.parametrize("name", [name for name in CASES if name != "cpu"])
def test_whatever_was_read_before_the_page_is_a_new_collectors_page(name: str) -> None:
    machine = type(f"LongLife_{name}", (LongLife,), {"name": name})
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=tries(60), stateful_step_count=20, deadline=None, suppress_health_check=checks),
    )
