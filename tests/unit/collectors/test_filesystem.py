"""File systems: rows of what answers, device_error for what does not, mounts that come and go."""

from pathlib import Path

import pytest

from exporter.collectors.filesystem import FileSystem, FileSystemUses
from exporter.collectors.mounts import MountTable, Usage, UsageReader
from exporter.kernel import KernelError
from exporter.settings.collectors import FilesystemSettings
from tests.support.kernel import MemoryFiles, collect, rows_of

VALUES = Usage(1000, 600, 500, 70, 30)
NAMES = ("size_bytes", "free_bytes", "avail_bytes", "files", "files_free")


class Machine:
    """A collector whose mounts, and answers, a test sets before each scrape."""

    def __init__(self) -> None:
        self.files = MemoryFiles({})
        self.answers: dict[bytes, Usage] = {}
        self.collector = FileSystem(MountTable(self.files, FilesystemSettings()), UsageReader(30, self.answer))

    def answer(self, path: bytes) -> Usage:
        if path not in self.answers:
            raise OSError(116, "Stale file handle")
        return self.answers[path]

    def scrape(self, mounts: dict[str, Usage | None], options: str = "rw", kind: str = "ext4") -> dict[str, float]:
        lines = [f"1 2 3:4 / {path} {options} - {kind} /dev/a rw\n" for path in ("/proc", *mounts)]
        self.files.contents["proc/1/mountinfo"] = "".join(lines).encode()
        self.answers = {path.encode(): usage for path, usage in mounts.items() if usage is not None}
        return dict(rows_of(collect(self.collector)))


def wanted(mounts: dict[str, Usage | None], read_only: int = 0, kind: str = "ext4") -> dict[str, float]:
    rows: dict[str, float] = {}
    for path, usage in mounts.items():
        labels = f'{{device="/dev/a",fstype="{kind}",mountpoint="{path}"}}'
        rows[f"node_filesystem_device_error{labels}"] = usage is None
        if usage is not None:
            rows |= {f"node_filesystem_{name}{labels}": value for name, value in zip(NAMES, usage, strict=True)}
            rows[f"node_filesystem_readonly{labels}"] = read_only
            rows[f'node_filesystem_mount_info{{device="/dev/a",major="3",minor="4",mountpoint="{path}"}}'] = 1
    return rows


@pytest.mark.parametrize("kind", ["ext4", "nfs4"], ids=["inline", "on a thread"])
@pytest.mark.parametrize("read_only", [0, 1])
def test_mount_has_its_rows(kind: str, read_only: int) -> None:
    machine = Machine()
    rows = machine.scrape({"/srv": VALUES}, "ro" if read_only else "rw", kind)
    assert rows == wanted({"/srv": VALUES}, read_only, kind)
    assert machine.collector.blocking is (kind == "nfs4")


OTHER = Usage(2000, 1, 0, 0, 0)


@pytest.mark.parametrize(
    "scrapes",
    [
        pytest.param([{"/": VALUES}, {"/": OTHER}, {"/": OTHER}, {"/": VALUES}], id="values move"),
        pytest.param([{"/": VALUES}, {"/": VALUES, "/a": OTHER}, {"/a": OTHER}], id="comes and goes"),
        pytest.param([{"/": VALUES, "/a": OTHER}, {"/a": OTHER, "/": VALUES}], id="other order"),
        pytest.param(
            [{"/": VALUES, "/a": OTHER}, {"/": VALUES, "/a": None}, {"/": VALUES, "/a": VALUES}], id="fails and answers"
        ),
        pytest.param([{"/": VALUES, "/a": None}, {"/": None, "/a": VALUES}, {"/": None, "/a": None}], id="in turn"),
        pytest.param([{"/": VALUES}, {}, {"/": OTHER}], id="none for a while"),
        pytest.param([{"/": None}, {"/": None}, {"/": VALUES}], id="bad at first"),
    ],
)
def test_each_scrape_shows_the_mounts_of_its_moment(scrapes: list[dict[str, Usage | None]]) -> None:
    machine = Machine()
    for mounts in scrapes:
        assert machine.scrape(mounts) == wanted(mounts)


def test_failed_scrape_in_the_middle_leaves_the_next_one_right() -> None:
    machine = Machine()
    machine.scrape({"/": VALUES, "/a": VALUES})
    for bad in (b"", b"garbage\n"):
        machine.files.contents["proc/1/mountinfo"] = bad
        with pytest.raises(KernelError):
            collect(machine.collector)
    assert machine.scrape({"/a": OTHER}) == wanted({"/a": OTHER})


def test_mount_that_became_read_only_says_so() -> None:
    machine = Machine()
    machine.scrape({"/": VALUES})
    assert machine.scrape({"/": VALUES}, "ro") == wanted({"/": VALUES}, 1)


def test_rows_of_another_root_are_those_of_the_machine() -> None:
    """A container that watches its host has the host's root somewhere below its own."""
    machine = Machine()
    usages = {b"/host/": VALUES, b"/host/srv": OTHER}
    table = MountTable(machine.files, FilesystemSettings(), Path("/host"))
    machine.collector = FileSystem(table, UsageReader(30, usages.__getitem__))
    machine.files.contents["proc/1/mountinfo"] = b"".join(
        b"1 2 3:4 / %s rw - ext4 /dev/a rw\n" % path for path in (b"/", b"/srv")
    )
    assert dict(rows_of(collect(machine.collector))) == wanted({"/": VALUES, "/srv": OTHER})


@pytest.mark.parametrize(
    ("usage", "ratio"),
    [
        pytest.param(Usage(1000, 600, 600, 1, 1), 0.4, id="no reserve"),
        pytest.param(Usage(1000, 600, 100, 1, 1), 0.8, id="reserve counts as df counts it"),
        pytest.param(Usage(1000, 0, 0, 1, 1), 1.0, id="full"),
        pytest.param(Usage(1000, 1000, 1000, 1, 1), 0.0, id="empty"),
        pytest.param(Usage(0, 0, 0, 0, 0), None, id="no blocks: absent, never zero"),
        pytest.param(None, None, id="no answer: absent"),
    ],
)
@pytest.mark.parametrize("fs_type", ["ext4", "nfs4"], ids=["answers from memory", "may hang"])
def test_use_of_a_file_system_is_what_df_shows(usage: Usage | None, ratio: float | None, fs_type: str) -> None:
    files = MemoryFiles({"proc/1/mountinfo": b"1 2 3:4 / /srv rw - %s /dev/a rw\n" % fs_type.encode()})

    def ask(path: bytes) -> Usage:
        if usage is None or path != b"/srv":
            raise OSError(path)
        return usage

    found = FileSystemUses(files, FilesystemSettings(), ask=ask)()
    assert [use.ratio for use in found] == ([] if ratio is None else [ratio])
    assert all((use.device, use.fs_type, use.mount_point) == ("/dev/a", fs_type, "/srv") for use in found)
