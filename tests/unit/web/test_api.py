"""The REST API: evidence of a moment, and errors that are JSON too."""

import json
from typing import Any

import pytest

from exporter.collectors.containers import ContainerUse
from exporter.history import CpuTime, FileSystemUse, History, Sample
from exporter.processes import ProcessUse
from exporter.server.http import Request, Response, Routes
from exporter.web import endpoints
from exporter.web.answers.past import MAX_POINTS
from exporter.web.api import PREFIX, Api
from exporter.web.sources import Sources

BEGIN = 1795230000.0  # 2026-11-21T03:00:00Z
DISKS = (FileSystemUse("/dev/vda", "ext4", "/srv", 0.5), FileSystemUse("/dev/vdb", "ext4", "/", 0.93))


class Clocks:
    wall = BEGIN
    boot = 100.0

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.boot += seconds


def told(clocks: Clocks) -> History:
    """Return a history of one minute, a sample every 5 s; an attack at its end."""
    history = History(5, lambda: clocks.boot, lambda: clocks.wall, lambda: clocks.boot)
    for number in range(13):
        bad = number >= 10
        others = {
            ("latency", "192.0.2.1"): 0.0123,
            ("loss", "192.0.2.1"): 0.2,
            ("loss", "192.0.2.2"): 1.0,
            ("service", "http", "web"): float(not bad),
            ("service", "tcp", "web"): 1.0,
        }
        cpu = (CpuTime(number * 5.0, number * 5.0),)
        history.add(Sample(clocks.boot, cpu, 0.93, None, DISKS, ("0",)), others)
        if number % 2 == 0:
            stress = [ProcessUse("stress-ng-cpu", 2, 1.98, 4096, None, None)] if bad else []
            history.tops.add_processes(1, [ProcessUse("init", 1, 0.001, 8192, 0.0, 17.6), *stress])
            history.tops.add_containers(1, [ContainerUse("web", "app", "running", clocks.boot / 2, 1 << 20)])
        clocks.pass_by(5)
    clocks.pass_by(-5)
    return history


@pytest.fixture(scope="module")
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture(scope="module")
def api(clocks: Clocks) -> Api:
    return Api(Sources(told(clocks), is_sampled=True))


def ask(api: Api, query: str = "", path: str = "/api/v1/evidence", method: str = "GET") -> Response:
    answers: list[Response] = []
    Routes({}, {PREFIX: api})(Request(method, path, query, {}, "127.0.0.1"), answers.append)
    assert len(answers) == 1
    assert answers[0].content_type == "application/json"
    assert "Cache-Control: no-store" in answers[0].headers
    return answers[0]


def good(api: Api, query: str = "") -> Any:
    answer = ask(api, query)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def bad(api: Api, status: int, code: str, *args: str, **more: str) -> str:
    answer = ask(api, *args, **more)
    assert answer.status == status
    body = json.loads(answer.body)
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message"}
    assert body["error"]["code"] == code
    return str(body["error"]["message"])


def test_evidence_of_a_moment_is_all_that_was_kept_of_it(api: Api) -> None:
    assert good(api, "at=2026-11-21T03:01:00Z") == {
        "at": "2026-11-21T03:01:00Z",
        "sample": {"time": "2026-11-21T03:01:00Z", "timestamp_seconds": BEGIN + 60},
        "host": {"cpu_usage_ratio": 1.0, "memory_usage_ratio": 0.93},
        "filesystems": [{"mountpoint": "/", "usage_ratio": 0.93}, {"mountpoint": "/srv", "usage_ratio": 0.5}],
        "latency": [
            {"target": "192.0.2.1", "latency_seconds": 0.0123, "loss_ratio": 0.2},
            {"target": "192.0.2.2", "loss_ratio": 1.0},
        ],
        "services": [
            {"check": "web", "kind": "http", "up": False},
            {"check": "web", "kind": "tcp", "up": True},
        ],
        "processes": [
            {"name": "stress-ng-cpu", "processes": 2, "cpu_cores": 1.98, "resident_bytes": 4096},
            {
                "name": "init",
                "processes": 1,
                "cpu_cores": 0.001,
                "resident_bytes": 8192,
                "read_bytes_per_second": 0,
                "written_bytes_per_second": 18,
            },
        ],
        "containers": [{"name": "web", "image": "app", "cpu_cores": 0.5, "memory_bytes": 1 << 20}],
    }


def test_without_a_time_it_is_now(api: Api, clocks: Clocks) -> None:
    assert good(api)["sample"]["timestamp_seconds"] == clocks.wall


@pytest.mark.parametrize(
    ("at", "sample", "up", "top"),
    [
        pytest.param("2026-11-21T03:00:41Z", 40, True, "init", id="between two samples: the one before"),
        pytest.param("2026-11-21T03:00:43Z", 45, True, "init", id="just before a sample"),
        pytest.param("2026-11-21T04:00:51%2B01:00", 50, False, "stress-ng-cpu", id="another zone"),
        pytest.param("2026-11-21T04:00:51+01:00", 50, False, "stress-ng-cpu", id="another zone, not escaped"),
        pytest.param(str(BEGIN + 61), 60, False, "stress-ng-cpu", id="a clock a little ahead"),
    ],
)
def test_evidence_is_that_of_the_moment(api: Api, at: str, sample: int, up: bool, top: str) -> None:
    answer = good(api, f"at={at}")
    assert answer["sample"]["timestamp_seconds"] == BEGIN + sample
    assert answer["services"][0]["up"] is up
    assert answer["processes"][0]["name"] == top


def test_what_is_not_known_is_left_out(clocks: Clocks) -> None:
    history = History(5, lambda: clocks.boot, lambda: clocks.wall, lambda: clocks.boot)
    history.add(Sample(clocks.boot, (), None, None, ()))
    assert set(good(Api(Sources(history, is_sampled=True)))) == {"at", "sample", "host"}
    history.tops.add_processes(0, [])
    answer = good(Api(Sources(history, is_sampled=True)))
    assert (answer["host"], answer["processes"]) == ({}, [])


@pytest.mark.parametrize(
    ("at", "why"),
    [
        pytest.param("2026-11-21T02:59:00Z", "one hour is, at most since the start", id="before the first"),
        pytest.param("2026-11-21T01:00:00Z", "one hour is, at most since the start", id="beyond the hour"),
        pytest.param("2026-11-21T04:00:00Z", "it is 2026-11-21T03:01:00Z on this machine", id="the future"),
        pytest.param("0", "one hour is", id="1970"),
    ],
)
def test_moment_of_which_nothing_was_kept_is_404(api: Api, at: str, why: str) -> None:
    assert why in bad(api, 404, "no_sample", f"at={at}")


def test_history_that_is_switched_off_says_so(clocks: Clocks) -> None:
    history = History(5, lambda: clocks.boot, lambda: clocks.wall, lambda: clocks.boot)
    assert "collectors.usage.enabled" in bad(Api(Sources(history, is_sampled=False)), 404, "no_sample")


@pytest.mark.parametrize("query", ["at=", "at=NaN", "at=1e400", "at=2026-13-45", "at=now", "at=1&at=2", "at=%00", "at"])
def test_bad_time_is_400(api: Api, query: str) -> None:
    assert bad(api, 400, "bad_time", query).startswith("at: expected")


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        ("processes?sort=size", "bad_sort", "sort: expected one of cpu, memory"),
        ("processes?limit=0", "bad_limit", "limit: expected a number from 1 to 1000, got '0'"),
        ("processes?limit=1.5", "bad_limit", "limit: expected a whole number, got '1.5'"),
        ("processes?limit=1&limit=2", "bad_limit", "limit: expected it once, got it 2 times"),
        ("processes?limit=%D9%A3", "bad_limit", "limit: expected a number"),
        ("history?step_seconds=0.1", "bad_step", "step_seconds: expected a number from 1 to 3600, got '0.1'"),
        ("history?step_seconds=1", "bad_step", "step_seconds: expected at least 5 for"),
        ("history?name=cpu", "bad_name", "name: expected some of cpu_usage_ratio,"),
        ("history?name=", "bad_name", "got ''"),
        ("history?start=2026-11-21T03:00:00Z&end=2026-11-21T02:00:00Z", "bad_time", "start: expected a moment before"),
        ("history?skip=-1", "bad_skip", "skip: expected a number from 0 to 4096, got '-1'"),
        ("history?skip=0.5", "bad_skip", "skip: expected a whole number, got '0.5'"),
        ("history?end=soon", "bad_time", "end: expected a time such as"),
        ("cpu?core=1", "bad_parameter", "unknown parameter 'core'; expected none"),
    ],
)
def test_bad_parameter_is_400_that_names_it_and_what_would_do(api: Api, path: str, code: str, message: str) -> None:
    path, _, query = path.partition("?")
    assert message in bad(api, 400, code, query, path=f"/api/v1/{path}")


def test_history_is_curves_of_whole_steps_without_what_was_not_kept(api: Api) -> None:
    answer = json.loads(ask(api, "name=cpu_usage_ratio,service_up&step_seconds=30", "/api/v1/history").body)
    assert answer["step_seconds"] == 30
    curves = {(one["name"], *one["labels"].values()): one["points"] for one in answer["series"]}
    assert curves.keys() == {("cpu_usage_ratio",), ("service_up", "http", "web"), ("service_up", "tcp", "web")}
    assert curves["cpu_usage_ratio",] == [[BEGIN, 1.0], [BEGIN + 30, 1.0], [BEGIN + 60, 1.0]]
    assert [value for _, value in curves["service_up", "http", "web"]] == [1.0, 0.0, 0.0], "the least of a step"


def test_history_between_two_moments_is_that_and_nothing_beyond(api: Api) -> None:
    query = "name=memory_usage_ratio&start=2026-11-21T03:00:20Z&end=2026-11-21T03:00:40Z"
    answer = json.loads(ask(api, query, "/api/v1/history").body)
    assert [moment - BEGIN for moment, _ in answer["series"][0]["points"]] == [20, 25, 30, 35, 40]
    assert json.loads(ask(api, "start=0&end=1", "/api/v1/history").body)["series"] == []


def test_history_of_more_than_one_answer_holds_says_what_would_do(clocks: Clocks) -> None:
    history = History(5, lambda: clocks.boot, lambda: clocks.wall, lambda: clocks.boot)
    history.add(Sample(0, (), None, None, ()), {("latency", str(n)): 1.0 for n in range(300)})
    api = Api(Sources(history, is_sampled=True))
    message = bad(api, 400, "bad_name", path="/api/v1/history")
    assert "300 series are over 256; expected skip=0 for some at a time, or fewer of" in message


def test_history_of_any_number_of_series_comes_in_parts(clocks: Clocks) -> None:
    history = History(5, lambda: clocks.boot, lambda: clocks.wall, lambda: clocks.boot)
    for back in range(600, 0, -5):
        history.past.add(clocks.boot - back, {("latency", f"{n:03}"): back / 1000 for n in range(600)})
    api, targets, skip, steps = Api(Sources(history, is_sampled=True)), [], 0, []
    for _ in range(3):
        part = json.loads(ask(api, f"name=latency_seconds&skip={skip}", "/api/v1/history").body)
        targets += [one["labels"]["target"] for one in part["series"]]
        assert sum(len(one["points"]) for one in part["series"]) <= MAX_POINTS
        steps.append(part["step_seconds"])
        skip = part.get("next_skip")
    assert targets == [f"{n:03}" for n in range(600)]
    assert skip is None
    assert steps == [23.04, 23.04, 10], "each as short as its own series let it be"
    for past_the_end in (600, 4096):
        rest = json.loads(ask(api, f"skip={past_the_end}", "/api/v1/history").body)
        assert (rest["series"], rest.get("next_skip")) == ([], None)


@pytest.mark.parametrize("series", [1, 111, 112, 256])
def test_history_without_a_step_is_always_an_answer(clocks: Clocks, series: int) -> None:
    history = History(5, lambda: clocks.boot, lambda: clocks.wall, lambda: clocks.boot)
    history.add(Sample(0, (), None, None, ()), {("latency", str(n)): 1.0 for n in range(series)})
    answer = json.loads(ask(Api(Sources(history, is_sampled=True)), "skip=0", "/api/v1/history").body)
    assert len(answer["series"]) == series
    assert answer["step_seconds"] == pytest.approx(max(10, 3600 * series / MAX_POINTS))
    assert "next_skip" not in answer


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["stress-ng-cpu", "init"]),
        ("sort=memory", ["init", "stress-ng-cpu"]),
        ("sort=written", ["init", "stress-ng-cpu"]),
        ("sort=processes&limit=1", ["stress-ng-cpu"]),
    ],
)
def test_processes_are_sorted_and_cut(api: Api, query: str, names: list[str]) -> None:
    answer = json.loads(ask(api, query, "/api/v1/processes").body)
    assert [one["name"] for one in answer["processes"]] == names


@pytest.mark.parametrize("query", ["to=1", "at=1&x=2", "&".join(["a=1"] * 30), "AT=1"])
def test_unknown_parameter_is_400(api: Api, query: str) -> None:
    bad(api, 400, "bad_parameter", query)


@pytest.mark.parametrize(
    "path", ["/api", "/api/", "/api/v1", "/api/v1/evidence/", "/api/v2/evidence", "/api/\U0001f600"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_unknown_path_is_json_404(api: Api, path: str, method: str) -> None:
    assert "/api/v1/evidence" in bad(api, 404, "no_such_path", path=path, method=method)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_json_405(api: Api, method: str) -> None:
    bad(api, 405, "method_not_allowed", method=method)
    assert "Allow: GET, HEAD" in ask(api, method=method).headers


def test_own_fault_is_json_500_and_logged(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("our fault")

    monkeypatch.setattr(endpoints, "evidence_of", fail)
    bad(api, 500, "internal_error")
    assert [record.message for record in caplog.records] == ["request failed"]


def test_page_that_only_begins_like_the_api_is_not_its_own(api: Api) -> None:
    answers: list[Response] = []
    Routes({}, {PREFIX: api})(Request("GET", "/apiary", "", {}, "127.0.0.1"), answers.append)
    assert (answers[0].status, answers[0].content_type) == (404, "text/plain; charset=utf-8")


def test_answer_with_much_in_it_stays_small() -> None:
    """Of 20 processes, 20 containers, 50 checks, 20 targets and 20 file systems."""
    clocks = Clocks()
    history = History(5, lambda: clocks.boot, lambda: clocks.wall, lambda: clocks.boot)
    disks = tuple(FileSystemUse("/dev/x", "ext4", f"/srv/disk-{n}", n / 20) for n in range(20))
    others = {("service", "http", f"check-{n}"): 1.0 for n in range(50)}
    others |= {(kind, f"192.0.2.{n}"): 0.0123456 for n in range(20) for kind in ("latency", "loss")}
    history.add(Sample(0, (), 0.5, 0.5, disks), others)
    history.tops.add_processes(0, [ProcessUse(f"process-{n}", n, n / 7, n << 20, n / 3, n / 3) for n in range(20)])
    history.tops.add_containers(0, [ContainerUse(f"box-{n}", "app", "running", n / 7, n << 20) for n in range(20)])
    assert len(ask(Api(Sources(history, is_sampled=True))).body) < 12_000
