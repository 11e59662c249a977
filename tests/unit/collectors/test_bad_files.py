"""The collectors of whole hosts' files on files that are missing, cut short, empty, oversized or garbage.

Either it fails with a KernelError, or each row that it gives stands in the file: never a wrong number, never another
exception; and whatever it read before, the next good file gives the page that a new collector would give.
"""

import random
from pathlib import Path

import pytest

from exporter.collector import NoData
from exporter.kernel import MAX_BYTES, KernelError, KernelFiles
from tests.support.damage import SENSELESS, live_long
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
    [*SENSELESS, b"cpu  \n\nintr ", b"a b c d e f - g h i\n"],
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


# cpu holds its counters' highest values, and so is not a function of one file: test_cpu.py
@pytest.mark.parametrize("name", [name for name in CASES if name != "cpu"])
def test_whatever_was_read_before_the_page_is_a_new_collectors_page(name: str) -> None:
    case = CASES[name]
    hosts = [host for host in WHOLE if not host.startswith("server")]
    live_long(case.make, [{case.file: recorded(name, host)} for host in hosts])
