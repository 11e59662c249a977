"""Attributes of sysfs, and the sheet of what they hold."""

import errno
import os
from pathlib import Path

import pytest

from exporter.collectors import sysfs
from exporter.collectors.thermal_zone import ThermalZone
from exporter.exposition import Family
from exporter.kernel import KernelError, KernelFiles

A = Family("a", "gauge", "A.", ("x",))
B = Family("b", "gauge", "B.")


@pytest.mark.parametrize(
    ("content", "digits"), [(b"0\n", b"0"), (b"42\n", b"42"), (b"-7\n", b"-7"), (b"18446744073709551615\n", None)]
)
def test_whole_number_passes_as_it_stands(tmp_path: Path, content: bytes, digits: bytes | None) -> None:
    (tmp_path / "f").write_bytes(content)
    assert sysfs.read_number(str(tmp_path / "f")) == (digits or content.strip())


@pytest.mark.parametrize("content", [b"", b"42", b"4 2\n", b"+1\n", b"1.5\n", b"x\n", b"1\n2\n", b"\0\n", b"--1\n"])
def test_what_is_no_whole_number_names_the_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(KernelError, match="/f: expected a whole number"):
        sysfs.read_number(str(tmp_path / "f"))


def test_counter_below_zero_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"-1\n")
    with pytest.raises(KernelError, match="/f: expected a counter"):
        sysfs.read_count(str(tmp_path / "f"))


@pytest.mark.parametrize("code", [errno.ENOENT, errno.EACCES, errno.EIO, errno.ENODATA, errno.EAGAIN, errno.EINVAL])
def test_driver_without_an_answer_is_absent(monkeypatch: pytest.MonkeyPatch, code: int, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"1\n")

    def refuse(*_: object) -> bytes:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(sysfs.os, "read", refuse)
    assert sysfs.read_number(str(tmp_path / "f")) is None
    assert sysfs.read_text(str(tmp_path / "f")) is None
    assert sysfs.read_words(str(tmp_path / "f")) == []


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_our_own_lack_is_a_failure_and_not_an_absent_device(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(sysfs.os, "open", refuse)
    monkeypatch.setattr(sysfs.os, "listdir", refuse)
    with pytest.raises(KernelError, match="/sys/x"):
        sysfs.read_attribute("/sys/x")
    with pytest.raises(KernelError, match="/sys/x"):
        sysfs.list_entries("/sys/x")


@pytest.mark.parametrize(
    ("content", "text"),
    [(b" LGC \n", "LGC"), (b"no newline", "no newline"), (b"caf\xe9\xff!\n", "caf\ufffd!"), (b"\n", ""), (b"", "")],
)
def test_text_is_trimmed_and_broken_bytes_are_one_replacement(tmp_path: Path, content: bytes, text: str) -> None:
    (tmp_path / "f").write_bytes(content)
    assert sysfs.read_text(str(tmp_path / "f")) == text


def test_words_cut_short_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"eth0 eth")
    with pytest.raises(KernelError, match="/f: cut short"):
        sysfs.read_words(str(tmp_path / "f"))


@pytest.mark.parametrize(("digits", "divisor", "text"), [(b"007", 1, b"007"), (b"84850", 1000, b"84.85")])
def test_scale(digits: bytes, divisor: int, text: bytes) -> None:
    assert sysfs.scale(digits, divisor) == text


def test_sheet_keeps_families_whole_and_the_first_of_two_equal_rows() -> None:
    sheet = sysfs.Sheet()
    rows = [(A, ("1",), b"1"), (B, (), b"2"), (A, ("2",), b"3"), (A, ("1",), b"9")]
    text = b'# HELP a A.\n# TYPE a gauge\na{x="1"} 1\na{x="2"} 3\n# HELP b B.\n# TYPE b gauge\nb 2\n'
    assert sheet.render(rows) == text
    assert sheet.render(rows[1:2]) == b"# HELP b B.\n# TYPE b gauge\nb 2\n"
    assert sheet.render([]) == b""
    assert sheet.render(rows) == text


def test_absence_holds_for_some_seconds() -> None:
    now = 100.0
    absence = sysfs.Absence(lambda: now)
    assert not absence.holds()
    absence.note()
    assert absence.holds()
    now += sysfs.Absence.SECONDS
    assert not absence.holds()


def test_first_device_of_its_kind_is_seen_when_the_absence_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector = ThermalZone(KernelFiles(tmp_path, tmp_path / "sys"))
    assert collector.collect() == b""
    zone = tmp_path / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("acpitz\n")
    (zone / "temp").write_text("20000\n")
    assert not collector.blocking
    assert collector.collect() == b""
    monkeypatch.setattr(sysfs.Absence, "holds", lambda _: False)
    assert collector.blocking
    assert collector.collect().endswith(b'node_thermal_zone_temp{zone="0",type="acpitz"} 20\n')
