"""Pressure stall information: totals in seconds, by resource."""

import errno
from typing import cast

import pytest

from exporter.collector import NoData
from exporter.collectors.optional import BuiltInFile, read_optional
from exporter.collectors.pressure import Pressure, parse_pressure
from exporter.kernel import KernelError, KernelFile
from tests.support.kernel import rows_of
from tests.support.kernel_trees import TreeFiles

SOME = b"some avg10=0.20 avg60=5.71 avg300=6.41 total=73753152\n"
FULL = b"full avg10=0.00 avg60=0.00 avg300=0.00 total=1000\n"


@pytest.mark.parametrize(
    ("resource", "text", "values"),
    [
        pytest.param("cpu", SOME, [b"73.753152"], id="cpu before 5.13"),
        pytest.param("cpu", SOME + FULL, [b"73.753152"], id="cpu, whose full line says nothing"),
        pytest.param("io", SOME + FULL, [b"73.753152", b"0.001"], id="io"),
        pytest.param("memory", SOME + FULL, [b"73.753152", b"0.001"], id="memory"),
        pytest.param("irq", FULL, [b"0.001"], id="irq has no some line"),
    ],
)
def test_totals_are_seconds(resource: str, text: bytes, values: list[bytes]) -> None:
    assert parse_pressure(resource, text) == values


@pytest.mark.parametrize(
    ("resource", "text"),
    [
        ("cpu", b""),
        ("cpu", FULL),
        ("cpu", SOME[:-1]),
        ("io", SOME),
        ("io", SOME + FULL[:-1]),
        ("io", FULL + SOME),
        ("io", SOME + SOME),
        ("memory", SOME.replace(b"total", b"sum") + FULL),
        ("irq", SOME),
        ("irq", SOME.replace(b"avg10=0.20 ", b"")),
    ],
    ids=repr,
)
def test_lines_that_are_not_the_kernels_are_an_error(resource: str, text: bytes) -> None:
    with pytest.raises(KernelError, match=f"^proc/pressure/{resource}: expected"):
        parse_pressure(resource, text)


def test_resources_that_the_kernel_does_not_tell_of_are_absent_and_looked_for_now_and_then() -> None:
    now = 0.0
    files = TreeFiles({})
    collector = Pressure(files, lambda: now)
    with pytest.raises(NoData):
        collector.collect()
    files.contents["proc/pressure/cpu"] = SOME
    now += BuiltInFile.RETRY_SECONDS - 1
    with pytest.raises(NoData):
        collector.collect()
    now += 1
    assert rows_of(collector.collect()) == {("node_pressure_cpu_waiting_seconds_total", 73.753152)}
    files.contents["proc/pressure/irq"] = FULL
    now += BuiltInFile.RETRY_SECONDS
    assert len(rows_of(collector.collect())) == 2
    del files.contents["proc/pressure/cpu"]
    assert rows_of(collector.collect()) == {("node_pressure_irq_stalled_seconds_total", 0.001)}


class Refusing:
    """A kernel file that cannot be read for a reason."""

    def __init__(self, code: int) -> None:
        self._code = code

    def read(self) -> bytes:
        raise KernelError("proc/x: no") from OSError(self._code, "no")


@pytest.mark.parametrize("code", [errno.ENOENT, errno.ENOTDIR, errno.EOPNOTSUPP])
def test_file_that_is_not_there_or_switched_off_at_boot_is_absent(code: int) -> None:
    assert read_optional(cast(KernelFile, Refusing(code))) is None


def test_built_in_file_that_is_missing_is_opened_again_only_after_a_while() -> None:
    now = 0.0
    files = TreeFiles({})
    opened: list[float] = []

    class Counting:
        def read(self) -> bytes:
            opened.append(now)
            return files.open("proc/x").read()

    file = BuiltInFile(cast(KernelFile, Counting()), lambda: now)
    while now < 2 * BuiltInFile.RETRY_SECONDS:
        assert file.read() is None
        now += 1
    assert opened == [0, BuiltInFile.RETRY_SECONDS]
    files.contents["proc/x"] = b"here\n"
    for _ in range(3):
        assert file.read() == b"here\n"
    del files.contents["proc/x"]
    assert file.read() is None


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.EMFILE])
def test_file_that_cannot_be_read_is_no_absent_file(code: int) -> None:
    with pytest.raises(KernelError):
        read_optional(cast(KernelFile, Refusing(code)))
