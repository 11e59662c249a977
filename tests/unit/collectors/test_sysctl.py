"""One-line files of /proc/sys."""

from pathlib import Path

import pytest

from exporter.collectors.sysctl import SysctlFile
from exporter.kernel import KernelError, KernelFiles


def test_each_read_gives_what_stands_there_now(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one\n")
    file = SysctlFile(KernelFiles(proc=tmp_path), "proc/a")
    assert file.read() == b"one\n"
    (tmp_path / "a").write_bytes(b"two\n")
    assert file.read() == b"two\n"


@pytest.mark.parametrize("text", [b"", b"cut", b"one\ntwo\n", b"\n\n"])
def test_anything_but_one_line_is_refused_with_its_name(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "a").write_bytes(text)
    with pytest.raises(KernelError, match="proc/a: expected one line"):
        SysctlFile(KernelFiles(proc=tmp_path), "proc/a").read()


def test_missing_file_is_an_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(KernelError, match="a: No such file"):
        SysctlFile(KernelFiles(proc=tmp_path), "proc/a").read()
