"""Software RAID: each kind of array and state, and what is no mdstat."""

import pytest

from exporter.collector import NoData
from exporter.collectors.mdadm import Array, MdAdm, parse_mdstat
from exporter.kernel import KernelError, KernelFiles
from tests.support.kernel import MemoryFiles
from tests.support.trees import TREES, files_of

MANY = (TREES / "mdadm/many-6.1/proc/mdstat").read_bytes()
NONE = b"Personalities : [raid1] \nunused devices: <none>\n"


def mdstat(array: str) -> bytes:
    return f"Personalities : [raid1] \n{array}\n\nunused devices: <none>\n".encode()


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("md0", Array("md0", "recovering", b"2", 1, 1, b"3", b"5860267008", b"16775552")),
        ("md1", Array("md1", "resync", b"2", 0, 0, b"2", b"1953514496", b"0")),
        ("md2", Array("md2", "active", b"2", 0, 0, b"2", b"7813735424", b"7813735424")),
        ("md3", Array("md3", "inactive", b"0", 0, 1, b"0", b"976630488", b"976630488")),
        ("md4", Array("md4", "check", b"4", 0, 0, b"4", b"390756352", b"1605248")),
        ("md5", Array("md5", "resync", b"4", 0, 0, b"4", b"195310144", b"0")),
        ("md6", Array("md6", "resync", b"1", 0, 0, b"2", b"16775552", b"2113664")),
        ("md7", Array("md7", "active", b"2", 0, 0, b"2", b"2095104", b"2095104")),
        ("md127", Array("md127", "active", b"2", 0, 0, b"2", b"1047552", b"1047552")),
    ],
)
def test_array(name: str, array: Array) -> None:
    assert next(found for found in parse_mdstat(MANY) if found.name == name) == array


@pytest.mark.parametrize(
    "array",
    [
        "md0 : active raid1 sda1[0] sdb1[1]",
        "md0 : active raid1 sda1[0] sdb1[1]\n      many blocks [2/2] [UU]",
        "md0 : active raid1 sda1[0] sdb1[1]\n      104320 blocks",
        "md0 : active raid1 sda1[0] sdb1[1]\n      104320 blocks [2/x] [UU]",
        "md0",
        "\xff\xfe",
    ],
)
def test_what_is_no_array_is_a_failure(array: str) -> None:
    with pytest.raises(KernelError, match="proc/mdstat"):
        parse_mdstat(mdstat(array))


@pytest.mark.parametrize("size", range(0, len(MANY) - 1, 7))
def test_file_cut_short_is_a_failure(size: int) -> None:
    with pytest.raises(KernelError, match="proc/mdstat"):
        parse_mdstat(MANY[:size])


def test_kernel_without_software_raid_has_no_data() -> None:
    with pytest.raises(NoData):
        MdAdm(KernelFiles(TREES / "nowhere", TREES / "nowhere")).collect()


def test_machine_that_could_have_arrays_but_has_not_has_no_rows() -> None:
    assert MdAdm(files_of(TREES / "mdadm/no-array-6.1")).collect() == b""


def test_thread_is_wanted_once_there_are_arrays_and_only_as_long() -> None:
    contents = {"proc/mdstat": NONE}
    collector = MdAdm(MemoryFiles(contents))
    assert collector.collect() == b""
    assert not collector.blocking
    contents["proc/mdstat"] = MANY
    whole = collector.collect()
    assert b'node_md_disks{device="md0",state="failed"} 1\n' in whole
    assert collector.blocking
    contents["proc/mdstat"] = MANY[:100]
    with pytest.raises(KernelError):
        collector.collect()
    contents["proc/mdstat"] = MANY
    assert collector.collect() == whole
    contents["proc/mdstat"] = NONE
    assert collector.collect() == b""
    assert not collector.blocking
