"""When alerts fire in Prometheus, arrive at the relay and are shown as resolved there: notes of a thread that looks."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from tests.support.client import until
from tests.support.faults import Fault

Alert = tuple[str, str]
"""Name and instance; a group of the relay is just that."""
EVERY_SECONDS = 0.2


class Seen(NamedTuple):
    """What is the case now."""

    firing: frozenset[Alert]
    """In Prometheus."""
    shown: dict[Alert, str]
    """Firing or resolved on the relay's page, by the newest message."""

    @property
    def troubles(self) -> frozenset[Alert]:
        """What fires, or is still shown so."""
        return self.firing | {alert for alert, status in self.shown.items() if status == "firing"}


class Watch:
    """Looks again and again; keeps for each alert the first moment of each thing since its fault began or ended."""

    def __init__(self, look: Callable[[], Seen]) -> None:
        self._look = look
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self.now = Seen(frozenset(), {})
        self.begun: dict[Alert, float] = {}
        self.over: dict[Alert, float] = {}
        self.fired: dict[Alert, float] = {}
        self.arrived: dict[Alert, float] = {}
        self.resolved: dict[Alert, float] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._ended.wait(EVERY_SECONDS):
            with contextlib.suppress(OSError):  # who is just stopped is asked again
                self._note(self._look())

    def _note(self, seen: Seen) -> None:
        moment = time.monotonic()
        with self._lock:
            self.now = seen
            for alert in self.begun:
                if alert in seen.firing:
                    self.fired.setdefault(alert, moment)
                if seen.shown.get(alert) == "firing":
                    self.arrived.setdefault(alert, moment)
                if alert in self.over and alert in self.arrived and seen.shown.get(alert) == "resolved":
                    self.resolved.setdefault(alert, moment)

    def begin(self, faults: Iterable[Fault]) -> None:
        """Begin each fault, and note when."""
        for fault in faults:
            # noted first: what is seen meanwhile can come from nothing else
            with self._lock:
                self.begun[fault.alert, fault.instance] = time.monotonic()
            fault.begin()

    def end(self, faults: Iterable[Fault]) -> None:
        """End each fault, and note when."""
        for fault in faults:
            fault.end()
            with self._lock:
                self.over[fault.alert, fault.instance] = time.monotonic()

    def wait(self, what: str, of: dict[Alert, float], alerts: set[Alert], seconds: float) -> None:
        """Wait until all of these have a moment; names those that have none."""
        try:
            until(lambda: alerts <= set(of), what, seconds=seconds, every=EVERY_SECONDS)
        except AssertionError as err:
            raise AssertionError(f"{err}; missing: {sorted(alerts - set(of))}\n{self.now}") from None

    def table(self, faults: Iterable[Fault]) -> list[str]:
        """Return a line for each fault: seconds from its beginning to the alert, and from its end to green."""
        lines = [f"  {'alert':28} {'of':9} {'fired':>7} {'arrived':>8} {'resolved':>9}  cause"]
        for fault in faults:
            key = (fault.alert, fault.instance)
            # what the relay tells by itself fires nowhere else
            fired = f"{self.fired[key] - self.begun[key]:6.1f}s" if key in self.fired else "      -"
            arrived, green = self.arrived[key] - self.begun[key], self.resolved[key] - self.over[key]
            lines.append(f"  {key[0]:28} {key[1]:9} {fired} {arrived:7.1f}s {green:8.1f}s  {fault.cause}")
        return lines


def shown(messages: Iterable[dict[str, Any]]) -> dict[Alert, str]:
    """Return the status of the newest message of each group."""
    found: dict[Alert, str] = {}
    for one in messages:  # the newest comes first
        for name in one["alert_names"]:
            found.setdefault((name, one["labels"].get("instance", "")), one["status"])
    return found
