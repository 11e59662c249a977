"""`hostwatch fleet` and `hostwatch containers` as they are called: every spelling, exit codes, JSON, clear errors."""

import builtins
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from exporter.cli import main
from exporter.clients.prometheus import Sample
from exporter.fleet.container_pages import LANDING
from exporter.fleet.containers import queries as container_queries
from exporter.fleet.host_queries import queries
from tests.support.container_fleet import answers
from tests.support.fake_prometheus import FakePrometheus
from tests.support.fake_prometheus import host_sample as sample
from tests.support.services_api import Fault, MockApi, instance, services_api

A, B, C, D = "10.58.1.1", "10.58.1.2", "10.58.1.3", "10.58.1.4"
FOUR = {A: instance("10%", "Users"), B: instance("20%", "Users"), C: instance("90%", "Auth"), D: instance("5%", "Auth")}


def run(*arguments: str) -> tuple[int, str, str]:
    """Run a command in this process; return exit code, standard output and standard error."""
    result = CliRunner().invoke(main, list(arguments), prog_name="hostwatch")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def api() -> Iterator[MockApi]:
    with services_api(FOUR, {}) as server:
        yield server


@pytest.fixture
def prometheus() -> Iterator[FakePrometheus]:
    texts = queries("node")

    def column(first: float, second: float) -> list[Sample]:
        return [sample("web-1", first, role="web", environment="prod"), sample("web-2", second, role="web")]

    told = {"up": column(1, 1), "cpu": column(0.5, 0.4), "memory": column(0.5, 0.4)}
    containers = container_queries("node")
    both = {texts[name]: samples for name, samples in told.items()}
    with FakePrometheus(both | {containers[name]: samples for name, samples in answers().items()}) as fake:
        yield fake


SUMMARY = ["IP", "SERVICE", "CPU", "MEMORY", "STATUS", "REASON"]
SPELLINGS = {
    "-s": ("API", "-s"),
    "--summary": ("API", "--summary"),
    "option first": ("--summary", "API"),
    "no view": ("API",),
    "subcommand": ("summary", "API"),
    "server first": ("API", "summary"),
}


@pytest.mark.parametrize("arguments", SPELLINGS.values(), ids=SPELLINGS)
def test_summary_in_every_spelling(api: MockApi, arguments: tuple[str, ...]) -> None:
    code, out, err = run("fleet", *(api.url if one == "API" else one for one in arguments))
    assert (code, err) == (1, "")
    lines = [line.split(maxsplit=5) for line in out.splitlines()]
    assert lines[0] == SUMMARY
    assert lines[1:5] == [
        [A, "Users", "10%", "4%", "HEALTHY"],
        [B, "Users", "20%", "4%", "HEALTHY"],
        [C, "Auth", "90%", "4%", "UNHEALTHY", "cpu 90% >= 75%"],
        [D, "Auth", "5%", "4%", "HEALTHY"],
    ]
    assert out.splitlines()[5] == "4 instances: 3 healthy, 1 unhealthy."


STATS = {
    "-ss": ("API", "-ss", "Auth"),
    "--serviceStats": ("API", "--serviceStats", "Auth"),
    "--service-stats": ("--service-stats", "Auth", "API"),
    "subcommand": ("stats", "Auth", "API"),
    "server first": ("API", "stats", "Auth"),
}


@pytest.mark.parametrize("arguments", STATS.values(), ids=STATS)
def test_statistics_of_a_service_in_every_spelling(api: MockApi, arguments: tuple[str, ...]) -> None:
    code, out, _ = run("fleet", *(api.url if one == "API" else one for one in arguments))
    assert code == 1
    assert out.splitlines()[1].split() == ["Auth", "UNHEALTHY", "2", "1", "1", "0", "47.5%", "4%"]


HEALTH = {
    "-hc": (("API", "-hc"), 1, {"Users": "HEALTHY", "Auth": "UNHEALTHY"}),
    "-hc -hi": (("API", "-hc", "-hi", "1"), 0, {"Users": "HEALTHY", "Auth": "HEALTHY"}),
    "-hi before": (("-hi", "3", "-hc", "API"), 1, {"Users": "UNHEALTHY", "Auth": "UNHEALTHY"}),
    "long": (("API", "--healthCheck", "--healthyInstances", "1"), 0, {"Users": "HEALTHY", "Auth": "HEALTHY"}),
    "subcommand": (("health", "API", "-hi", "1"), 0, {"Users": "HEALTHY", "Auth": "HEALTHY"}),
    "threshold": (("API", "-hc", "--cpu-threshold", "95%"), 0, {"Users": "HEALTHY", "Auth": "HEALTHY"}),
    "threshold of memory": (
        ("health", "API", "--memory-threshold", "0.04"), 1, {"Users": "UNHEALTHY", "Auth": "UNHEALTHY"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "wanted", "statuses"), HEALTH.values(), ids=HEALTH)
def test_health_check_in_every_spelling(
    api: MockApi, arguments: tuple[str, ...], wanted: int, statuses: dict[str, str]
) -> None:
    code, out, _ = run("fleet", *(api.url if one == "API" else one for one in arguments))
    found = {line.split()[0]: line.split()[1] for line in out.splitlines()[1:3]}
    assert (code, found) == (wanted, statuses)


@pytest.mark.parametrize("arguments", [("API", "-ms", "Auth"), ("watch", "Auth", "API")], ids=["-ms", "watch"])
def test_a_live_view_of_so_many_rounds_ends_with_what_it_saw(api: MockApi, arguments: tuple[str, ...]) -> None:
    code, out, _ = run("fleet", *(api.url if one == "API" else one for one in arguments), "--rounds", "1")
    assert code == 1
    assert "2 instances of Auth: 1 healthy, 1 unhealthy." in out
    assert A not in out


def test_rows_are_sorted_filtered_and_paged(api: MockApi) -> None:
    code, out, _ = run("fleet", api.url, "--sort", "-cpu", "--filter", "cpu<50%", "--limit", "2", "--page", "1")
    assert [line.split()[0] for line in out.splitlines()[1:3]] == [B, A]
    assert out.splitlines()[3] == "3 instances: 3 healthy. Page 1 of 2, --page 2 for more."
    assert code == 0


def test_json_has_ratios_and_leaves_out_what_is_not_known(api: MockApi) -> None:
    api.faults[f"/{B}"] = Fault(garbage=b"no HTTP\r\n\r\n")
    try:
        code, out, err = run("fleet", api.url, "--json")
    finally:
        api.faults.clear()
    assert (code, err) == (1, "")
    found = json.loads(out)
    assert (found["source"], found["total"]) == (api.url, 4)
    assert found["counts"] == {"healthy": 2, "unhealthy": 1, "unknown": 1}
    assert found["rows"][0] == {
        "ip": A, "service": "Users", "cpu_ratio": 0.1, "memory_ratio": 0.04, "status": "healthy",
    }  # fmt: skip
    assert set(found["rows"][1]) == {"ip", "status", "reason"}
    assert found["rows"][1]["reason"].startswith("bad_answer: not HTTP")


def test_instances_of_no_known_service_are_told_beside_the_services(api: MockApi) -> None:
    api.faults[f"/{A}"] = Fault(status=500)
    try:
        _, out, _ = run("fleet", "health", api.url)
        code, json_out, _ = run("fleet", "health", api.url, "--json")
    finally:
        api.faults.clear()
    assert "1 instances told nothing, not even their service:" in out
    assert f"  {A}  bad_status: expected status 200, got 500" in out
    assert code == 1
    assert [one["ip"] for one in json.loads(json_out)["unknown_instances"]] == [A]


def test_a_service_that_is_not_there_is_unhealthy_and_the_others_are_named(api: MockApi) -> None:
    code, out, _ = run("fleet", "stats", "Nope", api.url)
    assert (code, out) == (1, "No instance of 'Nope'; services: Auth, Users.\n")
    code, out, _ = run("fleet", "stats", "Nope", api.url, "--json")
    assert json.loads(out)["instances"] == 0
    assert "cpu_ratio" not in json.loads(out)


def test_nothing_at_all_is_not_healthy() -> None:
    with services_api({}) as server:
        assert run("fleet", server.url)[:2] == (1, "No instances.\n")


def test_hosts_of_prometheus(prometheus: FakePrometheus) -> None:
    code, out, err = run("fleet", "--prometheus", prometheus.url)
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["HOST", "ENVIRONMENT", "ROLE", "CPU", "MEMORY", "DISK", "STATUS"]
    assert lines[1] == ["web-1", "prod", "web", "50%", "50%", "-", "HEALTHY"]
    assert out.splitlines()[3] == "2 hosts: 2 healthy."


def test_hosts_are_filtered_by_any_label(prometheus: FakePrometheus) -> None:
    _, out, _ = run("fleet", "--prometheus", prometheus.url, "--filter", "environment=prod", "--filter", "job=no*")
    assert out.splitlines()[-1] == "1 hosts: 1 healthy."


def test_health_by_environment(prometheus: FakePrometheus) -> None:
    code, out, _ = run("fleet", "health", "--prometheus", prometheus.url, "--by", "environment", "-hi", "1")
    assert code == 0
    assert [line.split()[:3] for line in out.splitlines()[1:3]] == [["node", "HEALTHY", "1"], ["prod", "HEALTHY", "1"]]


def test_a_password_comes_from_a_file_and_goes_to_prometheus_only(prometheus: FakePrometheus, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hunter2\n")
    code, out, err = run(
        "fleet", "--prometheus", prometheus.url, "--username", "me", "--password-file", str(file), "--json"
    )
    assert code == 0
    assert set(prometheus.authorization) == {"Basic bWU6aHVudGVyMg=="}
    assert "hunter2" not in out + err


def test_control_characters_of_elsewhere_do_not_reach_the_terminal() -> None:
    with services_api({A: instance("1%", "\x1b[2J[red]x\u202e")}) as server:
        _, out, _ = run("fleet", server.url)
    assert "?[2J[red]x?" in out
    assert "\x1b" not in out


def closed_port() -> Iterator[str]:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def nobody() -> Iterator[str]:
    yield from closed_port()


@pytest.mark.parametrize(
    "arguments",
    [
        ("fleet", "ADDRESS"),
        ("fleet", "ADDRESS", "--json"),
        ("fleet", "health", "ADDRESS"),
        ("fleet", "--prometheus", "http://ADDRESS"),
        ("fleet", "watch", "X", "ADDRESS", "--rounds", "1"),
        ("containers", "--prometheus", "http://ADDRESS"),
        ("containers", "--prometheus", "http://ADDRESS", "--html", "FOLDER"),
    ],
    ids=" ".join,
)
def test_a_source_that_is_not_there_ends_with_3(nobody: str, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    code, out, err = run(
        *(one.replace("ADDRESS", nobody).replace("FOLDER", str(tmp_path / "html")) for one in arguments)
    )
    assert code == 3
    assert "Connection refused" in out + err
    assert nobody in out + err
    assert "Traceback" not in out + err
    assert not (tmp_path / "html").exists()


BAD = {
    "two views": (("fleet", "x:1", "-s", "-hc"), "expected one of --summary, --serviceStats"),
    "two sources": (("fleet", "x:1", "--prometheus", "http://y"), "expected a server or --prometheus, got both"),
    "no address": (("fleet", "ftp://x"), "SERVER: expected an address such as api.internal:8080"),
    "sort": (("fleet", "x:1", "--sort", "disk"), "--sort: expected one of ip, service, cpu"),
    "filter": (("fleet", "x:1", "--filter", "role=x"), "--filter: expected one of ip, service, cpu"),
    "filter of nothing": (("fleet", "x:1", "--filter", "cpu"), "--filter: expected NAME=PATTERN"),
    "threshold": (("fleet", "x:1", "--cpu-threshold", "75"), "expected a share such as 75% or 0.75, got '75'"),
    "threshold of nothing": (("fleet", "x:1", "--cpu-threshold", "0%"), "expected a share such as"),
    "timeout": (("fleet", "x:1", "--timeout", "5"), "expected a duration such as 15s"),
    "timeout of nothing": (("fleet", "x:1", "--timeout", "0s"), "expected more than 0s"),
    "concurrency": (("fleet", "x:1", "--concurrency", "0"), "0 is not in the range 1<=x<=64"),
    "live JSON": (("fleet", "x:1", "-ms", "A", "--json"), "--json: a live view has none"),
    "service is missing": (("fleet", "stats"), "Missing argument 'SERVICE'"),
    "argument too many": (("fleet", "x:1", "y:1"), "unexpected extra argument (y:1)"),
    "password without a name": (("fleet", "--password-file", "/x"), "--username: expected --password-file beside it"),
    "password file": (
        ("fleet", "--username", "me", "--password-file", "/no/such"),
        "--password-file: /no/such: No such file or directory",
    ),
    "authorities": (("fleet", "--ca-file", "/no/such"), "--ca-file: /no/such: No such file or directory"),
    "pages and a table": (("containers", "--html", "/x", "--exited"), "--html: expected no option of tables"),
    "column of containers": (("containers", "--sort", "cpu"), "--sort: expected one of environment, host, container"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_a_wrong_call_ends_with_2_and_says_what_is_wrong(arguments: tuple[str, ...], message: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_help_tells_of_the_options_that_users_know() -> None:
    code, out, _ = run("fleet", "--help")
    assert code == 0
    for words in ("-s, --summary", "-ss, --service-stats, --serviceStats S", "-hi, --healthy-instances", "-ms, "):
        assert words in out
    assert "Usage: hostwatch fleet " in out
    assert run("fleet", "x:1", "--help")[1].startswith("Usage: hostwatch fleet [OPTIONS] [SERVER]\n")


@pytest.mark.parametrize("arguments", [("fleet", "x:1"), ("fleet", "x:1", "-ms", "A"), ("containers",)], ids=" ".join)
def test_where_rich_is_missing_the_way_to_it_is_told(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    real = builtins.__import__

    def without_rich(name: str, *more: Any) -> Any:
        if name.partition(".")[0] == "rich":
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", without_rich)
    code, _, err = run(*arguments)
    assert code == 2
    assert "pip install 'hostwatch[fleet]', or use --json" in err


def test_json_needs_no_rich(monkeypatch: pytest.MonkeyPatch, api: MockApi) -> None:
    real = builtins.__import__

    def without_rich(name: str, *more: Any) -> Any:
        assert name.partition(".")[0] != "rich"
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", without_rich)
    assert run("fleet", api.url, "--json")[0] == 1


def test_containers_of_all_hosts(prometheus: FakePrometheus) -> None:
    code, out, _ = run("containers", "--prometheus", prometheus.url)
    lines = out.splitlines()
    assert lines[0].split() == ["ENVIRONMENT", "HOST", "CONTAINER", "STATE", "IMAGE", "VERSION", "SINCE"]
    assert lines[1].split()[:7] == [
        "production", "api.production", "web-0", "exited", "(137)", "example.com/shop/web", "4.2.1",
    ]  # fmt: skip
    assert "196 containers, 1 failed." in lines
    assert "staging search.staging: does not answer Prometheus" in lines
    assert code == 1


@pytest.mark.parametrize(
    ("options", "wanted", "count"),
    [
        (("--exited",), 1, 2),
        (("--environment", "production"), 1, 20),
        (("--environment", "env01"), 0, 20),
        (("--environment", "env01", "--exited"), 0, 0),
        (("--environment", "env03"), 1, 20),
    ],
    ids=["exited", "with a failed one", "all well", "none exited", "with an unhealthy one"],
)
def test_containers_of_a_kind(prometheus: FakePrometheus, options: tuple[str, ...], wanted: int, count: int) -> None:
    code, out, _ = run("containers", "--prometheus", prometheus.url, "--json", *options)
    found = json.loads(out)
    assert found["total"] == count == len(found["rows"])
    # a host that is silent is of another environment
    assert code == wanted


def test_a_container_as_json(prometheus: FakePrometheus) -> None:
    _, out, _ = run("containers", "--prometheus", prometheus.url, "--json", "--limit", "1")
    found = json.loads(out)
    assert found["rows"] == [
        {
            "environment": "production", "host": "api.production", "name": "web-0", "state": "exited",
            "image": "example.com/shop/web", "version": "4.2.1", "since": "2026-11-21T15:45:13Z", "exit_code": 137,
            "failed": True,
        }
    ]  # fmt: skip
    assert found["silent_hosts"] == [
        {"environment": "staging", "host": "search.staging", "reason": "does not answer Prometheus"}
    ]


def test_pages_are_written_and_failed_containers_are_no_failure_of_that(
    prometheus: FakePrometheus, tmp_path: Path
) -> None:
    code, out, err = run("containers", "--prometheus", prometheus.url, "--html", str(tmp_path / "html"))
    assert (code, err) == (0, "")
    assert out == f"11 pages written, begin with {tmp_path / 'html' / LANDING}\n"
    assert len(list((tmp_path / "html").iterdir())) == 11


def test_a_folder_that_cannot_be_written_is_named(prometheus: FakePrometheus, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = run("containers", "--prometheus", prometheus.url, "--html", str(tmp_path / "file" / "html"))
    assert code == 2
    assert f"--html: {tmp_path / 'file'}" in err
    assert "Traceback" not in err
