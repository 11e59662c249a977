"""What the server writes in front of every answer."""

import time
from datetime import UTC, datetime
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.server.http import DateHeader

DAY = 86400


@pytest.mark.parametrize(
    ("day", "before", "after"),
    [
        ((2026, 11, 22), "Sat, 21 Nov 2026", "Sun, 22 Nov 2026"),
        ((2027, 1, 1), "Thu, 31 Dec 2026", "Fri, 01 Jan 2027"),
        ((2028, 2, 29), "Mon, 28 Feb 2028", "Tue, 29 Feb 2028"),
        ((2028, 3, 1), "Tue, 29 Feb 2028", "Wed, 01 Mar 2028"),
        ((2026, 3, 1), "Sat, 28 Feb 2026", "Sun, 01 Mar 2026"),
    ],
    ids=["a day", "a year", "into a leap day", "out of one", "no leap day"],
)
def test_the_date_changes_at_midnight(day: tuple[int, int, int], before: str, after: str) -> None:
    midnight = datetime(*day, tzinfo=UTC).timestamp()
    header = DateHeader()
    assert header.at(midnight - 0.001) == f"Date: {before} 23:59:59 GMT"
    assert header.at(midnight) == f"Date: {after} 00:00:00 GMT"
    assert header.at(midnight + 1.5) == f"Date: {after} 00:00:01 GMT"
    assert header.at(midnight - 1) == f"Date: {before} 23:59:59 GMT", "a clock that was set back"


@given(st.lists(st.integers(0, 2**32), min_size=1, max_size=20))
def test_the_date_is_that_of_its_moment_whatever_came_before(moments: list[int]) -> None:
    header = DateHeader()
    for moment in [*moments, *(moment // DAY * DAY for moment in moments)]:
        assert header.at(moment + 0.5) == f"Date: {formatdate(moment, usegmt=True)}"


def test_the_date_is_utc_whatever_the_machines_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    try:
        assert DateHeader().at(0) == "Date: Thu, 01 Jan 1970 00:00:00 GMT"
    finally:
        monkeypatch.undo()
        time.tzset()
