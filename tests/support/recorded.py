"""Both releases of node_exporter on the recorded trees, and what differs between their rows and ours there."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Literal, NamedTuple

import yaml

from exporter.collector import NoData
from exporter.kernel import KernelError, KernelFiles
from tests.support import debian13
from tests.support.hosts import HOSTS, WHOLE
from tests.support.kernel import collect
from tests.support.parity import VERSIONS
from tests.support.peer import Exporter
from tests.support.subjects import PARTS, SUBJECTS
from tests.support.trees import Series, series

EXCEPTIONS: Final = Path(__file__).parents[1] / "fixtures/parity/recorded.yaml"
GOLDEN: Final = Path(__file__).parents[1] / "golden"
# children at one time
_AT_ONCE: Final = 4

_PROGRAMS: Final = dict(
    zip(VERSIONS, ("prometheus-node-exporter", str(debian13.find("prometheus-node-exporter"))), strict=True)
)
# what asks the running kernel and not the trees, unless told so
_BY_FILES: Final = {
    "1.5": ("--no-collector.netdev.netlink",),
    "1.9": ("--no-collector.netdev.netlink", "--no-collector.arp.netlink"),
}
# what has no file that could be recorded, and file systems: theirs reads /proc/1/mounts and asks every mount point
_NOT_RECORDED: Final = ("filesystem", "systemd", "timex", "uname")
# by release, labels of ours that it does not know yet
_NEWER_LABELS: Final = {
    "1.5": {("node_disk_info", "rotational"), ("node_network_info", "adminstate")},
    "1.9": set[tuple[str, str]](),
}
# what each program says of itself, and the moment
_OWN: Final = re.compile(r"node_exporter_build_info|node_scrape_collector_duration_seconds|node_time_(seconds|zone_.*)")

Rows = Mapping[Series, float]
Kind = Literal["theirs", "ours", "value"]


class Difference(NamedTuple):
    """One row that only one side has, or with another value."""

    tree: str
    """COLLECTOR/CASE, or hosts/NAME."""
    version: str
    kind: Kind
    series: Series
    values: tuple[float | None, float | None]
    """Ours, theirs."""


class Exemption(NamedTuple):
    """Differences that may be; the first four are regular expressions that match the whole."""

    trees: str
    versions: str
    kind: str
    families: str
    reason: str

    def covers(self, difference: Difference) -> bool:
        """Whether it allows this one."""
        wanted = (self.trees, self.versions, self.kind, self.families)
        found = (difference.tree, difference.version, difference.kind, difference.series[0])
        return all(re.fullmatch(pattern, text) for pattern, text in zip(wanted, found, strict=True))


def read_exemptions() -> list[Exemption]:
    """Return what is written down."""
    return [Exemption(**row) for row in yaml.safe_load(EXCEPTIONS.read_text())]


class Place(NamedTuple):
    """One tree, and how its rows are had of each side."""

    name: str
    folder: Path
    ours: Callable[[], bytes]
    arguments: Sequence[str]
    families: re.Pattern[str] = re.compile("node_.*")
    versions: Sequence[str] = VERSIONS
    """The releases that have such a collector."""


class _NodeExporter(Exporter):
    """One release of node_exporter on a tree."""

    def __init__(self, version: str, place: Place) -> None:
        proc, sys, udev = (_folder(place.folder, name) for name in ("proc", "sys", "udev"))
        self.command = (_PROGRAMS[version], "--web.listen-address=127.0.0.1:PORT")
        netlink = _BY_FILES[version]
        super().__init__(
            *place.arguments, f"--path.procfs={proc}", f"--path.sysfs={sys}", f"--path.udev.data={udev}", *netlink
        )


def _folder(case: Path, name: str) -> Path:
    """Return a part of a tree; the tree where it has no such part: node_exporter does not start without."""
    return case / name if (case / name).is_dir() else case


def places() -> Iterator[Place]:
    """Yield every tree: those of single collectors, and the hosts."""
    for name, subject in SUBJECTS.items():
        if subject.file is None and name not in {*_NOT_RECORDED, "os", "selinux"}:
            for tree in subject.trees:
                yield _single(name, tree)
    without = [f"--no-collector.{name}" for name in _NOT_RECORDED]
    for host in WHOLE:
        root = HOSTS / host
        arguments = [f"--path.rootfs={root}", *without]
        yield Place(f"hosts/{host}", root, (GOLDEN / f"{host}.prom").read_bytes, arguments)


def _single(name: str, tree: Path) -> Place:
    subject = SUBJECTS[name]
    collector = subject.make(KernelFiles(tree / "proc", tree / "sys"), tree)

    def ours() -> bytes:
        try:
            return collect(collector)
        except (KernelError, NoData):
            return b""

    arguments = ("--collector.disable-defaults", f"--collector.{collector.name}")
    pattern = "|".join(family.name for family in collector.families) if name in PARTS else "node_(?!scrape_).*"
    versions = VERSIONS[1:] if name == "watchdog" else VERSIONS
    return Place(f"{name}/{tree.name}", tree, ours, arguments, re.compile(pattern), versions)


def find_differences(places: Iterable[Place]) -> list[Difference]:
    """Return what differs in all of the trees."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(itertools.chain.from_iterable(pool.map(_compare, places)))


def _compare(place: Place) -> list[Difference]:
    theirs = {version: _ask(version, place) for version in place.versions}
    ours = {
        key: value
        for key, value in series(place.ours().replace(str(place.folder).encode(), b"")).items()
        if _is_compared(place, key)
    }
    found = [difference for version in place.versions for difference in _lost(place, version, ours, theirs[version])]
    known = {
        key
        for version, rows in theirs.items()
        for key in ours
        if _as_known(version, key) in rows or key[0] == "node_scrape_collector_success"
    }
    union = "|".join(place.versions)
    found += [
        Difference(place.name, union, "ours", key, (value, None)) for key, value in ours.items() if key not in known
    ]
    return found


def _ask(version: str, place: Place) -> Rows:
    with _NodeExporter(version, place) as exporter:
        page = exporter.page().replace(str(place.folder).encode(), b"")
    return {key: value for key, value in series(page).items() if _is_compared(place, key)}


def _is_compared(place: Place, key: Series) -> bool:
    if not place.families.fullmatch(key[0]) or _OWN.fullmatch(key[0]):
        return False
    collector = dict(key[1]).get("collector")
    return (
        not key[0].startswith(("node_filesystem_", "node_systemd_", "node_timex_", "node_uname_"))
        and collector not in _NOT_RECORDED
    )


def _as_known(version: str, key: Series) -> Series:
    """Return a series less the labels that this release does not know."""
    name, labels = key
    return name, frozenset(pair for pair in labels if (name, pair[0]) not in _NEWER_LABELS[version])


def _lost(place: Place, version: str, ours: Rows, theirs: Rows) -> Iterator[Difference]:
    """Yield what a release has and we do not, or with another value."""
    known = {_as_known(version, key): value for key, value in ours.items()}
    for key, value in theirs.items():
        if key not in known:
            yield Difference(place.name, version, "theirs", key, (None, value))
        elif abs(known[key] - value) > 1e-12 * abs(value):  # theirs multiplies where ours divides
            yield Difference(place.name, version, "value", key, (known[key], value))


def file_systems(page: bytes) -> set[frozenset[tuple[str, str]]]:
    """Return the file systems that a page names: their labels, but for the newer release's one about errors."""
    found = series(page, "node_filesystem_device_error")
    return {frozenset(pair for pair in labels if pair[0] != "device_error") for _, labels in found}


def their_file_systems(host: str) -> set[frozenset[tuple[str, str]]]:
    """Return the file systems that the newer release finds in a host's mountinfo; no mount point answers there."""
    root = HOSTS / host
    arguments = ("--collector.disable-defaults", "--collector.filesystem", f"--path.rootfs={root}")
    with _NodeExporter(VERSIONS[1], Place(host, root, lambda: b"", arguments)) as exporter:
        return file_systems(exporter.page())
