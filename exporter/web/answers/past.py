"""The last hour, as curves: what the sampler kept, averaged over steps."""

from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from exporter.history import History, Key
from exporter.web.times import rfc3339

MAX_SERIES: Final = 256
MAX_POINTS: Final = 40_000
"""Of all series of one answer together: it is made on the event loop, where scrapes wait for it."""
POINTS: Final = 360
"""Of one series, where nobody asks for another step."""

_LABELS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "cpu": ("cpu_usage_ratio", ()),
    "core": ("core_usage_ratio", ("core",)),
    "memory": ("memory_usage_ratio", ()),
    "swap": ("swap_usage_ratio", ()),
    "filesystem": ("filesystem_usage_ratio", ("mountpoint",)),
    "receive": ("receive_bytes_per_second", ("interface",)),
    "transmit": ("transmit_bytes_per_second", ("interface",)),
    "read": ("read_bytes_per_second", ("disk",)),
    "written": ("written_bytes_per_second", ("disk",)),
    "latency": ("latency_seconds", ("target",)),
    "loss": ("loss_ratio", ("target",)),
    "service": ("service_up", ("kind", "check")),
}
NAMES: Final = tuple(name for name, _ in _LABELS.values())


class Series(msgspec.Struct, frozen=True):
    """One curve; a step without a sample has no point."""

    name: str
    labels: dict[str, str]
    points: list[tuple[float, float]]
    """The beginning of the step, seconds since the epoch, and the mean of its samples; of service_up the least."""


class Past(msgspec.Struct, frozen=True):
    """Curves between two moments."""

    start_timestamp_seconds: float
    end_timestamp_seconds: float
    step_seconds: float
    series: list[Series]
    next_skip: int | UnsetType = UNSET
    """What to skip for the next part; missing where this is the last."""


class Value(msgspec.Struct, frozen=True):
    """One value of a sample."""

    name: str
    labels: dict[str, str]
    value: float


class Sample(msgspec.Struct, frozen=True):
    """All that was kept of one moment."""

    time: str
    timestamp_seconds: float
    values: list[Value]


class TooMuchError(ValueError):
    """More than one answer may hold; the text names the parameter and what would do."""


class Wish(NamedTuple):
    """What is asked for; `step` None for one that gives POINTS, or as many as fit."""

    names: Collection[str]
    start: float
    end: float
    step: float | None
    skip: int | None = None
    """Series to leave out, sorted by name and labels: the next MAX_SERIES are told. None to want all at once."""


def past(history: History, wish: Wish) -> Past:
    """Return the curves that are wanted. Raises TooMuchError."""
    keys = sorted(key for key in history.past.columns() if name_of(key) in wish.names)
    if wish.skip is None and len(keys) > MAX_SERIES:
        names = ", ".join(sorted(wish.names))
        raise TooMuchError(
            f"name: {len(keys)} series are over {MAX_SERIES}; expected skip=0 for some at a time, or fewer of {names}"
        )
    end = (wish.skip or 0) + MAX_SERIES
    rest = len(keys) - end
    keys = keys[wish.skip or 0 : end]
    step = _step(history, wish, len(keys))
    ahead = history.now() - history.since_boot(history.now())
    series = [
        Series(name_of(key), labels_of(key), _averaged(history.past.values(key), wish, step, ahead, key))
        for key in keys
    ]
    told = [one for one in series if one.points]
    return Past(wish.start, wish.end, step, told, end if rest > 0 else UNSET)


def _step(history: History, wish: Wish, series: int) -> float:
    span = wish.end - wish.start
    least = max(history.interval, span * series / MAX_POINTS)
    if wish.step is None:
        return float(f"{max(least, span / POINTS):.6g}")
    if wish.step < least:
        raise TooMuchError(f"step_seconds: expected at least {least:.6g} for {series} series over {span:.6g} s")
    return wish.step


def _averaged(
    values: Iterable[tuple[float, float]], wish: Wish, step: float, ahead: float, key: Key
) -> list[tuple[float, float]]:
    """Return the points of a curve. Steps begin at whole multiples, so that the same ones come again a moment later."""
    buckets: dict[int, list[float]] = {}
    for moment, value in values:
        wall = moment + ahead
        if wish.start <= wall <= wish.end:
            buckets.setdefault(int(wall // step), []).append(value)
    mean = min if key[0] == "service" else lambda found: sum(found) / len(found)
    return [(round(place * step, 3), float(f"{mean(found):.6g}")) for place, found in buckets.items()]


def latest(history: History) -> Sample | None:
    """Return the newest sample; None where there is none that counts for now."""
    moment = history.at(history.now())
    if moment is None:
        return None
    seconds = round(moment.wall, 3)
    values = [
        Value(name_of(key), labels_of(key), float(f"{value:.6g}"))
        for key, value in sorted(moment.values.items())[: MAX_SERIES * 4]
        if name_of(key)
    ]
    return Sample(rfc3339(seconds), seconds, values)


def name_of(key: Key) -> str:
    """Return the name that a series of the history has here; nothing for one that is not told of."""
    return _LABELS.get(key[0], ("", ()))[0]


def labels_of(key: Key) -> dict[str, str]:
    """Return the labels of a series of the history."""
    return dict(zip(_LABELS[key[0]][1], key[1:], strict=False)) if key[0] in _LABELS else {}
