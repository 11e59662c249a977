"""netclass against the kernel: in a network namespace of its own, every told change shows at once."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# lo of a new namespace is down, and is ours to change; the sysfs mounted there shows that namespace
CHILD = """
import ctypes, fcntl, os, socket, struct, sys
from exporter.collectors import netclass
from exporter.collectors.netclass import NetClass, read_files, render
from exporter.kernel import KernelFiles
from exporter.settings import Regex

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWNET, MS_REC_PRIVATE = 0x20000, 0x40000000, 0x4000 | 1 << 18
SIOCSIFFLAGS, SIOCSIFMTU, SIOCSIFTXQLEN = 0x8914, 0x8922, 0x8943
assert libc.unshare(CLONE_NEWNS | CLONE_NEWNET) == 0
assert libc.mount(b"none", b"/", b"none", MS_REC_PRIVATE, None) == 0
assert libc.mount(b"sysfs", b"/sys", b"sysfs", 0, None) == 0
control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
collector = NetClass(KernelFiles(), Regex("^$"))

def compare(change):
    blocking = collector.blocking
    page = collector.collect()
    files = {name: read_files("/sys/class/net", name, netclass._FILES) for name in os.listdir("/sys/class/net")}
    assert page == render(dict(sorted(files.items()))), change
    assert collector._is_current, "by rtnetlink, not by files"
    return blocking

assert compare("first")
assert not compare("nothing")
for change, request, value in (
    ("up", SIOCSIFFLAGS, struct.pack("h", 0x49)),
    ("mtu", SIOCSIFMTU, struct.pack("i", 1400)),
    ("queue", SIOCSIFTXQLEN, struct.pack("i", 77)),
    ("promiscuous", SIOCSIFFLAGS, struct.pack("h", 0x149)),
    ("down", SIOCSIFFLAGS, struct.pack("h", 0x8)),
):
    fcntl.ioctl(control, request, b"lo".ljust(16, b"\\0") + value.ljust(24, b"\\0"))
    assert compare(change), change
    assert not compare(change), change
for count in range(500):  # more changes than the socket holds
    fcntl.ioctl(control, SIOCSIFMTU, b"lo".ljust(16, b"\\0") + struct.pack("i", 1300 + count).ljust(24, b"\\0"))
assert compare("many")
assert not compare("many")
"""


@pytest.mark.needs("linux", "root")
def test_each_told_change_shows_at_once_and_silence_costs_nothing() -> None:
    command = [sys.executable, "-c", CHILD]
    child = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert child.returncode == 0, child.stderr
