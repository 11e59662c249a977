"""`docker compose up` for real, in an engine of the tests' own: started, wired, kept in, and back after every kill.

Prometheus, Alertmanager and hostwatch run; Grafana and Vault are stand-ins that say what they found.
"""

import ast
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import until
from tests.support.compose import IMAGE, Project, clone, fetch, logs
from tests.support.compose_looks import (
    JOBS,
    LONG,
    PARTS,
    jobs_up,
    project_status,
    read,
    shown_password,
    slowness,
)
from tests.support.engine import Engine
from tests.support.exporter import COMMAND, ROOT, Child
from tests.support.fake_slack import TOKEN
from tests.support.stand_ins import PYTHON

pytestmark = [pytest.mark.slow, pytest.mark.needs("root", "compose"), pytest.mark.xdist_group("compose")]

USER = 10101


@pytest.fixture(scope="module")
def shipped(built: tuple[Engine, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A new clone as it is, up."""
    with Project(built[0], clone(tmp_path_factory.mktemp("shipped"))) as project:
        project.run("up", "--detach", "--wait", "--wait-timeout", "120")
        yield project


# -- the image --------------------------------------------------------------------------------------------------------


def test_build_takes_its_packages_from_the_index_it_is_given(built: tuple[Engine, str]) -> None:
    engine, output = built
    assert output.count("https://localhost:") > 0
    assert engine.has_image(IMAGE)


def test_our_layers_are_small(built: tuple[Engine, str]) -> None:
    engine, _ = built
    ours, base = (int(engine.run("inspect", "--format", "{{.Size}}", name)) for name in (IMAGE, PYTHON))
    assert ours - base <= 60e6


def test_image_holds_no_trace_of_the_build(built: tuple[Engine, str]) -> None:
    """No pip, no compiler's package, nothing of the index, and the user is not root."""
    engine, _ = built
    look = (
        "import importlib.util as u; print([n for n in ('pip', 'hatchling', 'pluggy', 'exporter') if u.find_spec(n)])"
    )
    run = ("run", "--rm", "--network=none", "--entrypoint")
    assert ast.literal_eval(engine.run(*run, "python", IMAGE, "-c", look)) == ["exporter"]
    assert engine.run(*run, "id", IMAGE, "-u").strip() == str(USER)
    assert "localhost" not in engine.run("history", "--no-trunc", IMAGE)
    assert engine.run("run", "--rm", "--network=none", IMAGE, "--version").startswith("hostwatch, version ")


# -- a new clone ------------------------------------------------------------------------------------------------------


@pytest.mark.measured
def test_new_clone_is_healthy_and_every_job_is_up_in_half_a_minute(shipped: Project) -> None:
    shipped.run("down", "--volumes", "--timeout", "1")
    before = slowness(shipped.engine)
    began = time.monotonic()
    shipped.run("up", "--detach", "--wait", "--wait-timeout", "120")
    healthy = time.monotonic() - began
    wanted = {(job, "localhost"): "1" for job in JOBS}
    until(lambda: jobs_up(shipped) == wanted, "every job up", seconds=LONG, every=0.1)
    took = time.monotonic() - began
    slow = max(before, slowness(shipped.engine))
    print(f"healthy after {healthy:.1f} s, up after {took:.1f} s, on a machine {slow:.1f} times as slow as a quiet one")
    assert all(shipped.is_healthy(service) for service in PARTS)
    assert took < 30 * slow


def test_second_start_changes_nothing(shipped: Project) -> None:
    before = {service: shipped.inspect(service)["State"]["StartedAt"] for service in PARTS}
    password = shown_password(shipped)
    token = read(shipped, "relay", "/etc/hostwatch/relay-token")
    shipped.run("up", "--detach", "--wait", "--wait-timeout", "120")
    assert {service: shipped.inspect(service)["State"]["StartedAt"] for service in PARTS} == before
    assert read(shipped, "relay", "/etc/hostwatch/relay-token") == token
    assert logs(shipped.engine, shipped.container("init")).count(password) == 1, "shown once"


def test_without_a_slack_token_the_relay_shows_what_it_would_send(shipped: Project) -> None:
    assert json.loads(project_status(shipped))["mode"] == "preview"


def test_grafana_finds_its_password_data_source_and_dashboards(shipped: Project) -> None:
    found = json.loads(shipped.get("grafana", "/found"))
    assert (found["user"], found["password_length"]) == ("admin", len(shown_password(shipped)))
    assert found["uid"] == 472
    assert "url: http://prometheus:9090" in found["datasources"]
    assert "path: /etc/grafana/dashboards" in found["dashboards"]
    there = {f"/etc/grafana/dashboards/{path.name}" for path in (ROOT / "grafana/dashboards").glob("*.json")}
    assert set(found["boards"]) == there


def test_ports_are_published_on_this_machine_only(shipped: Project) -> None:
    published = [
        (binding["HostIp"], binding["HostPort"])
        for service in PARTS
        for bindings in (shipped.inspect(service)["HostConfig"]["PortBindings"] or {}).values()
        for binding in bindings
    ]
    assert sorted(published) == sorted(("127.0.0.1", str(port)) for port in shipped.ports.values())


@pytest.mark.parametrize("service", PARTS)
def test_no_process_has_a_capability_or_may_get_one(shipped: Project, service: str) -> None:
    status = Path(f"/proc/{shipped.inspect(service)['State']['Pid']}/status").read_text()
    fields = dict(line.split(":\t") for line in status.splitlines())
    assert {fields[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert fields["NoNewPrivs"] == "1"
    assert (int(fields["Uid"].split()[0]) == 0) is (service == "docker-proxy")


def test_slack_token_that_comes_later_is_used_after_the_next_up(built: tuple[Engine, str], tmp_path: Path) -> None:
    """Vault and relay alone: the relay was started without it."""
    services = ("relay", "vault-seed")
    settings = {"HEALTH_INTERVAL": "1s", "HEALTH_INTERVAL_EARLY": "1s"}
    with Project(built[0], clone(tmp_path / "clone"), more=settings) as project:
        project.run("up", "--detach", "--wait", *services)
        assert json.loads(project_status(project))["mode"] == "preview"
        token = tmp_path / "slack-token"
        token.write_text(TOKEN)
        project.settings |= {"SLACK_TOKEN_FILE": str(token), "SLACK_API_URL": "http://127.0.0.1:9/"}
        project.run("up", "--detach", "--wait", *services)
        assert json.loads(project_status(project))["mode"] == "slack"


def test_make_up_with_docker_prints_addresses_and_ctrl_c_stops_it(built: tuple[Engine, str], tmp_path: Path) -> None:
    settings = {"HEALTH_INTERVAL": "1s", "HEALTH_INTERVAL_EARLY": "1s", "STACK": "docker"}
    # it builds one: what others run must not become another image meanwhile
    settings["HOSTWATCH_IMAGE"] = "hostwatch:of-make-up"
    with Project(built[0], clone(tmp_path / "clone"), more=settings) as project:
        files = project.settings["COMPOSE_FILE"].split(":")
        project.settings["COMPOSE_FILE"] = ":".join(str(project.folder / file) for file in files)
        environ = {**project.engine.environment, **project.settings, "BUILDX_CONFIG": str(tmp_path / "buildx")}
        output = tmp_path / "output"
        with (
            output.open("wb") as out,
            subprocess.Popen(
                [sys.executable, "-m", "stack", "up"], cwd=ROOT, env=environ, stdout=out, stderr=out
            ) as process,
        ):
            try:
                until(
                    lambda: "Everything runs" in output.read_text() or process.poll() is not None,
                    "it runs",
                    seconds=LONG * 2,
                )
                assert "Everything runs" in output.read_text(), output.read_text()
                assert all(project.is_healthy(service) for service in PARTS)
                process.send_signal(signal.SIGINT)
                assert process.wait(LONG) == 0, output.read_text()
            finally:
                process.kill()
        text = output.read_text()
        assert all(f"http://127.0.0.1:{port} " in text for port in project.ports.values()), text
        assert text.rstrip().endswith("Stopped; its data are kept.")
        assert not any(project.inspect(service)["State"]["Running"] for service in PARTS)
        down = subprocess.run(
            [sys.executable, "-m", "stack", "down"], cwd=ROOT, env=environ, capture_output=True, check=True
        )
        assert down.stdout.decode().endswith("Stopped.\n")
        assert project.container("relay") not in project.engine.run("ps", "--all", "--format", "{{.Names}}")


# -- what the exporter tells of the host ------------------------------------------------------------------------------


@pytest.fixture
def beside() -> Iterator[Child]:
    """An exporter on the machine itself."""
    outside = Child(COMMAND)
    try:
        yield outside
    finally:
        outside.end()


def reachable(mountpoints: set[str]) -> set[str]:
    """Return those that the container's user may ask for on this machine: nothing is hidden from root."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setresgid(USER, USER, USER)
        os.setresuid(USER, USER, USER)
        found = []
        for mountpoint in mountpoints:
            with contextlib.suppress(OSError):
                os.statvfs(mountpoint)
                found.append(mountpoint)
        os.write(writing, json.dumps(found).encode())
        os._exit(0)
    os.close(writing)
    with open(reading) as file:
        text = file.read()
    os.waitpid(pid, 0)
    return set(json.loads(text))


def rows(page: str, *prefixes: str) -> dict[str, float]:
    """Return value by series."""
    found = (line.rpartition(" ") for line in page.splitlines() if line.startswith(prefixes))
    return {series: float(value) for series, _, value in found}


FIXED = ("node_uname_info", "node_filesystem_size_bytes", "node_filesystem_files{", "node_filesystem_readonly")


def mountpoint(series: str) -> str:
    found = re.search(r'mountpoint="([^"]*)"', series)
    return found[1] if found else ""


def test_host_seen_from_a_container_is_the_host(shipped: Project, beside: Child) -> None:
    """Between two readings from outside: each counter in between, what is fixed the same, no series more or less."""
    families = ("node_filesystem_", "node_network_", "node_uname_info")
    seen: list[list[dict[str, float]]] = []

    def same_series() -> bool:
        outside = f"http://127.0.0.1:{beside.port}/metrics"
        inside = shipped.url("exporter", "/metrics")
        found = [rows(fetch(url).decode(), *families) for url in (outside, inside, outside)]
        there = {mountpoint(series) for series in found[0]} - {""}
        hidden = there - reachable(there)
        # what the container's user may not ask for is an error in its row, and has no others
        for page in found:
            for series in [series for series in page if mountpoint(series) in hidden]:
                del page[series]
        seen.append(found)
        return found[0].keys() == found[1].keys() == found[2].keys()

    # others' interfaces may come and go meanwhile
    until(same_series, "the same series in both", seconds=LONG, every=0.5)
    first, inside, last = seen[-1]
    assert any(series.startswith("node_filesystem_size_bytes") for series in inside)
    assert any(series.startswith("node_network_receive_bytes_total") for series in inside)
    assert any(series.startswith("node_uname_info") for series in inside)
    for series, value in inside.items():
        if series.startswith(FIXED):
            assert value == first[series], series
        elif series.partition("{")[0].endswith("_total"):
            assert first[series] <= value <= last[series], series
