"""Budgets: what a rule looks back at, and how long each hop may take by the user's own settings."""

import json
from typing import Any

import pytest

from exporter.clients.prometheus import Rule, RuleGroup
from exporter.drills import durations
from exporter.drills.budget import GRACE, HOPS, Windows, make_budget, records_of, windows_of
from exporter.drills.routes import RouteError, Timing, timing_of

RECORDS = {
    "instance:cpu:avg5m": "1 - sum(rate(node_cpu_seconds_total[5m]))",
    "a:b:c": "instance:cpu:avg5m + avg_over_time(x[1m])",
    "host:threshold:cpu": "last_over_time(y[15m])",
}


@pytest.mark.parametrize(
    ("query", "windows"),
    [
        pytest.param("up == 0", Windows(0, 0, 0, 0), id="nothing"),
        pytest.param("max_over_time(up[1m]) == 0", Windows(60, 60, 0, 0), id="whole-window"),
        pytest.param("last_over_time(x[10m]) < 1", Windows(0, 600, 0, 0), id="last-value-only-delays-the-end"),
        pytest.param('rate(x{mode=~"(a|b)"}[5m]) > 1', Windows(300, 300, 0, 0), id="parentheses-in-a-label"),
        pytest.param("max_over_time(x[1d:5m]) == 1", Windows(0, 0, 300, 0), id="subquery-has-a-step"),
        pytest.param("max_over_time(x[1d]) == 1", Windows(0, 0, 0, 0), id="history-is-there-before"),
        pytest.param("max_over_time(x[333ms]) == 1", Windows(0.333, 0.333, 0, 0), id="milliseconds"),
        pytest.param("instance:cpu:avg5m > 0.8", Windows(300, 300, 0, 1), id="recording-rule"),
        pytest.param("a:b:c > 0.8", Windows(360, 360, 0, 2), id="recording-rule-of-another"),
        pytest.param("instance:cpu:avg5m > host:threshold:cpu", Windows(300, 300, 0, 1), id="threshold-stands-still"),
        pytest.param("increase(x[15m]) > 3 or max_over_time(y[2m]) == 1", Windows(900, 900, 0, 0), id="longest-counts"),
    ],
)
def test_windows_of_an_expression(query: str, windows: Windows) -> None:
    assert windows_of(query, RECORDS) == windows


def test_rule_that_names_itself_ends() -> None:
    assert windows_of("a:b > 1", {"a:b": "avg_over_time(a:b[1m])"}) == Windows(60, 60, 0, 1)


def test_records_of_one_name_are_taken_together() -> None:
    rules = [Rule("a:b", "recording", "one[1m]"), Rule("a:b", "recording", "two[2m]"), Rule("Down", "alerting", "up")]
    assert records_of([RuleGroup("g", rules=rules)])["a:b"].split() == ["one[1m]", "two[2m]"]


def test_each_hop_adds_what_the_settings_say() -> None:
    rule = Rule("HostDown", "alerting", "", duration=60, keep_firing_for=120)
    budget = make_budget(rule, Windows(60, 600, 0, 1), Timing("relay", 30, 300), scrape=15, evaluation=10, lag=5)
    crossed = 5 + 15 + 60 + 20 + GRACE
    assert budget.of("crossed") == budget.of("pending") == crossed
    assert budget.of("firing") == crossed + 60 + 10
    assert budget.of("received") == crossed + 70 + 30 + GRACE
    assert budget.of("told") == budget.of("received") + GRACE
    assert budget.of("resolved") == 5 + 15 + 600 + 20 + 120 + 10 + GRACE
    assert budget.of("resolution told") == budget.of("resolved") + 10 + 300 + GRACE
    assert tuple(budget.limits) == HOPS


TREE = """
route:
  receiver: relay
  group_wait: 10s
  routes:
    - matchers: [alertname = "Watchdog"]
      group_wait: 0s
    - matchers: ['severity=~"critical|page"', team != db]
      receiver: pager
      group_interval: 1m
      routes:
        - match: {instance: web-01}
          receiver: web
    - match_re: {alertname: "Ping.*"}
      group_interval: 2m
"""


@pytest.mark.parametrize(
    ("labels", "timing"),
    [
        pytest.param({}, Timing("relay", 10, 300), id="root-and-default"),
        pytest.param({"alertname": "Watchdog"}, Timing("relay", 0, 300), id="quoted-matcher"),
        pytest.param({"severity": "page"}, Timing("pager", 10, 60), id="expression"),
        pytest.param({"severity": "page", "team": "db"}, Timing("relay", 10, 300), id="unequal"),
        pytest.param({"severity": "critical", "instance": "web-01"}, Timing("web", 10, 60), id="child-inherits"),
        pytest.param({"alertname": "PingLossHigh"}, Timing("relay", 10, 120), id="old-form"),
    ],
)
def test_route_of_an_alert(labels: dict[str, str], timing: Timing) -> None:
    assert timing_of(TREE, labels) == timing


@pytest.mark.parametrize(
    ("matchers", "labels", "taken"),
    [
        pytest.param('{severity="critical"}', {"severity": "critical"}, True, id="braces"),
        pytest.param('{severity="critical"}', {"severity": "info"}, False, id="braces-and-others"),
        pytest.param(['{severity="critical"}'], {"severity": "critical"}, True, id="braces-in-a-list"),
        pytest.param('severity="critical",team="db"', {"severity": "critical", "team": "db"}, True, id="commas"),
        pytest.param('severity="critical",team="db"', {"severity": "critical", "team": "web"}, False, id="all-of-them"),
        pytest.param(
            ['{ severity = "critical" , team="db", }'], {"severity": "critical", "team": "db"}, True, id="end"
        ),
        pytest.param(['name="a,b"'], {"name": "a,b"}, True, id="comma-in-quotes"),
        pytest.param(['name=~"a{2},b\\.c|x"'], {"name": "aa,b.c"}, True, id="braces-and-backslash-in-quotes"),
        pytest.param(['name=~"a\\.c"'], {"name": "abc"}, False, id="backslash-stays"),
        pytest.param(['name="a\\"b"'], {"name": 'a"b'}, True, id="quote-in-quotes"),
        pytest.param(["severity=critical", "team!=db"], {"severity": "critical"}, True, id="without-quotes"),
        pytest.param(['"the name"="a"'], {"the name": "a"}, True, id="quoted-name"),
        pytest.param(['team=""'], {}, True, id="empty"),
    ],
)
def test_matchers_as_alertmanager_takes_them(matchers: object, labels: dict[str, str], taken: bool) -> None:
    tree = {"receiver": "root", "routes": [{"matchers": matchers, "receiver": "child"}]}
    assert timing_of(json.dumps({"route": tree}), labels).receiver == ("child" if taken else "root")


def test_of_several_routes_the_one_to_the_relay_counts() -> None:
    routes: list[dict[str, Any]] = [
        {"receiver": "mail", "group_wait": "1s", "continue": True},
        {"receiver": "hook", "group_wait": "2s", "continue": True},
        {"receiver": "relay", "group_wait": "3s", "continue": True, "matchers": ['alertname="Other"']},
        {"receiver": "relay", "group_wait": "4s"},
        {"receiver": "relay", "group_wait": "5s"},
    ]
    receivers: list[dict[str, Any]] = [
        {"name": "mail", "email_configs": [{}]},
        {"name": "hook", "webhook_configs": [{"url": "<secret>"}]},
        {"name": "relay", "webhook_configs": [{"url": "http://127.0.0.1:10102/alertmanager"}]},
    ]
    whole = {"route": {"receiver": "mail", "routes": routes}, "receivers": receivers}
    assert timing_of(json.dumps(whole), {}) == Timing("relay", 4, 300)
    receivers.pop()
    assert timing_of(json.dumps(whole), {}) == Timing("hook", 2, 300), "an address that is hidden may be the relay's"
    receivers.pop()
    assert timing_of(json.dumps(whole), {}) == Timing("mail", 1, 300)
    del routes[0]["continue"]
    receivers.append({"name": "relay", "webhook_configs": [{"url": "http://127.0.0.1:10102/alertmanager"}]})
    assert timing_of(json.dumps(whole), {}) == Timing("mail", 1, 300), "it ends there"


@pytest.mark.parametrize(
    "text",
    [
        "route: {routes: [{matchers: ['a=~\"(\"']}]}",
        "route: {routes: [{match_re: {a: '('}}]}",
        'route: {routes: [{matchers: [\'a="b" c="d"\']}]}',
        "route: {routes: [{matchers: ['a=\"b']}]}",
    ],
)
def test_matcher_that_is_none_is_told(text: str) -> None:
    with pytest.raises(RouteError, match="Alertmanager's configuration"):
        timing_of(text, {})


@pytest.mark.parametrize(
    "text", ["", "route: 1", "[", "route: {group_wait: soon}", "route: {routes: [{matchers: ['?']}]}"]
)
def test_configuration_that_cannot_be_read(text: str) -> None:
    with pytest.raises(RouteError, match="Alertmanager's configuration"):
        timing_of(text, {})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("0s", 0), ("250ms", 0.25), ("1m30s", 90), ("1h", 3600), ("1d", 86400), ("1w", 604800)],
)
def test_duration(text: str, seconds: float) -> None:
    assert durations.seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "1x", "m", "1h x", "-1s"])
def test_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        durations.seconds_of(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.44, "0.4 s"), (12.4, "12 s"), (125, "2 min 5 s"), (300, "5 min"), (7500, "2 h 5 min")],
)
def test_duration_for_people(seconds: float, text: str) -> None:
    assert durations.text_of(seconds) == text
