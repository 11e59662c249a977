"""Under ProtectSystem=strict and the like: file systems are told as they are, not as the unit sees them."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.parity import Values, values_in
from tests.support.peer import Exporter

pytestmark = [pytest.mark.slow, pytest.mark.needs("linux", "root")]

DEADLINE_SECONDS = 20


class Unit(Exporter):
    """`hostwatch serve` as nobody, as free or as confined as asked."""

    command = (sys.executable, "-m", "tests.support.hardened")

    def __init__(self, mode: str) -> None:
        super().__init__(mode, "127.0.0.1:PORT")


@pytest.fixture
def disk() -> Iterator[Path]:
    """Mount a small file system of its own."""
    # not below the test's own folder, which nobody but root may enter
    folder = Path(tempfile.mkdtemp(prefix="hostwatch-", dir="/srv"))
    folder.chmod(0o755)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3M,nr_inodes=77", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()


def file_systems(page: bytes) -> Values:
    return {key: value for key, value in values_in(page).items() if key[0].startswith("node_filesystem_")}


def test_rows_of_file_systems_are_those_of_an_unconfined_run(disk: Path) -> None:
    with Unit("free") as free, Unit("confined") as confined:
        status = Path(f"/proc/{confined.process.pid}/status").read_text()
        assert "NoNewPrivs:\t1" in status
        assert "CapEff:\t0000000000000000" in status
        own = Path(f"/proc/{confined.process.pid}/mountinfo").read_text()
        assert f" {disk} ro," in own
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:  # somebody may write just now
            wanted, got = file_systems(free.page()), file_systems(confined.page())
            if wanted == got or time.monotonic() > deadline:
                break
    assert {dict(labels)["mountpoint"] for _, labels in got} >= {"/", str(disk)}
    assert got == wanted
