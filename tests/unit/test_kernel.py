"""Kernel files: kept open, read whole, once per scrape; every failure is a KernelError that names the file."""

import errno
import os
import threading
from pathlib import Path

import pytest

from exporter.kernel import CHUNK, MAX_BYTES, PAGE, KernelError, KernelFile, KernelFiles


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"first\n")
    return path


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, MAX_BYTES], ids=str)
def test_file_is_read_whole_whatever_its_size(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(min(size, 100)).ljust(size, b"x")[:size])
    assert KernelFile(str(path), None).read() == path.read_bytes()


@pytest.mark.parametrize("size", [MAX_BYTES + 1, MAX_BYTES + CHUNK, 4 * MAX_BYTES], ids=str)
def test_oversized_file_is_an_error_that_names_it_and_ends_the_reading(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.touch()
    os.truncate(path, size)
    kernel_file = KernelFile(str(path), None)
    with pytest.raises(KernelError, match=f"^{path}: over {MAX_BYTES} bytes$"):
        kernel_file.read()
    os.truncate(path, 3)
    assert kernel_file.read() == bytes(3)


def test_endless_file_is_an_error() -> None:
    with pytest.raises(KernelError, match=r"^/dev/zero: over"):
        KernelFile("/dev/zero", None).read()


@pytest.mark.parametrize(
    ("make", "text"),
    [
        pytest.param(lambda path: None, "No such file or directory", id="missing"),
        pytest.param(lambda path: path.mkdir(), "Is a directory", id="folder"),
        pytest.param(lambda path: path.symlink_to(path), "Too many levels of symbolic links", id="loop"),
    ],
)
def test_file_that_cannot_be_read_is_an_error_that_names_it(tmp_path: Path, make: object, text: str) -> None:
    path = tmp_path / "file"
    make(path)  # type: ignore[operator]
    with pytest.raises(KernelError, match=f"^{path}: {text}$"):
        KernelFile(str(path), None).read()


def test_file_that_appears_later_is_read_then(tmp_path: Path) -> None:
    path = tmp_path / "file"
    file = KernelFile(str(path), None)
    with pytest.raises(KernelError):
        file.read()
    path.write_bytes(b"here\n")
    assert file.read() == b"here\n"


def test_each_read_sees_what_the_file_holds_now(file: Path) -> None:
    kernel_file = KernelFile(str(file), None)
    assert kernel_file.read() == b"first\n"
    file.write_bytes(b"2\n")
    assert kernel_file.read() == b"2\n"


def test_reads_keep_one_file_open_and_close_gives_it_back(file: Path) -> None:
    before = open_files()
    kernel_file = KernelFile(str(file), None)
    for _ in range(5):
        kernel_file.read()
    assert open_files() == before + 1
    kernel_file.close()
    kernel_file.close()
    assert open_files() == before
    assert kernel_file.read() == b"first\n"
    del kernel_file
    assert open_files() == before


def test_read_that_fails_opens_the_file_anew_the_next_time(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_files()
    kernel_file = KernelFile(str(file), None)
    kernel_file.read()
    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", _fail_with_enodev)
        with pytest.raises(KernelError, match=f"^{file}: No such device$"):
            kernel_file.read()
    assert open_files() == before
    assert kernel_file.read() == b"first\n"
    kernel_file.close()


def _fail_with_enodev(*_: object) -> bytes:
    """As a sysfs file whose device went does."""
    raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    """Each read as (size asked for, where, bytes that came)."""
    seen: list[tuple[int, int, int]] = []
    real = os.pread

    def pread(fd: int, size: int, offset: int) -> bytes:
        data = real(fd, size, offset)
        seen.append((size, offset, len(data)))
        return data

    monkeypatch.setattr(os, "pread", pread)
    return seen


def test_file_in_one_piece_that_is_not_full_costs_one_read(file: Path, reads: list[tuple[int, int, int]]) -> None:
    assert KernelFile(str(file), None, whole=True).read() == b"first\n"
    assert reads == [(PAGE, 0, 6)]


def test_file_of_many_records_is_read_until_it_says_that_it_ended(
    file: Path, reads: list[tuple[int, int, int]]
) -> None:
    assert KernelFile(str(file), None).read() == b"first\n"
    assert reads == [(PAGE, 0, 6), (CHUNK, 6, 0)]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        pytest.param(0, 1, id="empty"),
        pytest.param(PAGE - 200, 1, id="a page has room for one more record"),
        pytest.param(PAGE - 199, 2, id="a page has room for most of a record"),
        pytest.param(PAGE, 2, id="a full page"),
    ],
)
def test_file_of_records_is_read_on_unless_a_page_had_room_for_one_more(
    tmp_path: Path, reads: list[tuple[int, int, int]], size: int, expected: int
) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(size))
    assert KernelFile(str(path), None, record=200).read() == bytes(size)
    assert len(reads) == expected


def test_kernel_that_hands_out_records_a_page_at_once_is_read_to_the_end_however_much_room_was_asked_for(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As seq_read_iter in fs/seq_file.c does: whole records as long as they fit into a page."""
    records = [b"record %d %s\n" % (number, b"x" * (number * 7 % 180)) for number in range(200)]
    text = b"".join(records)

    def pread(fd: int, size: int, offset: int) -> bytes:
        out, place = b"", 0
        for record in records:
            if place >= offset:
                if len(out) + len(record) > PAGE:
                    break
                out += record
            place += len(record)
        return out[:size]

    monkeypatch.setattr(os, "pread", pread)
    kernel_file = KernelFile(str(file), None, record=200)
    assert [kernel_file.read() for _ in range(3)] == [text] * 3
    records[:] = records[:3]
    assert kernel_file.read() == b"".join(records)


def test_kernel_that_hands_out_records_piece_by_piece_is_read_to_the_end(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = b"".join(b"record %d\n" % number for number in range(2000))
    monkeypatch.setattr(os, "pread", lambda fd, size, offset: text[offset : offset + min(size, 100)])
    assert KernelFile(str(file), None).read() == text


@pytest.mark.parametrize("whole", [False, True])
def test_file_that_fills_the_room_is_read_on_and_has_more_room_the_next_time(
    tmp_path: Path, reads: list[tuple[int, int, int]], whole: bool
) -> None:
    path = tmp_path / "file"
    kernel_file = KernelFile(str(path), None, whole=whole)
    for size in (PAGE, PAGE - 1, 3 * PAGE):
        path.write_bytes(os.urandom(size))
        assert kernel_file.read() == path.read_bytes()
    asked = [size for size, offset, _ in reads if offset == 0]
    assert asked == [PAGE, PAGE * 5 // 4, PAGE * 5 // 4], "a little more than there was"
    reads.clear()
    assert kernel_file.read() == path.read_bytes()
    assert len(reads) == (1 if whole else 2)
    assert reads[0] == (3 * PAGE * 5 // 4, 0, 3 * PAGE)


@pytest.mark.parametrize("whole", [False, True])
def test_each_read_is_whole_while_the_file_grows_and_shrinks(tmp_path: Path, whole: bool) -> None:
    path = tmp_path / "file"
    kernel_file = KernelFile(str(path), None, whole=whole)
    room = PAGE
    for size in (0, 1, PAGE, PAGE + 1, 2, 5 * PAGE, CHUNK, 2 * CHUNK + 1, room, 0, 7 * PAGE, 3):
        path.write_bytes(os.urandom(size))
        assert kernel_file.read() == path.read_bytes()


def test_shared_file_is_read_once_per_scrape_however_many_ask(file: Path) -> None:
    files = KernelFiles(file.parent, file.parent)
    one, other = files.open("proc/file"), files.open("proc/file")
    assert one is other
    files.begin()
    assert one.read() == b"first\n"
    file.write_bytes(b"second\n")
    assert other.read() == b"first\n"
    files.begin()
    assert other.read() == b"second\n"


def test_shared_file_that_failed_is_tried_again_in_the_same_scrape(file: Path) -> None:
    files = KernelFiles(file.parent, file.parent)
    shared = files.open("proc/late")
    files.begin()
    with pytest.raises(KernelError):
        shared.read()
    (file.parent / "late").write_bytes(b"now\n")
    assert shared.read() == b"now\n"


def test_own_file_is_read_each_time(file: Path) -> None:
    files = KernelFiles(file.parent, file.parent)
    own = files.open_own("sys/file")
    assert own is not files.open_own("sys/file")
    files.begin()
    assert own.read() == b"first\n"
    file.write_bytes(b"second\n")
    assert own.read() == b"second\n"


def test_close_of_the_trees_closes_every_shared_file(file: Path) -> None:
    before = open_files()
    files = KernelFiles(file.parent, file.parent)
    files.begin()
    files.open("proc/file").read()
    assert open_files() == before + 1
    files.close()
    assert open_files() == before


def test_paths_stand_below_the_trees(tmp_path: Path) -> None:
    files = KernelFiles(tmp_path / "p", tmp_path / "s")
    assert files.path("proc/net/dev") == f"{tmp_path}/p/net/dev"
    assert files.path("sys/class/net") == f"{tmp_path}/s/class/net"
    assert KernelFiles().path("proc/stat") == "/proc/stat"


def test_another_proc_means_the_network_of_its_process_1(tmp_path: Path) -> None:
    """A container that watches its host: /proc/net would be the network of whoever reads."""
    (tmp_path / "proc/1/net").mkdir(parents=True)
    files = KernelFiles(tmp_path / "proc", tmp_path / "sys")
    assert files.path("proc/net/dev") == f"{tmp_path}/proc/1/net/dev"
    assert files.path("proc/net/stat/nf_conntrack") == f"{tmp_path}/proc/1/net/stat/nf_conntrack"
    assert files.path("proc/stat") == f"{tmp_path}/proc/stat"
    assert files.path("proc/sys/net/core") == f"{tmp_path}/proc/sys/net/core"
    assert files.path("sys/class/net") == f"{tmp_path}/sys/class/net"


def test_our_own_proc_means_our_own_network() -> None:
    assert KernelFiles().path("proc/net/dev") == "/proc/net/dev"


def test_recorded_file_always_counts_as_changed(file: Path) -> None:
    kernel_file = KernelFile(str(file), None)
    assert kernel_file.changed()
    kernel_file.read()
    assert [kernel_file.changed() for _ in range(3)] == [True, True, True]


@pytest.mark.needs("linux")
def test_mount_table_counts_as_changed_until_it_was_asked_and_again_once_closed() -> None:
    kernel_file = KernelFile("/proc/self/mountinfo", None)
    assert kernel_file.changed()
    kernel_file.read()
    kernel_file.changed()
    # somebody may mount just now: at some moment nobody does
    assert any(not kernel_file.changed() for _ in range(1000))
    kernel_file.close()
    assert kernel_file.changed()


def test_threads_with_files_of_their_own_do_not_mix_contents(tmp_path: Path) -> None:
    files = KernelFiles(tmp_path, tmp_path)
    wrong: list[bytes] = []

    def read(name: str) -> None:
        own = files.open_own(f"proc/{name}")
        wrong.extend(data for data in (own.read() for _ in range(50)) if data != name.encode() * CHUNK)

    for name in "ab":
        (tmp_path / name).write_bytes(name.encode() * CHUNK)
    threads = [threading.Thread(target=read, args=(name,)) for name in "ab" * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
