"""Block devices: counters in base units, devices that come and go, and what udev and sysfs know about them."""

import os
import time
from pathlib import Path

import pytest

from exporter.collector import NoData
from exporter.collectors.devices import DeviceFilter
from exporter.collectors.disk_info import REFRESH_SECONDS, Disk, DiskInfo, parse_udev, render
from exporter.collectors.diskstats import COLUMNS, DiskStats, parse_disk
from exporter.kernel import KernelError, KernelFiles
from exporter.settings.values import Regex
from tests.support.kernel import collect, rows_of
from tests.support.kernel_trees import DISKS, TreeFiles

NOWHERE = Path("/nonexistent/udev")


def line(name: str, first: int, count: int = 17, major: int = 8, minor: int = 0) -> bytes:
    counters = " ".join(str(first + n) for n in range(count))
    return f" {major:3d} {minor:7d} {name} {counters}\n".encode()


def wanted(name: str, first: int, count: int = 17) -> dict[str, float]:
    values = [float(first + n) for n in range(count)]
    for column, family in enumerate(COLUMNS[:count]):
        if "_bytes_" in family.name:
            values[column] *= 512
        if "_seconds_" in family.name:
            values[column] /= 1000
    return {f'{family.name}{{device="{name}"}}': value for family, value in zip(COLUMNS, values, strict=False)}


def counters(text: bytes) -> dict[str, float]:
    return {key: value for key, value in rows_of(text) if not key.startswith("node_disk_info")}


def scrape(collector: DiskStats, files: TreeFiles, *lines: bytes) -> dict[str, float]:
    files.contents["proc/diskstats"] = b"".join(lines)
    return counters(collect(collector))


def fresh(devices: DeviceFilter = DISKS) -> tuple[DiskStats, TreeFiles]:
    files = TreeFiles({})
    return DiskStats(files, devices, NOWHERE), files


@pytest.mark.parametrize("count", [11, 15, 17], ids=["before 4.18", "with discards", "with flushes, 5.5"])
def test_each_kernel_has_the_rows_that_it_counts_and_no_zeros_for_the_rest(count: int) -> None:
    collector, files = fresh()
    assert scrape(collector, files, line("sda", 1000, count)) == wanted("sda", 1000, count)


def test_columns_that_a_later_kernel_adds_are_left_out() -> None:
    collector, files = fresh()
    assert scrape(collector, files, line("sda", 1000, 20)) == wanted("sda", 1000)


def test_sectors_are_bytes_of_512_and_milliseconds_seconds() -> None:
    values = parse_disk(b"8 0 sda 1 2 3 4 5 6 7 8 9 10 4294967295", 11)
    assert values == [b"1", b"2", b"1536", b"0.004", b"5", b"6", b"3584", b"0.008", b"9", b"0.01", b"4294967.295"]


@pytest.mark.parametrize("counters", ["", "1 2 3", "1 " * 10, "1 " * 12, "1 " * 10 + "x", "1 " * 10 + "-1"], ids=repr)
def test_line_without_its_counters_is_an_error(counters: str) -> None:
    collector, files = fresh()
    with pytest.raises(KernelError, match=r"^proc/diskstats: expected"):
        scrape(collector, files, f"   8       0 sda {counters}\n".encode())


def test_partition_of_an_old_kernel_with_four_other_counters_is_left_out() -> None:
    collector, files = fresh(DeviceFilter())
    assert scrape(collector, files, line("sda", 1, 11), b"   8    1 sda1 1 2 3 4\n") == wanted("sda", 1, 11)


def test_machine_without_block_devices_is_no_data() -> None:
    collector, files = fresh()
    with pytest.raises(NoData):
        scrape(collector, files)


@pytest.mark.parametrize(
    "scrapes",
    [
        pytest.param([[("sda", 1)], [("sda", 2), ("sdb", 5)], [("sda", 2), ("sdb", 6)]], id="one appears"),
        pytest.param([[("sda", 1), ("sdb", 5)], [("sdb", 6)]], id="one goes"),
        pytest.param([[("sda", 1), ("sdb", 5)], [("sdb", 5), ("sda", 1)]], id="places change"),
        pytest.param([[("sda", 9)], [("sda", 0)]], id="made anew with lower counters"),
        pytest.param([[("sda", 9)], [("sdx", 9)]], id="renamed"),
    ],
)
def test_each_scrape_shows_the_devices_of_its_moment(scrapes: list[list[tuple[str, int]]]) -> None:
    collector, files = fresh()
    for disks in scrapes:
        rows = {key: value for name, first in disks for key, value in wanted(name, first).items()}
        assert scrape(collector, files, *(line(name, first) for name, first in disks)) == rows


def test_device_that_stands_twice_while_the_list_changes_has_one_row() -> None:
    collector, files = fresh()
    assert scrape(collector, files, line("sda", 1), line("sdb", 2), line("sda", 3)) == wanted("sda", 3) | wanted(
        "sdb", 2
    )


@pytest.mark.parametrize("name", ["ram0", "loop7", "fd0", "sda1", "hdb12", "vda1", "xvda15", "nvme0n1p2"])
def test_default_settings_leave_out_what_node_exporter_leaves_out(name: str) -> None:
    collector, files = fresh()
    assert scrape(collector, files, line("sda", 1), line(name, 2)) == wanted("sda", 1)


@pytest.mark.parametrize("name", ["vda", "nvme0n1", "zram0", "dm-0", "md127", "mmcblk0p1", "sr0", "loop", "xsda1"])
def test_default_settings_show_what_node_exporter_shows(name: str) -> None:
    collector, files = fresh()
    assert scrape(collector, files, line(name, 2)) == wanted(name, 2)


def test_device_left_out_is_not_even_looked_at() -> None:
    collector, files = fresh(DeviceFilter(include=Regex("sda")))
    assert scrape(collector, files, line("sda", 1), b"   8    1 bad 1 2 3 4 5 x\n") == wanted("sda", 1)


def test_counter_file_is_read_when_asked_whether_it_blocks_and_not_twice() -> None:
    collector, files = fresh()
    files.contents["proc/diskstats"] = line("sda", 1)
    first = collector.blocking
    files.contents["proc/diskstats"] = line("sda", 2)
    assert counters(collector.collect()) == wanted("sda", 1)
    assert (first, collector.blocking) == (True, False)
    assert counters(collector.collect()) == wanted("sda", 2)
    assert counters(collector.collect()) == wanted("sda", 2)


# ---- what is known about a device


@pytest.mark.parametrize(
    ("text", "properties"),
    [
        pytest.param(b"S:disk/by-id/x\nE:ID_MODEL=Q E\nE:A=b=c\n", {"ID_MODEL": "Q E", "A": "b=c"}, id="properties"),
        pytest.param(b"E:ID_MODEL=QEMU\nE:ID_SERI=1", {"ID_MODEL": "QEMU"}, id="last line cut short"),
        pytest.param(b"E:A\nE:\nX\n\n", {}, id="nothing of the kind"),
        pytest.param(b"E:A=\xff\n", {"A": "\\xff"}, id="broken UTF-8"),
    ],
)
def test_properties_are_the_lines_that_begin_with_e(text: bytes, properties: dict[str, str]) -> None:
    assert parse_udev(text) == properties


SDA = Disk("sda", 8, 0)


def info(**udev: str) -> dict[str, float]:
    return dict(rows_of(render([(SDA, udev, "")])))


EMPTY_INFO = (
    'node_disk_info{device="sda",major="8",minor="0",model="",path="",revision="",rotational="",serial="",wwn=""}'
)


@pytest.mark.parametrize(
    ("udev", "rows"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"ID_FS_USAGE": "filesystem"}, {}, id="no type, no file system"),
        pytest.param(
            {"ID_FS_TYPE": "xfs", "ID_FS_UUID": "u"},
            {'node_disk_filesystem_info{device="sda",type="xfs",usage="",uuid="u",version=""}': 1},
            id="file system",
        ),
        pytest.param(
            {"DM_NAME": "v-r", "DM_VG_NAME": "v", "DM_LV_NAME": "r"},
            {'node_disk_device_mapper_info{device="sda",lv_layer="",lv_name="r",name="v-r",uuid="",vg_name="v"}': 1},
            id="device mapper",
        ),
        pytest.param(
            {
                "ID_ATA": "1",
                "ID_ATA_WRITE_CACHE": "1",
                "ID_ATA_WRITE_CACHE_ENABLED": "0",
                "ID_ATA_ROTATION_RATE_RPM": "7200",
            },
            {
                'node_disk_ata_write_cache{device="sda"}': 1,
                'node_disk_ata_write_cache_enabled{device="sda"}': 0,
                'node_disk_ata_rotation_rate_rpm{device="sda"}': 7200,
            },
            id="ATA",
        ),
        pytest.param(
            {"ID_ATA": "1", "ID_ATA_WRITE_CACHE": "yes", "ID_ATA_ROTATION_RATE_RPM": ""}, {}, id="ATA, no numbers"
        ),
        pytest.param({"ID_ATA_WRITE_CACHE": "1"}, {}, id="no ATA"),
    ],
)
def test_what_udev_tells_becomes_rows_and_what_it_does_not_tell_none(
    udev: dict[str, str], rows: dict[str, float]
) -> None:
    assert info(**udev) == {EMPTY_INFO: 1} | rows


@pytest.mark.parametrize(
    ("udev", "serial"),
    [
        ({"SCSI_IDENT_SERIAL": "printed", "ID_SERIAL_SHORT": "short"}, "printed"),
        ({"SCSI_IDENT_SERIAL": "", "ID_SERIAL_SHORT": "short"}, "short"),
        ({"ID_SERIAL_SHORT": "short"}, "short"),
    ],
    ids=["printed on the disk", "that one empty", "short"],
)
def test_serial_is_the_one_printed_on_the_disk_where_it_is_known(udev: dict[str, str], serial: str) -> None:
    assert list(info(**udev)) == [EMPTY_INFO.replace('serial=""', f'serial="{serial}"')]


class Machine:
    """A sysfs and a folder of udev in a temporary folder, with clocks that a test moves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.udev = folder / "udev"
        self.now = 0.0
        self.reads = 0
        self.disks = [SDA]
        self.put("sys/block/sda/queue/rotational", "1\n")
        self.info = DiskInfo(KernelFiles(folder / "proc", folder / "sys"), self.udev, lambda: self.now, self.wall)

    def wall(self) -> int:
        # all that was written before is long settled
        return time.time_ns() + 60 * 10**9

    def put(self, name: str, text: str) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_name(".#new")
        new.write_text(text)
        new.rename(file)

    def block(self) -> str:
        if self.info.is_stale(self.disks):
            self.reads += 1
            self.info.read(self.disks)
        return self.info.block.decode()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_nothing_is_read_again_while_nothing_changes(machine: Machine) -> None:
    machine.put("udev/b8:0", "E:ID_MODEL=old\n")
    for _ in range(5):
        assert 'model="old"' in machine.block()
    assert machine.reads == 1


def test_change_by_udev_shows_at_once(machine: Machine) -> None:
    assert 'model=""' in machine.block()
    machine.put("udev/b8:0", "E:ID_MODEL=one\n")
    assert 'model="one"' in machine.block()
    machine.put("udev/b8:0", "E:ID_MODEL=two\n")
    os.utime(machine.udev, ns=(1, 1))
    assert 'model="two"' in machine.block()
    (machine.udev / "b8:0").unlink()
    assert 'model=""' in machine.block()


def test_folder_changed_a_moment_ago_is_read_again_since_its_clock_is_coarse(machine: Machine) -> None:
    machine.put("udev/b8:0", "E:ID_MODEL=one\n")
    machine.info._wall_clock_ns = time.time_ns
    for _ in range(3):
        machine.block()
    assert machine.reads == 3


def test_what_was_written_to_sysfs_by_hand_shows_after_a_while(machine: Machine) -> None:
    assert 'rotational="1"' in machine.block()
    machine.put("sys/block/sda/queue/rotational", "0\n")
    assert 'rotational="1"' in machine.block()
    machine.now += REFRESH_SECONDS
    assert 'rotational="0"' in machine.block()
    assert machine.reads == 2


def test_another_set_of_devices_is_read_at_once(machine: Machine) -> None:
    machine.block()
    machine.disks = [SDA, Disk("sdb", 8, 16)]
    assert 'device="sdb"' in machine.block()
    machine.disks = [Disk("sda", 9, 0)]
    assert 'major="9"' in machine.block()


@pytest.mark.parametrize("text", ["", "1", "2\n", "yes\n"], ids=repr)
def test_queue_that_does_not_tell_leaves_the_label_empty(machine: Machine, text: str) -> None:
    machine.put("sys/block/sda/queue/rotational", text)
    assert 'rotational=""' in machine.block()


def test_partition_turns_as_its_disk_does(machine: Machine) -> None:
    machine.put("sys/devices/sda/queue/rotational", "1\n")
    (machine.folder / "sys/devices/sda/sda1").mkdir(parents=True)
    (machine.folder / "sys/class/block").mkdir(parents=True)
    (machine.folder / "sys/class/block/sda1").symlink_to("../../devices/sda/sda1")
    machine.disks = [Disk("sda1", 8, 1)]
    assert 'rotational="1"' in machine.block()


def test_slash_in_a_name_is_an_exclamation_mark_in_sysfs(machine: Machine) -> None:
    machine.put("sys/block/cciss!c0d0/queue/rotational", "1\n")
    machine.disks = [Disk("cciss/c0d0", 104, 0)]
    assert 'device="cciss/c0d0"' in machine.block()
    assert 'rotational="1"' in machine.block()


@pytest.mark.parametrize("name", ["..", "../../secret", "a\0b", '"\\\n'], ids=repr)
def test_odd_name_is_a_label_and_no_way_out_of_sysfs(machine: Machine, name: str) -> None:
    machine.put("queue/rotational", "1\n")
    machine.put("sys/queue/rotational", "1\n")
    machine.disks = [Disk(name, 1, 1)]
    assert len(rows_of(machine.block().encode())) == 1
    assert 'rotational=""' in machine.block()


@pytest.mark.parametrize("what", ["folder", "pipe", "too large"])
def test_strange_file_of_udev_tells_nothing_and_holds_nobody_up(machine: Machine, what: str) -> None:
    machine.put("udev/b8:1", "")
    file = machine.udev / "b8:0"
    match what:
        case "folder":
            file.mkdir()
        case "pipe":
            os.mkfifo(file)
        case "too large":
            file.write_text("E:ID_MODEL=x\n" * 10000)
    assert 'model=""' in machine.block()
