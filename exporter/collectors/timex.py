"""How well the kernel's clock is disciplined (adjtimex(2))."""

import ctypes
import os
import struct
from collections.abc import Callable
from typing import ClassVar, Final, NamedTuple

from exporter.collector import NoData
from exporter.exposition import Block, Family, Layout, number


def _family(name: str, text: str, kind: str = "gauge") -> Family:
    return Family(f"node_timex_{name}", "counter" if kind == "counter" else "gauge", f"{text} (adjtimex(2)).")


SYNC_STATUS: Final = _family("sync_status", "1 while something keeps the clock in step, 0 when nothing does")
OFFSET: Final = _family("offset_seconds", "Seconds by which the clock still has to be moved")
FREQUENCY: Final = _family("frequency_adjustment_ratio", "Rate of the clock after correction, 1 where none is needed")
MAX_ERROR: Final = _family("maxerror_seconds", "Seconds the clock is off at most, as its discipline reckons")
ESTIMATED_ERROR: Final = _family("estimated_error_seconds", "Seconds the clock is probably off")
STATUS: Final = _family("status", "Bits of the clock's state, STA_*")
CONSTANT: Final = _family("loop_time_constant", "Time constant of the loop that corrects the clock")
TICK: Final = _family("tick_seconds", "Seconds between two ticks of the clock")
PPS_FREQUENCY: Final = _family("pps_frequency_hertz", "Frequency correction from pulses per second")
PPS_JITTER: Final = _family("pps_jitter_seconds", "Seconds that pulses per second are uneven by")
PPS_SHIFT: Final = _family("pps_shift_seconds", "Power of two of the seconds between two calibrations from pulses")
PPS_STABILITY: Final = _family("pps_stability_hertz", "How much the frequency from pulses per second wanders")
PPS_JITTER_COUNT: Final = _family("pps_jitter_total", "Pulses refused as too uneven", "counter")
PPS_CALIBRATIONS: Final = _family("pps_calibration_total", "Calibrations from pulses per second", "counter")
PPS_ERRORS: Final = _family("pps_error_total", "Calibrations from pulses per second that failed", "counter")
PPS_UNSTABLE: Final = _family("pps_stability_exceeded_total", "Calibrations whose frequency wandered", "counter")
TAI: Final = _family("tai_offset_seconds", "Seconds by which atomic time (TAI) is ahead of UTC")

# struct timex of linux/timex.h on this machine: its longs are the C compiler's
_STRUCT: Final = struct.Struct("@I4li8li5li")
# what the kernel keeps free behind it for later
_RESERVED: Final = 64
_TIME_ERROR: Final = 5
_STA_NANO: Final = 0x2000
_MICRO: Final = 1e6
_NANO: Final = 1e9
# parts per million with a 16-bit fraction: man adjtimex(2), NOTES
_PPM: Final = 65536 * 1e6


class Timex(NamedTuple):
    """The state of the clock, with the kernel's own units: man adjtimex(2)."""

    state: int
    """What the call returned; 5 (TIME_ERROR) when nothing keeps the clock in step."""
    offset: int
    freq: int
    maxerror: int
    esterror: int
    status: int
    constant: int
    tick: int
    ppsfreq: int
    jitter: int
    shift: int
    stabil: int
    jitcnt: int
    calcnt: int
    errcnt: int
    stbcnt: int
    tai: int


class ClockDiscipline:
    """What adjtimex(2) tells; it only reads."""

    name: ClassVar[str] = "timex"
    families: ClassVar[tuple[Family, ...]] = (
        SYNC_STATUS,
        OFFSET,
        FREQUENCY,
        MAX_ERROR,
        ESTIMATED_ERROR,
        STATUS,
        CONSTANT,
        TICK,
        PPS_FREQUENCY,
        PPS_JITTER,
        PPS_SHIFT,
        PPS_STABILITY,
        PPS_JITTER_COUNT,
        PPS_CALIBRATIONS,
        PPS_ERRORS,
        PPS_UNSTABLE,
        TAI,
    )
    blocking: ClassVar[bool] = False

    def __init__(self, read: Callable[[], Timex] | None = None) -> None:
        self._read = read or _system_call()
        self._last: Timex | None = None
        self._layout = Layout((family, [()]) for family in self.families)

    def collect(self) -> Block:
        """Return the rows. Raises NoData where a sandbox forbids the call, OSError when it fails otherwise."""
        try:
            now = self._read()
        except PermissionError as err:
            raise NoData("adjtimex is forbidden here") from err
        if now != self._last:
            self._last = now
            return self._layout.fill(values_of(now))
        return self._layout.render()


def values_of(timex: Timex) -> list[bytes]:
    """Return the values of the families, in their order, in seconds, hertz and ratios."""
    unit = _NANO if timex.status & _STA_NANO else _MICRO
    return [
        b"0" if timex.state == _TIME_ERROR else b"1",
        number(timex.offset / unit),
        number(1 + timex.freq / _PPM),
        number(timex.maxerror / _MICRO),
        number(timex.esterror / _MICRO),
        number(timex.status),
        number(timex.constant),
        number(timex.tick / _MICRO),
        number(timex.ppsfreq / _PPM),
        number(timex.jitter / unit),
        number(timex.shift),
        number(timex.stabil / _PPM),
        *map(number, timex[12:]),
    ]


def parse_timex(state: int, raw: bytes) -> Timex:
    """Return what a struct timex holds, its time of day and limits left out."""
    (_, offset, freq, maxerror, esterror, status, constant, _, _, _, _, tick, ppsfreq, jitter, shift, *counts) = (
        _STRUCT.unpack_from(raw)
    )
    return Timex(state, offset, freq, maxerror, esterror, status, constant, tick, ppsfreq, jitter, shift, *counts)


def _system_call() -> Callable[[], Timex]:
    """Return what calls adjtimex(2) with no bit set: it changes nothing and needs no right."""
    call = ctypes.CDLL(None, use_errno=True).adjtimex
    buffer = ctypes.create_string_buffer(_STRUCT.size + _RESERVED)

    def read() -> Timex:
        state: int = call(buffer)
        if state < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), "adjtimex")
        return parse_timex(state, buffer.raw)

    return read
