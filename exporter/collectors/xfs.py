"""Counters of XFS file systems (/sys/fs/xfs)."""

from collections.abc import Iterator
from typing import ClassVar, Final

from exporter.collectors.sysfs import Sample, SysfsCollector, list_entries, read_attribute
from exporter.exposition import Family
from exporter.kernel import KernelError

# per line of the file that is exposed: its fields in order, and what each counts
# (fs/xfs/xfs_stats.h; xfs.org, Runtime Stats); newer kernels append fields
_LINES: Final = {
    b"extent_alloc": (
        ("extent_allocation_extents_allocated", "Extents allocated"),
        ("extent_allocation_blocks_allocated", "Blocks allocated"),
        ("extent_allocation_extents_freed", "Extents freed"),
        ("extent_allocation_blocks_freed", "Blocks freed"),
    ),
    b"abt": (
        ("allocation_btree_lookups", "Look-ups in the allocation B-tree"),
        ("allocation_btree_compares", "Comparisons in the allocation B-tree"),
        ("allocation_btree_records_inserted", "Records put into the allocation B-tree"),
        ("allocation_btree_records_deleted", "Records taken out of the allocation B-tree"),
    ),
    b"blk_map": (
        ("block_mapping_reads", "Block maps made for reading"),
        ("block_mapping_writes", "Block maps made for writing"),
        ("block_mapping_unmaps", "Blocks unmapped"),
        ("block_mapping_extent_list_insertions", "Extents put into extent lists"),
        ("block_mapping_extent_list_deletions", "Extents taken out of extent lists"),
        ("block_mapping_extent_list_lookups", "Look-ups in extent lists"),
        ("block_mapping_extent_list_compares", "Comparisons in extent lists"),
    ),
    b"bmbt": (
        ("block_map_btree_lookups", "Look-ups in the block map B-tree"),
        ("block_map_btree_compares", "Comparisons in the block map B-tree"),
        ("block_map_btree_records_inserted", "Records put into the block map B-tree"),
        ("block_map_btree_records_deleted", "Records taken out of the block map B-tree"),
    ),
    b"dir": (
        ("directory_operation_lookup", "File names looked up that the kernel's cache did not know"),
        ("directory_operation_create", "Directory entries made"),
        ("directory_operation_remove", "Directory entries removed"),
        ("directory_operation_getdents", "Calls that list a directory"),
    ),
    b"ig": (
        ("inode_operation_attempts", "Inodes looked for in the cache"),
        ("inode_operation_found", "Inodes found in the cache"),
        ("inode_operation_recycled", "Inodes found in the cache that were being reclaimed"),
        ("inode_operation_missed", "Inodes not found in the cache"),
        ("inode_operation_duplicates", "Inodes that another task put into the cache first"),
        ("inode_operation_reclaims", "Inodes reclaimed"),
        ("inode_operation_attribute_changes", "Changes of inode attributes"),
    ),
    b"rw": (("write_calls", "Calls of write(2)"), ("read_calls", "Calls of read(2)")),
    b"vnodes": (
        ("vnode_active", "Vnodes not on free lists"),
        ("vnode_allocate", "Calls of vn_alloc"),
        ("vnode_get", "Calls of vn_get"),
        ("vnode_hold", "Calls of vn_hold"),
        ("vnode_release", "Calls of vn_rele"),
        ("vnode_reclaim", "Calls of vn_reclaim"),
        ("vnode_remove", "Calls of vn_remove"),
    ),
}
COUNTERS: Final = {
    line: tuple(
        Family(
            f"node_xfs_{name}_total",
            "counter",
            f"{text} (/sys/fs/xfs/DEVICE/stats/stats, {line.decode()}).",
            ("device",),
        )
        for name, text in fields
    )
    for line, fields in _LINES.items()
}


class Xfs(SysfsCollector):
    """Counters of each mounted XFS file system: the kernel's own digits, from its memory."""

    name: ClassVar[str] = "xfs"
    families: ClassVar[tuple[Family, ...]] = tuple(family for line in COUNTERS.values() for family in line)
    root: ClassVar[str] = "sys/fs/xfs"
    asks_drivers: ClassVar[bool] = False
    needs_root: ClassVar[bool] = False

    def samples(self) -> Iterator[Sample]:
        """Yield each file system's rows. Raises KernelError naming the file that is not as the kernel writes it."""
        for device in list_entries(self._root):
            path = f"{self._root}/{device}/stats/stats"
            text = read_attribute(path)
            if text is not None:
                for family, value in parse_stats(text, path):
                    yield family, (device,), value


def parse_stats(text: bytes, path: str) -> Iterator[tuple[Family, bytes]]:
    """Yield what a stats file counts, as its own digits. Raises KernelError naming the file and the line.

    The last line of every kernel's file is `debug` or one that newer kernels put around it: whole lines are all that
    tells a file cut short.
    """
    if not text.endswith(b"\n"):
        raise KernelError(f"{path}: cut short: {text[-80:]!r}")
    for line in text[:-1].split(b"\n"):
        name, *values = line.split(b" ")
        families = COUNTERS.get(name)
        if families is not None:
            if len(values) < len(families) or not all(map(bytes.isdigit, values)):
                raise KernelError(f"{path}: expected {len(families)} counters, got {line[:80]!r}")
            yield from zip(families, values, strict=False)
