"""Every collector that reads files of the kernel: how it is made on a tree, and its recorded trees."""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from exporter.collector import Collector
from exporter.collectors.clock import Clock
from exporter.collectors.netclass import NetClass
from exporter.collectors.os_release import OsRelease
from exporter.collectors.selinux import SeLinux
from exporter.collectors.uname import Uname
from exporter.kernel import KernelFiles
from exporter.settings.values import Regex
from tests.support import kernel, kernel_trees, machines
from tests.support.hosts import BOOT, HOSTS, UTC, WHOLE
from tests.support.trees import cases


class Subject(NamedTuple):
    """One collector."""

    make: Callable[[KernelFiles, Path], Collector]
    """From the files of a tree and the folder of that tree."""
    trees: tuple[Path, ...]
    file: str | None = None
    """The only file that it reads, where a tree is a whole host."""
    rows: Callable[[bytes], Iterator[tuple[str, float]]] | None = None
    """What every line of that file would give, taken for itself."""
    counts: bool = False
    """Whether values are counted or computed, so that they stand in no file."""


# how many lines, disks, links; sums; moments made of dates
_COUNTING: Final = frozenset({"arp", "bonding", "conntrack", "mdadm", "os", "selinux", "udp_queues"})


def _utc(_: float) -> time.struct_time:
    return UTC


_OTHERS: Final[Mapping[str, Callable[[KernelFiles, Path], Collector]]] = {
    "netclass": lambda files, _: NetClass(files, Regex("^$")),
    "os": lambda _, tree: OsRelease(tree),
    "selinux": SeLinux,
    "time": lambda files, _: Clock(files, lambda: BOOT, _utc),
    "uname": lambda files, _: Uname(files, machine=lambda: "x86_64"),
}


def _of_trees(name: str, make: Callable[[KernelFiles, Path], Collector]) -> Subject:
    return Subject(make, tuple(cases(name)), counts=name in _COUNTING)


def _kernel_tree(name: str) -> Subject:
    return _of_trees(name, lambda files, tree: kernel_trees.MAKE[name](files, tree / "udev"))


def _machine(name: str) -> Subject:
    return _of_trees(name, lambda files, _: machines.MACHINES[name].make(files))


def _host_file(case: kernel.Case) -> Subject:
    return Subject(lambda files, _: case.make(files), tuple(HOSTS / name for name in WHOLE), case.file, case.rows)


SUBJECTS: Final[Mapping[str, Subject]] = {
    **{name: _kernel_tree(name) for name in kernel_trees.MAKE},
    **{name: _machine(name) for name in machines.MACHINES},
    **{name: _host_file(case) for name, case in kernel.CASES.items()},
    **{name: _of_trees(name, make) for name, make in _OTHERS.items()},
}
# parts of another collector
PARTS: Final = {"throttle": "cpu"}

# why a collector of node_* families has no trees of several kernels
NO_KERNEL_FILES: Final = {
    "os": "reads /etc/os-release, which a distribution writes and no kernel: its trees are distributions",
    "systemd": "asks systemd over D-Bus and reads no file; machines with systemd are its test (test_systemd_bus.py)",
    "textfile": "reads files of the operator's, in a format that is no kernel's",
    "timex": "asks adjtimex(2), a system call: no tree can hold its answer",
}
