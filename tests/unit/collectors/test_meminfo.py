"""Memory: every field, in bytes; fields that come and go."""

import pytest

from exporter.collectors.meminfo import MemInfo, family_of, parse_line
from exporter.kernel import KernelError
from tests.support.hosts import HOSTS, WHOLE
from tests.support.kernel import MemoryFiles, rows_of


class Machine:
    """A collector whose file a test sets before each scrape."""

    def __init__(self) -> None:
        self.files = MemoryFiles({})
        self.collector = MemInfo(self.files)

    def scrape(self, *lines: str) -> dict[str, float]:
        self.files.contents["proc/meminfo"] = "".join(line + "\n" for line in lines).encode()
        return dict(rows_of(self.collector.collect()))


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        pytest.param(b"MemTotal:       24684084 kB", (b"MemTotal", b"25276502016", b" kB"), id="kB become bytes"),
        pytest.param(b"HugePages_Total:       3", (b"HugePages_Total", b"3", b""), id="a plain count stays"),
        pytest.param(b"Active(anon):  0 kB", (b"Active(anon)", b"0", b" kB"), id="parentheses"),
        pytest.param(b"VmallocTotal:   34359738367 kB", (b"VmallocTotal", b"35184372087808", b" kB"), id="large"),
    ],
)
def test_line_is_key_value_and_unit(line: bytes, parts: tuple[bytes, ...]) -> None:
    assert parse_line(line) == parts


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"MemTotal",
        b"MemTotal:",
        b"MemTotal: kB",
        b"MemTotal: -1 kB",
        b"MemTotal: 1 MB",
        b"MemTotal: 1 kB ",
        b"Mem Total: 1 kB",
        b"MemTotal: 1.5 kB",
        b"\xff: 1 kB",
        b"M\n: 1 kB",
        b": 1 kB",
    ],
    ids=repr,
)
def test_other_line_is_an_error_that_names_it(line: bytes) -> None:
    with pytest.raises(KernelError, match=r"^proc/meminfo: expected `key: number \[kB\]`, got b"):
        parse_line(line)


@pytest.mark.parametrize(
    ("field", "in_bytes", "name"),
    [
        ("MemTotal", True, "node_memory_MemTotal_bytes"),
        ("Active(anon)", True, "node_memory_Active_anon_bytes"),
        ("Committed_AS", True, "node_memory_Committed_AS_bytes"),
        ("HugePages_Total", False, "node_memory_HugePages_Total"),
    ],
)
def test_name_is_node_exporters(field: str, in_bytes: bool, name: str) -> None:
    assert family_of(field, in_bytes=in_bytes).name == name


@pytest.mark.parametrize("host", WHOLE)
def test_families_declare_every_field_of_the_recorded_kernels(host: str) -> None:
    rows = rows_of(MemInfo(MemoryFiles({"proc/meminfo": (HOSTS / host / "proc/meminfo").read_bytes()})).collect())
    assert {key for key, _ in rows} <= {family.name for family in MemInfo.families}


def test_field_of_an_unknown_kernel_is_exposed_likewise() -> None:
    assert Machine().scrape("Quantum(foam): 2 kB") == {"node_memory_Quantum_foam_bytes": 2048}


@pytest.mark.parametrize("where", [0, 1, 2], ids=["in front", "in the middle", "at the end"])
def test_field_that_comes_or_goes_moves_no_value_to_another_name(where: int) -> None:
    machine = Machine()
    few = ["A: 1 kB", "B: 2 kB"]
    many = [*few[:where], "New: 9 kB", *few[where:]]
    short = {"node_memory_A_bytes": 1024, "node_memory_B_bytes": 2048}
    long = {**short, "node_memory_New_bytes": 9 * 1024}
    for lines, rows in ((few, short), (many, long), (few, short), (many, long), (many, long)):
        assert machine.scrape(*lines) == rows


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(("A: 1 kB", "B: 2 kB"), ("A: 1 kB", "C: 2 kB"), id="renamed"),
        pytest.param(("A: 1 kB", "B: 2 kB"), ("B: 2 kB", "A: 1 kB"), id="swapped"),
        pytest.param(("A: 1 kB", "B: 2 kB", "C: 3 kB"), ("A: 1 kB", "X: 7 kB", "C: 4 kB"), id="one for another"),
        pytest.param(("A: 1 kB", "B: 2 kB"), ("A: 1 kB", "B: 2"), id="lost its unit"),
    ],
)
def test_other_fields_of_the_same_number_give_a_new_collectors_page(
    before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    machine = Machine()
    machine.scrape(*before)
    assert machine.scrape(*after) == Machine().scrape(*after)


@pytest.mark.parametrize("lines", [("A: 1 kB", "A: 2 kB"), ("A(b: 1 kB", "A_b: 1 kB")], ids=["same", "same name"])
def test_field_that_stands_twice_is_an_error(lines: tuple[str, ...]) -> None:
    with pytest.raises(KernelError, match="each once"):
        Machine().scrape(*lines)


def test_empty_file_is_an_error_again_and_again_and_never_the_old_values() -> None:
    machine = Machine()
    machine.scrape("A: 1 kB")
    for _ in range(3):
        with pytest.raises(KernelError):
            machine.scrape()
    assert machine.scrape("A: 2 kB") == {"node_memory_A_bytes": 2048}
