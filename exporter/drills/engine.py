"""Runs drills, one after the other or beside each other, in one thread and with a lifeline; and always undoes them."""

import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Final

from exporter import __version__
from exporter.drills import preflight, results, undo
from exporter.drills import site as sites
from exporter.drills.drill import MAX_SECONDS, Drill, Show, longest
from exporter.drills.durations import text_of
from exporter.drills.fault import Fault
from exporter.drills.ledger import GoneError, Head, Ledger, LedgerError, ledgers, own_head, read_ledger
from exporter.drills.ledger import is_running as runs
from exporter.drills.lifeline import Lifeline, LifelineError
from exporter.drills.scene import SceneError
from exporter.drills.silence import Silence
from exporter.drills.site import Site, SiteError, View
from exporter.drills.timeline import Result

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_HALT_SECONDS: Final = 10.0


class StoppedError(Exception):
    """Somebody wants it to end: a signal, `halt`, or something that is wrong with the machine."""


class Run:
    """One run of drills."""

    def __init__(self, site: Site, show: Show, before: View, *, at_once: int = 1, strength: float = 1.0) -> None:
        """Take the pipeline, and what it said when the run was admitted: alerts that fired then end nothing."""
        self._site, self._show, self._at_once, self._strength = site, show, at_once, strength
        self._before = frozenset(preflight.firing(before))
        self._drills: list[Drill] = []
        self._done: list[Result] = []
        self._limit = self._ends = 0.0
        self.left: list[str] = []
        """What could not be undone in the end."""
        fastest = min([*site.scrape.values(), 15.0])
        self._pause = min(1.0, max(0.1, fastest / 5))

    def run(self, faults: Sequence[Fault]) -> list[Result]:
        """Return what each drill proved, in the order of their ends, and which were not run.

        Blocks; everything is undone when it returns, but for what `left` says. Raises SceneError when nothing began.
        """
        run = secrets.token_hex(6)
        path = self._site.options.state / f"{run}.ledger"
        with _signals():
            try:
                self._limit = min(MAX_SECONDS, sum(longest(fault, self._site) for fault in faults))
                self._ends = time.monotonic() + self._limit
                lifeline = Lifeline(path, self._limit)
            except (LifelineError, SiteError, StoppedError, OSError) as err:
                raise SceneError(str(err)) from err
            try:
                # only now: a ledger that nobody watches would be left when we are killed
                self._watched(list(faults), self._begun(path, run), lifeline)
            finally:
                lifeline.close()
        return self._done

    def _begun(self, path: Path, run: str) -> Ledger:
        try:
            return Ledger(path, own_head(run))
        except (OSError, StoppedError) as err:
            raise SceneError(f"{path}: {err}") from err

    def _watched(self, waiting: list[Fault], book: Ledger, lifeline: Lifeline) -> None:
        try:
            self._loop(waiting, book, lifeline)
        except (StoppedError, SiteError, OSError) as err:
            self._stop(str(err), waiting)
        except GoneError:
            self._stop(self._end_of_ledger(), waiting)
        finally:
            self._clear(book)

    def _loop(self, waiting: list[Fault], book: Ledger, lifeline: Lifeline) -> None:
        silence = Silence()
        while waiting or self._drills:
            if not book.is_there() or not lifeline.is_alive() or time.monotonic() >= self._ends:
                raise StoppedError(self._end_of_ledger())
            try:
                view = sites.see(self._site.options)
            except SiteError as err:
                silence.bear(err)  # the next look may have an answer
                self._heed(preflight.short_of_memory())
            else:
                silence.end()
                tasks = sum(one.fault.tasks for one in self._drills)
                self._heed(preflight.aborts(self._site, view, self._before, tasks))
                self._begin(waiting, book)
                self._move(view)
            time.sleep(self._pause)

    def _heed(self, reasons: Sequence[str]) -> None:
        if reasons:
            raise StoppedError("; ".join(reasons))

    def _move(self, view: View) -> None:
        for drill in list(self._drills):
            self._step(drill, partial(drill.tick, view))
        self._show(self._drills, view)

    def _end_of_ledger(self) -> str:
        """Return why the faults are undone already, or have to be now."""
        if time.monotonic() >= self._ends:
            return f"the time limit of {text_of(self._limit)} for all of the run is over"
        return "halted: the faults are undone already"

    def _begin(self, waiting: list[Fault], book: Ledger) -> None:
        """Start as many as may run beside each other."""
        while waiting and len(self._drills) < self._at_once:
            alone = waiting[0].alone or any(one.fault.alone for one in self._drills)
            if alone and self._drills:
                return
            drill = Drill(waiting[0], self._site, book, self._strength)
            self._drills.append(drill)
            del waiting[0]
            self._step(drill, drill.stage)

    def _step(self, drill: Drill, do: Callable[[], None]) -> None:
        try:
            do()
        except (SceneError, SiteError, OSError, ValueError) as err:
            drill.end("refused", str(err))
        if drill.phase == "done":
            self._finish(drill)

    def _finish(self, drill: Drill) -> None:
        result = drill.result
        self._drills.remove(drill)
        self._done.append(result)
        try:
            results.keep(self._site.options.state, result)
        except OSError as err:
            result.reason = f"{result.reason}{'; ' if result.reason else ''}the result is not kept: {err}"

    def _stop(self, reason: str, waiting: Sequence[Fault] = ()) -> None:
        for number in _SIGNALS:  # the undoing must not be disturbed
            signal.signal(number, signal.SIG_IGN)
        for drill in self._drills:  # the load of one must not hold up the undoing of another
            drill.cut()
        for drill in list(self._drills):
            drill.end("refused", reason)
            self._finish(drill)
        for fault in waiting:
            reached = Result(fault.name, __version__, time.time(), self._site.mode, self._strength)
            reached.reason = f"not run: {reason}"
            self._done.append(reached)

    def _clear(self, book: Ledger) -> None:
        """Undo what is left, whatever happened; signals have to wait for it."""
        self._stop("the drill failed")
        if book.is_there():
            self.left = undo.undo_ledger(book.path)


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
    """End every drill and undo it. Returns the number of ledgers, and what could not be undone. Blocks for seconds.

    Raises LedgerError for a folder that must not be followed, or cannot be read.
    """
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
        _send(head, signal.SIGTERM)
        deadline = time.monotonic() + _HALT_SECONDS
        while runs(head) and time.monotonic() < deadline:
            time.sleep(0.05)
        if runs(head):
            _send(head, signal.SIGKILL)
    return undo.undo_ledger(path)


def _send(head: Head, number: int) -> None:
    with suppress(ProcessLookupError):  # it ended in this moment
        os.kill(head.pid, number)
