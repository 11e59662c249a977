"""Several queries to one Prometheus, some at a time."""

import time
from collections.abc import Mapping
from typing import Final, NamedTuple

from exporter.clients.http_get import Access, GetError
from exporter.clients.prometheus import Sample, fetch_vector
from exporter.fleet.model import Progress, unseen
from exporter.fleet.parallel import in_parallel

QUERY_SECONDS: Final = 15.0
CONCURRENCY: Final = 4


class Asker(NamedTuple):
    """How a Prometheus is asked."""

    url: str
    access: Access = Access()
    concurrency: int = CONCURRENCY
    """Queries at a time."""
    seconds: float = QUERY_SECONDS
    """For one query."""


class Answers(NamedTuple):
    """What came of each query, by its name and in their order: samples, none where it failed, and why it did."""

    samples: Mapping[str, tuple[Sample, ...]]
    faults: Mapping[str, str]


def ask_all(asker: Asker, queries: Mapping[str, str], progress: Progress = unseen) -> Answers:
    """Return the answers to all queries. Blocks, so long as each of them may take in turn; raises nothing."""
    faults: dict[str, str] = {}
    done: list[str] = []

    def ask(name: str) -> tuple[Sample, ...]:
        try:
            return fetch_vector(asker.url, queries[name], time.monotonic() + asker.seconds, asker.access)
        except GetError as err:
            faults[name] = str(err)
            return ()
        finally:
            done.append(name)
            progress(len(done), len(queries))

    samples = in_parallel([lambda name=name: ask(name) for name in queries], asker.concurrency)  # type: ignore[misc]
    return Answers(dict(zip(queries, samples, strict=True)), {name: faults[name] for name in queries if name in faults})
