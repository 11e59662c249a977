"""Calls that block, several at a time."""

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def in_parallel(calls: Sequence[Callable[[], T]], limit: int) -> list[T]:
    """Return what the calls return, in their order; at most `limit` of them run at a time.

    Blocks until the last one is through, Ctrl-C ends that. Raises what the first of them raised, in their order.
    On daemon threads, not on an executor's: those are joined at exit, and a dead name server would hold that up.
    """
    results: dict[int, T] = {}
    failures: dict[int, Exception] = {}
    waiting = iter(enumerate(calls))
    turn = threading.Lock()

    def work() -> None:
        while True:
            with turn:  # an iterator does not like two at a time
                place, call = next(waiting, (-1, None))
            if call is None:
                return
            try:
                results[place] = call()
            except Exception as err:  # noqa: BLE001 -- it is raised again, where it is waited for
                failures[place] = err

    threads = [threading.Thread(target=work, daemon=True, name="fleet") for _ in range(min(limit, len(calls)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for place in sorted(failures):
        raise failures[place]
    return [results[place] for place in range(len(calls))]
