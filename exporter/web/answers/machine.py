"""What the machine is, and what its processors and memory do."""

import msgspec
from msgspec import UNSET, UnsetType

from exporter.history import Usage
from exporter.web.answers.fields import Number, Pressure, Text, Whole, number, pressure_of, text, whole
from exporter.web.rows import Rows

CPU_FROM = ("cpu", "loadavg", "pressure")
MEMORY_FROM = ("meminfo", "pressure", "vmstat")
MACHINE_FROM = ("uname", "os", "stat")


class Core(msgspec.Struct, frozen=True):
    """One processor as the kernel counts them."""

    core: str
    usage_ratio: Number = UNSET
    """Busy, of the last 15 s; 0 to 1."""
    mode_seconds_total: dict[str, float] | UnsetType = UNSET
    """Seconds since boot by mode (user, system, idle, iowait, ...)."""


class Cpu(msgspec.Struct, frozen=True):
    """What the processors do."""

    usage_ratio: Number = UNSET
    """All cores together, of the last 15 s; 0 to 1."""
    cores: list[Core] | UnsetType = UNSET
    load_1_minute: Number = UNSET
    """The kernel's load averages: tasks that run or wait, over 1, 5 and 15 minutes."""
    load_5_minutes: Number = UNSET
    load_15_minutes: Number = UNSET
    pressure: Pressure | UnsetType = UNSET


class Memory(msgspec.Struct, frozen=True):
    """What memory is used for."""

    usage_ratio: Number = UNSET
    """The share that is not available; 0 to 1."""
    swap_usage_ratio: Number = UNSET
    total_bytes: Whole = UNSET
    available_bytes: Whole = UNSET
    free_bytes: Whole = UNSET
    cached_bytes: Whole = UNSET
    buffers_bytes: Whole = UNSET
    swap_total_bytes: Whole = UNSET
    swap_free_bytes: Whole = UNSET
    oom_kills_total: Whole = UNSET
    """Processes that the kernel killed for want of memory since boot."""
    pressure: Pressure | UnsetType = UNSET


class Machine(msgspec.Struct, frozen=True):
    """Which machine this is."""

    name: Text = UNSET
    system: Text = UNSET
    kernel: Text = UNSET
    boot_timestamp_seconds: Number = UNSET


def cpu(rows: Rows, usage: Usage | None) -> Cpu:
    """Return what the processors do."""
    modes: dict[str, dict[str, float]] = {}
    for labels, value in rows.all("node_cpu_seconds_total"):
        modes.setdefault(labels["cpu"], {})[labels["mode"]] = value
    busy = {} if usage is None else dict(zip(usage.core_numbers, usage.cores, strict=True))
    names = sorted(modes.keys() | busy.keys(), key=lambda name: (len(name), name))
    return Cpu(
        usage_ratio=number(None if usage is None else usage.cpu),
        cores=[Core(name, number(busy.get(name)), modes.get(name, UNSET)) for name in names] or UNSET,
        load_1_minute=number(rows.one("node_load1")),
        load_5_minutes=number(rows.one("node_load5")),
        load_15_minutes=number(rows.one("node_load15")),
        pressure=pressure_of(rows, "cpu"),
    )


def memory(rows: Rows, usage: Usage | None) -> Memory:
    """Return what memory is used for."""
    return Memory(
        usage_ratio=number(None if usage is None else usage.memory),
        swap_usage_ratio=number(None if usage is None else usage.swap),
        total_bytes=whole(rows.one("node_memory_MemTotal_bytes")),
        available_bytes=whole(rows.one("node_memory_MemAvailable_bytes")),
        free_bytes=whole(rows.one("node_memory_MemFree_bytes")),
        cached_bytes=whole(rows.one("node_memory_Cached_bytes")),
        buffers_bytes=whole(rows.one("node_memory_Buffers_bytes")),
        swap_total_bytes=whole(rows.one("node_memory_SwapTotal_bytes")),
        swap_free_bytes=whole(rows.one("node_memory_SwapFree_bytes")),
        oom_kills_total=whole(rows.one("node_vmstat_oom_kill")),
        pressure=pressure_of(rows, "memory"),
    )


def machine(rows: Rows) -> Machine:
    """Return which machine this is."""
    names = next((labels for labels, _ in rows.all("node_uname_info")), {})
    system = next((labels for labels, _ in rows.all("node_os_info")), {})
    return Machine(
        text(names.get("nodename")),
        text(system.get("pretty_name")),
        text(names.get("release")),
        number(rows.one("node_boot_time_seconds")),
    )
