"""Energy counters of processors and memory (/sys/class/powercap)."""

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from exporter.collector import NoData
from exporter.collectors.sysfs import Sample, SysfsCollector, list_entries, read_count, read_whole, scale
from exporter.exposition import Family, text_of

_NUMBERED: Final = re.compile(r"([^-]*)-([0-9]+)")
_ODD: Final = re.compile(r"[^A-Za-z0-9:_]")


def family_of(zone: str) -> Family:
    """Return the family of all zones of one name, such as `package`."""
    name = _ODD.sub("_", zone)
    text = f"Joules used by {zone}; starts anew at max_energy_range_uj (/sys/class/powercap/*/energy_uj)."
    return Family(f"node_rapl_{name}_joules_total", "counter", text, ("index", "path"))


class Rapl(SysfsCollector):
    """Energy used, in joules; since Linux 5.10 the counters are root's to read, and absent for others."""

    name: ClassVar[str] = "rapl"
    # the zones of Intel and AMD (drivers/powercap/intel_rapl_common.c); another driver's are exposed likewise
    families: ClassVar[tuple[Family, ...]] = tuple(map(family_of, ("package", "core", "uncore", "dram", "psys")))
    root: ClassVar[str] = "sys/class/powercap"

    def samples(self) -> Iterator[Sample]:
        """Yield a row for each zone. Raises NoData when all are closed to us, KernelError for what is no count."""
        used: dict[str, int] = {}
        readable = False
        for entry in list_entries(self._root):
            path = f"{self._root}/{entry}"
            zone = text_of((read_whole(f"{path}/name") or b"").strip())
            if not zone:
                continue  # the folder of a whole driver, not of a zone
            match = _NUMBERED.fullmatch(zone)
            name, index = (match[1], int(match[2])) if match is not None else (zone, used.get(zone, 0))
            used[name] = index + 1
            microjoules = read_count(f"{path}/energy_uj")
            if microjoules is not None:
                readable = True
                yield family_of(name), (str(index), path), scale(microjoules, 1_000_000)
        if used and not readable:
            raise NoData
