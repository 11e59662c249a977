"""Runs drills, one after the other or beside each other, in one thread and with a lifeline; and always undoes them."""

import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Final

from exporter.drills import preflight, results, undo
from exporter.drills import site as sites
from exporter.drills.drill import Drill, Show, longest
from exporter.drills.fault import Fault
from exporter.drills.ledger import Ledger, LedgerError, ledgers, own_head, read_ledger
from exporter.drills.ledger import is_running as runs
from exporter.drills.lifeline import Lifeline, LifelineError
from exporter.drills.scene import SceneError
from exporter.drills.site import Site, SiteError
from exporter.drills.timeline import Result

# the longest that all of a run may take; a lifeline undoes it then
MAX_SECONDS: Final = 6 * 3600.0
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_HALT_SECONDS: Final = 10.0


class StoppedError(Exception):
    """Somebody wants it to end: a signal, `halt`, or something that is wrong with the machine."""


class Run:
    """One run of drills."""

    def __init__(self, site: Site, show: Show, *, at_once: int = 1, strength: float = 1.0) -> None:
        self._site, self._show, self._at_once, self._strength = site, show, at_once, strength
        self._drills: list[Drill] = []
        self._done: list[Result] = []
        fastest = min([*site.scrape.values(), 15.0])
        self._pause = min(1.0, max(0.1, fastest / 5))

    def run(self, faults: Sequence[Fault]) -> list[Result]:
        """Return what each drill proved, in the order of their ends. Blocks; everything is undone when it returns."""
        run = secrets.token_hex(6)
        path = self._site.options.state / f"{run}.ledger"
        with _signals():
            try:
                lifeline = Lifeline(path, self._limit(faults))
            except (LifelineError, SiteError, StoppedError) as err:
                raise SceneError(str(err)) from err
            # only now: a ledger that nobody watches would be left when we are killed
            book = Ledger(path, own_head(run))
            try:
                self._loop(list(faults), book, lifeline)
            except StoppedError as err:
                self._stop(str(err))
            finally:
                self._clear(book)
                lifeline.close()
        return self._done

    def _limit(self, faults: Sequence[Fault]) -> float:
        """Return the seconds after which the lifeline undoes everything, whatever the drill is doing."""
        return min(MAX_SECONDS, sum(longest(fault, self._site) for fault in faults))

    def _loop(self, waiting: list[Fault], book: Ledger, lifeline: Lifeline) -> None:
        before = frozenset(preflight.firing(sites.see(self._site.options)))
        while waiting or self._drills:
            if not book.is_there() or not lifeline.is_alive():
                raise StoppedError("halted: the faults are undone already")
            self._begin(waiting, book)
            view = sites.see(self._site.options)
            if reasons := preflight.aborts(self._site, view, before):
                raise StoppedError("; ".join(reasons))
            for drill in list(self._drills):
                self._step(drill, partial(drill.tick, view))
            self._show(self._drills, view)
            time.sleep(self._pause)

    def _begin(self, waiting: list[Fault], book: Ledger) -> None:
        """Start as many as may run beside each other."""
        while waiting and len(self._drills) < self._at_once:
            alone = waiting[0].alone or any(one.fault.alone for one in self._drills)
            if alone and self._drills:
                return
            drill = Drill(waiting.pop(0), self._site, book, self._strength)
            self._drills.append(drill)
            self._step(drill, drill.stage)

    def _step(self, drill: Drill, do: Callable[[], None]) -> None:
        try:
            do()
        except (SceneError, SiteError, OSError, ValueError) as err:
            drill.end("refused", str(err))
        if drill.phase == "done":
            self._finish(drill)

    def _finish(self, drill: Drill) -> None:
        self._drills.remove(drill)
        self._done.append(drill.result)
        results.keep(self._site.options.state, drill.result)

    def _stop(self, reason: str) -> None:
        for drill in list(self._drills):
            drill.end("refused", reason)
            self._finish(drill)

    def _clear(self, book: Ledger) -> None:
        """Undo what is left, whatever happened; signals have to wait for it."""
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        self._stop("the drill failed")
        if book.is_there():
            undo.undo_ledger(book.path)


@contextmanager
def _signals() -> Iterator[None]:
    """Let signals end the run in order: what was begun is undone."""

    def stop(number: int, _frame: FrameType | None) -> None:
        for one in _SIGNALS:  # a second one must not disturb the undoing
            signal.signal(one, signal.SIG_IGN)
        raise StoppedError(f"stopped by {signal.Signals(number).name}")

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def halt(state: Path) -> tuple[int, list[str]]:
    """End every drill and undo it. Returns the number of ledgers, and what could not be undone. Blocks for seconds."""
    found = ledgers(state)
    faults: list[str] = []
    for path in found:
        faults += _halt(path)
    return len(found), faults


def _halt(path: Path) -> list[str]:
    try:
        head, _ = read_ledger(path)
    except FileNotFoundError:
        return []
    except LedgerError as err:
        return [str(err)]
    if runs(head):
        os.kill(head.pid, signal.SIGTERM)
        deadline = time.monotonic() + _HALT_SECONDS
        while runs(head) and time.monotonic() < deadline:
            time.sleep(0.05)
        if runs(head):
            os.kill(head.pid, signal.SIGKILL)
    return undo.undo_ledger(path)
