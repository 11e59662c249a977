"""Reading files that can block, within a deadline.

/proc/PID/cmdline waits for the lock of that process' memory, /proc/PID/io for the end of an exec: behind a program that
hangs in a page fault, say of a dead mount, for ever. They are read on threads of their own; one that hangs costs its
file, and is not asked again until it is back.
"""

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Final

from exporter.processes.procfs import read_start

Answer = bytes | OSError | None
"""What a file holds, why it could not be read, or None: not within the deadline."""

MAX_STUCK: Final = 4
"""Threads that may hang at once; when so many do, no file is read any more."""


class _Job:
    """Files to read, and what became of each so far."""

    __slots__ = ("answers", "done", "paths")

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths
        self.answers: list[bytes | OSError] = []
        self.done = threading.Event()


class BlockingFiles:
    """Reads files that can block; used by one thread."""

    def __init__(self, seconds: float, limit: int = 4096, read: Callable[[str, int], bytes] = read_start) -> None:
        """Wait at most `seconds` for a file; read at most its first `limit` bytes."""
        self._seconds = seconds
        self._limit = limit
        self._read = read
        self._stuck: dict[str, _Job] = {}
        self._jobs: SimpleQueue[_Job | None] | None = None

    def read(self, paths: Sequence[str]) -> list[Answer]:
        """Return an answer for each path, in their order."""
        self._stuck = {path: job for path, job in self._stuck.items() if not job.done.is_set()}
        answers: dict[str, Answer] = {}
        left = [path for path in paths if path not in self._stuck]
        while left and len(self._stuck) < MAX_STUCK:
            job = self._start(left)
            count = self._wait(job)
            answers.update(zip(left[:count], job.answers, strict=False))
            if count < len(left):
                self._leave(left[count], job)
            left = left[count + 1 :]
        return [answers.get(path) for path in paths]

    def close(self) -> None:
        """Let the thread end; one that hangs ends when it is back."""
        if self._jobs is not None:
            self._jobs.put(None)
            self._jobs = None

    def _start(self, paths: Sequence[str]) -> _Job:
        if self._jobs is None:
            self._jobs = SimpleQueue()
            threading.Thread(target=self._run, args=(self._jobs,), daemon=True, name="process files").start()
        job = _Job(paths)
        self._jobs.put(job)
        return job

    def _wait(self, job: _Job) -> int:
        """Return how many files were read when the job was done, or hung; it may go on as long as it gets on."""
        before = -1
        while not job.done.wait(self._seconds):
            count = len(job.answers)
            if count == before:
                return count
            before = count
        return len(job.answers)

    def _leave(self, path: str, job: _Job) -> None:
        """Let the thread alone that hangs at a path: the next job gets another."""
        self._stuck[path] = job
        self.close()

    def _run(self, jobs: "SimpleQueue[_Job | None]") -> None:
        while (job := jobs.get()) is not None:
            for path in job.paths:
                try:
                    job.answers.append(self._read(path, self._limit))
                except OSError as err:
                    job.answers.append(err)
                if not jobs.empty():  # nobody waits for it any more
                    break
            job.done.set()
