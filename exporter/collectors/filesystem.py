"""Size and use of file systems (statvfs of the mounts in /proc/1/mountinfo)."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Final

from exporter.collectors.mounts import Askers, Mount, MountTable, Usage, UsageReader, read_usage
from exporter.exposition import Block, Family, Layout
from exporter.history import FileSystemUse
from exporter.kernel import KernelFiles
from exporter.settings.collectors import FilesystemSettings

_LABELS: Final = ("device", "fstype", "mountpoint")
SIZE: Final = Family("node_filesystem_size_bytes", "gauge", "Size in bytes (statvfs, f_blocks x f_frsize).", _LABELS)
FREE: Final = Family("node_filesystem_free_bytes", "gauge", "Bytes free, reserve included (statvfs, f_bfree).", _LABELS)
AVAIL: Final = Family("node_filesystem_avail_bytes", "gauge", "Bytes free for everybody (statvfs, f_bavail).", _LABELS)
FILES: Final = Family("node_filesystem_files", "gauge", "Number of inodes (statvfs, f_files).", _LABELS)
FILES_FREE: Final = Family("node_filesystem_files_free", "gauge", "Number of inodes free (statvfs, f_ffree).", _LABELS)
READONLY: Final = Family("node_filesystem_readonly", "gauge", "1 where mounted read-only (/proc/1/mountinfo).", _LABELS)
DEVICE_ERROR: Final = Family(
    "node_filesystem_device_error", "gauge", "1 where statvfs failed or got no answer in time.", _LABELS
)

MOUNT_INFO: Final = Family(
    "node_filesystem_mount_info",
    "gauge",
    "1 for each mount that answers, with the number of its device (/proc/1/mountinfo).",
    ("device", "major", "minor", "mountpoint"),
)


_VALUES: Final = (SIZE, FREE, AVAIL, FILES, FILES_FREE, READONLY)


class FileSystem:
    """File systems of the machine. A mount that does not answer costs its own rows only.

    Runs on a thread as long as a mount is there that could hang.
    """

    name: ClassVar[str] = "filesystem"
    families: ClassVar[tuple[Family, ...]] = (*_VALUES, DEVICE_ERROR, MOUNT_INFO)

    def __init__(self, table: MountTable, reader: UsageReader) -> None:
        self._table = table
        self._reader = reader
        self._mounts: tuple[Mount, ...] = ()
        self._may_hang = False
        self._shape: tuple[tuple[Mount, ...], tuple[Mount, ...]] = ((), ())
        self._values: dict[Mount, Usage] = {}
        self._layout = Layout(())

    @property
    def blocking(self) -> bool:
        """Whether a mount is there that could hang: reads the mount table for the `collect` that follows."""
        mounts = self._table.read()
        if mounts is not self._mounts:
            self._mounts = mounts
            self._may_hang = any(mount.may_hang for mount in mounts)
        return self._may_hang

    def collect(self) -> Block:
        """Return every mount's rows; one that does not answer has only its device_error row."""
        mounts = self._mounts
        values = self._reader.read(mounts)
        if (mounts, tuple(values)) != self._shape:
            self._rebuild(mounts, tuple(values))
        elif values == self._values:
            return self._layout.render()
        for index, (mount, usage) in enumerate(values.items()):
            row = [b"%d" % number for number in (*usage, mount.read_only)]
            self._layout.put(Layout.row(index, len(values), len(row)), row)
        self._values = values
        return self._layout.render()

    def _rebuild(self, mounts: tuple[Mount, ...], answered: tuple[Mount, ...]) -> None:
        keys = [_labels(mount) for mount in answered]
        numbers = tuple(dict.fromkeys(_numbered(mount) for mount in answered))
        errors = (DEVICE_ERROR, [_labels(mount) for mount in mounts])
        self._layout = Layout([*((family, keys) for family in _VALUES), errors, (MOUNT_INFO, numbers)])
        known = set(answered)
        fixed = [b"0" if mount in known else b"1" for mount in mounts] + [b"1"] * len(numbers)
        self._layout.put(Layout.span(len(keys) * len(_VALUES), len(fixed)), fixed)
        self._shape = (mounts, answered)


class FileSystemUses:
    """How full the same file systems are, for the sampler: a reader of its own, so that it and scrapes do not wait."""

    def __init__(
        self,
        files: KernelFiles,
        settings: FilesystemSettings,
        root: Path = Path("/"),
        ask: Callable[[bytes], Usage] = read_usage,
        askers: Askers | None = None,
    ) -> None:
        self._table = MountTable(files, settings, root)
        self._ask = ask
        self._reader = UsageReader(settings.mount_timeout, ask, askers)
        self._mounts: tuple[Mount, ...] = ()
        self._local: tuple[Mount, ...] = ()
        self._others: tuple[Mount, ...] = ()

    def __call__(self) -> list[FileSystemUse]:
        """Return the ratio of each that has blocks and answers; may take the mount time-out. Raises KernelError."""
        mounts = self._table.read()
        if mounts is not self._mounts:
            self._mounts = mounts
            self._local = tuple(mount for mount in mounts if not mount.may_hang)
            self._others = tuple(mount for mount in mounts if mount.may_hang)
        found = self._reader.read(self._others) if self._others else {}
        for mount in self._local:  # without the reader: a sample comes with cold caches, see kernel_usage
            with suppress(OSError):
                found[mount] = self._ask(mount.path)
        return [
            FileSystemUse(mount.device, mount.fs_type, mount.mount_point, (usage.size - usage.free) / whole)
            for mount, usage in found.items()
            if (whole := usage.size - usage.free + usage.available) > 0
        ]


def _labels(mount: Mount) -> tuple[str, str, str]:
    return mount.device, mount.fs_type, mount.mount_point


def _numbered(mount: Mount) -> tuple[str, str, str, str]:
    major, _, minor = mount.number.partition(":")
    return mount.device, major, minor, mount.mount_point
