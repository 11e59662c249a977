"""Block caches (/sys/fs/bcache)."""

import re
from collections.abc import Iterator, Mapping
from typing import ClassVar, Final, NamedTuple

from exporter.collectors.sysfs import Sample, SysfsCollector, list_entries, read_attribute, read_whole
from exporter.exposition import Family, number
from exporter.kernel import KernelError

_SIZE: Final = re.compile(rb"(-?)(\d+)(?:\.(\d|10))?([kMGTPEZY]?)(?:/sec)?")
_UUID: Final = re.compile(r"[0-9a-f-]{36}")
_BACKING: Final = re.compile(r"bdev[0-9]+")
_CACHE: Final = re.compile(r"cache[0-9]+")


class Attribute(NamedTuple):
    """A family, and what a file's value is divided by to be its value."""

    family: Family
    divisor: int = 1


def _gauge(name: str, text: str, *labels: str) -> Attribute:
    return Attribute(Family(f"node_bcache_{name}", "gauge", f"{text} (/sys/fs/bcache).", ("uuid", *labels)))


def _counter(name: str, text: str, *labels: str) -> Attribute:
    return Attribute(Family(f"node_bcache_{name}_total", "counter", f"{text} (/sys/fs/bcache).", ("uuid", *labels)))


_READ_TIME: Final = _gauge("btree_read_average_duration_seconds", "Seconds that a read of the B-tree takes on average")

SET: Final = {
    "average_key_size": _gauge("average_key_size_sectors", "Sectors that a key of the B-tree stands for on average"),
    "btree_cache_size": _gauge("btree_cache_size_bytes", "Bytes of memory in use by the B-tree's cache"),
    "cache_available_percent": _gauge("cache_available_percent", "Percent of the cache without dirty data"),
    "congested": _gauge("congested", "How congested the cache is"),
    "root_usage_percent": _gauge("root_usage_percent", "Percent of the B-tree's root node in use"),
    "tree_depth": _gauge("tree_depth", "Depth of the B-tree"),
    "internal/active_journal_entries": _gauge("active_journal_entries", "Journal entries newer than the index"),
    "internal/btree_nodes": _gauge("btree_nodes", "Nodes of the B-tree"),
    "internal/btree_read_average_duration_us": _READ_TIME._replace(divisor=1_000_000),
    "internal/cache_read_races": _counter("cache_read_races", "Reads whose data was thrown away meanwhile"),
}
BACKING: Final = {
    "dirty_data": _gauge("dirty_data_bytes", "Bytes in the cache not yet on the device", "backing_device"),
    "stats_total/bypassed": _counter("bypassed_bytes", "Bytes that went past the cache", "backing_device"),
    "stats_total/cache_hits": _counter("cache_hits", "Requests that the cache answered", "backing_device"),
    "stats_total/cache_misses": _counter("cache_misses", "Requests that the cache could not answer", "backing_device"),
    "stats_total/cache_bypass_hits": _counter(
        "cache_bypass_hits", "Requests to go past the cache that were in it", "backing_device"
    ),
    "stats_total/cache_bypass_misses": _counter(
        "cache_bypass_misses", "Requests to go past the cache that were not in it", "backing_device"
    ),
    "stats_total/cache_miss_collisions": _counter(
        "cache_miss_collisions", "Misses that a write filled in before the read did", "backing_device"
    ),
    "stats_total/cache_readaheads": _counter(
        "cache_readaheads", "Times that more was read ahead, up to Linux 5.14", "backing_device"
    ),
}
CACHE: Final = {
    "io_errors": _gauge("io_errors", "Errors of the cache device, those long ago count less", "cache_device"),
    "metadata_written": _counter("metadata_written_bytes", "Bytes written that are no data", "cache_device"),
    "written": _counter("written_bytes", "Bytes of data written to the cache", "cache_device"),
}
# lines of writeback_rate_debug
WRITEBACK: Final = {
    b"rate": _gauge("writeback_rate", "Bytes a second written back now", "backing_device"),
    b"target": _gauge("dirty_target_bytes", "Bytes of dirty data aimed at", "backing_device"),
    b"proportional": _gauge(
        "writeback_rate_proportional_term", "Proportional part of the rate in bytes a second", "backing_device"
    ),
    b"integral": _gauge(
        "writeback_rate_integral_term", "Integral part of the rate in bytes a second", "backing_device"
    ),
    b"change": _gauge("writeback_change", "Last change of the rate in bytes a second", "backing_device"),
}
# up to Linux 3.13 these two are in sectors, and end without `/sec`
_RATES: Final = frozenset({b"rate", b"change"})
_SECTOR_BYTES: Final = 512


class Bcache(SysfsCollector):
    """State and traffic of each block cache, its backing devices and cache devices."""

    name: ClassVar[str] = "bcache"
    families: ClassVar[tuple[Family, ...]] = tuple(
        attribute.family for table in (SET, BACKING, CACHE, WRITEBACK) for attribute in table.values()
    )
    root: ClassVar[str] = "sys/fs/bcache"
    needs_root: ClassVar[bool] = False

    def samples(self) -> Iterator[Sample]:
        """Yield each cache's rows. Raises KernelError naming the file that holds no size."""
        for uuid in filter(_UUID.fullmatch, list_entries(self._root)):
            folder = f"{self._root}/{uuid}"
            yield from _samples(folder, SET, (uuid,))
            for entry in list_entries(folder):
                labels = (uuid, entry)
                if _BACKING.fullmatch(entry):
                    yield from _samples(f"{folder}/{entry}", BACKING, labels)
                    yield from _writeback(f"{folder}/{entry}/writeback_rate_debug", labels)
                elif _CACHE.fullmatch(entry):
                    yield from _samples(f"{folder}/{entry}", CACHE, labels)


def _samples(folder: str, table: Mapping[str, Attribute], labels: tuple[str, ...]) -> Iterator[Sample]:
    for file, (family, divisor) in table.items():
        path = f"{folder}/{file}"
        raw = read_attribute(path)
        if raw is not None:
            value = parse_size(raw.removesuffix(b"\n")) if raw.endswith(b"\n") else None
            if value is None:
                raise KernelError(f"{path}: expected a size, got {raw[:80]!r}")
            yield family, labels, number(value / divisor)


def _writeback(path: str, labels: tuple[str, ...]) -> Iterator[Sample]:
    for line in (read_whole(path) or b"").splitlines():
        key, _, text = line.partition(b":")
        if key in WRITEBACK:
            value = parse_size(text.strip())
            if value is None:
                raise KernelError(f"{path}: expected a size, got {line[:80]!r}")
            if key in _RATES and not text.endswith(b"/sec"):
                value *= _SECTOR_BYTES
            yield WRITEBACK[key].family, labels, b"%d" % value


def parse_size(text: bytes) -> int | None:
    """Return a size as bcache writes it for people, such as `1.5G`; None for what is none.

    Its tenth is a hundred of the next smaller unit, as in node_exporter: the kernel divides what is over by 103
    (drivers/md/bcache/util.c, bch_hprint); the first ones by 100, so that there may be ten of them: `1.10G`.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        return None
    minus, whole, tenth, unit = match.groups(b"")
    power = b" kMGTPEZY".index(unit or b" ")
    over = int(tenth) * 100 * 1024 ** (power - 1) if tenth and power else 0
    value: int = int(whole) * 1024**power + over
    return -value if minus else value
