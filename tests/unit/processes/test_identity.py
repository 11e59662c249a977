"""What is asked of a process to tell its group."""

from pathlib import Path

import pytest

from exporter.processes.identity import Identities, Users
from exporter.processes.procfs import parse_stat
from exporter.processes.table import Process
from tests.support.processes import KERNEL_THREAD, FakeProcess, Inline, MemoryProc

ALL = ("name", "command_line", "executable", "user", "unit", "cgroup")


def identity_of(fake: FakeProcess, passwd: Path = Path("/nonexistent"), fields: tuple[str, ...] = ALL):  # noqa: ANN201
    proc = MemoryProc({5: fake})
    process = Process(5, 1, 0, parse_stat(fake.text(5, "stat")), born=False)
    (found,) = Identities(proc, passwd, Inline(proc)).read([process], fields)
    return found


def test_every_field_of_a_process(tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text("app:x:1000:1000::/:\n")
    assert identity_of(FakeProcess(), tmp_path / "passwd") == {
        "name": ("app",),
        "command_line": ("/usr/bin/app --flag",),
        "executable": ("/usr/bin/app",),
        "user": ("app", "1000"),
        "unit": ("app.service",),
        "cgroup": ("/system.slice/app.service",),
    }


def test_only_what_is_asked_for_is_read() -> None:
    assert identity_of(FakeProcess(denied={"cmdline", "exe", "cgroup", "user"}), fields=("name",)) == {"name": ("app",)}


def test_kernel_thread_has_no_command_line_and_no_executable() -> None:
    found = identity_of(FakeProcess("kworker/0:1", flags=KERNEL_THREAD, denied={"exe", "cmdline"}, cgroup="0::/\n"))
    assert found["command_line"] == ("",)
    assert found["executable"] == ()
    assert found["unit"] == ()


@pytest.mark.parametrize(
    ("file", "hidden"),
    [("cmdline", {"command_line"}), ("exe", {"executable"}), ("cgroup", {"unit", "cgroup"})],
)
def test_what_permissions_hide_is_none_not_empty(file: str, hidden: set[str]) -> None:
    found = identity_of(FakeProcess(denied={file}))
    assert {field for field, texts in found.items() if texts is None} == hidden


@pytest.mark.parametrize(
    ("file", "hidden"),
    [("exe", {"executable"}), ("user", {"user"}), ("cgroup", {"unit", "cgroup"})],
)
def test_what_the_kernel_cannot_tell_is_hidden_too(file: str, hidden: set[str]) -> None:
    found = identity_of(FakeProcess(too_long={file}))
    assert {field for field, texts in found.items() if texts is None} == hidden


def test_users_names_follow_the_file_and_numbers_need_none(tmp_path: Path) -> None:
    file = tmp_path / "passwd"
    users = Users(file)
    users.refresh()
    assert users.texts(33) == ("33",)
    file.write_text("www-data:x:33:33::/:\n")
    users.refresh()
    assert users.texts(33) == ("www-data", "33")
    file.unlink()
    users.refresh()
    assert users.texts(33) == ("33",)
