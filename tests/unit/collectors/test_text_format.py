"""The text format of others: what is understood, what is refused, and that nothing of it can spoil a page."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from exporter.collectors.text_format import FormatError, bound_text, parse


def rows(text: str | bytes) -> list[str]:
    """Return the rows as they would stand on the page."""
    data = text.encode() if isinstance(text, str) else text
    return [sample.line().decode()[:-1] for family in parse(data) for sample in family.samples]


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ("a 1", "a 1"),
        ("  a\t1 \t", "a 1"),
        ("a:b 1", "a:b 1"),
        ("a{} 1", "a 1"),
        ('a {x = "1" , y="2",}1', 'a{x="1",y="2"} 1'),
        ('a{y="1",x="2"} 1', 'a{x="2",y="1"} 1'),
        (r'a{x="\"\\\n"} 1', r'a{x="\"\\\n"} 1'),
        ('a{x="},#"} 1', 'a{x="},#"} 1'),
        ('a{x="ü\r\0"} 1', 'a{x="ü\r\0"} 1'),
        ("a 1e3", "a 1000"),
        ("a .5", "a 0.5"),
        ("a +5.", "a 5"),
        ("a -Inf", "a -Inf"),
        ("a infinity", "a +Inf"),
        ("a nan", "a NaN"),
        ("a 1e-400", "a 0"),
    ],
)
def test_row_is_understood(line: str, row: str) -> None:
    assert rows(line + "\n") == [row]


@pytest.mark.parametrize("line", ["", "  \t", "#", "# a comment", "#HELP", "# HELPFUL a b", "# HELP a", "# TYPE a"])
def test_line_that_says_nothing_is_skipped(line: str) -> None:
    assert rows(f"{line}\na 1\n") == ["a 1"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a 1", "line 1: expected a newline at the end"),
        ("a 1\r\n", "line 1: expected a number and no timestamp"),
        ("a\n", "line 1: expected a space after the name"),
        ("a \n", "line 1: expected a space after the name"),
        ("a 1 1500000000000\n", "line 1: expected a number and no timestamp"),
        ("a 0x10\n", "line 1: expected a number"),
        ("a 1_000\n", "line 1: expected a number"),
        ("a ١\n", "line 1: expected a number"),
        ("a 1e999\n", "line 1: expected a number that fits"),
        ("1a 1\n", "line 1: expected the name of a metric"),
        ("a-b 1\n", "line 1: expected a space"),
        ('a"b" 1\n', "line 1: expected a space"),
        ('{"a.b"} 1\n', "line 1: expected the name of a metric"),
        ('ok 1\na{x="1" y="2"} 1\n', "line 2: expected label"),
        ("a{x=1} 1\n", "line 1: expected label"),
        ('a{x="1} 1\n', "line 1: expected label"),
        ('a{x="1"\n', "line 1: expected label"),
        ("a{,} 1\n", "line 1: expected label"),
        (r'a{x="\t"} 1' + "\n", "line 1: expected label"),
        ('a{x="1",x="2"} 1\n', "line 1: expected each label once"),
        ('a{__name__="b"} 1\n', "line 1: expected each label once and no __name__"),
        ('a{x:y="1"} 1\n', "line 1: expected label"),
        ("# HELP a b\n# HELP a b\n", "line 2: expected one HELP line"),
        ("# HELP a \\t\n", "line 1: expected only the escapes"),
        ("# HELP 1a b\n", "line 1: expected the name"),
        ("# TYPE a gauge\n# TYPE a gauge\n", "line 2: expected one TYPE line"),
        ("a 1\n# TYPE a gauge\n", "line 2: expected one TYPE line for each metric, before its rows"),
        ("# TYPE a stateset\n", "line 1: expected one of counter"),
        ("# TYPE a histogram\na 1\n", "line 2: expected no row of this name"),
        ("# TYPE a histogram\na_bucket 1\n", "line 2: expected a number"),
        ('# TYPE a summary\na{quantile="x"} 1\n', "line 2: expected a number"),
    ],
)
def test_bad_text_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        rows(text)


def test_text_that_is_no_utf8_is_refused() -> None:
    with pytest.raises(FormatError, match="UTF-8"):
        rows(b'a{x="\xff"} 1\n')


def test_families_are_put_together_wherever_their_rows_stand() -> None:
    text = '# TYPE b counter\nb 1\na 2\nb{x="1"} 3\n# HELP a Words, \\\\ and\\nmore.\n'
    families = {family.name: family for family in parse(text.encode())}
    assert [len(families["b"].samples), families["b"].kind] == [2, "counter"]
    assert families["a"].help == "Words, \\ and\nmore."
    assert families["a"].header("x\ny") == b"# HELP a x\\ny\n# TYPE a untyped\n"


def test_bounds_are_written_one_way_and_the_bucket_of_everything_is_there() -> None:
    text = '# TYPE h Histogram\nh_bucket{le="0.10"} 1\nh_bucket{le="1000000"} 2\nh_sum 3\nh_count 3\n'
    assert rows(text) == [
        'h_bucket{le="0.1"} 1',
        'h_bucket{le="1e+06"} 2',
        "h_sum 3",
        "h_count 3",
        'h_bucket{le="+Inf"} 3',
    ]
    assert rows('# TYPE h histogram\nh_bucket{le="inf"} 3\nh_count 3\n') == ['h_bucket{le="+Inf"} 3', "h_count 3"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.25, "0.25"),
        (100000, "100000"),
        (1e6, "1e+06"),
        (-1234567.5, "-1.2345675e+06"),
        (1e21, "1e+21"),
        (1e-7, "1e-07"),
    ],
)
def test_bound_is_written_as_go_writes_it(value: float, text: str) -> None:
    assert bound_text(value) == text


LINES = st.lists(
    st.one_of(
        st.text(max_size=20),
        st.sampled_from(
            ["# TYPE a histogram", "# HELP a \\n", 'a_bucket{le="1"} 1', "a 1", "a_sum NaN", "# TYPE a gauge"]
        ),
        st.builds(
            '{}{{{}="{}"}} {}'.format,
            st.sampled_from(["a", "a_sum", "b:c"]),
            st.sampled_from(["x", "le", "quantile"]),
            st.text(max_size=8),
            st.one_of(st.floats(), st.text(max_size=4)),
        ),
    ),
    max_size=8,
)


@given(LINES)
def test_whatever_is_accepted_reads_back_equal(lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    try:
        families = parse(text.encode("utf-8", "surrogatepass"))
    except FormatError:
        return
    page = b"".join(family.header("h") + b"".join(s.line() for s in family.samples) for family in families)
    found = [s for family in text_string_to_metric_families(page.decode()) for s in family.samples]
    ours = [sample for family in families for sample in family.samples]
    assert sorted((s.name, tuple(sorted(s.labels.items()))) for s in found) == sorted((s.name, s.labels) for s in ours)


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_understood(data: bytes) -> None:
    try:
        parse(data)
    except FormatError:
        return


def test_long_line_takes_no_time() -> None:
    for text in ('a{x="' + "\\" * 500_001, "a" * 500_000, "a{" + 'x="1",' * 50_000, "# HELP a " + "\\" * 500_001):
        with pytest.raises(FormatError):
            rows(text + "\n")
