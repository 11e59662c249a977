"""Who did it: evidence of a running exporter, of moments that are over."""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from tests.support.client import Answer, ask, request, scrape, until
from tests.support.exporter import Child, exporter_running
from tests.support.fake_engine import FakeContainer, FakeEngine
from tests.support.services_api import Fault, services_api

pytestmark = [pytest.mark.slow, pytest.mark.needs("linux")]

PATH = "/api/v1/evidence"
QUICK = "sampler: {interval: 1s}\ncollectors: {process_groups: {interval: 1s}}\n"


def get(port: int, at: float | None = None, *headers: str) -> Answer:
    return ask(port, request(PATH if at is None else f"{PATH}?at={at}", *headers))


def evidence(port: int, at: float | None = None) -> dict[str, Any]:
    """Return the evidence of a moment, nothing where there is none."""
    answer = get(port, at)
    assert answer.headers["content-type"] == "application/json"
    return dict(json.loads(answer.body)) if answer.status == 200 else {}


def cores_of(found: dict[str, Any], name: str) -> float:
    return float(next((use["cpu_cores"] for use in found.get("processes", ()) if use["name"] == name), 0.0))


def is_up(found: dict[str, Any], check: str) -> bool | None:
    return next((service["up"] for service in found.get("services", ()) if service["check"] == check), None)


@contextmanager
def burning(folder: Path) -> Iterator[None]:
    """Burn CPU under a name of its own."""
    name = folder / "hw-burner"
    shutil.copy(shutil.which("sh") or "/bin/sh", name)
    with subprocess.Popen([name, "-c", "while :; do :; done"]) as burner:
        try:
            yield
        finally:
            burner.kill()


def running(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "exporter.yml"
    file.write_text(text)
    return file


def test_process_that_is_gone_and_service_that_is_back_are_still_told_of(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as service:
        port = service.getsockname()[1]
    check = f"{{name: web, address: '127.0.0.1:{port}', interval: 1s, timeout: 1s}}"
    file = running(tmp_path, QUICK + f"probes: {{tcp: [{check}]}}\n")
    with exporter_running("--config", str(file)) as child:
        with burning(tmp_path):
            until(
                lambda: cores_of(evidence(child.port), "hw-burner") > 0.2, "the burner stands in the list", seconds=30
            )
            until(lambda: is_up(evidence(child.port), "web") is False, "the service is down", seconds=30)
            during = time.time()
            # settings that are read again begin with a sample that knows no service yet
            until(lambda: evidence(child.port)["sample"]["timestamp_seconds"] > during + 1, "the next sample")
            child.signal(signal.SIGHUP)
            until(lambda: child.events("settings read again"), "settings are read again")
        with socket.create_server(("127.0.0.1", port)):
            until(lambda: is_up(evidence(child.port), "web") is True, "the service is up", seconds=30)
        until(lambda: not cores_of(evidence(child.port), "hw-burner"), "the burner is gone", seconds=30)

        then = evidence(child.port, during)
        assert cores_of(then, "hw-burner") > 0.2
        assert is_up(then, "web") is False
        assert abs(then["sample"]["timestamp_seconds"] - during) <= 1.5
        assert then["host"]["cpu_usage_ratio"] > 0.05
        assert 0 < then["host"]["memory_usage_ratio"] < 1
        assert any(disk["mountpoint"] == "/" for disk in then["filesystems"])
        assert get(child.port, during - 600).status == 404
        assert get(child.port, during + 600).status == 404
        assert "Traceback" not in child.text


def test_latency_is_kept(tmp_path: Path) -> None:
    file = running(tmp_path, QUICK + "probes: {ping: {interval: 1s, count: 1, timeout: 1s}}\n")
    with exporter_running("--config", str(file)) as child:
        until(lambda: 'host_ping_last_attempt_timestamp_seconds{target="127.0.0.1"}' in scrape(child.port), "a round")
        if 'mode="none"' in scrape(child.port):
            pytest.skip("needs ping sockets or CAP_NET_RAW, which this machine lacks")
        until(lambda: "latency" in evidence(child.port), "it is sampled")
        (latency,) = evidence(child.port)["latency"]
    assert latency["target"] == "127.0.0.1"
    assert 0 < latency["latency_seconds"] < 1
    assert latency["loss_ratio"] == 0


def use_cpu(folder: Path, container: FakeContainer, seconds: float) -> None:
    """Put a control group of version 2 below a /sys of the test's own; its container has used this much so far."""
    root = folder / "sys/fs/cgroup"
    own = root / f"docker/{container.id}"
    own.mkdir(parents=True, exist_ok=True)
    (root / "cgroup.controllers").write_text("cpu memory\n")
    (own / "memory.current").write_text("10000\n")
    (own / "memory.stat").write_text("inactive_file 4000\n")
    (own / "cpu.stat").write_text(f"user_usec {int(seconds * 1e6)}\nsystem_usec 0\n")  # in place: it stays open


def test_container_has_the_cpu_that_it_used_between_two_scrapes(tmp_path: Path) -> None:
    web, socket_path = FakeContainer("web"), tmp_path / "docker.sock"
    file = running(
        tmp_path,
        f"sampler: {{interval: 1s}}\npaths: {{sysfs: {tmp_path}/sys}}\n"
        f"collectors: {{containers: {{socket: {socket_path}}}}}\n",
    )
    with FakeEngine(socket_path, [web, FakeContainer("done", state="exited")]):
        use_cpu(tmp_path, web, 100)
        with exporter_running("--config", str(file)) as child:
            begin = time.monotonic()
            assert 'host_container_cpu_seconds_total{name="web"' in scrape(child.port)
            end = time.monotonic()
            until(lambda: "containers" in evidence(child.port), "it is sampled")
            assert evidence(child.port)["containers"] == [
                {"name": "web", "image": "registry:5000/team/app", "memory_bytes": 6000}
            ]
            use_cpu(tmp_path, web, 101)
            shortest = time.monotonic() - end
            scrape(child.port)
            longest = time.monotonic() - begin
            until(lambda: "cpu_cores" in evidence(child.port)["containers"][0], "it is sampled again")
            (row,) = evidence(child.port)["containers"]
    assert 0.999 / longest <= row["cpu_cores"] <= 1.001 / shortest


def test_the_api_is_behind_the_same_locks_as_the_metrics(tmp_path: Path) -> None:
    web = tmp_path / "web.yml"
    web.write_text(f"basic_auth_users:\n  me: {bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}\n")
    password = "Authorization: Basic " + base64.b64encode(b"me:secret").decode()
    with exporter_running("--web-config", str(web)) as child:
        for target in ("/metrics", PATH, "/api/", f"{PATH}?at=0"):
            assert ask(child.port, request(target)).status == 401
        until(lambda: get(child.port, None, password).status == 200, "the first sample")
        assert get(child.port, 0, password).status == 404


def test_history_that_is_switched_off_says_so(tmp_path: Path) -> None:
    file = running(tmp_path, "collectors: {usage: {enabled: false}}\n")
    with exporter_running("--config", str(file)) as child:
        answer = get(child.port)
    assert answer.status == 404
    assert "collectors.usage.enabled" in json.loads(answer.body)["error"]["message"]


def test_interval_that_changes_begins_a_new_history(tmp_path: Path) -> None:
    file = running(tmp_path, QUICK)
    with exporter_running("--config", str(file)) as child:
        until(lambda: evidence(child.port), "the first sample")
        before = time.time()
        file.write_text("sampler: {interval: 2s}\n")
        time_was = evidence(child.port)["sample"]["timestamp_seconds"]
        child.signal(signal.SIGHUP)
        until(lambda: child.events("settings read again"), "settings are read again")
        until(lambda: evidence(child.port).get("sample", {}).get("timestamp_seconds", 0) > time_was, "a new sample")
        assert get(child.port, before - 5).status == 404


def threads_of(child: Child) -> int:
    return len(os.listdir(f"/proc/{child.pid}/task"))  # noqa: PTH208 -- names only


def test_reloads_with_probes_leave_nothing_behind(tmp_path: Path) -> None:
    check = "{name: web, address: '127.0.0.1:9', interval: 1s, timeout: 1s}"
    file = running(tmp_path, QUICK + f"probes: {{tcp: [{check}]}}\n")
    with exporter_running("--config", str(file)) as child:
        until(lambda: "processes" in evidence(child.port), "all that runs has begun", seconds=30)
        threads, files = threads_of(child), child.open_files
        for times in range(1, 6):
            child.signal(signal.SIGHUP)
            until(lambda times=times: len(child.events("settings read again")) == times, "settings are read again")
        until(lambda: threads_of(child) <= threads, "the threads of before are gone")
        until(lambda: child.open_files <= files + 2, "the files of before are closed")
        assert "Traceback" not in child.text


def test_services_api_is_on_the_page_and_a_bad_instance_costs_itself(tmp_path: Path) -> None:
    with services_api() as mock:
        sick = next(iter(mock.instances))
        mock.faults[f"/{sick}"] = Fault(b'{"cpu":"abc%","service":"AuthService","memory":"4%"}')
        file = running(
            tmp_path,
            f"probes: {{services_api: [{{name: cloud, url: 'localhost:{mock.port}', interval: 5s, timeout: 2s}}]}}\n",
        )
        with exporter_running("--config", str(file)) as child:
            until(lambda: "host_api_up" in scrape(child.port), "the first poll", seconds=30)
            page = scrape(child.port)
    assert 'host_api_up{api="cloud"} 1\n' in page
    assert 'host_api_instances{api="cloud"} 150\n' in page
    assert 'host_api_errors_total{api="cloud",kind="bad_value"} 1\n' in page
    assert page.count("\nhost_api_instance_cpu_ratio{") == 149
    assert f'instance_ip="{sick}"' not in page


def test_cardinality_is_explained_with_probes_and_processes(tmp_path: Path) -> None:
    file = running(tmp_path, "probes: {process: [{name: me, match: {name: '.*'}, interval: 1s, timeout: 1s}]}\n")
    command = [sys.executable, "-m", "exporter", "serve", "--config", str(file), "--explain-cardinality"]
    text = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    table = {line.split()[0]: line.split()[1] for line in text.splitlines()[1:-1]}
    assert table["host_service_up"] == "services"
    assert table["host_process_top_cpu_cores"] == "process_groups"
    assert table["host_ping_mode_info"] == "ping"
