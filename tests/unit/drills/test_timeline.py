"""The hops of an alert: which view shows which, what was late, and what it all proves; reports of it."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from exporter.clients.prometheus import Alert
from exporter.drills import report, results, timeline
from exporter.drills.budget import HOPS, Budget
from exporter.drills.fault import Expected
from exporter.drills.progress import bar
from exporter.drills.site import RelayAlert, RelayMessage, View
from exporter.drills.timeline import Result, Way, see_down, see_up, verdict_of

LABELS = {"alertname": "HostDown", "instance": "drill-a"}
BUDGET = Budget(dict(zip(HOPS, (10, 10, 20, 30, 32, 10, 40), strict=True)), 5.0)


def way() -> Way:
    return timeline.make_way(Expected("HostDown", {"instance": "drill-a"}), BUDGET)


def alert(state: str = "firing", **labels: str) -> Alert:
    return Alert({**LABELS, **labels}, {}, state, "1970-01-01T00:01:43.5Z")


def message(status: str = "firing", *, delivered: bool = True, **labels: str) -> RelayMessage:
    one = RelayAlert(status, {**LABELS, **labels})
    return RelayMessage(status, (one,), "1970-01-01T00:01:50Z", "1970-01-01T00:02:00.25Z", delivered)


def view(at: float, *found: Alert | RelayMessage) -> View:
    alerts = tuple(one for one in found if isinstance(one, Alert))
    return View(at, alerts, tuple(one for one in found if isinstance(one, RelayMessage)))


def test_hops_are_noted_when_they_are_first_seen() -> None:
    one = way()
    see_up(one, view(101), "slack")
    assert one.moments == {}
    see_up(one, view(104, alert("pending")), "slack")
    see_up(one, view(106, alert()), "slack")
    see_up(one, view(107, alert()), "slack")
    see_up(one, view(111, alert(), message(delivered=False)), "slack")
    assert one.moments == {"pending": 103.5, "firing": 106, "received": 110}
    see_up(one, view(112, alert(), message()), "slack")
    assert one.moments["told"] == 112
    assert one.delivery == 1.0


def test_preview_is_told_when_it_is_received() -> None:
    one = way()
    see_up(one, view(115, alert(), message(delivered=False)), "preview")
    assert one.moments["told"] == one.moments["received"] == 110


def test_firing_cannot_be_later_than_what_the_relay_got() -> None:
    one = way()
    see_up(one, view(115, message()), "slack")
    assert one.moments["firing"] == 110


def test_when_it_fired_is_what_prometheus_says() -> None:
    one, told = way(), message()
    fired = RelayAlert("firing", told.alerts[0].labels, "1970-01-01T00:01:45.5Z")
    see_up(
        one,
        View(115, (alert(),), (RelayMessage("firing", (fired,), told.received_first, told.received, True),)),
        "slack",
    )
    assert one.moments["firing"] == 105.5


@pytest.mark.parametrize("labels", [{"instance": "web-01"}, {"alertname": "HostMissing"}])
def test_alerts_of_others_are_no_hops(labels: dict[str, str]) -> None:
    one = way()
    see_up(one, view(106, alert(**labels), message(**labels)), "slack")
    assert one.moments == {}


def test_end_is_told_once_no_alert_of_the_message_fires() -> None:
    one = way()
    see_down(one, view(200, alert(), message()), "slack")
    assert one.moments == {}
    see_down(one, view(201, message()), "slack")
    assert one.moments == {"resolved": 201}
    see_down(one, view(202, message("resolved", delivered=False)), "slack")
    assert "resolution told" not in one.moments
    see_down(one, view(203, message("resolved")), "slack")
    assert one.moments["resolution told"] == 203


def finished(**changed: Any) -> Result:
    moments = dict(zip(HOPS, (102.0, 103.0, 110.0, 116.0, 116.5, 205.0, 230.0), strict=True))
    moments.update(changed.pop("moments", {}))
    for hop in changed.pop("without", ()):
        del moments[hop]
    one = way()
    one.moments = moments
    made = Result("exporter-killed", "1.2", 90, "slack", injected=100, recovered=200, ended=240, ways=[one], **changed)
    made.verdict = verdict_of(made)
    return made


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        pytest.param({}, "proven", id="all-in-time"),
        pytest.param({"moments": {"told": 133.0}}, "late", id="told-late"),
        pytest.param({"moments": {"resolution told": 241.0}}, "late", id="end-told-late"),
        pytest.param({"without": ["told"]}, "missed", id="never-told"),
        pytest.param({"without": ["resolution told"]}, "missed", id="end-never-told"),
        pytest.param({"without": HOPS, "strength": 0.8, "near": 150.0}, "proven", id="below-the-threshold"),
        pytest.param({"without": HOPS, "strength": 0.8}, "missed", id="far-below-the-threshold"),
        pytest.param({"strength": 0.8, "near": 150.0}, "missed", id="fired-below-the-threshold"),
    ],
)
def test_verdict(changed: dict[str, Any], verdict: str) -> None:
    assert finished(**changed).verdict == verdict


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        pytest.param([], 3, id="none"),
        pytest.param(["proven"], 0, id="proven"),
        pytest.param(["proven", "refused"], 3, id="refused"),
        pytest.param(["refused", "late"], 2, id="late"),
        pytest.param(["refused", "late", "missed"], 1, id="missed"),
        pytest.param(["missed", "undo failed", "proven"], 4, id="undo-failed"),
    ],
)
def test_worst_result_decides(verdicts: list[timeline.Verdict], code: int) -> None:
    results_of = [finished() for _ in verdicts]
    for one, verdict in zip(results_of, verdicts, strict=True):
        one.verdict = verdict
    assert timeline.exit_code(results_of) == code


def test_late_hops_say_by_how_much() -> None:
    assert timeline.late_hops(finished(moments={"told": 133.0})) == [("HostDown", "told", 1.0)]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1970-01-01T00:00:01Z", 1.0),
        ("1970-01-01T00:00:01.5Z", 1.5),
        ("1970-01-01T00:00:01.123456789Z", 1.123456),
        ("1970-01-01T01:00:01.5+01:00", 1.5),
    ],
)
def test_moment(text: str, moment: float) -> None:
    assert timeline.moment_of(text) == moment


def test_no_moment() -> None:
    with pytest.raises(ValueError, match="expected a moment"):
        timeline.moment_of("yesterday")


def test_results_are_kept_and_the_last_proof_counts(tmp_path: Path) -> None:
    old, late, missed = finished(), finished(moments={"told": 133.0}), finished(without=["told"])
    late.began, late.version, missed.began = 95, "1.3", 99
    for one in (old, late, missed, finished(strength=0.8)):
        results.keep(tmp_path, one)
    (tmp_path / "results" / "z.json").write_text("{")
    found = results.read(tmp_path)
    assert len(found) == 4
    proof = results.proofs(found)["HostDown"]
    assert (proof.version, proof.detect, proof.notify, proof.resolve) == ("1.3", 10, 33, 30)
    assert results.unproven(["HostDown", "HostMissing"], results.proofs(found)) == ["HostMissing"]


def test_old_results_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "MAX_KEPT", 2)
    for began in (1, 2, 3):
        one = finished()
        one.began = began
        results.keep(tmp_path, one)
    assert [one.began for one in results.read(tmp_path)] == [2, 3]


def test_markdown_has_last_results_proofs_and_what_is_missing() -> None:
    found = [finished(without=["told"]), finished()]
    text = report.markdown(found, ["HostDown", "HostRebooted", "Odd"], {"HostRebooted": "a reboot"})
    assert "1 of 3 alerts were fired" in text
    assert "| exporter-killed | HostDown | 10 s | 16 s | 5.0 s | 30 s | 32 s / 40 s | proven |" in text
    assert "| HostRebooted | never; needs a reboot |" in text
    assert "| Odd | never |" in text


def test_reason_of_several_lines_stays_in_its_cell() -> None:
    one = finished(reason="openssl: bad\nusage: a | b")
    one.verdict = "refused"
    (row,) = [line for line in report.markdown([one], ["HostDown"], {}).splitlines() if "refused" in line]
    assert row.endswith(r"| refused: openssl: bad usage: a \| b |")


def test_all_runs_of_a_drill_are_told_together() -> None:
    late, refused, below = finished(moments={"told": 133.0}), finished(), finished(strength=0.8)
    refused.verdict = "refused"
    found = [finished(), late, finished(), finished(without=["told", "resolution told"]), refused, below]
    (one,) = results.tallies(found)
    assert (one.runs, one.in_time, len(one.told), len(one.resolution_told)) == (4, 2, 3, 3)
    assert one.told == (16.5, 16.5, 33.0)
    text = report.markdown(found, ["HostDown"], {})
    assert "| exporter-killed | HostDown | 4 | 2 | 16 s, 33 s | 30 s, 30 s |" in text
    assert "less group_wait, of 3: median" in text
    assert "Nothing was told yet" in report.markdown([refused], ["HostDown"], {})


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href"}]


def test_page_needs_nothing_else_and_escapes() -> None:
    one = finished(reason="<script>")
    tags = Tags()
    text = report.page([one], ["HostDown"], {})
    tags.feed(text)
    assert "svg" in tags.seen
    assert tags.seen.count("circle") == len(HOPS)
    assert "script" not in tags.seen
    assert tags.addresses == []


@pytest.mark.parametrize(("used", "drawn"), [(0, "···· "), (5, "██·· "), (10, "████ "), (20, "████!")])
def test_bar(used: float, drawn: str) -> None:
    assert bar(used, 10, 4) == drawn
