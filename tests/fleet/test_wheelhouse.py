"""Archives of a release: made on the control machine, installed whole or not at all."""

import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest

from tests.support.role_files import load


def test_archive_is_the_same_for_the_same_wheels_and_has_their_hashes(tmp_path: Path) -> None:
    module = load("hostwatch_release/files/wheelhouse.py")
    for name in ("b_c-2.0-py3-none-any.whl", "a-1.0-cp311-cp311-linux_x86_64.whl"):
        (tmp_path / name).write_text(name)
    first = module._archive(tmp_path)
    os.utime(tmp_path / "b_c-2.0-py3-none-any.whl", (1, 1))
    assert module._archive(tmp_path) == first
    with tarfile.open(fileobj=io.BytesIO(first)) as tar:
        requirements = tar.extractfile("requirements.txt")
        assert requirements is not None
        hashes = [
            hashlib.sha256(name.encode()).hexdigest()
            for name in ("a-1.0-cp311-cp311-linux_x86_64.whl", "b_c-2.0-py3-none-any.whl")
        ]
        assert requirements.read().decode() == f"a==1.0 --hash=sha256:{hashes[0]}\nb_c==2.0 --hash=sha256:{hashes[1]}\n"


@pytest.mark.parametrize(
    ("python", "machine"), [("3", "x86_64"), ("3.11; rm", "x86_64"), ("3.11", "../x"), ("2.7", "x86_64")]
)
def test_odd_machines_are_refused(tmp_path: Path, python: str, machine: str) -> None:
    module = load("hostwatch_release/files/wheelhouse.py")
    with pytest.raises(module.WheelhouseError, match="expected a Python such as"):
        module.make(tmp_path, tmp_path, python, machine)


def test_tree_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    module = load("hostwatch_release/files/wheelhouse.py")
    with pytest.raises(module.WheelhouseError, match=r"exporter: No such file.*is .* a tree of hostwatch"):
        module.make(tmp_path, tmp_path / "out", "3.11", "x86_64")


def test_broken_copy_of_an_archive_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    module = load("hostwatch_release/files/install.py")
    archive = tmp_path / "x.tar"
    archive.write_bytes(b"half")
    with pytest.raises(module.InstallError, match="expected SHA-256 0123; the copy is broken"):
        module.install(tmp_path, archive, "1-aaaaaaaa", "0123")
    assert list(tmp_path.iterdir()) == []


def test_install_that_fails_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = load("hostwatch_release/files/install.py")
    archive = tmp_path / "x.tar"
    with tarfile.open(archive, "w"):
        pass

    def fails(*command: str) -> None:
        if "venv" not in command:
            raise OSError(28, "No space left on device")
        Path(command[-1]).mkdir()

    monkeypatch.setattr(module, "_run", fails)
    with pytest.raises(OSError, match="No space left"):
        module.install(tmp_path, archive, "1-aaaaaaaa", hashlib.sha256(archive.read_bytes()).hexdigest())
    assert list(tmp_path.iterdir()) == []
