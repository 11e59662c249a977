"""What is read from the relay: page, API, metrics, health, and how it answers what it does not have."""

import base64
import hashlib
import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.relay import looks
from exporter.relay.metrics import REJECTIONS
from tests.support.relay import RelayProcess, alert, payload, resolved, until


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with RelayProcess(tmp_path_factory.mktemp("relay"), external_url="https://relay.example.com/") as one:
        one.empty_page = one.get("/").text
        assert one.post(payload(groupKey="a")).status == 200
        assert one.post(payload(resolved(alert()), groupKey="b")).status == 200
        until(lambda: len(one.messages()) == 2)
        yield one


def test_an_empty_page_says_how_alerts_get_here(relay: RelayProcess) -> None:
    assert "No alert has come yet" in relay.empty_page
    assert "/alertmanager" in relay.empty_page


def test_the_page_shows_the_newest_message_first_in_words_and_marks(relay: RelayProcess) -> None:
    page = relay.get("/").text
    assert page.index("RESOLVED") < page.index("CRITICAL</strong>  HostCpuHigh")
    assert 'class="mark red" role="img" aria-label="red circle"' in page
    assert '<a href="https://runbooks.example.com/HostCpuHigh" rel="noreferrer">Runbook</a>' in page
    assert "Nothing is sent to Slack" in page


def test_the_page_says_how_each_part_is_doing(relay: RelayProcess) -> None:
    page = relay.get("/").text
    assert "Preview: nothing is sent" in page
    assert "Never came, and is not expected" in page
    assert page.count("previewed, not sent") == 2
    # its beginning alone is no thread: the message says it
    assert page.count('<p class="reply">') == 2
    assert re.search(r'<p class="reply">.*RESOLVED', page)


def test_a_preview_has_no_token_to_ask_slack_about(relay: RelayProcess) -> None:
    answer = relay.request("POST", "/api/v1/auth-test", b"", Authorization=f"Bearer {relay.token}")
    assert answer.json == {"ok": False, "error": "no_token"}
    status = relay.get("/api/v1/status").json
    assert (status["mode"], "slack" in status, "token" in status) == ("preview", False, False)


def test_the_page_loads_nothing_and_runs_nothing(relay: RelayProcess) -> None:
    answer = relay.get("/")
    assert not re.search(r"<(script|img|iframe|object|form)|\son\w+=|\sstyle=|@import|url\(", answer.text)
    policy = answer.headers["content-security-policy"]
    style = re.search(r"<style>(.*?)</style>", answer.text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'")
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "server" not in answer.headers


def test_the_page_refreshes_itself_unless_it_is_told_not_to(relay: RelayProcess) -> None:
    assert '<meta http-equiv="refresh" content="5">' in relay.get("/").text
    assert "http-equiv" not in relay.get("/?refresh=off").text


def test_the_api_tells_programs_all_of_it(relay: RelayProcess) -> None:
    newest, older = relay.messages()
    assert (newest["group_key"], newest["status"], newest["labels"]) == ("b", "resolved", {"alertname": "HostCpuHigh"})
    assert newest["message"]["attachments"][0]["color"].startswith("#")
    assert older["alerts"][0]["labels"]["instance"] == "web-01:9100"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", older["received"])
    assert [row["group_key"] for row in relay.get("/api/v1/messages?limit=1").json["messages"]] == ["b"]
    assert [row["group_key"] for row in relay.get("/api/v1/messages?group=a").json["messages"]] == ["a"]
    assert [line["kind"] for line in newest["thread"]] == ["opened", "resolved"]
    assert (older["thread"], older["delivered"], older["channel"]) == ([], False, None)


@pytest.mark.parametrize("limit", ["0", "501", "x", "", "-1", "9" * 5000])
def test_a_limit_out_of_bounds_is_refused(relay: RelayProcess, limit: Any) -> None:
    assert relay.get(f"/api/v1/messages?limit={limit}").status == 400


def test_metrics_keep_prometheus_rules(relay: RelayProcess) -> None:
    answer = relay.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    ours = {name: family for name, family in families.items() if name.startswith("relay_")}
    assert set(families) - set(ours) == {name for name in families if name.startswith("process_")}
    for name, family in ours.items():
        assert re.fullmatch(r".+\([^()]+\)\.", family.documentation), name
        assert family.type in {"counter", "gauge"}
    reasons = {sample.labels["reason"] for sample in ours["relay_webhook_rejected"].samples}
    assert reasons == set(REJECTIONS)
    assert not ours["relay_queue_oldest_timestamp_seconds"].samples  # absent, never zero
    assert "_created" not in answer.text


def test_openmetrics_is_there_for_who_asks(relay: RelayProcess) -> None:
    answer = relay.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


STATUS = {
    "healthy": ("GET", "/-/healthy", 200),
    "ready": ("GET", "/-/ready", 200),
    "nothing": ("GET", "/nope", 404),
    "traversal": ("GET", "/../../etc/passwd", 404),
    "webhook read": ("GET", "/alertmanager", 405),
    "page written": ("POST", "/", 405),
    "trace": ("TRACE", "/metrics", 405),
    "slash": ("GET", "/metrics/", 307),
}


@pytest.mark.parametrize(("method", "path", "status"), STATUS.values(), ids=STATUS)
def test_each_path_answers(relay: RelayProcess, method: Any, path: Any, status: Any) -> None:
    assert relay.request(method, path).status == status


def test_what_is_not_there_is_told_with_what_is(relay: RelayProcess) -> None:
    assert "/alertmanager" in relay.get("/nope").text
    answer = relay.get("/alertmanager")
    assert "POST" in answer.text
    assert answer.headers["allow"] == "POST"


LOOKS = {
    "bold": ("*a* b", "<strong>a</strong> b"),
    "not bold": ("2*3*4", "2*3*4"),
    "italic": ("_a_ b_c_d", "<em>a</em> b_c_d"),
    "entities": ("&lt;b&gt; &amp;lt;", "&lt;b&gt; &amp;lt;"),
    "date": ("<!date^1^{time}|15:06 UTC>", "<time>15:06 UTC</time>"),
    "link": ("<http://x/?a=1&amp;b=2|Go>", '<a href="http://x/?a=1&amp;b=2" rel="noreferrer">Go</a>'),
    "other scheme": ("<javascript:x|Go>", '<span class="mention">Go</span>'),
    "mention": ("<!here>", '<span class="mention">!here</span>'),
    "quote": ('<http://x/"onclick=y|Go>', '<a href="http://x/&#34;onclick=y" rel="noreferrer">Go</a>'),
    "lines": ("a\nb", "a<br>b"),
    "sign": (":warning: a", '<span class="sign" aria-hidden="true">\u26a0</span> a'),
    "other emoji": (":tada:", ":tada:"),
}


@pytest.mark.parametrize(("text", "html"), LOOKS.values(), ids=LOOKS)
def test_mrkdwn_looks_as_in_slack(text: str, html: Any) -> None:
    assert looks.mrkdwn(text) == html
