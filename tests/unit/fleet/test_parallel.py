"""Calls beside each other."""

import threading
from collections.abc import Callable

import pytest

from exporter.fleet.parallel import in_parallel


def test_results_come_in_the_order_of_the_calls() -> None:
    last_ran = threading.Event()

    def wait() -> int:
        assert last_ran.wait(30)
        return 0

    def free() -> int:
        last_ran.set()
        return 1

    assert in_parallel([wait, free], 2) == [0, 1]


@pytest.mark.parametrize("limit", [1, 3])
def test_no_more_run_at_a_time_than_may(limit: int) -> None:
    running, most, lock = 0, 0, threading.Lock()
    all_in = threading.Barrier(limit)

    def call() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        all_in.wait(30)  # so many do run at a time
        with lock:
            running -= 1

    in_parallel([call] * (3 * limit), limit)
    assert most == limit


def test_the_first_call_that_failed_is_told_and_the_others_ran() -> None:
    ran: list[int] = []

    def make(number: int) -> Callable[[], None]:
        def call() -> None:
            ran.append(number)
            if number:
                raise ValueError(f"number {number}")

        return call

    with pytest.raises(ValueError, match="number 1"):
        in_parallel([make(number) for number in range(4)], 2)
    assert sorted(ran) == [0, 1, 2, 3]


def test_no_call_is_no_result() -> None:
    assert in_parallel([], 4) == []
