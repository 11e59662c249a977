"""What an exporter knows of a moment (GET /api/v1/evidence), and how a thread tells it. Pure."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from exporter.relay import links, wording
from exporter.relay.intake import Alert
from exporter.relay.settings import EvidenceKind

TOP: Final = 3
MAX_NAME: Final = 60
MAX_TEXT: Final = 1500


class Process(msgspec.Struct, frozen=True):
    """What all processes of one name used."""

    name: str
    processes: int = 1
    cpu_cores: float = 0.0
    resident_bytes: float = 0.0
    read_bytes_per_second: float | None = None
    written_bytes_per_second: float | None = None


class Container(msgspec.Struct, frozen=True):
    """What one container used; None where it is not known."""

    name: str
    cpu_cores: float | None = None
    memory_bytes: float | None = None


class FileSystem(msgspec.Struct, frozen=True):
    """How full a file system was, 0 to 1."""

    mountpoint: str
    usage_ratio: float


class Latency(msgspec.Struct, frozen=True):
    """The last round of pings to a target."""

    target: str
    latency_seconds: float | None = None
    loss_ratio: float | None = None


class Host(msgspec.Struct, frozen=True):
    """Usage of the whole machine, 0 to 1."""

    cpu_usage_ratio: float | None = None
    memory_usage_ratio: float | None = None
    swap_usage_ratio: float | None = None


class Sample(msgspec.Struct, frozen=True):
    """When it was measured, in seconds since 1970."""

    timestamp_seconds: float


class Findings(msgspec.Struct, frozen=True):
    """All that was kept of one moment; what the exporter does not know is empty."""

    sample: Sample
    host: Host = Host()
    filesystems: tuple[FileSystem, ...] = ()
    latency: tuple[Latency, ...] = ()
    processes: tuple[Process, ...] = ()
    containers: tuple[Container, ...] = ()


_DECODER: Final = msgspec.json.Decoder(Findings)


def parse_findings(body: bytes) -> Findings:
    """Return what an exporter answered. Raises ValueError."""
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise ValueError("not the evidence that was expected") from err


def tell(kind: EvidenceKind, alert: Alert, found: Findings) -> str | None:
    """Return the evidence for an alert as mrkdwn, a few lines; None when there is nothing to tell."""
    rows = {"cpu": _cpu, "memory": _memory, "disk": _disk, "latency": _latency}.get(kind, _nothing)(alert, found)
    if not rows:
        return None
    host = wording.line(links.host(alert.labels.get("instance", "")), MAX_NAME)
    at = wording.moment(round(found.sample.timestamp_seconds * 1e9), alert.began)
    text = "\n".join((f":mag: *{_TITLES[kind]}* on {host}, {at}{_whole(kind, found)}", *rows))
    return wording.cut(text, MAX_TEXT)


_TITLES: Final[dict[EvidenceKind, str]] = {
    "cpu": "Who used the CPU",
    "memory": "Who used the memory",
    "disk": "Which disk, and who wrote",
    "latency": "Which way was slow, and who was busy",
}


def _whole(kind: EvidenceKind, found: Findings) -> str:
    host = found.host
    ratio = {"cpu": host.cpu_usage_ratio, "memory": host.memory_usage_ratio}.get(kind)
    swap = f", swap {_percent(host.swap_usage_ratio)}" if kind == "memory" and host.swap_usage_ratio else ""
    return f" ({_percent(ratio)} in use{swap})" if ratio is not None else ""


def _nothing(_alert: Alert, _found: Findings) -> list[str]:
    return []


def _cpu(_alert: Alert, found: Findings) -> list[str]:
    top = _top(found.processes, [one.cpu_cores for one in found.processes])
    rows = [f"• {_name(one)}: {_cores(one.cpu_cores)}" for one in top if one.cpu_cores >= 0.005]
    known = [(one, one.cpu_cores) for one in found.containers if one.cpu_cores is not None and one.cpu_cores >= 0.005]
    return rows + _containers(known, _cores)


def _memory(_alert: Alert, found: Findings) -> list[str]:
    top = _top(found.processes, [one.resident_bytes for one in found.processes])
    rows = [f"• {_name(one)}: {_bytes(one.resident_bytes)}" for one in top if one.resident_bytes > 0]
    known = [(one, one.memory_bytes) for one in found.containers if one.memory_bytes]
    return rows + _containers(known, _bytes)


def _disk(alert: Alert, found: Findings) -> list[str]:
    wanted = alert.labels.get("mountpoint", "")
    disks = sorted(found.filesystems, key=lambda one: (one.mountpoint != wanted, -one.usage_ratio))
    rows = [f"• {wording.line(one.mountpoint, MAX_NAME)}: {_percent(one.usage_ratio)} full" for one in disks[:TOP]]
    moved = [(one.read_bytes_per_second or 0) + (one.written_bytes_per_second or 0) for one in found.processes]
    return rows + [f"• {_name(one)}: {_moved(one)}" for one in _top(found.processes, moved) if _moved(one)]


def _moved(process: Process) -> str:
    pairs = (("writes", process.written_bytes_per_second), ("reads", process.read_bytes_per_second))
    return ", ".join(f"{word} {_bytes(value)}/s" for word, value in pairs if value is not None and value >= 1024)


def _latency(alert: Alert, found: Findings) -> list[str]:
    wanted = alert.labels.get("target", "")
    ways = sorted(
        found.latency,
        key=lambda one: (one.target != wanted, -(one.loss_ratio or 0.0), -(one.latency_seconds or 0.0)),
    )
    rows = [f"• {wording.line(one.target, MAX_NAME)}: {_way(one)}" for one in ways[:TOP] if _way(one)]
    # a machine that is busy answers late: who keeps it so
    return rows + (_cpu(alert, found)[:TOP] if rows and (found.host.cpu_usage_ratio or 0) > 0.8 else [])


def _way(one: Latency) -> str:
    parts = [] if one.latency_seconds is None else [_time(one.latency_seconds)]
    return ", ".join(parts + ([f"{_percent(one.loss_ratio)} lost"] if one.loss_ratio is not None else []))


def _containers(known: Sequence[tuple[Container, float]], show: Callable[[float], str]) -> list[str]:
    top = sorted(known, key=lambda pair: -pair[1])[:TOP]
    texts = [f"{wording.line(one.name, MAX_NAME)} {show(value)}" for one, value in top]
    return ["• containers: " + ", ".join(texts)] if texts else []


def _top(processes: Sequence[Process], by: Sequence[float]) -> list[Process]:
    order = sorted(range(len(processes)), key=lambda index: -by[index])
    return [processes[index] for index in order[:TOP]]


def _name(process: Process) -> str:
    several = f" ({process.processes} processes)" if process.processes > 1 else ""
    return f"{wording.line(process.name, MAX_NAME)}{several}"


def _cores(value: float) -> str:
    return "1.00 core" if f"{value:.2f}" == "1.00" else f"{value:.2f} cores"


def _percent(ratio: float) -> str:
    return f"{ratio * 100:.0f} %"


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _bytes(value: float) -> str:
    """Return bytes with the unit that leaves one to four digits before the point."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
