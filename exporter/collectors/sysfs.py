"""Attributes of sysfs: small files of devices that come and go, and the text made of what they hold now."""

import errno
import os
import re
import time
from collections.abc import Callable, Iterable
from math import inf
from typing import ClassVar, Final

from exporter.collector import NoData
from exporter.exposition import Block, Family, Layout, number, text_of
from exporter.kernel import KernelError, KernelFiles

# an attribute is one page at most and comes in one read (Documentation/filesystems/sysfs.rst)
PAGE_BYTES: Final = 4096

# these tell of us, not of the device: every other error is a device or driver that has no answer now
_OURS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})

_REPLACED: Final = re.compile("\ufffd+")
_NUMBER: Final = re.compile(rb"(-?\d+)\n")

Sample = tuple[Family, tuple[str, ...], bytes]
"""A family, the label values in the order of its labels, and the value as text."""


def read_attribute(path: str) -> bytes | None:
    """Return an attribute as it stands; None where it is missing, closed to us, or its driver has no answer.

    Blocks as long as the driver does. Raises KernelError naming the file when this process is out of files or memory.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(fd, PAGE_BYTES)
        finally:
            os.close(fd)
    except OSError as err:
        if err.errno in _OURS:
            raise KernelError(f"{path}: {err.strerror}") from err
        return None


def read_text(path: str) -> str | None:
    """Return what an attribute tells, for a label, without the white space around it; None as in `read_attribute`.

    Bytes that are no UTF-8 become one U+FFFD in a row, as in node_exporter.
    """
    raw = read_attribute(path)
    if raw is None:
        return None
    try:
        return raw.decode().strip()
    except UnicodeDecodeError:
        return _REPLACED.sub("\ufffd", raw.decode("utf-8", "replace")).strip()


def read_whole(path: str) -> bytes | None:
    """Return an attribute that says nothing or whole lines; None as in `read_attribute`.

    Raises KernelError naming the file when it does not end with a newline: it was cut short.
    """
    raw = read_attribute(path)
    if raw and not raw.endswith(b"\n"):
        raise KernelError(f"{path}: cut short: {raw[-80:]!r}")
    return raw


def read_words(path: str) -> list[str]:
    """Return the words of an attribute that lists some; none as in `read_attribute`.

    Raises KernelError as in `read_whole`: the last word of what was cut short may be half a word.
    """
    return [text_of(word) for word in (read_whole(path) or b"").split()]


def read_number(path: str) -> bytes | None:
    """Return the digits of a whole number, a minus before them where it is negative; None as in `read_attribute`.

    Raises KernelError naming the file when it holds something else. The kernel ends a number with a newline
    (sysfs_emit): without it, it was cut short.
    """
    raw = read_attribute(path)
    if raw is None:
        return None
    match = _NUMBER.fullmatch(raw)
    if match is None:
        raise KernelError(f"{path}: expected a whole number, got {raw[:80]!r}")
    return match[1]


def read_count(path: str) -> bytes | None:
    """Return what `read_number` does. Raises KernelError also when it is negative, which no counter is."""
    digits = read_number(path)
    if digits is not None and digits.startswith(b"-"):
        raise KernelError(f"{path}: expected a counter, got {digits!r}")
    return digits


def scale(digits: bytes, divisor: int) -> bytes:
    """Return a whole number divided by `divisor`, as text; 1 lets the kernel's digits pass."""
    return digits if divisor == 1 else number(int(digits) / divisor)


def list_entries(path: str) -> list[str]:
    """Return the names in a folder, sorted; none where there is no such folder. Raises KernelError as above."""
    try:
        return sorted(os.listdir(path))  # noqa: PTH208 -- a hot path, and iterdir makes an object of each
    except OSError as err:
        if err.errno in _OURS:
            raise KernelError(f"{path}: {err.strerror}") from err
        return []


class Sheet:
    """Text of samples that are read anew each time; the static part is made anew only when a name or label changes."""

    __slots__ = ("_layout", "_shape")

    def __init__(self) -> None:
        self._shape: list[tuple[str, tuple[tuple[str, ...], ...]]] = []
        self._layout = Layout(())

    def render(self, samples: Iterable[Sample]) -> Block:
        """Return the samples as text, each family whole, in the order of their first samples.

        Of two samples with the same labels the first counts: Prometheus would refuse a page with both.
        """
        rows: dict[str, dict[tuple[str, ...], bytes]] = {}
        families: list[Family] = []
        for family, labels, value in samples:
            row = rows.get(family.name)
            if row is None:
                row = rows[family.name] = {}
                families.append(family)
            row.setdefault(labels, value)
        shape = [(name, tuple(row)) for name, row in rows.items()]
        if shape != self._shape:
            self._layout = Layout(zip(families, rows.values(), strict=True))
            self._shape = shape
        return self._layout.fill([value for row in rows.values() for value in row.values()])


class Absence:
    """Remembers for some seconds that there is nothing: most machines have most kinds of hardware not.

    To look takes some microseconds for each kind; a new device shows after these seconds at the latest.
    """

    __slots__ = ("_clock", "_until")

    SECONDS = 5.0

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until = -inf

    def holds(self) -> bool:
        """Return whether there was nothing a moment ago."""
        return self._clock() < self._until

    def note(self) -> None:
        """Remember that there is nothing."""
        self._until = self._clock() + self.SECONDS


class SysfsCollector:
    """A collector of the devices in one folder of sysfs; costs next to nothing where there are none."""

    root: ClassVar[str]
    """The folder, as KernelFiles names it; nothing is read while it is missing or empty."""

    asks_drivers: ClassVar[bool] = True
    """Whether reading can wait for hardware or firmware; False where the kernel answers from its own memory."""

    needs_root: ClassVar[bool] = True
    """Whether a machine without `root` has no data; else that counts as success without rows, as in node_exporter."""

    def __init__(self, files: KernelFiles) -> None:
        self._root = files.path(self.root)
        self._sheet = Sheet()
        self._absence = Absence()
        self._is_success = False

    @property
    def blocking(self) -> bool:
        """Whether there is a device that could hold the reader up."""
        return self.asks_drivers and not self._absence.holds() and self.has_devices()

    def has_devices(self) -> bool:
        """Return whether there may be anything to read; asks no driver."""
        return bool(list_entries(self._root))

    def collect(self) -> Block:
        """Return the rows of all devices, no text where there could be some but are none.

        Raises NoData where the machine has nothing of the kind, KernelError for what is no kernel's.
        """
        if not self._absence.holds():
            block = self._sheet.render(self.samples())
            if block:
                return block
            self._absence.note()
            self._is_success = not self.needs_root or os.access(self._root, os.F_OK)
        if self._is_success:
            return b""
        raise NoData

    def samples(self) -> Iterable[Sample]:
        """Yield this moment's samples. Raises KernelError."""
        raise NotImplementedError
