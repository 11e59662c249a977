"""Virtual memory counters, and files of `key number` lines in general."""

import pytest

from exporter.collectors.fields import FieldLines
from exporter.collectors.vmstat import VmStat
from exporter.kernel import KernelError
from exporter.settings.values import Regex
from tests.support.kernel import rows_of
from tests.support.kernel_trees import VMSTAT, TreeFiles


def lines() -> FieldLines:
    return FieldLines("proc/x", lambda key: key.startswith("w"))


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param([b"w1 1\na 2\nw2 3\n", b"w1 10\na 20\nw2 30\n"], id="other numbers"),
        pytest.param([b"w1 1\nw2 3\n", b"w1 1\na 2\nw2 3\n", b"w2 3\n", b"w1 1\nw2 3\n"], id="keys come and go"),
        pytest.param([b"w1 1\nw2 3\n", b"w2 3\nw1 1\n"], id="places change"),
        pytest.param([b"w1 1\nw2 3\n", b"w2 1\nw1 3\n"], id="names differ in digits alone"),
        pytest.param([b"w1 1\nb2 3\n", b"w1 1\nb3 3\n", b"w3 1\nb2 3\n"], id="one gets another digit"),
        pytest.param([b"a 1\n", b"a 2\nw1 2\n", b"a 1\n"], id="none wanted for a while"),
        pytest.param([b"w1  \t1\nww1 2\n", b"w1 1\nww1 2\n"], id="other blanks"),
        pytest.param([b"w 1\nw1 2\nw11 3\n", b"w 11\nw1 1\nw11 111\n"], id="one name begins like another"),
    ],
)
def test_each_read_gives_the_fields_of_its_moment(texts: list[bytes]) -> None:
    fields = lines()
    for text in texts:
        wanted = {key: value for key, value in (line.split() for line in text.splitlines()) if key.startswith(b"w")}
        values = fields.read(text)
        assert dict(zip((key.encode() for key in fields.keys), values, strict=True)) == wanted


@pytest.mark.parametrize(
    "text",
    [b"", b"\n", b"w1 1", b"w1\n", b"w1 1 2\n", b"w1 -1\n", b"w1 x\n", b"w1 1\nw1 2\n", b" w1 1\n", b"w.1 1\n"],
    ids=repr,
)
def test_line_that_is_not_key_and_number_is_an_error_also_after_a_good_file(text: bytes) -> None:
    fields = lines()
    for _ in range(2):
        with pytest.raises(KernelError, match=r"^proc/x: expected"):
            fields.read(text)
        assert fields.read(b"w1 7\n") == [b"7"]


TEXT = (
    b"nr_free_pages 1\npgpgin 2\npgpgout 3\npswpin 4\npswpout 5\npgalloc_dma 6\npgfault 7\npgmajfault 8\npgscan 9\n"
    b"oom_kill 10\n"
)


def test_default_fields_are_node_exporters() -> None:
    rows = rows_of(VmStat(TreeFiles({"proc/vmstat": TEXT}), VMSTAT).collect())
    names = {"pgpgin": 2, "pgpgout": 3, "pswpin": 4, "pswpout": 5, "pgfault": 7, "pgmajfault": 8, "oom_kill": 10}
    assert rows == {(f"node_vmstat_{name}", float(value)) for name, value in names.items()}


def test_kernel_before_4_13_has_no_oom_kill_rather_than_none() -> None:
    rows = rows_of(VmStat(TreeFiles({"proc/vmstat": TEXT.replace(b"oom_kill 10\n", b"")}), VMSTAT).collect())
    assert len(rows) == 6
    assert "node_vmstat_oom_kill" not in dict(rows)


def test_settings_choose_fields_by_a_part_of_their_name() -> None:
    rows = rows_of(VmStat(TreeFiles({"proc/vmstat": TEXT}), Regex("^nr_|scan")).collect())
    assert rows == {("node_vmstat_nr_free_pages", 1.0), ("node_vmstat_pgscan", 9.0)}


def test_page_is_untyped_since_the_file_mixes_counters_and_gauges() -> None:
    page = VmStat(TreeFiles({"proc/vmstat": TEXT}), Regex("^oom")).collect().decode()
    assert page.splitlines()[1:] == ["# TYPE node_vmstat_oom_kill untyped", "node_vmstat_oom_kill 10"]
