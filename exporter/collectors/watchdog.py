"""Hardware watchdogs (/sys/class/watchdog)."""

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from exporter.collectors.sysfs import Sample, SysfsCollector, list_entries, read_count, read_text
from exporter.exposition import Family

INFO: Final = Family(
    "node_watchdog_info",
    "gauge",
    "1 for each watchdog, with what it is and its state (/sys/class/watchdog/watchdog*).",
    ("name", "options", "identity", "state", "status", "pretimeout_governor"),
)


def _family(name: str, text: str, file: str) -> Family:
    return Family(f"node_watchdog_{name}", "gauge", f"{text} (/sys/class/watchdog/watchdog*/{file}).", ("name",))


VALUES: Final = {
    "access_cs0": _family("access_cs0", "1 if the watchdog boots from the second flash chip", "access_cs0"),
    "bootstatus": _family("bootstatus", "Status bits at boot: why the machine restarted", "bootstatus"),
    "fw_version": _family("fw_version", "Version of the watchdog's firmware", "fw_version"),
    "nowayout": _family("nowayout", "1 if the watchdog cannot be stopped once started", "nowayout"),
    "pretimeout": _family("pretimeout_seconds", "Seconds before the end at which it warns", "pretimeout"),
    "timeleft": _family("timeleft_seconds", "Seconds left until it restarts the machine", "timeleft"),
    "timeout": _family("timeout_seconds", "Seconds without a sign of life after which it restarts", "timeout"),
}

_DEVICE: Final = re.compile(r"watchdog[0-9]+")


class Watchdog(SysfsCollector):
    """What each watchdog is, and how long it waits; an attribute that is missing is absent, or an empty label."""

    name: ClassVar[str] = "watchdog"
    families: ClassVar[tuple[Family, ...]] = (*VALUES.values(), INFO)
    root: ClassVar[str] = "sys/class/watchdog"

    def samples(self) -> Iterator[Sample]:
        """Yield each watchdog's rows. Raises KernelError naming the file that holds no number."""
        for entry in list_entries(self._root):
            if _DEVICE.fullmatch(entry):
                folder = f"{self._root}/{entry}"
                for attribute, family in VALUES.items():
                    count = read_count(f"{folder}/{attribute}")
                    if count is not None:
                        yield family, (entry,), count
                texts = (read_text(f"{folder}/{label}") or "" for label in INFO.labels[1:])
                yield INFO, (entry, *texts), b"1"
