"""The mount table, and asking mounts with a deadline: what hangs holds a thread, never the caller."""

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.collectors.mounts import Askers, Mount, MountTable, Usage, UsageReader, parse_mountinfo, read_usage
from exporter.kernel import KernelError, KernelFile, KernelFiles
from exporter.settings import Regex
from exporter.settings.collectors import FilesystemSettings
from tests.support.client import until
from tests.support.kernel import MemoryFiles

USAGE = Usage(100, 50, 40, 10, 5)
NOTHING_EXCLUDED = FilesystemSettings(mount_points_exclude=Regex("^$"), fs_types_exclude=Regex("^$"))


def line(
    path: str = "/", kind: str = "ext4", device: str = "/dev/sda1", options: str = "rw", super_options: str = "rw"
) -> bytes:
    return f"36 35 98:0 / {path} {options},noatime shared:1 - {kind} {device} {super_options},x=1\n".encode()


def mount(path: str, kind: str = "ext4") -> Mount:
    return Mount("/dev/sda1", path.encode(), path, kind, read_only=False)


@pytest.mark.parametrize(
    ("text", "mounts"),
    [
        pytest.param(line(), [Mount("/dev/sda1", b"/", "/", "ext4", False, "98:0")], id="plain"),
        pytest.param(line(options="ro"), [Mount("/dev/sda1", b"/", "/", "ext4", True, "98:0")], id="mount read-only"),
        pytest.param(
            line(super_options="ro"), [Mount("/dev/sda1", b"/", "/", "ext4", True, "98:0")], id="file system read-only"
        ),
        pytest.param(
            line(options="rw,errors=remount-ro"),
            [Mount("/dev/sda1", b"/", "/", "ext4", False, "98:0")],
            id="no option ro",
        ),
        pytest.param(
            line(path="/a\\040b\\011c\\012d\\134e\\043f"),
            [Mount("/dev/sda1", b"/a b\tc\nd\\e#f", "/a b\tc\nd\\e#f", "ext4", False, "98:0")],
            id="octal escapes",
        ),
        pytest.param(
            line().replace(b" / ", b" / ").replace(b" / rw", b" /\xff\xc3\xa4 rw"),
            [Mount("/dev/sda1", b"/\xff\xc3\xa4", "/\\xffä", "ext4", False, "98:0")],
            id="broken UTF-8",
        ),
        pytest.param(
            b"36 35 98:0 / / rw - tmpfs  rw\n",
            [Mount("", b"/", "/", "tmpfs", False, "98:0")],
            id="no optional field, empty source",
        ),
        pytest.param(
            line().replace(b"shared:1", b"shared:1 master:2 propagate_from:3 unbindable"),
            [Mount("/dev/sda1", b"/", "/", "ext4", False, "98:0")],
            id="four optional fields",
        ),
    ],
)
def test_line_becomes_a_mount(text: bytes, mounts: list[Mount]) -> None:
    assert list(parse_mountinfo(text)) == mounts


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        line()[:-1],
        b"36 35 98:0 / /\n",
        line().replace(b" - ", b" "),
        b"1 2 3:4 / / rw - ext4 /dev/a\n",
        b"1 2 3:4 / relative rw - ext4 /dev/a rw\n",
        b"1 2 3:4 / /a\\000b rw - ext4 /dev/a rw\n",
        line() + b"\n",
    ],
    ids=repr,
)
def test_line_that_is_no_mount_is_an_error(text: bytes) -> None:
    with pytest.raises(KernelError, match=r"^proc/1/mountinfo: "):
        list(parse_mountinfo(text))


@pytest.mark.parametrize(
    ("kind", "may_hang"),
    [
        ("ext4", False),
        ("xfs", False),
        ("btrfs", False),
        ("tmpfs", False),
        ("nfs4", True),
        ("fuse.sshfs", True),
        ("vfat", True),
    ],
)
def test_only_types_that_answer_from_memory_cannot_hang(kind: str, may_hang: bool) -> None:
    assert mount("/", kind).may_hang is may_hang


def table(text: bytes, settings: FilesystemSettings = NOTHING_EXCLUDED) -> MountTable:
    return MountTable(MemoryFiles({"proc/1/mountinfo": text}), settings)


@pytest.mark.parametrize(
    ("path", "kind", "kept"),
    [
        ("/", "ext4", True),
        ("/device", "ext4", True),
        ("/dev/shm", "tmpfs", False),
        ("/run", "tmpfs", False),
        ("/mnt", "ext4", False),
        ("/mnt/data", "ext4", False),
        ("/var/lib/docker/overlay2/x/merged", "ext4", False),
        ("/srv", "overlay", False),
        ("/srv", "fuse.sshfs", True),
        ("/srv", "cgroup2", False),
    ],
)
def test_default_settings_leave_out_what_node_exporter_leaves_out(path: str, kind: str, kept: bool) -> None:
    assert bool(table(line(path, kind), FilesystemSettings()).read()) is kept


@pytest.mark.parametrize("root", ["/", "/host", "/mnt/the host"])
def test_mounts_of_another_root_are_asked_below_it_and_named_without_it(root: str) -> None:
    files = MemoryFiles({"proc/1/mountinfo": line() + line("/srv/a\\040b")})
    read = MountTable(files, NOTHING_EXCLUDED, Path(root)).read()
    below = root.rstrip("/").encode()
    assert [(m.path, m.mount_point) for m in read] == [(below + b"/", "/"), (below + b"/srv/a b", "/srv/a b")]


def test_settings_speak_of_mount_points_as_the_machine_names_them() -> None:
    files = MemoryFiles({"proc/1/mountinfo": line("/srv") + line("/host/run") + line("/run")})
    settings = FilesystemSettings(mount_points_exclude=Regex("^/run"))
    assert [m.mount_point for m in MountTable(files, settings, Path("/host")).read()] == ["/srv", "/host/run"]


def test_mount_on_top_of_another_of_the_same_name_hides_it() -> None:
    read = table(line("/x", "tmpfs", "tmpfs") + line("/y") + line("/x", "tmpfs", "tmpfs", options="ro")).read()
    assert [(m.mount_point, m.read_only) for m in read] == [("/x", True), ("/y", False)]


def test_hidden_first_process_means_our_own_table() -> None:
    read = MountTable(MemoryFiles({"proc/self/mountinfo": line("/mine")}), NOTHING_EXCLUDED)
    assert [m.mount_point for m in read.read()] == ["/mine"]
    assert [m.mount_point for m in read.read()] == ["/mine"]


@pytest.mark.parametrize(
    ("number", "point"),
    [(errno.EACCES, "/mine"), (errno.EPERM, "/mine"), (errno.ENOENT, "/mine"), (errno.EMFILE, ""), (errno.ENOMEM, "")],
    ids=lambda value: errno.errorcode.get(value, "") if isinstance(value, int) else value,
)
def test_our_own_table_counts_only_where_the_machines_is_hidden(number: int, point: str) -> None:
    files = Failing({"proc/1/mountinfo": line("/theirs"), "proc/self/mountinfo": line("/mine")})
    read = MountTable(files, NOTHING_EXCLUDED)
    files.error = OSError(number, os.strerror(number))
    if point:
        assert [m.mount_point for m in read.read()] == [point]
    else:
        with pytest.raises(KernelError, match="1/mountinfo"):
            read.read()
    files.error = None
    assert [m.mount_point for m in read.read()] == [point or "/theirs"]


class Failing(MemoryFiles):
    """Files in memory; the table of process 1 fails while there is an `error`."""

    error: OSError | None = None

    def open_own(self, name: str, *, whole: bool = False, record: int = 0) -> KernelFile:
        file = super().open_own(name)
        tell = file.read

        def read() -> bytes:
            if self.error is not None and name == "proc/1/mountinfo":
                raise KernelError(f"{name}: {self.error.strerror}") from self.error
            return tell()

        file.read = read  # type: ignore[method-assign]
        return file


def on(number: int, path: str) -> bytes:
    return line(path).replace(b"98:0", b"98:%d" % number)


@pytest.mark.parametrize(
    ("own", "hidden"),
    [
        pytest.param(on(0, "/") + on(1, "/home") + on(2, "/home/data"), set(), id="the same"),
        pytest.param(on(0, "/") + on(1, "/home") + on(2, "/home/data") + on(0, "/usr"), set(), id="bound over itself"),
        pytest.param(on(0, "/") + on(9, "/home") + on(2, "/home/data"), {"/home"}, id="another over it"),
        pytest.param(on(0, "/") + on(1, "/home"), {"/home/data"}, id="not there"),
        pytest.param(on(9, "/"), {"/", "/home", "/home/data"}, id="another root"),
        pytest.param(
            on(0, "/") + on(1, "/home") + on(2, "/home/data") + on(9, "/home"), {"/home"}, id="two over another"
        ),
        pytest.param(b"garbage\n", set(), id="unreadable"),
    ],
)
def test_mount_that_another_one_covers_for_us_alone_cannot_be_asked(own: bytes, hidden: set[str]) -> None:
    theirs = on(0, "/") + on(1, "/home") + on(2, "/home/data")
    files = MemoryFiles({"proc/1/mountinfo": theirs, "proc/self/mountinfo": own})
    read = MountTable(files, NOTHING_EXCLUDED).read()
    assert [m.mount_point for m in read] == ["/", "/home", "/home/data"]
    assert {m.mount_point for m in read if not m.path} == hidden
    assert all(m.path.decode() == m.mount_point for m in read if m.path)
    assert not UsageReader(5).read([m for m in read if not m.path])


def test_one_of_two_mounts_on_a_mount_point_is_told_like_the_other() -> None:
    both = on(1, "/x") + on(2, "/x").replace(b"/dev/sda1", b"/dev/sdb1")
    files = MemoryFiles({"proc/1/mountinfo": both, "proc/self/mountinfo": both + on(3, "/y")})
    assert [m.path for m in MountTable(files, NOTHING_EXCLUDED).read()] == [b"/x", b"/x"]


def test_no_table_at_all_is_an_error_each_time() -> None:
    read = MountTable(MemoryFiles({}), NOTHING_EXCLUDED)
    for _ in range(3):
        with pytest.raises(KernelError, match="self/mountinfo"):
            read.read()


def test_unchanged_table_gives_the_same_object() -> None:
    read = table(line())
    assert read.read() is read.read()


def test_bad_table_is_an_error_each_time_and_never_the_old_mounts() -> None:
    files = MemoryFiles({"proc/1/mountinfo": line("/old")})
    read = MountTable(files, NOTHING_EXCLUDED)
    read.read()
    for bad in (b"", b"", b"garbage\n", b"garbage\n", b""):
        files.contents["proc/1/mountinfo"] = bad
        with pytest.raises(KernelError):
            read.read()
    files.contents["proc/1/mountinfo"] = line("/new")
    assert [m.mount_point for m in read.read()] == ["/new"]


def test_oversized_table_is_an_error_each_time(tmp_path: Path) -> None:
    for process in ("1", "self"):
        (tmp_path / process).mkdir()
        (tmp_path / process / "mountinfo").touch()
        os.truncate(tmp_path / process / "mountinfo", 9 * 1024 * 1024)
    read = MountTable(KernelFiles(tmp_path, tmp_path), NOTHING_EXCLUDED)
    for _ in range(4):
        with pytest.raises(KernelError, match="over"):
            read.read()


@pytest.mark.needs("linux")
def test_live_table_is_read_again_only_when_the_kernel_says_so() -> None:
    read = MountTable(KernelFiles(), NOTHING_EXCLUDED)
    assert any(m.mount_point == "/" for m in read.read())
    read.read()
    assert any(read.read() is read.read() for _ in range(100))


def test_usage_is_bytes_and_inodes(tmp_path: Path) -> None:
    stat = os.statvfs(tmp_path)
    usage = read_usage(os.fsencode(tmp_path))
    assert (usage.size, usage.files) == (stat.f_blocks * stat.f_frsize, stat.f_files)
    assert usage.size >= usage.free >= usage.available >= 0


class Hang:
    """Stands in for statvfs: paths below /dead do not answer until `release`."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.asked: list[bytes] = []

    def __call__(self, path: bytes) -> Usage:
        self.asked.append(path)
        if path.startswith(b"/dead"):
            self.released.wait()
        if path.startswith(b"/gone"):
            raise OSError(2, "No such file or directory")
        return USAGE


@pytest.fixture
def hang() -> Iterator[Hang]:
    hang = Hang()
    yield hang
    hang.released.set()


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "statvfs"}


def deadline() -> float:
    import time

    return time.monotonic() + 20


def test_mount_that_fails_costs_its_own_answer_only(hang: Hang) -> None:
    mounts = [mount("/"), mount("/gone"), mount("/gone/nfs", "nfs4"), mount("/nfs", "nfs4"), mount("/srv")]
    assert list(UsageReader(30, hang).read(mounts)) == [mounts[0], mounts[3], mounts[4]]


def test_local_mounts_are_asked_without_a_thread(hang: Hang) -> None:
    before = threads()
    assert UsageReader(30, hang).read([mount("/"), mount("/srv", "xfs")])
    assert not threads() - before


def test_dead_mount_costs_its_own_answer_only_and_is_not_asked_again_while_it_hangs(hang: Hang) -> None:
    before = threads()
    mounts = [mount("/"), mount("/dead", "nfs4"), mount("/live", "nfs4")]
    reader = UsageReader(0.05, hang)
    for _ in range(5):
        assert list(reader.read(mounts)) == [mounts[0], mounts[2]]
    assert hang.asked.count(b"/dead") == 1
    assert len(threads() - before) <= Askers.THREADS


def test_local_mounts_do_not_wait_for_who_asks_a_dead_one(hang: Hang) -> None:
    """As when settings that leave the dead one out are read while it is asked."""
    reader, found = UsageReader(60, hang), []
    asking = threading.Thread(target=reader.read, args=([mount("/dead", "nfs4")],), daemon=True)
    asking.start()
    until(lambda: b"/dead" in hang.asked, "the dead one is asked")
    other = threading.Thread(target=lambda: found.append(reader.read([mount("/")])), daemon=True)
    other.start()
    other.join(20)
    assert found == [{mount("/"): USAGE}]
    hang.released.set()
    asking.join(20)


def test_many_dead_mounts_hold_two_threads_and_the_local_ones_still_answer(hang: Hang) -> None:
    before = threads()
    mounts = [*(mount(f"/dead/{n}", "nfs4") for n in range(20)), mount("/")]
    reader = UsageReader(0.05, hang)
    for _ in range(3):
        assert list(reader.read(mounts)) == [mounts[-1]]
    assert len(threads() - before) == Askers.THREADS
    assert len([path for path in hang.asked if path != b"/"]) == Askers.THREADS


def test_mount_that_lets_go_answers_again_and_its_late_answer_is_thrown_away(hang: Hang) -> None:
    mounts = [mount("/dead", "nfs4"), mount("/gone", "nfs4"), mount("/live", "nfs4")]
    reader = UsageReader(0.05, hang)
    assert list(reader.read(mounts)) == [mounts[2]]
    assert not reader.askers.settle(0)
    hang.released.set()
    assert reader.askers.settle(deadline())
    assert list(reader.read(mounts)) == [mounts[0], mounts[2]]
