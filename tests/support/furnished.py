"""Compare the three exporters in a machine that has more in it: python -m tests.support.furnished FOLDER.

Started as process 1 of mount, network and process namespaces of its own (`unshare`): what it mounts and plugs in goes
with it. Prints the figures; exit code 1 and what differs, if anything does.
"""

import re
import subprocess
import sys
from pathlib import Path

from tests.support.parity import Trio, report, running_with_textfiles
from tests.support.peer import families_in

# two cables, of which one is plugged in on one side only, and a bridge
COMMANDS = (
    "mount -t sysfs sysfs /sys",
    "ip link set lo up",
    "ip link add hw0 type veth peer name hw1",
    "ip link add hw2 type veth peer name hw3",
    "ip link add hw4 type bridge",
    "ip address add 10.99.77.1/24 dev hw0",
    "ip link set hw0 up",
    "ip link set hw1 up",
    "ip link set hw2 up",
    "ip link set hw4 mtu 1400 up",
    "truncate -s 16M {0}/disk",
    "mkfs.ext4 -q -m 5 {0}/disk",
    "mkdir {0}/mounted {0}/bound {0}/read-only",
    "mount -o loop {0}/disk {0}/mounted",
    "truncate -s 1M {0}/mounted/file",
    "mount --bind {0}/mounted {0}/bound",
    "mount --bind {0}/mounted {0}/read-only",
    "mount -o remount,bind,ro {0}/read-only",
)
TEXTS = {
    "good.prom": "# HELP backup_age_seconds Since the last.\n# TYPE backup_age_seconds gauge\nbackup_age_seconds 12\n",
    "untyped.prom": 'jobs_left{queue="a b",note="x \\\\ \\" y"} 3\n',
    "counted.prom": "# TYPE jobs_total counter\njobs_total 7\n",
    "later.prom": '# HELP jobs_total Jobs, in other words.\n# TYPE jobs_total counter\njobs_total{queue="late"} 1\n',
    "broken.prom": "this is { no metric\n",
    "not-read.txt": "nothing 1\n",
}
SEEN = (
    r'^node_network_mtu_bytes\{device="hw4"\} 1400$',
    r'^node_filesystem_size_bytes\{.*mountpoint="\S+/mounted"\} \d\S+$',
    r'^node_filesystem_size_bytes\{.*mountpoint="\S+/bound"\} \d\S+$',
    r'^node_filesystem_readonly\{.*mountpoint="\S+/read-only"\} 1$',
    r'^node_textfile_mtime_seconds\{file="\S+/good.prom"\} \S+$',
    r"^node_textfile_scrape_error 1$",
    r"^backup_age_seconds 12$",
)


def furnish(folder: Path) -> Path:
    """Plug in, mount and write what a machine may have; return the folder of text files."""
    for command in COMMANDS:
        subprocess.run(command.format(folder).split(), check=True)
    texts = folder / "texts"
    texts.mkdir()
    for name, text in TEXTS.items():
        (texts / name).write_text(text)
    return texts


def unseen(trio: Trio) -> list[str]:
    """Return what should be on each page, and is not: both sides could be wrong."""
    pages = {**{version: exporter.page() for version, exporter in trio.theirs.items()}, "ours": trio.ours.page()}
    return [
        f"{who} lacks {row}"
        for who, page in pages.items()
        for row in SEEN
        if not re.search(row, page.decode(), re.MULTILINE)
    ]


def main() -> int:
    folder = Path(sys.argv[1])
    with running_with_textfiles(furnish(folder), folder / "settings.yml") as trio:
        problems = [*report(trio), *unseen(trio)]
        print(len(families_in(trio.ours.page())), "families of ours")
    print(*problems, sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
