"""Counters of virtual memory (/proc/vmstat)."""

from collections.abc import Sequence
from typing import ClassVar, Final

from exporter.collectors.fields import FieldLines
from exporter.exposition import Block, Family, Layout
from exporter.kernel import KernelFiles
from exporter.settings.values import Regex

# what the default settings choose of Linux 6.18 (mm/vmstat.c); what else they choose is exposed likewise
_FIELDS: Final = ("pgpgin", "pgpgout", "pswpin", "pswpout", "pgfault", "pgmajfault", "oom_kill")
# a line is a name of at most 40 characters and a number of up to 20 digits
_RECORD: Final = 100


def family_of(field: str) -> Family:
    """Return the family of one field: untyped, since the file mixes counters and gauges."""
    return Family(f"node_vmstat_{field}", "untyped", f"The kernel's count of that name (/proc/vmstat, {field}).")


class VmStat:
    """The fields of /proc/vmstat that the settings want: the kernel's own digits."""

    name: ClassVar[str] = "vmstat"
    families: ClassVar[tuple[Family, ...]] = tuple(map(family_of, _FIELDS))
    blocking: ClassVar[bool] = False

    def __init__(self, files: KernelFiles, fields: Regex) -> None:
        self._source = files.open("proc/vmstat", record=_RECORD)
        self._fields = FieldLines("proc/vmstat", lambda key: fields.pattern.search(key) is not None)
        self._keys: Sequence[str] = ()
        self._layout = Layout(())

    def collect(self) -> Block:
        """Return each wanted field. Raises KernelError when a line is not `key number`."""
        values = self._fields.read(self._source.read())
        if self._fields.keys is not self._keys:
            self._keys = self._fields.keys
            self._layout = Layout((family_of(key), [()]) for key in self._keys)
        return self._layout.fill(values)
