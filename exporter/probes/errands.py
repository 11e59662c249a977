"""What blocks, done by one daemon thread, one errand after the other."""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

T = TypeVar("T")

IDLE_SECONDS: Final = 60.0

_Errand = tuple[Callable[[], Any], asyncio.AbstractEventLoop, "asyncio.Future[Any]"]


class Errands:
    """A thread that is there while it is wanted. An executor's would be joined at exit, and hold it up."""

    def __init__(self, name: str, idle_seconds: float = IDLE_SECONDS) -> None:
        self._name = name
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[_Errand] = queue.SimpleQueue()
        self._has_thread = False

    async def run(self, errand: Callable[[], T], deadline: float) -> T:
        """Return what the errand returns, or raise what it raises; TimeoutError at a moment of the loop's clock.

        One that nobody waits for any more when its turn comes is left undone.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._lock:
            self._queue.put((errand, loop, future))
            if not self._has_thread:
                self._has_thread = True
                threading.Thread(target=self._work, name=self._name, daemon=True).start()
        async with asyncio.timeout_at(deadline):
            return await future

    def _work(self) -> None:
        while True:
            try:
                errand, loop, future = self._queue.get(timeout=self._idle_seconds)
            except queue.Empty:
                with self._lock:
                    if self._queue.empty():
                        self._has_thread = False
                        return
                continue
            if not future.done():
                self._do(errand, loop, future)

    def _do(self, errand: Callable[[], Any], loop: asyncio.AbstractEventLoop, future: "asyncio.Future[Any]") -> None:
        try:
            result, error = errand(), None
        except Exception as err:  # noqa: BLE001 -- the thread's boundary: whoever waits is told
            result, error = None, err
        try:
            loop.call_soon_threadsafe(_settle, future, result, error)
        except RuntimeError:  # the loop has ended meanwhile
            return


def _settle(future: "asyncio.Future[Any]", result: object, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
