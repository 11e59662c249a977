"""Clock frequencies of the processors (/sys/devices/system/cpu/cpu*/cpufreq)."""

import os
import re
from collections.abc import Iterator
from typing import ClassVar, Final

from exporter.collectors.sysfs import Sample, SysfsCollector, list_entries, read_attribute, read_words
from exporter.exposition import Family
from exporter.kernel import KernelError


def _hertz(name: str, text: str, file: str) -> Family:
    return Family(f"node_cpu_{name}_hertz", "gauge", f"{text} (/sys/devices/system/cpu/cpu*/cpufreq/{file}).", ("cpu",))


FREQUENCIES: Final = {
    "cpuinfo_cur_freq": _hertz("frequency", "Frequency the hardware runs at", "cpuinfo_cur_freq"),
    "cpuinfo_min_freq": _hertz("frequency_min", "Lowest frequency the processor can run at", "cpuinfo_min_freq"),
    "cpuinfo_max_freq": _hertz("frequency_max", "Highest frequency the processor can run at", "cpuinfo_max_freq"),
    "scaling_cur_freq": _hertz("scaling_frequency", "Frequency last set or measured", "scaling_cur_freq"),
    "scaling_min_freq": _hertz("scaling_frequency_min", "Lowest frequency the policy allows", "scaling_min_freq"),
    "scaling_max_freq": _hertz("scaling_frequency_max", "Highest frequency the policy allows", "scaling_max_freq"),
}
GOVERNOR: Final = Family(
    "node_cpu_scaling_governor",
    "gauge",
    "1 for the governor in force, 0 for the others (/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor).",
    ("cpu", "governor"),
)

_CPU: Final = re.compile(r"cpu([0-9]+)")
_KILOHERTZ: Final = re.compile(rb"([0-9]+)\n")
# what a driver writes that cannot tell (drivers/cpufreq/cpufreq.c)
_UNKNOWN: Final = b"<unknown>\n"


class CpuFreq(SysfsCollector):
    """Frequencies of each processor that has a frequency driver; what may only be read by root is absent."""

    name: ClassVar[str] = "cpufreq"
    families: ClassVar[tuple[Family, ...]] = (*FREQUENCIES.values(), GOVERNOR)
    root: ClassVar[str] = "sys/devices/system/cpu"
    needs_root: ClassVar[bool] = False

    def has_devices(self) -> bool:
        """Return whether the first processor has a driver or any policy is there."""
        return os.access(f"{self._root}/cpu0/cpufreq", os.F_OK) or bool(list_entries(f"{self._root}/cpufreq"))

    def samples(self) -> Iterator[Sample]:
        """Yield each processor's rows. Raises KernelError naming the file that holds no number."""
        for entry in list_entries(self._root) if self.has_devices() else ():
            match = _CPU.fullmatch(entry)
            if match is not None:
                folder = f"{self._root}/{entry}/cpufreq"
                for file, family in FREQUENCIES.items():
                    hertz = read_hertz(f"{folder}/{file}")
                    if hertz is not None:
                        yield family, (match[1],), hertz
                yield from _governors(folder, match[1])


def _governors(folder: str, cpu: str) -> Iterator[Sample]:
    for chosen in read_words(f"{folder}/scaling_governor"):
        for governor in read_words(f"{folder}/scaling_available_governors"):
            yield GOVERNOR, (cpu, governor), b"1" if governor == chosen else b"0"


def read_hertz(path: str) -> bytes | None:
    """Return a frequency in hertz, the file's kHz times 1000; None where there is none or the driver cannot tell.

    Raises KernelError naming the file when it holds something else.
    """
    raw = read_attribute(path)
    if raw is None or raw == _UNKNOWN:
        return None
    match = _KILOHERTZ.fullmatch(raw)
    if match is None:
        raise KernelError(f"{path}: expected a frequency in kHz, got {raw[:80]!r}")
    return b"%d" % (int(match[1]) * 1000)
