"""The one place around collectors: what they raise becomes a result, what is too much is cut."""

from collections.abc import Callable
from typing import NamedTuple

from exporter.collector import Collector, NoData
from exporter.collectors.cardinality import Budget
from exporter.exposition import Block
from exporter.logs import Log

log = Log(__name__)


class Result(NamedTuple):
    """What one collector gave: its text, or None when it failed or had nothing."""

    block: Block | None
    seconds: float


class Boundary:
    """Runs collectors; everything is caught here, and told when it is news."""

    def __init__(self, timer: Callable[[], float], budget: Budget) -> None:
        self._budget = budget
        self._failing: dict[str, str] = {}
        self._timer = timer

    def run(self, collector: Collector) -> Result:
        """Run one collector now, on this thread; whatever it raises becomes a result without rows."""
        start = self._timer()
        try:
            block = collector.collect()
            if len(block) > self._budget.harmless:
                block = self._budget.keep(collector.name, block)
        except NoData:
            return Result(None, self._timer() - start)
        except Exception as err:  # noqa: BLE001 -- see the class
            self.note(collector.name, err)
            return Result(None, self._timer() - start)
        if collector.name in self._failing:
            del self._failing[collector.name]
            log.info("collector works again", collector=collector.name)
        return Result(block, self._timer() - start)

    def note(self, name: str, err: Exception) -> None:
        """Log a failure when it is new or has another text, not on each scrape."""
        text = f"{type(err).__name__}: {err}"
        if self._failing.get(name) != text:
            self._failing[name] = text
            log.error("collector failed", collector=name, error=text, exc=err)
