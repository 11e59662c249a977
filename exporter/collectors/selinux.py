"""SELinux: whether it is on, its mode, and its access vector cache (/sys/fs/selinux)."""

import os
import re
from pathlib import Path
from typing import ClassVar, Final

from exporter.collectors.watched import WatchedFile
from exporter.exposition import Block, Family, Layout
from exporter.kernel import KernelError, KernelFiles

ENABLED: Final = Family("node_selinux_enabled", "gauge", "1 where SELinux is on (/sys/fs/selinux).")
CONFIG_MODE: Final = Family(
    "node_selinux_config_mode",
    "gauge",
    "Mode for the next boot: 1 enforcing, 0 permissive, -1 disabled (/etc/selinux/config).",
)
CURRENT_MODE: Final = Family(
    "node_selinux_current_mode", "gauge", "Mode in force: 1 enforcing, 0 permissive (/sys/fs/selinux/enforce)."
)
THRESHOLD: Final = Family(
    "node_selinux_avc_threshold",
    "gauge",
    "Entries from which on the cache is trimmed (/sys/fs/selinux/avc/cache_threshold).",
)


def _cache(name: str, text: str) -> Family:
    return Family(f"node_selinux_avc_{name}_total", "counter", f"{text} (/sys/fs/selinux/avc/cache_stats).")


def _hash(name: str, text: str) -> Family:
    return Family(f"node_selinux_avc_hash_{name}", "gauge", f"{text} (/sys/fs/selinux/avc/hash_stats).")


# the columns of cache_stats: security/selinux/selinuxfs.c
_COLUMNS: Final = (b"lookups", b"hits", b"misses", b"allocations", b"reclaims", b"frees")
CACHE: Final = (
    _cache("lookups", "Questions to the cache"),
    _cache("hits", "Questions that the cache answered"),
    _cache("misses", "Questions that the policy had to answer"),
    _cache("allocations", "Entries made"),
    _cache("reclaims", "Entries given up for room"),
    _cache("frees", "Entries freed"),
)
HASH: Final = (
    _hash("entries", "Entries in the cache"),
    _hash("buckets_used", "Buckets of the cache with an entry"),
    _hash("buckets_available", "Buckets of the cache"),
    _hash("longest_chain", "Entries in the fullest bucket"),
)
_HASH_STATS: Final = re.compile(rb"entries: (\d+)\nbuckets used: (\d+)/(\d+)\nlongest chain: (\d+)\n")
_CONFIG: Final = re.compile(rb"^[ \t]*SELINUX[ \t]*=[ \t]*(\w+)", re.MULTILINE)
_MODES: Final = {b"enforcing": b"1", b"permissive": b"0"}
_DISABLED: Final = b"-1"
_CONFIG_BYTES: Final = 65536


class SeLinux:
    """State of SELinux; a machine without it has one row, which is 0."""

    name: ClassVar[str] = "selinux"
    families: ClassVar[tuple[Family, ...]] = (ENABLED, CONFIG_MODE, CURRENT_MODE, *CACHE, *HASH, THRESHOLD)
    blocking: ClassVar[bool] = False

    def __init__(self, files: KernelFiles, root: Path = Path("/")) -> None:
        self._present = files.path("sys/fs/selinux/enforce")
        self._enforce = files.open("sys/fs/selinux/enforce")
        self._label = files.open("proc/self/attr/current")
        self._cache = files.open("sys/fs/selinux/avc/cache_stats")
        self._hash = files.open("sys/fs/selinux/avc/hash_stats")
        self._threshold = files.open("sys/fs/selinux/avc/cache_threshold")
        self._config = WatchedFile(str(root / "etc/selinux/config"), _CONFIG_BYTES)
        self._off = Layout([(ENABLED, [()])]).fill([b"0"])
        self._layout = Layout((family, [()]) for family in self.families)

    def collect(self) -> Block:
        """Return the rows. Raises KernelError when a file is not the kernel's."""
        if not self._is_enabled():
            return self._off
        return self._layout.fill(
            [
                b"1",
                self._config_mode(),
                parse_number("enforce", self._enforce.read()),
                *parse_cache_stats(self._cache.read()),
                *parse_hash_stats(self._hash.read()),
                parse_number("avc/cache_threshold", self._threshold.read()),
            ]
        )

    def _is_enabled(self) -> bool:
        """Whether a policy is loaded: without one every process bears the label `kernel`."""
        if not os.path.exists(self._present):  # noqa: PTH110 -- hot path
            return False
        try:
            return self._label.read().rstrip(b"\0\n") != b"kernel"
        except KernelError:
            return True

    def _config_mode(self) -> bytes:
        try:
            match = _CONFIG.search(self._config.read())
        except (FileNotFoundError, KernelError):
            return _DISABLED
        return _MODES.get(match[1].lower(), _DISABLED) if match else _DISABLED


def parse_number(file: str, text: bytes) -> bytes:
    """Return the digits; these files end with or without a newline. Raises KernelError naming the file."""
    digits = text.removesuffix(b"\n")
    if not digits.isdigit():
        raise KernelError(f"sys/fs/selinux/{file}: expected a number, got {text[:80]!r}")
    return digits


def parse_cache_stats(text: bytes) -> list[bytes]:
    """Return the counters of `CACHE`, summed over the cores. Raises KernelError."""
    heading, *lines = text.split(b"\n")
    rows = [line.split() for line in lines[:-1]]
    whole = text.endswith(b"\n") and heading.split() == list(_COLUMNS) and rows
    if not whole or not all(len(row) == len(_COLUMNS) and b"".join(row).isdigit() for row in rows):
        raise KernelError(f"sys/fs/selinux/avc/cache_stats: expected six counters for each core, got {text[:80]!r}")
    return [b"%d" % sum(map(int, column)) for column in zip(*rows, strict=True)]


def parse_hash_stats(text: bytes) -> tuple[bytes, ...]:
    """Return the values of `HASH`. Raises KernelError."""
    match = _HASH_STATS.fullmatch(text)
    if match is None:
        raise KernelError(f"sys/fs/selinux/avc/hash_stats: expected three lines, got {text[:80]!r}")
    return match.groups()
