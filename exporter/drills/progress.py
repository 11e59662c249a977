"""How drills are shown while they run: bars on a terminal that can draw them, a line per hop else."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from exporter.drills.budget import HOPS
from exporter.drills.drill import Drill, Show
from exporter.drills.durations import text_of
from exporter.drills.site import View
from exporter.drills.timeline import UP, Result, Way

if TYPE_CHECKING:
    from rich.table import Table

_BAR: Final = 24


def told(results: Iterable[Result]) -> Iterator[str]:
    """Yield what came of drills in lines: a verdict with its reason, and below it the times of each alert."""
    for result in results:
        yield f"{result.verdict:8}  {result.drill}{': ' if result.reason else ''}{result.reason}"
        for way in result.ways:
            took = {hop: way.took(hop, result.injected, result.recovered) for hop in way.moments}
            hops = [f"{hop} {text_of(seconds)}" for hop, seconds in took.items() if seconds is not None]
            yield f"          {way.alert}: {', '.join(hops)}"


class Lines:
    """A line for each hop that is reached and each phase that begins."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._told: set[tuple[str, str, str]] = set()

    def show(self, drills: Sequence[Drill], _view: View) -> None:
        """Say what is new."""
        for drill in drills:
            name = drill.result.drill
            self._once((drill.scene.instance, "", drill.phase), f"{name}: {drill.phase}")
            for way in drill.result.ways:
                for hop in HOPS:
                    took = way.took(hop, drill.result.injected, drill.result.recovered)
                    if took is not None:
                        text = f"{name}: {way.alert}: {hop} after {text_of(took)} (budget {text_of(way.limits[hop])})"
                        self._once((drill.scene.instance, way.alert, hop), text)

    def _once(self, key: tuple[str, str, str], text: str) -> None:
        if key not in self._told:
            self._told.add(key)
            self._say(f"{time.strftime('%H:%M:%S')}  {text}")


def bar(used: float, limit: float, width: int = _BAR) -> str:
    """Return a bar of how much of a budget is used; what is over it is marked."""
    filled = min(width, round(width * used / limit)) if limit > 0 else width
    return "█" * filled + "·" * (width - filled) + ("!" if used > limit else " ")


@contextmanager
def bars() -> Iterator[Show]:
    """Yield what draws a bar per hop. Raises ImportError where rich is not installed."""
    from rich.live import Live  # noqa: PLC0415 -- only where somebody looks

    with Live(refresh_per_second=4, transient=True) as live:

        def show(drills: Sequence[Drill], view: View) -> None:
            live.update(_table(drills, view.at))

        yield show


def _table(drills: Sequence[Drill], now: float) -> "Table":
    from rich.table import Table  # noqa: PLC0415 -- as above

    table = Table(box=None, padding=(0, 1))
    for title in ("drill", "alert", "hop", "", "took", "budget"):
        table.add_column(title)
    for drill in drills:
        table.add_row(drill.result.drill, drill.phase, "", "", "", "", style="bold")
        for way in drill.result.ways:
            for hop in HOPS:
                table.add_row("", way.alert if hop == HOPS[0] else "", hop, *_cells(drill, way, hop, now))
    return table


def _cells(drill: Drill, way: Way, hop: str, now: float) -> tuple[str, str, str]:
    limit, result = way.limits[hop], drill.result
    took = way.took(hop, result.injected, result.recovered)
    begun = result.injected if hop in UP else result.recovered
    used = took if took is not None else now - begun if begun else 0.0
    return bar(used, limit), text_of(took) if took is not None else "", text_of(limit)
