"""The host's disks: how full, how soon full, how busy."""

from typing import Final

from grafana.board import Cell, Row
from grafana.marks import BAD, steps
from grafana.panels import bars, graph
from grafana.queries import ONE_HOST, Query, limit
from grafana.tables import Column, Label, table_of

USED: Final = f"instance_mountpoint:filesystem_usage_ratio:avg5m{{{ONE_HOST}}}"
# of the devices that file systems are on, not of their parts twice
DEVICES: Final = f'device!~"(loop|ram|zram|dm-).*",{ONE_HOST}'


def _by_mount(expression: str) -> str:
    return f"max by (mountpoint, device, fstype) ({expression})"


SPACE: Final = table_of(
    "File systems",
    "Space and inodes of each file system. 'Of threshold' is the share in use over the file system's own threshold: 100 % "
    "and more alerts. 'Full in' counts on the pace of the last 6 hours; it is empty while space is won or nothing is known.",
    [Label("mountpoint", "Mounted on"), Label("device", "Device"), Label("fstype", "Kind")],
    [
        Column("Size", _by_mount(f"node_filesystem_size_bytes{{{ONE_HOST}}}"), "bytes"),
        Column("Free", _by_mount(f"node_filesystem_avail_bytes{{{ONE_HOST}}}"), "bytes"),
        Column("In use", _by_mount(USED), "percentunit", gauge=True),
        Column(
            "Of threshold",
            _by_mount(f"{USED} / on (instance, mountpoint) group_left () host:threshold:disk_usage_ratio"),
            "percentunit",
            limit=1,
        ),
        Column("Full in", _by_mount(f"instance_mountpoint:filesystem_left_seconds:avg6h{{{ONE_HOST}}} >= 0"), "s"),
        Column(
            "Inodes",
            _by_mount(f"instance_mountpoint:filesystem_inode_usage_ratio:avg5m{{{ONE_HOST}}}"),
            "percentunit",
            gauge=True,
        ),
        Column(
            "Read-only",
            _by_mount(f"node_filesystem_readonly{{{ONE_HOST}}}"),
            words={"0": ("no", "text"), "1": ("⚠ read-only", "yellow")},
        ),
    ],
    sort="In use",
)

DISKS: Final = Row(
    "Disks",
    8,
    [
        Cell(16, SPACE),
        Cell(
            8,
            bars(
                "Nearest to its threshold",
                "Share in use of each file system over its own threshold: at 100 % HostDiskSpaceLow holds.",
                "percentunit",
                Query(
                    f"sort_desc({USED} / on (instance, mountpoint) group_left () host:threshold:disk_usage_ratio)",
                    "{{mountpoint}}",
                ),
                colors=steps((1, BAD)),
                top=1.2,
            ),
        ),
        Cell(
            8,
            graph(
                "Space in use",
                "Share of each file system that is in use; dashed: the lowest threshold of HostDiskSpaceLow.",
                "percentunit",
                Query(USED, "{{mountpoint}}"),
                limit(f"min(host:threshold:disk_usage_ratio{{{ONE_HOST}}})", "disk"),
                top=1,
            ),
        ),
        Cell(
            8,
            graph(
                "Read and written",
                "Bytes a second by device: read above zero, written below.",
                "binBps",
                Query(f"rate(node_disk_read_bytes_total{{{DEVICES}}}[$__rate_interval])", "{{device}} read"),
                Query(
                    f"rate(node_disk_written_bytes_total{{{DEVICES}}}[$__rate_interval])",
                    "{{device}} written",
                    negative=True,
                ),
            ),
        ),
        Cell(
            8,
            graph(
                "Busy",
                "Share of time in which a request was under way, over 5 minutes; dashed: the threshold of HostDiskIoSaturated.",
                "percentunit",
                Query(f"instance_device:disk_io_busy_ratio:rate5m{{{DEVICES}}}", "{{device}}"),
                limit(f"min(host:threshold:disk_io_busy_ratio{{{ONE_HOST}}})", "busy"),
                top=1,
            ),
        ),
        Cell(
            8,
            graph(
                "Requests",
                "Requests a second that were completed: reads above zero, writes below.",
                "iops",
                Query(f"rate(node_disk_reads_completed_total{{{DEVICES}}}[$__rate_interval])", "{{device}} reads"),
                Query(
                    f"rate(node_disk_writes_completed_total{{{DEVICES}}}[$__rate_interval])",
                    "{{device}} writes",
                    negative=True,
                ),
            ),
        ),
        Cell(
            8,
            graph(
                "Time per request",
                "How long a request took on average, waiting included.",
                "s",
                Query(
                    f"rate(node_disk_read_time_seconds_total{{{DEVICES}}}[$__rate_interval]) / (rate(node_disk_reads_completed_total{{{DEVICES}}}[$__rate_interval]) > 0)",
                    "{{device}} read",
                ),
                Query(
                    f"rate(node_disk_write_time_seconds_total{{{DEVICES}}}[$__rate_interval]) / (rate(node_disk_writes_completed_total{{{DEVICES}}}[$__rate_interval]) > 0)",
                    "{{device}} write",
                ),
            ),
        ),
        Cell(
            8,
            graph(
                "Queue",
                "Requests under way on average; dashed: the second condition of HostDiskIoSaturated.",
                "short",
                Query(f"rate(node_disk_io_time_weighted_seconds_total{{{DEVICES}}}[$__rate_interval])", "{{device}}"),
                limit(f"min(host:threshold:disk_io_queue_requests{{{ONE_HOST}}})", "queue"),
            ),
        ),
    ],
)
