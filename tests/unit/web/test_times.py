"""Moments as programs write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.times import parse_time, rfc3339

GOOD = {
    "2026-11-21T03:00:00Z": 1795230000.0,
    "2026-11-21t03:00:00z": 1795230000.0,
    "2026-11-21 03:00:00Z": 1795230000.0,
    "2026-11-21T03:00:00.25Z": 1795230000.25,
    "2026-11-21T03:00:00.123456789Z": 1795230000.123456,
    "2026-11-21T04:30:00+01:30": 1795230000.0,
    "2026-11-21T04:30:00 01:30": 1795230000.0,  # an address that nobody escaped
    "2026-11-20T22:00:00-05:00": 1795230000.0,
    "1795230000": 1795230000.0,
    "1795230000.5": 1795230000.5,
    "1.79523e+09": 1795230000.0,
    "0": 0.0,
    "-0": 0.0,
    "9999-12-31T23:59:59Z": 253402300799.0,
}


@pytest.mark.parametrize(("text", "seconds"), GOOD.items())
def test_time_is_read(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds


BAD = {
    "NaN": "NaN",
    "infinity": "inf",
    "beyond what a number can be": "1e400",
    "no such month": "2026-13-45",
    "no time of day": "2026-11-21",
    "no such day": "2026-02-30T00:00:00Z",
    "no such hour": "2026-11-21T25:00:00Z",
    "leap second": "2026-12-31T23:59:60Z",
    "no zone": "2026-11-21T03:00:00",
    "empty": "",
    "blank": " ",
    "before 1970": "-1",
    "year 1": "0001-01-01T00:00:00+10:00",
    "year 0": "0000-01-01T00:00:00Z",
    "year 10000": "10000-01-01T00:00:00Z",
    "end of time in another zone": "9999-12-31T23:59:59-10:00",
    "milliseconds": "1795230000000",
    "hexadecimal": "0x10",
    "underscores": "1_795_230_000",
    "other digits": "١٢٣",
    "words": "now",
    "long": "9" * 10_000,
    "line feed": "1795230000\n",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected a time such as 2026-11-21T03:00:00Z, or seconds") as caught:
        parse_time(text)
    assert len(str(caught.value)) < 250


def test_milliseconds_are_recognised() -> None:
    with pytest.raises(ValueError, match="are these milliseconds"):
        parse_time("1795230000000")


@given(st.text(max_size=40))
def test_any_text_is_a_time_or_refused(text: str) -> None:
    try:
        seconds = parse_time(text)
    except ValueError:
        return
    assert parse_time(rfc3339(seconds)) == pytest.approx(seconds, abs=0.001)


@given(st.integers(0, 253402300799))
def test_seconds_and_text_are_the_same_moment(seconds: int) -> None:
    assert parse_time(rfc3339(seconds)) == parse_time(str(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1795230000, "2026-11-21T03:00:00Z"),
        (1795230000.25, "2026-11-21T03:00:00.250Z"),
        (1795229999.9999, "2026-11-21T03:00:00Z"),
    ],
)
def test_time_is_written(seconds: float, text: str) -> None:
    assert rfc3339(seconds) == text
