"""uname: the kernel's names, and in a container the machine's own host name."""

import os
import shutil
from pathlib import Path

import pytest

from exporter.collectors.uname import Uname
from exporter.kernel import KernelError, KernelFiles
from tests.support.kernel import collect
from tests.support.trees import TREES, OneCollector, cases, check_golden, files_of, series


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TREES / "uname/debian12-6.18", tmp_path / "tree"))


@pytest.mark.parametrize("case", cases("uname"), ids=lambda case: case.name)
def test_page_is_the_recorded_one(case: Path, rewrite_golden: bool) -> None:
    block = collect(Uname(files_of(case), machine=lambda: "x86_64"))
    check_golden(case / "page.prom", block, rewrite=rewrite_golden)


@pytest.mark.needs("linux")
def test_live_names_are_those_of_uname() -> None:
    ((_, labels),) = series(collect(Uname(KernelFiles())))
    system = os.uname()
    names = {"sysname", "nodename", "release", "version", "machine"}
    assert {(name, getattr(system, name)) for name in names} <= labels


@pytest.mark.needs("node_exporter")
def test_live_row_is_node_exporters() -> None:
    with OneCollector("uname") as peer:
        theirs = series(peer.page(), "node_uname")
    assert series(collect(Uname(KernelFiles()))) == theirs


def test_changed_host_name_shows_at_once(tree: Path) -> None:
    collector = Uname(files_of(tree))
    assert b'nodename="vm"' in collect(collector)
    (tree / "proc/sys/kernel/hostname").write_bytes(b"new\n")
    assert b'nodename="new"' in collect(collector)


@pytest.mark.parametrize(
    ("etc", "expected"),
    [
        (b"machine\n", "machine"),
        (b"# a comment\n\n  machine.example.com  \n", "machine.example.com"),
        (b"machine", "machine"),
        (b"# nothing\n", "vm"),
        (None, "vm"),
    ],
)
def test_under_a_root_of_the_machine_the_host_name_is_the_machines(
    tree: Path, etc: bytes | None, expected: str
) -> None:
    (tree / "etc").mkdir()
    if etc is not None:
        (tree / "etc/hostname").write_bytes(etc)
    assert f'nodename="{expected}"'.encode() in collect(Uname(files_of(tree), root=tree))


@pytest.mark.parametrize("name", ["hostname", "domainname", "ostype", "osrelease", "version"])
@pytest.mark.parametrize("text", [b"", b"cut", b"two\nlines\n", None])
def test_missing_or_cut_file_is_an_error_with_its_name(tree: Path, name: str, text: bytes | None) -> None:
    path = tree / "proc/sys/kernel" / name
    path.unlink() if text is None else path.write_bytes(text)
    with pytest.raises(KernelError, match=name):
        collect(Uname(files_of(tree)))
