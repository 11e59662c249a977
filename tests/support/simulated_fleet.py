"""Hosts that are only pages: 700 series each, as a real one has them, with days of history of what rules ask for.

The page is a recorded one with checks, containers and units added. All show the same; `instance` tells them apart.
"""

import http.server
import re
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import promql_parser
import yaml

from tests.support import mutation
from tests.support.web_server import WebServer

ROOT: Final = Path(__file__).resolve().parents[2]
RECORDED: Final = ROOT / "tests" / "golden" / "debian12-vm-6.18.prom"
SERIES: Final = 700
SCRAPE_SECONDS: Final = 15
MINUTE, HOUR, DAY = 60, 3600, 86400

# what a host of a fleet has besides: three targets to ping, six checks, ten containers, three more file systems
_TARGETS: Final = ("gateway", "resolver-a", "resolver-b")
_CHECKS: Final = ("shop", "search", "login", "api", "mail", "directory")
_CONTAINERS: Final = tuple(f"service-{number}" for number in range(10))
_MOUNTS: Final = ("/srv", "/home", "/data")
_STATES: Final = ("created", "running", "paused", "restarting", "removing", "exited", "dead")
_UNIT_STATES: Final = ("activating", "active", "deactivating", "failed", "inactive")


class Row(NamedTuple):
    """A series: its name, labels as written (without braces), where it began, and how much it grows in a second."""

    name: str
    labels: str
    value: float
    growth: float = 0.0

    def at(self, moment: float, epoch: float) -> float:
        """Return its value at a moment."""
        return self.value + self.growth * (moment - epoch)


def rows() -> list[Row]:
    """Return a host's series."""
    found = [*_recorded(), *_pings(), *_checks(), *_containers(), *_filesystems()]
    found += _units(SERIES - len(found))
    assert len(found) == SERIES
    return found


def _recorded() -> list[Row]:
    text = RECORDED.read_text()
    counters = set(re.findall(r"^# TYPE (\S+) counter$", text, re.MULTILINE))
    found = re.findall(r"^(\w+)(?:\{(.*)\})? (\S+)$", text, re.MULTILINE)
    return [
        Row(name, labels, float(value), _growth(name, labels) if name in counters else 0.0)
        for name, labels, value in found
    ]


def _growth(name: str, labels: str) -> float:
    """Return how a quiet host's counters grow."""
    if name == "node_cpu_seconds_total":
        return 0.9 if 'mode="idle"' in labels else 0.01
    return 100.0 if re.search("(bytes|packets)_total$", name) else 0.0


def _pings() -> Iterator[Row]:
    for target in _TARGETS:
        label = f'target="{target}"'
        yield from (Row(f"host_ping_{kind}_total", label, 0, 1 / 3) for kind in ("sent", "received"))
        yield Row("host_ping_rtt_seconds_count", label, 0, 1 / 3)
        yield Row("host_ping_rtt_seconds_sum", label, 0, 0.005)
        yield Row("host_ping_possible", label, 1)
        for edge in ("0.001", "0.01", "0.1", "0.2", "1.0", "+Inf"):
            yield Row("host_ping_rtt_seconds_bucket", f'{label},le="{edge}"', 0, 1 / 3)


def _checks() -> Iterator[Row]:
    for check in _CHECKS:
        label = f'check="{check}",kind="http"'
        yield from (Row(f"host_service_{name}", label, 1) for name in ("up", "check_possible"))
        yield Row("host_service_attempts_total", label, 0, 1 / 15)
        yield Row("host_service_certificate_expiry_timestamp_seconds", label, time.time() + 60 * DAY)
        for phase in ("resolve", "connect", "tls", "processing", "transfer"):
            yield Row("host_service_duration_seconds", f'{label},phase="{phase}"', 0.01)


def _containers() -> Iterator[Row]:
    for name in _CONTAINERS:
        label = f'name="{name}"'
        for state in _STATES:
            yield Row("host_container_state", f'{label},image="app",state="{state}"', float(state == "running"))
        yield from (Row(f"host_container_{kind}", label, 0) for kind in ("oom_killed", "restarts_total"))


def _filesystems() -> Iterator[Row]:
    for number, mount in enumerate(_MOUNTS):
        label = f'device="/dev/sdb{number}",fstype="ext4",mountpoint="{mount}"'
        for what, value in (("size", 100e9), ("free", 60e9), ("avail", 55e9)):
            yield Row(f"node_filesystem_{what}_bytes", label, value)
        yield from (
            Row(f"node_filesystem_{what}", label, value) for what, value in (("files", 1e6), ("files_free", 9e5))
        )
        yield Row("node_filesystem_readonly", label, 0)


def _units(count: int) -> Iterator[Row]:
    for number in range(count):
        state = _UNIT_STATES[number % len(_UNIT_STATES)]
        label = f'name="unit-{number // len(_UNIT_STATES)}.service",state="{state}"'
        yield Row("node_systemd_unit_state", label, float(state == "active"))


class Span(NamedTuple):
    """Samples of a metric's series, from one age to a younger one in seconds."""

    metric: str
    oldest: float
    youngest: float


# what rules record and look back on, by the metric whose series it has; its value, or that of the metric itself
RECORDS: Final[Mapping[str, tuple[str, float | None]]] = {
    "instance_device:network_bytes:rate30m": ("node_network_receive_bytes_total", 200.0),
    "instance_collector:scrape_collector_success:max5m": ("node_scrape_collector_success", None),
    "instance_mountpoint:filesystem_readonly:min5m": ("node_filesystem_readonly", None),
}
# what is recorded is there by itself within this time
_SOON: Final = 10 * MINUTE


def spans(rules: Iterable[Mapping[str, Any]]) -> list[Span]:
    """Return what has to be there for rules to have all that they look at, the oldest first."""
    windows: dict[str, set[tuple[float, float]]] = {}
    records = {rule["record"] for rule in rules if "record" in rule}
    for rule in rules:
        for node in mutation.nodes(rule["expr"]):
            if isinstance(node, promql_parser.MatrixSelector):
                offset = node.vector_selector.offset
                youngest = offset.total_seconds() if offset else 0.0
                windows.setdefault(str(node.vector_selector.name), set()).add(
                    (youngest + node.range.total_seconds(), youngest)
                )
    found = [Span(metric, *ages) for metric, those in windows.items() for ages in _merged(those)]
    return sorted(
        (span for span in found if span.oldest > _SOON or span.metric not in records), key=lambda span: -span.oldest
    )


def _merged(windows: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return windows of (oldest, youngest) age that do not overlap."""
    merged: list[tuple[float, float]] = []
    for oldest, youngest in sorted(windows, key=lambda ages: ages[1]):
        if merged and youngest <= merged[-1][0]:
            merged[-1] = (max(oldest, merged[-1][0]), merged[-1][1])
        else:
            merged.append((oldest, youngest))
    return merged


class Fleet:
    """So many hosts with one page, since some days."""

    def __init__(self, hosts: int) -> None:
        self.names = [f"web-{number:03}" for number in range(hosts)]
        self.rows = rows()
        self._epoch = time.time() - 3 * DAY

    def page(self) -> bytes:
        """Return the page of each of them, now."""
        now = time.time()
        lines = (f"{one.name}{{{one.labels}}} {one.at(now, self._epoch)!r}" for one in self.rows)
        return "\n".join([*lines, ""]).encode()

    def write_history(self, folder: Path, wanted: Iterable[Span], steps: Mapping[str, int]) -> int:
        """Write blocks of Prometheus' into a folder; `steps` are seconds between samples where they are not a scrape's.

        Returns the number of samples.
        """
        text, count = folder.with_suffix(".om"), 0
        now = time.time()
        with text.open("w") as file:
            for span in wanted:
                step = steps.get(span.metric, SCRAPE_SECONDS)
                moments = [now - age for age in _ages(span, step)]
                for row in self._of(span.metric):
                    values = [(row.at(moment, self._epoch), moment) for moment in moments]
                    count += len(values) * len(self.names)
                    for name in self.names:
                        series = f'{row.name}{{{row.labels}{"," if row.labels else ""}instance="{name}",job="node"}}'
                        file.writelines(f"{series} {value!r} {moment:.3f}\n" for value, moment in values)
            file.write("# EOF\n")
        # blocks as long as may be: the text is read once for each of them
        command = ("promtool", "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=54h", text, folder)
        subprocess.run(command, check=True, capture_output=True)
        text.unlink()
        return count

    def _of(self, metric: str) -> list[Row]:
        source, value = RECORDS.get(metric, (metric, None))
        found = [row for row in self.rows if row.name == source]
        if source == metric:
            return found
        return [row._replace(name=metric, value=row.value if value is None else value, growth=0.0) for row in found]


def _ages(span: Span, step: int) -> Iterator[float]:
    """Return the ages of a span's samples, the oldest first, none of them of the future."""
    age = span.oldest
    while age > max(span.youngest, 1):
        yield age
        age -= step


@contextmanager
def serving(fleet: Fleet) -> Iterator[int]:
    """Serve the fleet's page; yield the port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = fleet.page()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with WebServer(Handler) as server:
        yield server.port


def list_targets(folder: Path, fleet: Fleet, port: int) -> None:
    """List every host as a target of its own."""
    targets = [{"targets": [f"127.0.0.1:{port}"], "labels": {"instance": name}} for name in fleet.names]
    (folder / "node" / "fleet.yml").write_text(yaml.safe_dump(targets))
