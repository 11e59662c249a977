"""A reader of dashboards: fills variables in as Grafana does, and asks a Prometheus what each panel asks."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any, Final

from tests.support import dashboards
from tests.support.dashboards import Asked

# as much time as a reader looks at, and how many points wide a panel is
RANGE_SECONDS: Final = 300
POINTS: Final = 300
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Reader:
    """Looks at the last five minutes of a Prometheus."""

    def __init__(self, url: str, scrape_seconds: float, host: str) -> None:
        """Take Prometheus' address, its scrape interval, and the host that is picked where one has to be."""
        self.url, self.host = url, host
        self.times = dashboards.times(RANGE_SECONDS, POINTS, scrape_seconds)

    def api(self, path: str, **parameters: str) -> Any:
        """Return `data` of an answer of Prometheus' API. Raises AssertionError with what it says of a bad query."""
        body = urllib.parse.urlencode(parameters).encode()
        try:
            with _OPENER.open(urllib.request.Request(f"{self.url}/api/v1/{path}", body), timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as err:
            raise AssertionError(f"{path} {parameters}: {err.read().decode(errors='replace')[:500]}") from err

    def label_values(self, series: str, label: str) -> list[str]:
        """Return what a variable's list has."""
        query = urllib.parse.urlencode({"match[]": series})
        with _OPENER.open(f"{self.url}/api/v1/label/{label}/values?{query}", timeout=30) as answer:
            found: list[str] = json.load(answer)["data"]
        return found

    def variables(self, board: Mapping[str, Any], *, everything: bool = True) -> dict[str, str]:
        """Return a dashboard's variables: All where there is that, else one value; or several where there may be."""
        values = dict(self.times)
        for variable in board["templating"]["list"]:
            if variable["type"] != "query":
                values[variable["name"]] = variable["query"]
                continue
            match = dashboards.LABEL_VALUES.fullmatch(variable["query"])
            assert match
            found = self.label_values(dashboards.filled(match["series"], values), match["label"])
            if variable["multi"]:
                one_or_two = dashboards.chosen(found[:2] or ["none"])
                values[variable["name"]] = variable["allValue"] if everything else one_or_two
            else:
                values[variable["name"]] = self.host if self.host in found else found[0] if found else "none"
        return values

    def answers(self, one: Asked, values: Mapping[str, str]) -> bool:
        """Whether an expression has an answer that is a number. Raises AssertionError when it cannot be asked."""
        query, now = dashboards.filled(one.expr, values), time.time()
        if one.instant:
            rows = self.api("query", query=query, time=str(now))["result"]
            return any(row["value"][1] != "NaN" for row in rows)
        span = {"start": str(now - RANGE_SECONDS), "end": str(now), "step": values["__interval"]}
        rows = self.api("query_range", query=query, **span)["result"]
        return any(value != "NaN" for row in rows for _, value in row["values"])
