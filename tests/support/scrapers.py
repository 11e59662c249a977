"""Many scrapers at once, as threads that each scrape without a pause on a connection of their own."""

import threading
import time
from typing import NamedTuple

from tests.support.client import Reader, connect, request


class Scraped(NamedTuple):
    """What the scrapers saw."""

    pages: int
    slowest: float
    """Seconds."""
    errors: list[str]


def scrape_with(number: int, port: int, seconds: float, *wanted: bytes, unwanted: bytes = b"\0") -> Scraped:
    """Scrape with `number` scrapers for some seconds; every page must have `wanted` lines and not `unwanted`."""
    end = time.monotonic() + seconds
    results: list[tuple[int, float]] = []
    errors: list[str] = []

    def run() -> None:
        pages, slowest = 0, 0.0
        try:
            with connect(port, timeout=30) as sock:
                reader = Reader(sock)
                while time.monotonic() < end:
                    start = time.monotonic()
                    sock.sendall(request("/metrics", "X-Prometheus-Scrape-Timeout-Seconds: 10"))
                    answer = reader.answer()
                    slowest = max(slowest, time.monotonic() - start)
                    pages += 1
                    assert answer.status == 200
                    assert all(line in answer.body for line in wanted), [w for w in wanted if w not in answer.body]
                    assert unwanted not in answer.body
        except (OSError, EOFError, AssertionError) as err:
            errors.append(repr(err))
        results.append((pages, slowest))

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Scraped(sum(pages for pages, _ in results), max(slowest for _, slowest in results), errors)
