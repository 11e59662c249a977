"""A local file system whose path leads through a mount that can hang can hold up whoever asks, too."""

from pathlib import Path

import pytest

from exporter.collectors.mounts import MountTable
from exporter.kernel import KernelFiles
from exporter.settings.collectors import FilesystemSettings

LINE = "{n} 1 8:{n} / {path} rw - {kind} dev{n} rw\n"
TREES = {
    "beneath nfs": ({"/": "ext4", "/home": "nfs4", "/home/a/disk": "xfs", "/homes": "xfs"}, {"/home", "/home/a/disk"}),
    "beneath one that is left out": ({"/": "ext4", "/mnt/x": "nfs", "/mnt/x/y": "ext4", "/srv": "ext4"}, set()),
    "beneath fuse of a kind that is left out": ({"/": "ext4", "/auto": "autofs", "/auto/x": "ext4"}, {"/auto/x"}),
    "in a container": ({"/": "overlay", "/data": "ext4", "/etc/hosts": "ext4"}, set()),
    "on a root that can hang": ({"/": "nfs4", "/data": "ext4"}, {"/", "/data"}),
}


@pytest.mark.parametrize(("tree", "hanging"), TREES.values(), ids=TREES)
def test_what_lies_beneath_a_mount_that_can_hang_can_hang(
    tmp_path: Path, tree: dict[str, str], hanging: set[str]
) -> None:
    (tmp_path / "1").mkdir()
    text = "".join(LINE.format(n=n, path=path, kind=kind) for n, (path, kind) in enumerate(tree.items(), 10))
    (tmp_path / "1" / "mountinfo").write_text(text)
    table = MountTable(KernelFiles(proc=tmp_path), FilesystemSettings())
    assert {mount.mount_point for mount in table.read() if mount.may_hang} == hanging
