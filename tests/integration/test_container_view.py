"""The exporter in a container that watches its host: trees of the host are elsewhere, and nothing of ours shows."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.client import scrape
from tests.support.exporter import exporter_running
from tests.support.hosts import HOSTS

HOST = HOSTS / "debian12-vm-6.18"
HEADING = (HOST / "proc/net/dev").read_bytes().splitlines(keepends=True)[:2]


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A host's root below a folder of ours, as it would be mounted into a container."""
    root = Path(shutil.copytree(HOST, tmp_path / "host"))
    (root / "run/udev").mkdir(parents=True)
    (root / "etc/hostname").write_text("the-host\n")
    # process 1 of the host is in the host's network; what our own /proc/net would be is the container's
    (root / "proc/1/net").mkdir()
    (root / "proc/1/net/dev").write_bytes(b"".join(HEADING) + b"  lan0: " + b" ".join([b"7"] * 16) + b"\n")
    (root / "proc/net/dev").write_bytes(b"".join(HEADING) + b"  veth: " + b" ".join([b"1"] * 16) + b"\n")
    (root / "srv").mkdir()
    mounts = ("1 0 8:1 / / rw - ext4 /dev/sda1 rw", "2 1 8:2 / /srv ro - ext4 /dev/sda2 rw")
    (root / "proc/1/mountinfo").write_text("\n".join((*mounts, "3 1 8:3 / /gone rw - xfs /dev/sda3 rw\n")))
    return root


def arguments(host: Path) -> list[str]:
    return [f"--path.procfs={host}/proc", f"--path.sysfs={host}/sys", f"--path.rootfs={host}"]


def values(page: str, family: str) -> dict[str, str]:
    return dict(re.findall(rf"^{family}(?:{{(.*)}})? (\S+)$", page, re.MULTILINE))


def test_page_tells_of_the_host(host: Path) -> None:
    with exporter_running(*arguments(host)) as child:
        page = scrape(child.port)
    assert set(values(page, "node_network_receive_bytes_total")) == {'device="lan0"'}
    assert 'nodename="the-host"' in page
    assert 'pretty_name="Debian GNU/Linux 12 (bookworm)"' in page
    assert values(page, "node_load1")[""] == (HOST / "proc/loadavg").read_text().split()[0]
    labels = 'device="/dev/{}",fstype="{}",mountpoint="{}"'
    root, srv, gone = (
        labels.format(*mount) for mount in (("sda1", "ext4", "/"), ("sda2", "ext4", "/srv"), ("sda3", "xfs", "/gone"))
    )
    assert values(page, "node_filesystem_device_error") == {root: "0", srv: "0", gone: "1"}
    assert values(page, "node_filesystem_readonly") == {root: "0", srv: "1"}
    assert set(values(page, "node_filesystem_size_bytes")) == {root, srv}
    assert "/host/" not in page


def test_settings_file_and_command_line_say_the_same(host: Path, tmp_path: Path) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text(f"paths: {{procfs: {host}/proc, sysfs: {host}/sys, rootfs: {host}}}\n")
    with exporter_running("--config", str(file)) as child:
        page = scrape(child.port)
    assert 'nodename="the-host"' in page
    assert set(values(page, "node_network_receive_bytes_total")) == {'device="lan0"'}


def test_path_that_depends_on_the_folder_is_refused() -> None:
    command = [sys.executable, "-m", "exporter", "serve", "--listen", "127.0.0.1:0", "--path.procfs", "host/proc"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "paths.procfs: expected a path from the root, such as /host/proc" in done.stderr
