"""Cold start: from exec to the first whole page."""

import time
from collections.abc import Sequence
from pathlib import Path

from bench.measure import Step
from bench.peers import Contestant
from bench.plan import Plan
from bench.processes import Server
from bench.summary import Record

# so often the client looks whether the server listens; it is part of what is measured
LOOK_SECONDS = 0.0002


def measure_cold(contestants: Sequence[Contestant], plan: Plan, record: Record, log: Path, step: Step) -> None:
    """Start every server anew, in turn; one start of each before warms the page cache and ours' compiled modules."""
    for round_ in range(plan.cold_starts + 1):
        for contestant in contestants:
            step("cold start")
            seconds = time_start(Server(contestant.label, contestant.argv, log))
            if round_:
                record.add(contestant.key, "cold_start", seconds)


def time_start(server: Server) -> float:
    """Return the seconds from exec to the first page; the server is stopped again."""
    with server:  # entered once exec has happened: what starting costs us is not in it
        start = time.perf_counter()
        scraper = server.connect(LOOK_SECONDS)
        try:
            scraper.scrape()
            return time.perf_counter() - start
        finally:
            scraper.close()
