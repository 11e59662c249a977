"""A thousand hosts in a real Prometheus: a query for each column, and all of it in two seconds; containers of two."""

import http.server
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from exporter.fleet.asking import Asker
from exporter.fleet.containers import Containers, fetch_containers
from exporter.fleet.host_queries import queries
from exporter.fleet.model import Row, Status
from exporter.fleet.prometheus_source import PrometheusSource
from tests.support.exporter import ROOT
from tests.support.peer import Exporter, fetch
from tests.support.web_server import WebServer

pytestmark = [pytest.mark.slow, pytest.mark.needs("prometheus")]

HOSTS = 1000
CPUS = 2
INTERVAL = 5
DEADLINE = 60
GB = 1e9
ROLES = ("web", "db", "cache", "queue")
ALERTS = [
    {
        "alert": "Busy",
        "expr": 'node_memory_MemTotal_bytes{instance="host-0009"} > 0',
        "labels": {"severity": "warning"},
    }
]


def idle_share(host: int) -> float:
    return host % 100 / 100


def memory_share(host: int) -> float:
    return host % 50 / 100


class Page:
    """The page of an exporter that speaks for all hosts, and for the containers of two of them."""

    def __init__(self) -> None:
        self.has_containers = True
        self._begun = time.time()
        self._still = "".join(_still(host) for host in range(HOSTS))

    def text(self) -> str:
        at = time.time()
        busy = "".join(_cpu(host, at - self._begun, round(at * 1000)) for host in range(HOSTS))
        return busy + self._still + self._containers()

    def _containers(self) -> str:
        if not self.has_containers:
            return ""
        lines = []
        for host, name, state in (("0000", "web", "running"), ("0000", "job", "exited"), ("0001", "web", "running")):
            own = f'job="node",instance="host-{host}",environment="env{int(host)}",name="{name}"'
            lines += [
                f'host_container_state{{{own},image="shop/{name}",state="{one}"}} {int(one == state)}'
                for one in ("running", "exited", "paused")
            ]
            lines += [
                f'host_container_info{{{own},image="shop/{name}",version="1.2"}} 1',
                f"host_container_started_timestamp_seconds{{{own}}} 1000",
                *([f"host_container_exit_code{{{own}}} 3"] if state == "exited" else []),
                *([f"host_container_finished_timestamp_seconds{{{own}}} 2000"] if state == "exited" else []),
            ]
        return "\n".join(lines) + "\n"


def own_labels(host: int) -> str:
    return f'job="node",instance="host-{host:04}",role="{ROLES[host % 4]}",environment="env{host % 10}"'


def _cpu(host: int, seconds: float, at: int) -> str:
    """Return CPU time with the moment that it is of: how late it is scraped is no matter then."""
    idle = seconds * idle_share(host)
    modes = (("idle", idle * 0.9), ("iowait", idle * 0.1), ("user", seconds - idle))
    return "".join(
        f'node_cpu_seconds_total{{{own_labels(host)},cpu="{cpu}",mode="{mode}"}} {value:.3f} {at}\n'
        for cpu in range(CPUS)
        for mode, value in modes
    )


def _still(host: int) -> str:
    """Return what does not move."""
    own = own_labels(host)
    lines = [
        f"up{{{own}}} {0 if host == 7 else 1}",
        f"node_memory_MemTotal_bytes{{{own}}} {8 * GB}",
        f"node_memory_MemAvailable_bytes{{{own}}} {8 * GB * (1 - memory_share(host))}",
    ]
    for cpu in range(CPUS):
        rest = ("nice", "system", "irq", "softirq", "steal")
        lines += [f'node_cpu_seconds_total{{{own},cpu="{cpu}",mode="{mode}"}} 0' for mode in rest]
    for mount, full, readonly in (("/", 0.3, 0), ("/data", 0.5, 0), ("/media", 0.99, 1)):
        disk = f'{own},device="/dev/x",fstype="ext4",mountpoint="{mount}"'
        lines += [
            f"node_filesystem_size_bytes{{{disk}}} {100 * GB}",
            f"node_filesystem_free_bytes{{{disk}}} {100 * GB * (1 - full)}",
            f"node_filesystem_avail_bytes{{{disk}}} {100 * GB * (1 - full)}",
            f"node_filesystem_readonly{{{disk}}} {readonly}",
        ]
    return "\n".join(lines) + "\n"


@contextmanager
def served(page: Page) -> Iterator[int]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = page.text().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with WebServer(Handler) as server:
        yield server.port


class ManyHosts(Exporter):
    """A Prometheus that takes the labels of that page as they are."""

    command = ("prometheus", "--web.listen-address=127.0.0.1:PORT", "--log.level=error")

    def __init__(self, folder: Path, port: int) -> None:
        every = f"{INTERVAL}s"
        job = {"job_name": "page", "honor_labels": True, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
        timing = {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every}
        config = {"global": timing, "rule_files": ["rules.yml"], "scrape_configs": [job]}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "rules", "rules": ALERTS}]}))
        super().__init__(f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def page(self) -> bytes:
        return fetch(f"{self.url}/-/ready")

    def queries(self) -> int:
        """Return how many instant queries it was asked so far."""
        lines = fetch(f"{self.url}/metrics").decode().splitlines()
        return sum(
            int(float(line.rpartition(" ")[2]))
            for line in lines
            if line.startswith("prometheus_http_requests_total") and 'handler="/api/v1/query"' in line
        )


@pytest.fixture(scope="module")
def page() -> Page:
    return Page()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory, page: Page) -> Iterator[ManyHosts]:
    folder = tmp_path_factory.mktemp("many")
    with served(page) as port, ManyHosts(folder, port) as running:
        deadline = time.monotonic() + DEADLINE
        while not is_complete(rows(running)):
            assert time.monotonic() < deadline, running.log()
            time.sleep(0.3)
        yield running


def rows(running: ManyHosts) -> list[Row]:
    return list(PrometheusSource(Asker(running.url, seconds=30)).fetch().rows)


def is_complete(found: list[Row]) -> bool:
    return len(found) == HOSTS and found[0].cpu_ratio is not None and found[9].alerts == 1


def test_every_host_has_the_values_that_it_told(prometheus: ManyHosts) -> None:
    found = rows(prometheus)
    assert [row.name for row in found] == [f"host-{host:04}" for host in range(HOSTS)]
    for host, row in enumerate(found):
        assert (row.service, row.labels["environment"]) == (ROLES[host % 4], f"env{host % 10}")
        assert row.alerts == int(host == 9)
        if host == 7:
            assert (row.status, row.reason[:5], row.cpu_ratio) == (Status.UNHEALTHY, "down:", None)
            continue
        assert row.cpu_ratio == pytest.approx(1 - idle_share(host), abs=0.02)
        assert row.memory_ratio == pytest.approx(memory_share(host))
        assert row.disk_ratio == pytest.approx(0.5), "the fullest that can be written to"


@pytest.mark.measured
def test_summary_of_a_thousand_hosts_takes_one_query_for_each_column_and_no_two_seconds(prometheus: ManyHosts) -> None:
    command = [sys.executable, "-m", "exporter", "fleet", "--prometheus", prometheus.url, "--json"]
    took: list[float] = []
    # whoever else is at work here slows it down: the fastest counts
    while not took or (min(took) >= 2 and len(took) < 10):
        before, begun = prometheus.queries(), time.perf_counter()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=False)
        took.append(time.perf_counter() - begun)
        assert prometheus.queries() - before == len(queries("node"))
        assert (done.returncode, done.stderr) == (1, b"")
        assert json.loads(done.stdout)["total"] == HOSTS
    print(f"\n{min(took):.2f} s")
    assert min(took) < 2


def test_containers_are_told_and_a_host_that_falls_silent_too(prometheus: ManyHosts, page: Page) -> None:
    found = fetch_containers(Asker(prometheus.url, seconds=30))
    told = [
        (one.environment, one.host, one.name, one.words, one.image, one.version, one.since) for one in found.containers
    ]
    assert told == [
        ("env0", "host-0000", "job", "exited (3)", "shop/job", "1.2", 2000.0),
        ("env0", "host-0000", "web", "running", "shop/web", "1.2", 1000.0),
        ("env1", "host-0001", "web", "running", "shop/web", "1.2", 1000.0),
    ]  # fmt: skip
    assert found.faults == ()
    assert found.data_at is not None
    assert found.data_at == pytest.approx(found.at, abs=DEADLINE)
    assert [one.host for one in found.silent] == ["host-0007"], "it does not answer"
    page.has_containers = False
    try:
        silent = until_silent(prometheus)
    finally:
        page.has_containers = True
    assert [one.host for one in silent.silent] == ["host-0000", "host-0001", "host-0007"]


def until_silent(prometheus: ManyHosts) -> Containers:
    deadline = time.monotonic() + DEADLINE
    while (found := fetch_containers(Asker(prometheus.url, seconds=30))).containers:
        assert time.monotonic() < deadline
        time.sleep(0.3)
    return found
