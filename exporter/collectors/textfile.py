"""Rows that others leave in files of the text format (a folder of *.prom files)."""

import glob
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import ClassVar, Final

from exporter.collectors.mounts import LocalPaths
from exporter.collectors.text_format import ForeignFamily, FormatError, Labels, Sample, parse
from exporter.collectors.watched import SETTLED_NS, WatchedFile
from exporter.exposition import Block, Family, Layout, text_of
from exporter.kernel import KernelError
from exporter.logs import Log

log = Log(__name__)

MTIME: Final = Family(
    "node_textfile_mtime_seconds",
    "gauge",
    "Moment the file was written last, whole seconds since the epoch (stat(2), of each file that could be read).",
    ("file",),
)
ERROR: Final = Family(
    "node_textfile_scrape_error", "gauge", "1 where a folder, a file or some of its rows had to be refused (*.prom)."
)

# where our own packages and Debian's collectors of textfiles put them
DEFAULT_DIRECTORIES: Final = ("/var/lib/hostwatch/textfile", "/var/lib/prometheus/node-exporter")
MAX_FILES: Final = 1000
MAX_TOTAL_BYTES: Final = 16 * 1024 * 1024


class _File:
    """One file and what it said last."""

    def __init__(self, path: str, limit: int) -> None:
        self.source = WatchedFile(path, limit)
        self.data: bytes | None = None
        self.families: Sequence[ForeignFamily] | None = None
        self.error = ""

    def read(self) -> None:
        """Parse the file anew if it changed; `families` is None when it is bad, and `error` says why."""
        try:
            data = self.source.read()
        except (KernelError, FileNotFoundError) as err:
            self.data, self.families, self.error = None, None, str(err)
            return
        if data is not self.data:
            self.data = data
            try:
                self.families, self.error = parse(data), ""
            except FormatError as err:
                self.families, self.error = None, f"{self.source.path}: {err}"


class TextFiles:
    """Rows of the *.prom files. A bad file costs its own rows only, never the page.

    `directories` may hold patterns (`/srv/*/metrics`); None stands for the two usual ones, which may be missing.
    `reserved` tells of a name whether it is one of ours.
    """

    name: ClassVar[str] = "textfile"
    families: ClassVar[tuple[Family, ...]] = (MTIME, ERROR)

    def __init__(
        self,
        directories: Sequence[str] | None,
        reserved: Callable[[str], bool],
        max_file_bytes: int = 4 * 1024 * 1024,
        local: LocalPaths | None = None,
    ) -> None:
        self._directories = DEFAULT_DIRECTORIES if directories is None else directories
        self._may_be_missing = directories is None
        self._reserved = reserved
        self._max_file_bytes = max_file_bytes
        self._files: dict[str, _File] = {}
        self._seen: list[tuple[str, bytes | None, int]] = []
        self._complaints: set[str] = set()
        self._block: Block | None = None
        self._glance = _Glance(self._directories, local)
        self._unchanged = False

    @property
    def blocking(self) -> bool:
        """Whether something changed, or the folders are where asking can take forever."""
        self._unchanged = self._block is not None and self._glance.is_as_before()
        return not self._unchanged

    def collect(self) -> Block:
        """Return the rows of all good files; may block as long as the folders' file systems do."""
        if self._unchanged and self._block is not None:
            self._unchanged = False
            return self._block
        self._glance.take_folders()
        block = self._read()
        self._glance.take_files(tuple(self._files))
        return block

    def _read(self) -> Block:
        paths, complaints = list_files(self._directories, may_be_missing=self._may_be_missing)
        self._files = {path: self._files.get(path) or _File(path, self._max_file_bytes) for path in paths}
        for file in self._files.values():
            file.read()
        seen = [(path, file.data, file.source.mtime_ns) for path, file in self._files.items()]
        if self._block is None or seen != self._seen or complaints or self._complaints:
            self._block = self._render(complaints)
            self._seen = seen
        return self._block

    def _render(self, complaints: list[str]) -> Block:
        page = _Page(self._reserved)
        good = []
        total = 0
        for path, file in self._files.items():
            total += len(file.data or b"")
            if file.families is None or total > MAX_TOTAL_BYTES:
                complaints.append(file.error or f"{path}: over {MAX_TOTAL_BYTES} bytes in all files")
            else:
                page.add(path, file.families)
                good.append((text_of(os.fsencode(path)), file.source.mtime_ns // 1_000_000_000))
        complaints += page.complaints
        self._complain(complaints)
        layout = Layout([(MTIME, [(path,) for path, _ in good]), (ERROR, [()])])
        own = layout.fill([b"%d" % seconds for _, seconds in good] + [b"1" if complaints else b"0"])
        return page.render() + own

    def _complain(self, complaints: Iterable[str]) -> None:
        """Log what is new."""
        now = set(complaints)
        for text in sorted(now - self._complaints):
            log.warning("textfile refused", reason=text)
        self._complaints = now


class _Glance:
    """Whether folders and files look as when they were read last: one stat(2) each, and only on local file systems."""

    def __init__(self, directories: Sequence[str], local: LocalPaths | None) -> None:
        self._directories = tuple(directories)
        self._has_patterns = any(glob.has_magic(directory) for directory in directories)
        self._local = local
        self._folders: tuple[Status, ...] | None = None
        self._files: tuple[str, ...] = ()
        self._statuses: tuple[Status, ...] = ()

    def is_as_before(self) -> bool:
        """Whether nothing changed; False too where only a thread may look."""
        if self._local is not None and self._local.changed():  # told once, and kept until all is read
            self._folders = None
        if self._folders is None:
            return False
        now = tuple(status_of(path) for path in self._directories), tuple(status_of(path) for path in self._files)
        return now == (self._folders, self._statuses)

    def take_folders(self) -> None:
        """Note how the folders look, before they are read."""
        self._folders = None
        if self._local is not None and not self._has_patterns:
            present = [path for path in self._directories if status_of(path) is not None]
            if self._local.are_local(present):
                self._folders = tuple(status_of(path) for path in self._directories)

    def take_files(self, paths: tuple[str, ...]) -> None:
        """Note how the files look, after they were read; what changed just now may change again in the same tick."""
        self._files = paths
        self._statuses = tuple(status_of(path) for path in paths)
        old = time.time_ns() - SETTLED_NS
        statuses = (*(self._folders or ()), *self._statuses)
        # [1] and [4] are when content and inode changed last; a link may lead elsewhere tomorrow
        young = any(status is not None and max(status[1], status[4]) > old for status in statuses)
        if young or any(Path(path).is_symlink() for path in paths):
            self._folders = None


Status = tuple[int, ...] | None


def status_of(path: str) -> Status:
    """Return what changes when a file or a folder does: inode, time, size, device. None where there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 -- hot path
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size, status.st_dev, status.st_ctime_ns


class _Page:
    """The families of several files, made one; of two that contradict each other the first stays."""

    def __init__(self, reserved: Callable[[str], bool]) -> None:
        self._reserved = reserved
        self._families: dict[str, ForeignFamily] = {}
        self._files: dict[str, list[str]] = {}
        self._rows: dict[str, dict[tuple[str, Labels], Sample]] = {}
        self._owners: dict[str, str] = {}
        self.complaints: list[str] = []

    def add(self, path: str, families: Iterable[ForeignFamily]) -> None:
        """Take the families of one file, but for what cannot stand beside those already there."""
        for family in families:
            if reason := self._conflict(family):
                self.complaints.append(f"{path}: {family.name} {reason}")
            else:
                self._take(path, family)

    def _conflict(self, family: ForeignFamily) -> str:
        names = family.sample_names()
        if any(map(self._reserved, names)):
            return "is a name of hostwatch's own"
        if any(self._owners.get(name, family.name) != family.name for name in names):
            return "has a row whose name another family has"
        known = self._families.get(family.name)
        if known is None:
            return ""
        if (known.kind or "untyped") != (family.kind or "untyped"):
            return "has another TYPE in another file"
        return "has another HELP in another file" if _differ(known.help, family.help) else ""

    def _take(self, path: str, family: ForeignFamily) -> None:
        known = self._families.get(family.name)
        if known is None or (known.help is None and family.help is not None):
            self._families[family.name] = family
        self._owners.update(dict.fromkeys(family.sample_names(), family.name))
        self._files.setdefault(family.name, []).append(path)
        rows = self._rows.setdefault(family.name, {})
        for sample in family.samples:
            # a label without a value is no label: such rows are one series to Prometheus
            labels = tuple(pair for pair in sample.labels if pair[1])
            if rows.setdefault((sample.name, labels), sample) is not sample:
                self.complaints.append(f"{path}: {family.name} has the labels {dict(sample.labels)} a second time")

    def render(self) -> Block:
        """Return the text, families in the order of their names."""
        parts = []
        for name, family in sorted(self._families.items()):
            files = text_of(os.fsencode(", ".join(self._files[name])))
            parts.append(family.header(family.help if family.help is not None else f"Metric read from {files}"))
            parts += [sample.line() for sample in self._rows[name].values()]
        return b"".join(parts)


def _differ(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and one != other


def list_files(directories: Iterable[str], *, may_be_missing: bool) -> tuple[list[str], list[str]]:
    """Return the paths of all *.prom files, in order, and what is wrong with the folders."""
    paths: dict[str, None] = {}
    complaints = []
    for directory in directories:
        for folder in sorted(glob.glob(directory)) or [directory]:  # noqa: PTH207 -- absolute patterns
            try:
                names = os.listdir(folder)  # noqa: PTH208 -- names only
            except OSError as err:
                if not (may_be_missing and isinstance(err, FileNotFoundError)):
                    complaints.append(f"{folder}: {err.strerror}")
                continue
            paths |= {os.path.normpath(f"{folder}/{name}"): None for name in sorted(names) if name.endswith(".prom")}
    if len(paths) > MAX_FILES:
        complaints.append(f"{len(paths)} files: those after the first {MAX_FILES} are left out")
    return list(paths)[:MAX_FILES], complaints
