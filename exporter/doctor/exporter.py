"""The exporter on this machine: what its own page says of what it may do and how it is doing."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from exporter import __version__
from exporter.clients.http_get import GetError
from exporter.collectors.text_format import FormatError, parse, parse_value
from exporter.doctor.finding import Finding, Found, Notes
from exporter.doctor.place import Place, is_absent

_NOTE: Final = Notes("exporter")
SLOW_SECONDS: Final = 5.0
"""Half of Prometheus' usual scrape_timeout, 10 s."""

_UNIT: Final = "hostwatch-exporter.service"
# what usually keeps a collector from its rows
_COLLECTOR_FIXES: Final[Mapping[str, str]] = {
    "containers": f"let it use the Docker socket (docs/containers.md): SupplementaryGroups=docker in {_UNIT},"
    " or a read-only proxy as collectors.containers.socket",
    "systemd": f"the bus asks for a user who is there: User=hostwatch in {_UNIT}",
    "timex": f"allow the calls: SystemCallFilter=adjtimex clock_adjtime in {_UNIT}",
    "netclass": f"allow the sockets: RestrictAddressFamilies=AF_NETLINK in {_UNIT}",
    "textfile": "read the error in the log: it names the file and the line",
    "filesystem": "a mount that does not answer is named in the log; unmount it, or exclude it in"
    " collectors.filesystem",
}

# what every Linux has rows for; others tell of devices, modules of the kernel and programs that a machine may lack
_EVERYWHERE: Final = frozenset(
    {
        *("cpu", "entropy", "filefd", "filesystem", "loadavg", "meminfo", "netclass", "netdev", "netstat"),
        *("process_groups", "sockstat", "softnet", "stat", "textfile", "time", "timex", "uname", "usage", "vmstat"),
    }
)
# and what it has them for where this is there
WHERE: Final[Mapping[str, Path]] = {
    "containers": Path("/var/run/docker.sock"),
    "systemd": Path("/run/systemd/system"),  # sd_booted(3)
}


class Rows(NamedTuple):
    """A page: each sample by its name, as labels and value."""

    samples: Mapping[str, list[tuple[Mapping[str, str], float]]]

    def of(self, name: str) -> list[tuple[Mapping[str, str], float]]:
        """Return the samples of that name, none where there are none."""
        return self.samples.get(name, [])

    def value(self, name: str) -> float | None:
        """Return the value of a name that has one sample."""
        found = self.of(name)
        return found[0][1] if found else None


def examine(place: Place) -> Found:
    """Read /metrics once and judge what it says."""
    begun = time.monotonic()
    try:
        answer = place.get("/metrics")
    except GetError as err:
        yield _unreachable(place, err) if is_absent(err) or place.given else _other(place, str(err))
        return
    seconds = time.monotonic() - begun
    if answer.status == 401:
        text = f"{place.url} asks for a name and password"
        yield _NOTE.skipped("locks", text, "give --username and --password-file, and --ca-file for its certificate")
        return
    if answer.status != 200:
        yield _other(place, f"HTTP status {answer.status}")
        return
    try:
        rows = rows_of(answer.body)
    except FormatError as err:
        yield _other(place, str(err))
        return
    if not rows.of("host_exporter_build_info"):
        yield _other(place, "the page is not hostwatch's")
        return
    yield from _judge(place, rows, seconds)


def rows_of(page: bytes) -> Rows:
    """Return a page's samples. Raises FormatError for what is no page."""
    samples: dict[str, list[tuple[Mapping[str, str], float]]] = {}
    for family in parse(page):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((dict(sample.labels), parse_value(sample.value.decode())))
    return Rows(samples)


def _unreachable(place: Place, err: GetError) -> Finding:
    fix = f"systemctl status {_UNIT}; journalctl -u {_UNIT}; without systemd: hostwatch serve"
    return _NOTE.problem("reachable", f"{place.url}: {err}", fix)


def _other(place: Place, what: str) -> Finding:
    _, port = place.host_and_port
    text = f"something else than hostwatch answers at {place.url}: {what}"
    return _NOTE.problem("port", text, f"see who it is with `ss -ltnp sport = :{port}`; `listen` takes another port")


def _judge(place: Place, rows: Rows, seconds: float) -> Found:
    samples = sum(map(len, rows.samples.values()))
    if seconds > SLOW_SECONDS:
        fix = "node_scrape_collector_duration_seconds tells which collector; leave it out or mend what it waits for"
        yield _NOTE.problem("slow", f"a scrape took {seconds:.1f} s, Prometheus gives up after 10", fix)
    else:
        yield _NOTE.ok("reachable", f"{place.url}: {samples} samples in {seconds * 1000:.0f} ms")
    yield from _version(rows)
    yield from _collectors(rows)
    yield from _privileges(rows)
    yield from _settings(rows)
    yield from _clock(rows)


def _version(rows: Rows) -> Found:
    running = rows.of("host_exporter_build_info")[0][0].get("version", "")
    if running != __version__:
        text = f"version {running} runs, this command is {__version__}"
        yield _NOTE.warning("version", text, f"systemctl restart {_UNIT}")


def _collectors(rows: Rows) -> Found:
    states = {labels["collector"]: value for labels, value in rows.of("node_scrape_collector_success")}
    without = {name for name, value in states.items() if value == 0}
    failed = {name for name in without if name in _EVERYWHERE or (name in WHERE and WHERE[name].exists())}
    for name in sorted(failed):
        fix = _COLLECTOR_FIXES.get(name, f"journalctl -u {_UNIT} | grep {name}")
        yield _NOTE.warning("collector", f"the collector {name} has no rows", fix)
    if not failed:
        rest = f"; nothing of the kind is here: {', '.join(sorted(without))}" if without else ""
        yield _NOTE.ok("collectors", f"{len(states) - len(without)} of {len(states)} collectors have rows{rest}")
    if rows.value("node_textfile_scrape_error"):
        fix = "journalctl tells file and line; write beside it and rename: `cmd >x.prom.$$ && mv x.prom.$$ x.prom`"
        yield _NOTE.warning("textfile", "a file of the textfile folder cannot be read", fix)


def _privileges(rows: Rows) -> Found:
    modes = [labels.get("mode") for labels, value in rows.of("host_ping_mode_info") if value == 1]
    if "none" in modes:
        fix = "sysctl net.ipv4.ping_group_range='0 2147483647' (keep it in /etc/sysctl.d), or CAP_NET_RAW for the unit"
        yield _NOTE.problem("ping", "it may not ping: no latency is measured", fix)
    elif modes:
        yield _NOTE.ok("ping", f"it may ping ({modes[0]} sockets)")
    if rows.value("host_process_scan_complete") == 0:
        fix = f"SupplementaryGroups= with the gid that /proc is mounted with, in {_UNIT}; or mount it without hidepid"
        yield _NOTE.warning("processes", "/proc hides processes (hidepid): no sums of them are shown", fix)
    hidden = sorted({labels.get("field", "") for labels, value in rows.of("host_process_group_hidden") if value > 0})
    if hidden:
        text = f"other users' processes hide {', '.join(hidden)}"
        yield _NOTE.warning("details", text, f"AmbientCapabilities=CAP_SYS_PTRACE in {_UNIT}, if you want them")


def _settings(rows: Rows) -> Found:
    if rows.value("host_exporter_settings_reload_successful") == 0:
        fix = "hostwatch config check FILE, mend it, systemctl reload " + _UNIT
        yield _NOTE.problem("reload", "the settings file was not usable at the last reload; the older ones hold", fix)
    if rows.value("host_exporter_web_config_reload_successful") == 0:
        fix = "hostwatch config check FILE: it names the place; it is read again by itself"
        yield _NOTE.problem("locks", "the web configuration is not usable since it changed; the older one holds", fix)
    dropped = {labels.get("collector", ""): value for labels, value in rows.of("host_exporter_series_dropped_total")}
    for collector, count in sorted(dropped.items()):
        if count > 0:
            fix = "`hostwatch serve --explain-cardinality`; exclude what is many, or raise scrape.series_per_family"
            yield _NOTE.warning("cardinality", f"{collector}: {count:.0f} samples were left out", fix)


def _clock(rows: Rows) -> Found:
    if rows.value("node_timex_sync_status") == 0:
        fix = "apt-get install chrony, or timedatectl set-ntp true"
        yield _NOTE.warning("clock", "nothing keeps this machine's clock right", fix)
