"""What fires at Prometheus: asked for on a thread, seldom, and told with the reason where there is no answer."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from exporter.settings.exporter import Dashboard
from exporter.web.alerts import EVERY, MAX_ALERTS, Alerts, AlertSource, fetch_alerts

SETTINGS = Dashboard(prometheus_url="http://prometheus.example:9090")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def run(body: Callable[[], Any]) -> None:
    asyncio.run(body())


async def turns(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 -- a thread brings it about
            await asyncio.sleep(0.001)


def test_nobody_is_asked_without_an_address() -> None:
    source = AlertSource(Dashboard(), lambda _: pytest.fail("asked"))
    source.refresh()
    assert source.last is None


def test_it_is_asked_again_only_after_a_while_and_never_twice_at_once() -> None:
    asked, clock, may_answer = list[Dashboard](), Clock(), threading.Event()

    def fetch(settings: Dashboard) -> Alerts:
        asked.append(settings)
        assert may_answer.wait(30)
        return Alerts(total=len(asked))

    async def body() -> None:
        source = AlertSource(SETTINGS, fetch, clock)
        source.refresh()
        clock.now += 10 * EVERY
        source.refresh()
        may_answer.set()
        await turns(lambda: source.last == Alerts(total=1))
        source.refresh()
        await turns(lambda: source.last == Alerts(total=2))
        clock.now += EVERY - 1
        source.refresh()
        clock.now += 1
        source.refresh()
        await turns(lambda: source.last == Alerts(total=3))

    run(body)
    assert asked == [SETTINGS] * 3


def test_own_fault_is_told_and_does_not_stop_it(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: Dashboard) -> Alerts:
        raise RuntimeError("our fault")

    async def body() -> None:
        source = AlertSource(SETTINGS, fail)
        source.refresh()
        await turns(lambda: source.last)
        assert source.last is not None
        assert source.last.error == "our fault, see the log"

    run(body)
    assert [record.message for record in caplog.records] == ["request for alerts failed"]


@contextmanager
def prometheus(alerts: list[dict[str, Any]], status: int = 200) -> Iterator[str]:
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"status": "success", "data": {"alerts": alerts}}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class' name
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def alert(name: str, severity: str, state: str = "firing", **labels: str) -> dict[str, Any]:
    return {
        "labels": {"alertname": name, "severity": severity, **labels},
        "state": state,
        "activeAt": "2026-11-21T03:00:00Z",
    }


def test_the_worst_comes_first_and_what_always_fires_is_left_out() -> None:
    found = [
        alert("P", "critical", "pending"),
        alert("W", "warning"),
        alert("Watchdog", "none"),
        alert("C", "critical"),
    ]
    with prometheus(found) as url:
        told = fetch_alerts(Dashboard(prometheus_url=url))
    assert [one.name for one in told.alerts] == ["C", "W", "P"]
    assert told.total == 3
    assert told.alerts[0].labels == {"severity": "critical"}


def test_only_those_of_an_instance_where_one_is_named() -> None:
    with prometheus([alert("A", "critical", instance="a"), alert("B", "critical", instance="b")]) as url:
        told = fetch_alerts(Dashboard(prometheus_url=url, instance="b"))
    assert [one.name for one in told.alerts] == ["B"]


def test_alerts_are_bounded_in_number_and_length() -> None:
    with prometheus([alert("A" * 9999, "critical", **{f"l{n}": "x" for n in range(99)})] * 300) as url:
        told = fetch_alerts(Dashboard(prometheus_url=url))
    assert (len(told.alerts), told.total) == (MAX_ALERTS, 300)
    assert len(told.alerts[0].name) == 400
    assert len(told.alerts[0].labels) < 30


def test_no_answer_is_told_with_address_and_setting() -> None:
    with prometheus([], status=404) as url:
        told = fetch_alerts(Dashboard(prometheus_url=url))
    assert told.error == f"{url}: HTTP status 404; see dashboard.prometheus_url in the settings"
