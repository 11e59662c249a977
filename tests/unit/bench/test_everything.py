"""The row of memory with everything on: both sides make the same probes, and what does not do its part is told."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast
from urllib.parse import parse_qs, urlsplit

import pytest

from bench import everything
from bench.everything import MODULES, Question, measure_everything, probes
from bench.failures import BenchError
from bench.peers import OURS_EVERYTHING, THREE, Sides
from bench.plan import QUICK
from bench.rows import make_rows
from bench.summary import Record
from bench.watching import settings
from exporter.settings.exporter import Exporter
from exporter.settings.reading import parse


def test_machine_that_lacks_something_has_the_reason_in_its_row(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(everything, "missing", lambda: "needs root")
    record = Record()
    measure_everything(cast(Sides, None), tmp_path, QUICK, record, lambda _: None)
    (row,) = [row for row in make_rows(record) if row.key == "rss_everything"]
    assert row.verdict == "not measured: needs root"


def test_goal_is_on_the_ratio_to_the_sum_of_the_three() -> None:
    record = Record()
    record.add(OURS_EVERYTHING, "rss_everything", 81 << 20)
    record.add(THREE, "rss_everything", 100 << 20)
    (row,) = [row for row in make_rows(record) if row.key == "rss_everything"]
    assert row.missed
    assert row.ratio is not None
    assert row.ratio.value == pytest.approx(0.81)


def test_both_sides_make_the_same_probes() -> None:
    ours = parse((settings(10101) + everything._GROUPS).encode(), Exporter, "bench")
    wanted = [("http", check.url) for check in ours.probes.http]
    wanted += [("tcp", check.address) for check in ours.probes.tcp]
    wanted += [("ping", host.address) for host in ours.probes.ping.hosts]
    asked = [parse_qs(urlsplit(question.path).query) for question in probes(9115, 10101)]
    assert [(query["module"][0], query["target"][0]) for query in asked] == wanted
    assert {module for module, _ in wanted} == set(MODULES)
    assert [group.name for group in ours.collectors.process_groups.groups] == ["sleep"]


@contextmanager
def answering(body: bytes) -> Iterator[int]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join(10)


def test_probe_that_fails_ends_the_run() -> None:
    with answering(b"# HELP\nprobe_success 0\n") as port, pytest.raises(BenchError, match="no line probe_success 1"):
        probes(port, 10101)[0].ask()


def test_answer_that_holds_its_line_is_good() -> None:
    with answering(b"# HELP\nprobe_success 1\n") as port:
        assert Question(port, "/probe", b"probe_success 1\n").ask() == b"# HELP\nprobe_success 1\n"
    with pytest.raises(BenchError, match="refused"):
        Question(port, "/probe", b"").ask()
