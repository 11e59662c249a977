"""Tests of alert rules from tables: prometheus/tests/alerts/*.yml says per alert what is given and what has to come.

An entry gives the series of each kind of test; this module writes them out sample by sample and has promtool judge:

- `bad`: series in trouble, `at`: by when the alert fires, with which `labels` and which `description` (kind *fires*)
- `below`: by name, what of `bad` is different where it must stay silent (*silent just below*); there at
  `at` and at twice that, but with `once`
- `also`: by name, what of `bad` is different where it fires as well
- `before`: a moment at which it must still be silent, 0s: the sample before the trouble (*silent before its time*)
- `missing`: `nothing` (no series at all) and `gap` (failed scrapes neither resolve nor restart it) (*missing data*);
  `without_series`: how many fire where there is no series at all, for one that tells of an absence
- `resolved`: a moment at which it is over, when after `at` the series become as in `then`, else as in the first of
  `below`, which also is the good time; `kept`: one at which it is kept firing (*resolves*)
- `override`: `alert_off`, and cases with a `threshold` of the host or the subject and whether it then `fires`
- `board`: the dashboard that it links to, where that is not the host's

All times count from the beginning of the trouble, which `prelude` of good time may come before (not with `from_start`).
A series is a number (a gauge), `+N` (a counter that grows by N a sample), `B+N` (from B on), `_` (not there), or a list
of such, each with the number of its samples; the last goes on.
"""

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
RULES: Final = ROOT / "prometheus" / "rules"
TABLES: Final = ROOT / "prometheus" / "tests" / "alerts"
KINDS: Final = {
    "fires": ("bad", "at", "description"),
    "silent just below": ("below",),
    "silent before its time": ("before",),
    "missing data": ("missing",),
    "resolves": ("resolved",),
    "override": ("override",),
}
_TARGET: Final = {"instance": "web-01", "job": "node"}
# keys of a case that are no series
_ASIDE: Final = frozenset({"from_start", "once"})
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
RUNBOOK_URL: Final = "https://runbooks.example.com/"
_GRAFANA: Final = "https://grafana.example.com/d"
DASHBOARD_URL: Final = f"{_GRAFANA}/hostwatch-host"

Entry = Mapping[str, Any]
Series = dict[str, Any]


def tables() -> dict[str, dict[str, Entry]]:
    """Return the entries by the name of the rule file they are about."""
    return {file.stem: yaml.safe_load(file.read_text()) for file in sorted(TABLES.glob("*.yml"))}


def lacking(entry: Entry) -> list[str]:
    """Return the kinds of test that an entry does not have."""
    lacks = [kind for kind, keys in KINDS.items() if any(not entry.get(key) for key in keys)]
    if "missing data" not in lacks and set(entry["missing"]) != {"nothing", "gap"}:
        lacks.append("missing data")
    if "override" not in lacks and "alert_off" not in entry["override"]:
        lacks.append("override")
    return lacks


def dashboard(entry: Entry, instance: str) -> str:
    """Return how the link to an alert's dashboard begins: the host's, or that of `board`, which knows no host."""
    return f"{_GRAFANA}/{entry['board']}?" if "board" in entry else f"{DASHBOARD_URL}?var-instance={instance}&"


def seconds(text: str) -> int:
    """Return a duration such as 1h30m in seconds."""
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([smhd])", text))


class Tests:
    """What promtool is given for one alert."""

    __test__ = False

    def __init__(self, name: str, entry: Entry) -> None:
        self.name, self.entry = name, entry
        self.step = seconds(entry.get("step", "15s"))
        self.prelude = seconds(entry.get("prelude", "0s"))
        self.at = self.prelude + seconds(entry["at"])
        self.ends = self.at if entry.get("once") else 2 * self.at
        self.target: dict[str, str] = entry.get("target", _TARGET)
        bad = {**self._up(), **self._named(entry["bad"])}
        self.good = {**bad, **self._named(next(iter(entry["below"].values())))}
        self.bad = {**dict.fromkeys(self.good, "_"), **bad}

    def all(self) -> list[dict[str, Any]]:
        """Return the tests of all kinds."""
        return [*self._fires(), *self._below(), *self._missing(), *self._resolves(), *self._overrides()]

    def _up(self) -> Series:
        return {f"up{_braces(self.target)}": "1"}

    def _named(self, series: Mapping[str, Any]) -> Series:
        return {self._with_target(key): value for key, value in series.items() if key not in _ASIDE}

    def _with_target(self, key: str) -> str:
        name, _, labels = key.partition("{")
        given = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        return name + _braces({**self.target, **given})

    def _fires(self) -> Iterator[dict[str, Any]]:
        fired = {"alertname": self.name, "eval_time": f"{self.at}s", "exp_alerts": [self._alert()]}
        before = self.prelude + (seconds(self.entry["before"]) or -self.step)
        silent = {"alertname": self.name, "eval_time": f"{before}s", "exp_alerts": []}
        yield self._test("fires", self._phases(self.bad), alert_rule_test=[fired])
        yield self._test("silent before its time", self._phases(self.bad), alert_rule_test=[silent])
        for what, change in self.entry.get("also", {}).items():
            series = self._phases({**self.bad, **self._named(change)})
            yield self._test(f"fires: {what}", series, **self._firing(self.at))

    def _alert(self) -> dict[str, Any]:
        labels = {**self.target, **self.entry.get("labels", {}), "severity": self.entry["severity"]}
        wanted = {key: value for key, value in labels.items() if value is not None}
        since = self.at // 900 * 900_000 - 3_600_000
        texts = {
            "summary": self.entry["summary"],
            "description": self.entry["description"],
            "runbook_url": RUNBOOK_URL + self.name,
            "dashboard_url": f"{dashboard(self.entry, wanted['instance'])}from={since}&to=now",
        }
        if "evidence" in self.entry:
            texts["evidence"] = self.entry["evidence"]
        return {"exp_labels": wanted, "exp_annotations": texts}

    def _below(self) -> Iterator[dict[str, Any]]:
        for what, change in self.entry["below"].items():
            series = {**self.bad, **self._named(change)}
            values = self._phases(series, first=series if change.get("from_start") else None)
            times = (self.at,) if change.get("once") else (self.at, self.ends)
            yield self._test(f"silent: {what}", values, **self._silent(*times))

    def _missing(self) -> Iterator[dict[str, Any]]:
        there = self.entry.get("without_series")
        judged = self._counted((self.at,), [{"labels": "{}", "value": there}] if there else [])
        yield self._test("missing data, nothing at all", {}, **judged)
        values, step = self._phases(self.bad), self.step
        first, second = (self.prelude + self.at) // 2 // step, self.at // step + 2
        for key in values:
            for lost in (first, second):
                if values[key][lost] != "_":
                    values[key][lost] = "0" if key.startswith("up{") else "stale"
        times = [self.at + n * step for n in range(4)]
        yield self._test("missing data, failed scrapes", values, **self._firing(*times))

    def _resolves(self) -> Iterator[dict[str, Any]]:
        then = {**self.good, **self._named(self.entry.get("then", {}))}
        over = self.prelude + seconds(self.entry["resolved"])
        firing = [self.at, *(self.prelude + seconds(self.entry[key]) for key in ("kept",) if key in self.entry)]
        judged = self._firing(*firing)["promql_expr_test"] + self._silent(over)["promql_expr_test"]
        yield self._test("resolves", self._phases(self.bad, then=then), promql_expr_test=judged)

    def _overrides(self) -> Iterator[dict[str, Any]]:
        for what, case in self.entry["override"].items():
            if what == "alert_off":
                off = {**self.target, "alert": self.name, **(case or {})}
                silent, values = self._silent(self.at, self.ends), self._phases(self.bad)
                # as a rule file says it, and as another machine's textfile folder does
                for labels in (off, {**off, "instance": "mon-01", "exported_instance": off["instance"]}):
                    rows = {**values, "host_alert_off" + _braces(labels): ["1"] * self._total()}
                    yield self._test(f"override: {what}", rows, **silent)
                continue
            labels = {**self.target, "threshold": case["threshold"], **case.get("labels", {})}
            extra, fires, value = "host_threshold_override" + _braces(labels), case["fires"], str(case["value"])
            base = {**self.bad, **self._named(self.entry["below"].get(case.get("with"), {}))}
            judged = self._firing(self.at) if fires else self._silent(self.at, self.ends)
            values = self._phases(base)
            yield self._test(f"override: {what}", {**values, extra: [value] * self._total()}, **judged)

    def _total(self) -> int:
        return max(self.ends, self.prelude + seconds(self.entry["resolved"])) // self.step + 6

    def _phases(self, series: Series, then: Series | None = None, first: Series | None = None) -> dict[str, list[str]]:
        """Return the samples: of the good time (or `first`), of the trouble, and after `at` as in `then`."""
        turn, worse, total = self.at // self.step + 1, self.prelude // self.step, self._total()
        out = {}
        for key, bad in series.items():
            good = (first or self.good).get(key, bad)
            after = then.get(key, bad) if then else bad
            specs = _spread(good, worse) + _spread(bad, turn - worse if then else total - worse)
            out[key] = _samples(specs + (_spread(after, total - turn) if then else []))
        return out

    def _firing(self, *times: int) -> dict[str, Any]:
        return self._counted(times, [{"labels": "{}", "value": 1}])

    def _silent(self, *times: int) -> dict[str, Any]:
        return self._counted(times, [])

    def _counted(self, times: tuple[int, ...], samples: list[dict[str, Any]]) -> dict[str, Any]:
        expression = f'count(ALERTS{{alertname="{self.name}", alertstate="firing"}})'
        return {
            "promql_expr_test": [{"expr": expression, "eval_time": f"{at}s", "exp_samples": samples} for at in times]
        }

    def _test(self, what: str, values: Mapping[str, list[str]], **judged: Any) -> dict[str, Any]:
        series = [{"series": key, "values": " ".join(samples)} for key, samples in values.items()]
        return {"name": f"{self.name} {what}", "interval": f"{self.step}s", "input_series": series, **judged}


def _braces(labels: Mapping[str, str]) -> str:
    return "{" + ", ".join(f'{key}="{value}"' for key, value in labels.items()) + "}"


def _spread(spec: Any, count: int) -> list[str]:
    """Return what each of `count` samples has to be."""
    if not isinstance(spec, list):
        return [str(spec)] * count
    parts = [str(part) for number, part in spec for _ in range(number)]
    return (parts + [str(spec[-1][1])] * count)[:count]


def _samples(specs: list[str]) -> list[str]:
    """Return the value of each sample; what disappears is stale once, as after a scrape without it."""
    out: list[str] = []
    level: float | None = None
    for spec in specs:
        base, plus, growth = spec.partition("+")
        if spec in {"_", "NaN"}:
            out.append("stale" if spec == "_" and out and out[-1] not in {"_", "stale"} else spec)
        elif plus:
            level = float(base or 0) if level is None else level + float(growth)
            out.append(f"{level:.10g}")
        else:
            level = float(spec)
            out.append(spec)
    return out


def judged(folder: Path, rules: list[Path], tests: list[dict[str, Any]], step: int) -> str:
    """Return what promtool finds wrong; nothing where all is well. Raises OSError without promtool."""
    file = folder / "tests.yml"
    document = {"rule_files": [str(rule) for rule in rules], "evaluation_interval": f"{step}s", "tests": tests}
    file.write_text(yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=10_000))
    done = subprocess.run(
        ["promtool", "test", "rules", str(file)], capture_output=True, text=True, timeout=120, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
