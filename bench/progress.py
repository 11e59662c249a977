"""Telling what goes on: a bar on a terminal, a line per phase elsewhere."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class Steps:
    """Progress over a known number of steps; a context manager. Draws only between measurements, on no thread."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._phase = ""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=console, auto_refresh=False, transient=True)
        self._task = self._bar.add_task("starting", total=total)

    def __enter__(self) -> "Steps":
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def step(self, phase: str) -> None:
        """Tell that the next step of `phase` begins."""
        if self._console.is_terminal:
            self._bar.update(self._task, description=phase, advance=1, refresh=True)
        elif phase != self._phase:
            self._console.print(phase)
        self._phase = phase
