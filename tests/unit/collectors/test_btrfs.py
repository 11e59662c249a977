"""Devices of btrfs by ioctl, their numbers with gaps, and layouts; the rest is in test_machines."""

import struct
from pathlib import Path

import pytest

from exporter.collectors import btrfs
from exporter.collectors.btrfs import Btrfs, Device, ratio_of
from exporter.kernel import KernelFiles
from tests.support.trees import TREES, series

FIRST = "2d9b1f52-90c4-4f6d-8a77-31d5c2046be9"
MOUNTS = "30 1 8:1 / / rw - ext4 /dev/sda1 rw\n31 30 0:9 / /data rw - btrfs /dev/loop25 rw\n"


@pytest.mark.parametrize(
    ("mode", "devices", "ratio"),
    [
        ("single", 1, 1), ("raid0", 2, 1), ("dup", 1, 2), ("raid1", 3, 2), ("raid10", 4, 2), ("raid1c3", 3, 3),
        ("raid1c4", 4, 4), ("raid5", 4, 4 / 3), ("raid6", 4, 2), ("raid5", 1, None), ("raid7", 4, None),
    ],
)  # fmt: skip
def test_bytes_that_a_byte_takes(mode: str, devices: int, ratio: float | None) -> None:
    assert ratio_of(mode, devices) == ratio


def collector(tmp_path: Path, answer: "tuple[str, list[Device]] | OSError", asked: list[bytes]) -> Btrfs:
    (tmp_path / "1").mkdir()
    (tmp_path / "1/mountinfo").write_text(MOUNTS)

    def look(path: bytes) -> tuple[str, list[Device]]:
        asked.append(path)
        if isinstance(answer, OSError):
            raise answer
        return answer

    return Btrfs(KernelFiles(tmp_path, TREES / "btrfs/two-6.1/sys"), look)


def test_devices_of_a_mount_that_can_be_opened_have_uuid_errors_and_what_is_unused(tmp_path: Path) -> None:
    asked: list[bytes] = []
    device = Device("loop25", "u-1", 1000, 400, (1, 2, 3, 4, 5))
    block = series(collector(tmp_path, (FIRST, [device]), asked).collect())
    labels = {("uuid", FIRST), ("device", "loop25"), ("btrfs_dev_uuid", "u-1")}
    assert asked == [b"/data"]
    assert block["node_btrfs_device_size_bytes", frozenset(labels)] == 1000
    assert block["node_btrfs_device_unused_bytes", frozenset(labels)] == 600
    errors = {dict(key)["type"]: value for (name, key), value in block.items() if name.endswith("errors_total")}
    assert errors == {"write": 1, "read": 2, "flush": 3, "corruption": 4, "generation": 5}


def test_devices_of_a_mount_that_cannot_be_opened_have_their_size_from_sysfs(tmp_path: Path) -> None:
    block = series(collector(tmp_path, PermissionError(13, "Permission denied"), []).collect())
    labels = frozenset({("uuid", FIRST), ("device", "loop25")})
    assert block["node_btrfs_device_size_bytes", labels] == 20971520 * 512


def test_devices_are_found_by_number_over_gaps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(_: int, request: int, argument: bytearray) -> None:
        number = struct.unpack_from("=Q", argument)[0]
        if request == 0x8400941F:
            struct.pack_into("=QQ16s", argument, 0, 5, 2, bytes.fromhex(FIRST.replace("-", "")))
        elif number not in {1, 3}:
            raise OSError(19, "No such device")
        elif request == 0xD000941E:
            struct.pack_into("=16sQQ", argument, 8, bytes(15) + bytes([number]), 400, 1000)
            argument[3072:3082] = b"/dev/loop%d" % number
        else:
            struct.pack_into("=5Q", argument, 24, 1, 2, 3, 4, number)

    monkeypatch.setattr(btrfs.fcntl, "ioctl", answer)
    uuid, devices = btrfs.inspect(str(tmp_path).encode())
    assert uuid == FIRST
    assert [(device.name, device.total, device.used, device.errors[4]) for device in devices] == [
        ("loop1", 1000, 400, 1),
        ("loop3", 1000, 400, 3),
    ]
    assert devices[0].uuid == "00000000-0000-0000-0000-000000000001"
