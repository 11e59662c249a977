"""Messages: golden files for the main cases, Slack's limits and escaping for all others."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.relay import lines, looks, wording
from exporter.relay.episodes import Group, apply
from exporter.relay.intake import parse_snapshot
from exporter.relay.message import MAX_BLOCKS, MAX_SECTION, MAX_TOTAL, render
from tests.support.effort import tries
from tests.support.relay import alert, payload, resolved

GOLDEN = Path(__file__).parents[2] / "golden" / "messages"


def message(*alerts: Any, relay_url: Any = None, **more: Any) -> Any:
    episode = apply(Group(), parse_snapshot(json.dumps(payload(*alerts, **more)).encode())).episode
    return render(episode, relay_url)


DISK = alert(
    "HostDiskFull",
    labels={"severity": "warning", "mountpoint": "/data", "environment": "production"},
    annotations={
        "summary": "/data on web-01 is 86% full",
        "description": "12.1 GB of 86 GB left; at this pace it is full in 9 hours.",
        "dashboard_url": "https://grafana.example.com/d/host?var-instance=web-01&from=now-1h",
    },
)
MANY = [alert(instance=f"app-{n:02}:9100", startsAt=f"2026-11-20T15:{n:02}:00Z") for n in range(40)]
CASES = {
    "critical": ([alert()], {}),
    "warning": ([DISK], {}),
    "info": ([alert("HostLatencyHigh", "db-02", labels={"severity": "info"})], {}),
    "no-severity": ([{**alert(), "labels": {"alertname": "Odd", "team": "a"}}], {}),
    "own-severity": ([alert(labels={"severity": "p2"})], {}),
    "nothing-known": ([{"status": "firing", "labels": {}, "startsAt": ""}], {"groupLabels": {}, "groupKey": "g"}),
    "resolved": ([resolved(alert())], {}),
    "resolved-group": ([resolved(alert(instance=n)) for n in "abcd"], {}),
    "mixed-group": ([alert(), alert(instance="web-02", labels={"severity": "warning"}), resolved(MANY[3])], {}),
    "large-group": (MANY, {"truncatedAlerts": 7}),
    "several-names": ([alert(), alert("HostMemoryHigh")], {"groupLabels": {"instance": "web-01"}}),
    "injection": (
        [
            alert(
                "<!channel>",
                "<@U123>|x",
                labels={"team": "*b* <http://evil.example|click> & :large_green_circle:"},
                annotations={
                    "summary": "a <b> & :red_circle: c",
                    "description": "one\r\n\r\n\r\ntwo\x00\u202e",
                    "runbook_url": "javascript:alert(1)",
                    "dashboard_url": "https://x.example/a|b>c d",
                },
            )
        ],
        {},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_message_is_as_recorded(name: Any, rewrite_golden: bool) -> None:
    alerts, more = CASES[name]
    made = json.dumps(message(*alerts, **more).payload(), indent=2, ensure_ascii=False) + "\n"
    path = GOLDEN / f"{name}.json"
    if rewrite_golden:
        path.write_text(made)
    assert made == path.read_text()


def test_every_recorded_message_has_its_case() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(CASES)


def test_the_relays_own_address_is_linked_when_it_is_known() -> None:
    assert "<https://relay.example/|Relay>" in json.dumps(message(relay_url="https://relay.example/").attachments)


def test_severity_is_said_by_mark_and_by_word() -> None:
    assert message().text == ":red_circle: *CRITICAL*  HostCpuHigh on web-01"
    assert message(resolved(alert())).text == ":large_green_circle: *RESOLVED*  HostCpuHigh on web-01 after 12 min"


def test_what_is_counted_only_is_told_as_resolved() -> None:
    def made(*alerts: Any) -> Any:
        episode = apply(Group(), parse_snapshot(json.dumps(payload(*alerts)).encode())).episode
        assert episode is not None
        return render(msgspec.structs.replace(episode, more_resolved=300))

    one = made(alert())
    assert one.text.endswith("on web-01 (1 firing, 300 resolved)")
    assert "…and 300 more resolved" in str(one.attachments)
    assert "…and 19 more firing and 300 more resolved" in str(made(*MANY[:39]).attachments)
    ended = made(*(resolved(alert(instance=n)) for n in "abcd"))
    assert "on a, b, c and 1 more (304 resolved) after" in ended.text
    check_limits(ended)


def test_a_blank_of_another_alphabet_does_not_end_a_link() -> None:
    assert wording.link("http://p.example/\xa00", "Graph") == "<http://p.example/%C2%A00|Graph>"


def test_a_silence_is_never_wider_than_its_group() -> None:
    wide = message({**alert(), "labels": {}}, groupLabels={})
    assert "silences|Silence>" in str(wide.attachments)
    assert "filter=" not in str(wide.attachments)
    long = message(alert(labels={"x": "y" * 2000}))
    assert "silences|Silence>" in str(long.attachments)


def texts(made: Any) -> Any:
    yield made.text
    for attachment in made.attachments:
        for block in attachment["blocks"]:
            yield from (t["text"] for t in ([block["text"]] if "text" in block else block["elements"]))


def check_limits(made: Any) -> None:
    (attachment,) = made.attachments
    blocks = attachment["blocks"]
    assert 1 <= len(blocks) <= MAX_BLOCKS
    assert wording.width(json.dumps(blocks, ensure_ascii=False)) <= MAX_TOTAL
    assert wording.width(made.text) <= 1000
    for text in texts(made):
        assert 0 < wording.width(text) <= MAX_SECTION
        text.encode()


# what may stand in angle brackets: our dates and our links
_OURS = re.compile(
    r"<!date\^\d+\^(\{date_short_pretty\} )?\{time\}\|[^<>|]*>"
    r"|<https?://[^<>|\s]+\|(Runbook|Dashboard|Graph|Silence|Relay)>"
)

_MARK = re.compile(":(red|white|large_orange|large_blue|large_green|large_yellow)_circle:")


def check_safe(made: Any) -> None:
    for text in texts(made):
        rest = _OURS.sub("", text)
        assert "<" not in rest
        assert ">" not in rest
        assert not re.search(r"&(?!amp;|lt;|gt;)", rest)
    assert len(_MARK.findall(made.text)) == 1
    assert _MARK.match(made.text)


NASTY = st.one_of(
    st.text(max_size=50),
    st.sampled_from(["<!channel>", "<@U1>", "&lt;", "*_~`", ":red_circle:", "\u202eabc", "x" * 5000]),
    st.integers(1, 4000).map(lambda n: "<" * n),
    st.integers(1, 4000).map(lambda n: '"' * n),
    st.integers(1, 4000).map(lambda n: "\U0001f525" * n),
    st.integers(1, 3000).map(lambda n: "a\n" * n),
)
TEXTS = NASTY.map(lambda text: text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
NAMES = st.sampled_from(["alertname", "instance", "severity", "mountpoint", "team", "x"])
NOTES = st.sampled_from(["summary", "description", "runbook_url", "dashboard_url", "message"])
ALERTS = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["firing", "resolved"]),
        "labels": st.dictionaries(NAMES, TEXTS),
        "annotations": st.dictionaries(NOTES, st.one_of(TEXTS, TEXTS.map(lambda text: "https://x.example/" + text))),
        "startsAt": st.sampled_from(["", "2026-11-20T15:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]),
        "endsAt": st.sampled_from(["", "2026-11-20T15:30:00Z", "0001-01-01T00:00:00Z"]),
        "generatorURL": st.one_of(TEXTS, TEXTS.map(lambda text: "http://p.example/" + text)),
    }
)


@given(st.lists(ALERTS, min_size=1, max_size=30), st.dictionaries(NAMES, TEXTS), st.integers(0, 9))
@settings(max_examples=tries(150), deadline=None)
def test_any_alerts_make_a_message_that_slack_takes_and_nobody_can_inject_into(
    alerts: Any, group: Any, cut: Any
) -> None:
    body = {"groupKey": "g", "alerts": alerts, "groupLabels": group, "truncatedAlerts": cut}
    made = message_of({**body, "externalURL": "http://am.example:9093"})
    check_limits(made)
    check_safe(made)
    html = "".join(str(part) for part in [looks.mrkdwn(made.text), *(h for _, h in looks.blocks(made.payload()))])
    assert set(re.findall(r"<(/?\w+)", html)) <= {
        *("span", "/span", "strong", "/strong", "em", "/em", "time", "/time", "a", "/a", "br"),
    }
    assert set(re.findall(r' href="(\w+):', html)) <= {"http", "https"}


@given(st.lists(st.lists(ALERTS, min_size=1, max_size=6), min_size=1, max_size=5))
@settings(max_examples=tries(100), deadline=None)
def test_any_course_of_alerts_makes_a_thread_that_slack_takes_and_nobody_can_inject_into(course: Any) -> None:
    group, told = Group(), []
    for alerts in course:
        after = apply(group, parse_snapshot(json.dumps({"groupKey": "g", "alerts": alerts}).encode()))
        if after != group and after.episode is not None:
            told += [change.line for change in lines.changes(group.episode, after.episode)]
        group = after
    while told:
        part = lines.fitting(told)
        told = told[len(part) :]
        text = lines.thread_text(part)
        assert 0 < wording.width(text) <= 3000
        assert set(re.findall(r"<([^>]{0,6})", text)) <= {"!date^"}
        assert not re.search(r"&(?!amp;|lt;|gt;)", text)


def message_of(body: bytes) -> Any:
    return render(apply(Group(), parse_snapshot(json.dumps(body).encode())).episode)


@pytest.mark.parametrize("count", [1, 2, 20, 100])
@pytest.mark.parametrize("char", ['"', "&", "\U0001f525", "\\"])
def test_the_largest_alerts_fit(count: Any, char: Any) -> None:
    labels = {f"{char}{n}": char * 3000 for n in range(13)}
    notes = {"summary": char * 9000, "description": char * 9000}
    made = message(*(alert(instance=f"{n}{char * 200}", labels=labels, annotations=notes) for n in range(count)))
    check_limits(made)
    check_safe(made)


DURATIONS = {
    0: "0 s", 45: "45 s", 90: "1 min 30 s", 720: "12 min",
    3600: "1 h", 3900: "1 h 5 min", 86400: "1 d", 183600: "2 d 3 h",
}  # fmt: skip


@pytest.mark.parametrize(("seconds", "words"), DURATIONS.items())
def test_durations_read_well(seconds: float, words: str) -> None:
    assert wording.duration(seconds) == words


@given(TEXTS, st.integers(1, 100))
def test_a_cut_line_keeps_its_limit_and_whole_entities(text: str, limit: Any) -> None:
    for made in (wording.line(text, limit), wording.paragraph(text, limit)):
        assert wording.width(made) <= limit
        assert not re.search(r"&(?!amp;|lt;|gt;)", made)


URLS = {
    "plain": ("https://x.example/a?b=1&c=2", "<https://x.example/a?b=1&amp;c=2|Go>"),
    "odd": ("https://x.example/a|b>c d", "<https://x.example/a%7Cb%3Ec%20d|Go>"),
    "script": ("javascript:alert(1)", None),
    "relative": ("/x", None),
    "broken": ("http://[", None),
    "long": ("https://x.example/" + "a" * 2000, None),
}


@pytest.mark.parametrize(("url", "made"), URLS.values(), ids=URLS)
def test_only_web_addresses_become_links(url: str, made: Any) -> None:
    assert wording.link(url, "Go") == made


@pytest.mark.parametrize(
    ("alerts", "said"),
    [
        pytest.param([alert(labels={"drill": "true"})], "*DRILL · CRITICAL*", id="one"),
        pytest.param([resolved(alert(labels={"drill": "true"}))], "*DRILL · RESOLVED*", id="resolved"),
        pytest.param([alert(labels={"drill": "true"}), alert(instance="b")], "*CRITICAL*", id="a-real-one-beside"),
        pytest.param([alert(labels={"drill": "no"})], "*CRITICAL*", id="another-label"),
    ],
)
def test_a_drill_is_called_one_only_when_all_of_it_is(alerts: list[Any], said: str) -> None:
    assert said in message(*alerts).text
