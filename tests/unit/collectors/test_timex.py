"""timex: what adjtimex(2) tells, in seconds, hertz and ratios."""

import struct

import pytest

from exporter.collector import NoData
from exporter.collectors.timex import ClockDiscipline, Timex, parse_timex
from tests.support.kernel import collect
from tests.support.trees import OneCollector, series

# a clock that chronyd keeps, in nanoseconds; and one with pulses per second, in microseconds
NANO = Timex(0, 1_500_000, -1_048_576, 16_250, 350, 0x2001, 7, 10_000, 0, 0, 0, 0, 0, 0, 0, 0, 37)
MICRO = Timex(5, -250, 65_536, 16_000_000, 16_000_000, 0x40, 2, 10_000, 131_072, 3, 2, 655_360, 1, 2, 3, 4, 0)


def values(timex: Timex) -> dict[str, float]:
    rows = series(collect(ClockDiscipline(lambda: timex)))
    return {name.removeprefix("node_timex_"): value for name, _ in rows for value in [rows[name, frozenset()]]}


def test_clock_in_nanoseconds() -> None:
    assert values(NANO) == {
        "sync_status": 1,
        "offset_seconds": 0.0015,
        "frequency_adjustment_ratio": 1 - 16e-6,
        "maxerror_seconds": 0.01625,
        "estimated_error_seconds": 0.00035,
        "status": 0x2001,
        "loop_time_constant": 7,
        "tick_seconds": 0.01,
        "pps_frequency_hertz": 0,
        "pps_jitter_seconds": 0,
        "pps_shift_seconds": 0,
        "pps_stability_hertz": 0,
        "pps_jitter_total": 0,
        "pps_calibration_total": 0,
        "pps_error_total": 0,
        "pps_stability_exceeded_total": 0,
        "tai_offset_seconds": 37,
    }


def test_clock_in_microseconds_that_nothing_keeps() -> None:
    found = values(MICRO)
    assert found["sync_status"] == 0
    assert found["offset_seconds"] == -0.00025
    assert found["frequency_adjustment_ratio"] == 1 + 1e-6
    assert found["pps_frequency_hertz"] == 2e-6
    assert found["pps_jitter_seconds"] == 3e-6
    assert found["pps_shift_seconds"] == 2
    assert found["pps_stability_hertz"] == 1e-5
    names = ("pps_jitter_total", "pps_calibration_total", "pps_error_total", "pps_stability_exceeded_total")
    assert [found[name] for name in names] == [1, 2, 3, 4]


def test_struct_is_the_kernels() -> None:
    # linux/timex.h: modes, offset, freq, maxerror, esterror, status, constant, precision, tolerance, time, tick, ...
    raw = struct.pack("@I4li8li5li", 0, *NANO[1:6], NANO.constant, 1, 2, 3, 4, *NANO[7:]) + bytes(64)
    assert parse_timex(0, raw) == NANO


def test_forbidden_call_is_no_data() -> None:
    def forbidden() -> Timex:
        raise PermissionError

    with pytest.raises(NoData):
        collect(ClockDiscipline(forbidden))


def test_unchanged_clock_keeps_its_text() -> None:
    collector = ClockDiscipline(lambda: NANO)
    assert collect(collector) == collect(collector)


@pytest.mark.needs("linux", "node_exporter")
def test_live_rows_are_node_exporters_but_for_what_moves() -> None:
    with OneCollector("timex") as peer:
        theirs = series(peer.page(), "node_timex")
        ours = series(collect(ClockDiscipline()))
    assert ours.keys() == theirs.keys()
    moves = {"maxerror_seconds", "offset_seconds", "estimated_error_seconds", "frequency_adjustment_ratio"}
    for key in ours:
        if key[0].removeprefix("node_timex_") in moves:
            assert ours[key] == pytest.approx(theirs[key], abs=0.01)
        else:
            assert ours[key] == theirs[key]
