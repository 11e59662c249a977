"""A Prometheus of the tests' own, with targets and recording rules of theirs, and its answers."""

import json
import urllib.parse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.peer import Exporter, fetch

INTERVAL_SECONDS: Final = 1

LabelSet = frozenset[tuple[str, str]]


class Prometheus(Exporter):
    """Scrapes each target every second, under a job and an instance of the target's name."""

    command = ("prometheus", "--web.listen-address=127.0.0.1:PORT", "--log.level=error")

    def __init__(self, folder: Path, targets: Mapping[str, int], rules: Iterable[tuple[str, str]] = ()) -> None:
        every = f"{INTERVAL_SECONDS}s"
        records = [{"record": name, "expr": expression} for name, expression in rules]
        (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "rules", "rules": records}]}))
        jobs = [
            {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": {"instance": name}}]}
            for name, port in targets.items()
        ]
        timing = {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every}
        config = {"global": timing, "rule_files": ["rules.yml"], "scrape_configs": jobs}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        super().__init__(f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}")

    def page(self) -> bytes:
        """Return something once it answers queries; OSError before."""
        return fetch(f"http://127.0.0.1:{self.port}/-/ready")

    def query(self, expression: str) -> dict[LabelSet, float]:
        """Return value by labels, now. Raises OSError when it is no expression."""
        return {_labels(row): float(row["value"][1]) for row in self._get("query", query=expression)}

    def query_range(self, expression: str, start: float, end: float) -> dict[LabelSet, dict[float, float]]:
        """Return values by time, a second apart, by labels. Raises OSError when it is no expression."""
        rows = self._get("query_range", query=expression, start=str(start), end=str(end), step=str(INTERVAL_SECONDS))
        return {_labels(row): {float(at): float(value) for at, value in row["values"]} for row in rows}

    def _get(self, what: str, **parameters: str) -> list[dict[str, Any]]:
        query = urllib.parse.urlencode(parameters)
        answer = json.loads(fetch(f"http://127.0.0.1:{self.port}/api/v1/{what}?{query}"))
        rows: list[dict[str, Any]] = answer["data"]["result"]
        return rows


def _labels(row: Mapping[str, Any]) -> LabelSet:
    return frozenset(row["metric"].items())
