"""The text format: escaping, numbers, and Layout's slots."""

import math
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from exporter.exposition import Family, Layout, escape, number, text_of

PLAIN = Family("host_a_ratio", "gauge", "A.")
LABELLED = Family("host_b_total", "counter", "B.", ("device", "mode"))

# what a kernel can put into a name: any bytes; what Python makes of them elsewhere: lone surrogates
TEXTS = st.text(
    alphabet=st.one_of(st.sampled_from('\\\\""\n\nnrx{}=, #\t\r\u2028\x00\x85é😀'), st.characters(codec=None))
)


def read_back(page: bytes) -> list[tuple[str, dict[str, str], float]]:
    families = text_string_to_metric_families(page.decode("utf-8"))
    return [(sample.name, sample.labels, sample.value) for family in families for sample in family.samples]


@given(TEXTS, TEXTS)
@example("\\", '"')
@example("ends with a backslash\\", "\\n is no newline")
@example('\\"', "\\\\n")
@example("a\nb", "}")
@example("\udcff", ",x=")
def test_label_values_are_valid_text_and_read_back_equal(device: str, mode: str) -> None:
    layout = Layout([(LABELLED, [(device, mode)])])
    wanted = {"device": visible(device), "mode": visible(mode)}
    assert read_back(layout.fill([b"1"])) == [("host_b_total", wanted, 1.0)]


def visible(text: str) -> str:
    """What a label shows: a lone surrogate cannot be UTF-8 and is written out as its escape."""
    return text.encode("utf-8", "backslashreplace").decode()


@given(st.binary())
def test_any_bytes_of_the_kernel_make_a_label_that_reads_back_equal(raw: bytes) -> None:
    layout = Layout([(LABELLED, [(text_of(raw), "x")])])
    assert read_back(layout.fill([b"1"])) == [("host_b_total", {"device": text_of(raw), "mode": "x"}, 1.0)]


@given(st.sets(st.binary(min_size=1, max_size=4).filter(lambda raw: b"\\" not in raw), min_size=2, max_size=2))
def test_two_names_without_backslashes_never_become_one_label(names: set[bytes]) -> None:
    assert len({text_of(name) for name in names}) == 2


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        pytest.param("plain", "plain", id="nothing to escape"),
        pytest.param("sp ace", "sp ace", id="space"),
        pytest.param('"', '\\"', id="quote"),
        pytest.param("\\", "\\\\", id="backslash"),
        pytest.param("\n", "\\n", id="newline"),
        pytest.param("\\n", "\\\\n", id="backslash and n"),
        pytest.param("\t", "\t", id="tab stays"),
        pytest.param("\udcff", "\\\\udcff", id="lone surrogate"),
    ],
)
def test_escape_follows_the_text_format(raw: str, text: str) -> None:
    assert escape(raw) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, b"0"),
        (True, b"1"),
        (2**64, b"18446744073709551616"),
        (0.0, b"0"),
        (-0.0, b"0"),
        (1.0, b"1"),
        (0.1, b"0.1"),
        (51447.69, b"51447.69"),
        (1e15, b"1000000000000000.0"),
        (1e300, b"1e+300"),
        (1e-7, b"1e-07"),
        (math.inf, b"+Inf"),
        (-math.inf, b"-Inf"),
        (math.nan, b"NaN"),
    ],
)
def test_number_is_the_shortest_text(value: float, text: bytes) -> None:
    assert number(value) == text


@given(st.one_of(st.floats(allow_nan=False), st.integers(-(2**63), 2**64)))
def test_number_reads_back_as_itself(value: float) -> None:
    text = number(value).decode()
    assert float(text) == float(value)
    if isinstance(value, int):
        assert Fraction(text) == value


def test_header_escapes_backslash_and_newline_of_the_help() -> None:
    family = Family("host_c", "gauge", 'a\\b\n"c"')
    assert family.header() == b'# HELP host_c a\\\\b\\n"c"\n# TYPE host_c gauge\n'
    (read,) = text_string_to_metric_families((family.header() + b"host_c 1\n").decode())
    assert (read.documentation, read.type) == ('a\\b\n"c"', "gauge")


def test_prefix_refuses_another_number_of_label_values() -> None:
    with pytest.raises(ValueError, match="zip"):
        LABELLED.prefix(["only one"])


def test_layout_writes_each_header_once_and_values_in_order() -> None:
    layout = Layout([(PLAIN, [()]), (LABELLED, [("a", "x"), ("b", "y")])])
    assert layout.size == 3
    assert layout.fill([b"1", b"2", b"3"]) == (
        b"# HELP host_a_ratio A.\n# TYPE host_a_ratio gauge\nhost_a_ratio 1\n"
        b'# HELP host_b_total B.\n# TYPE host_b_total counter\nhost_b_total{device="a",mode="x"} 2\n'
        b'host_b_total{device="b",mode="y"} 3\n'
    )


def test_family_without_samples_leaves_nothing_behind() -> None:
    assert Layout([(PLAIN, []), (LABELLED, [])]).render() == b""
    assert Layout([]).fill([]) == b""
    assert b"host_a_ratio" not in Layout([(PLAIN, []), (LABELLED, [("a", "x")])]).fill([b"1"])


def test_slot_that_was_never_put_is_not_a_number_rather_than_zero() -> None:
    assert Layout([(PLAIN, [()])]).render().endswith(b"host_a_ratio NaN\n")


@pytest.mark.parametrize("values", [[], [b"1"], [b"1", b"2", b"3"]], ids=len)
def test_another_number_of_values_than_slots_is_refused_and_changes_nothing(values: list[bytes]) -> None:
    layout = Layout([(LABELLED, [("a", "x"), ("b", "y")])])
    before = layout.fill([b"8", b"9"])
    with pytest.raises(ValueError, match="slice"):
        layout.fill(values)
    with pytest.raises(ValueError, match="slice"):
        layout.put(Layout.span(0, 2), values)
    assert layout.render() == before


def test_render_gives_the_same_object_until_something_is_put() -> None:
    layout = Layout([(PLAIN, [()])])
    layout.fill([b"1"])
    first = layout.render()
    assert layout.render() is first
    layout.put(Layout.span(0, 1), [b"2"])
    assert layout.render().endswith(b" 2\n")


def test_row_of_a_grid_is_one_value_of_each_family_for_one_key() -> None:
    families = [Family(f"host_{letter}", "gauge", "x", ("key",)) for letter in "abc"]
    keys = [("k0",), ("k1",), ("k2",), ("k3",)]
    layout = Layout.grid(families, keys)
    for index in range(4):
        layout.put(Layout.row(index, 4, 3), [b"%d%d" % (index, column) for column in range(3)])
    wanted = [(f"host_{name}", {"key": f"k{k}"}, float(f"{k}{c}")) for c, name in enumerate("abc") for k in range(4)]
    assert read_back(layout.render()) == wanted


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 3), st.data())
def test_rows_and_spans_never_touch_another_slot(keys: int, families: int, tail: int, data: st.DataObject) -> None:
    grid = [(Family(f"host_g{n}", "gauge", "x", ("key",)), [(str(k),) for k in range(keys)]) for n in range(families)]
    layout = Layout([*grid, (Family("host_tail", "gauge", "x", ("key",)), [(str(k),) for k in range(tail)])])
    layout.fill([b"0"] * layout.size)
    index = data.draw(st.integers(0, keys - 1))
    layout.put(Layout.row(index, keys, families), [b"7"] * families)
    put = [(name, labels["key"]) for name, labels, value in read_back(layout.render()) if value == 7]
    assert put == [(f"host_g{n}", str(index)) for n in range(families)]
    layout.put(Layout.span(keys * families, tail), [b"8"] * tail)
    assert [name for name, _, value in read_back(layout.render()) if value == 8] == ["host_tail"] * tail
