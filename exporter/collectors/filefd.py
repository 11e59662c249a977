"""Open files of the whole machine (/proc/sys/fs/file-nr)."""

import re
from typing import ClassVar, Final

from exporter.exposition import Block, Family, Layout
from exporter.kernel import KernelError, KernelFiles

ALLOCATED: Final = Family(
    "node_filefd_allocated", "gauge", "File handles that the kernel handed out (/proc/sys/fs/file-nr, first number)."
)
MAXIMUM: Final = Family(
    "node_filefd_maximum", "gauge", "File handles that the kernel would hand out (/proc/sys/fs/file-nr, third number)."
)
_LINE: Final = re.compile(rb"(\d+)\t\d+\t(\d+)\n")


class FileHandles:
    """File handles in use and at most: the kernel's own digits."""

    name: ClassVar[str] = "filefd"
    families: ClassVar[tuple[Family, ...]] = (ALLOCATED, MAXIMUM)
    blocking: ClassVar[bool] = False

    def __init__(self, files: KernelFiles) -> None:
        self._source = files.open("proc/sys/fs/file-nr", whole=True)
        self._layout = Layout((family, [()]) for family in self.families)

    def collect(self) -> Block:
        """Return the two rows. Raises KernelError when the line is not the kernel's."""
        return self._layout.fill(parse_file_nr(self._source.read()))


def parse_file_nr(text: bytes) -> tuple[bytes, ...]:
    """Return handles allocated and their maximum as their own digits (proc_sys_fs(5)). Raises KernelError."""
    match = _LINE.fullmatch(text)
    if match is None:
        raise KernelError(f"proc/sys/fs/file-nr: expected three numbers, got {text[:80]!r}")
    return match.groups()
