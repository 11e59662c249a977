"""A network of the drill's own with one far host: `python -m exporter.drills.namespace ADDRESS PORT FILE INNER ...`.

Runs the command at the end in a new network namespace, where 192.0.2.2 (RFC 5737) is a host behind a TUN device: it
answers echo requests as FILE says, in JSON: `delay` in seconds, `loss` 0 to 1, `reads` packets a second at most (others
are dropped on the way); `sends` bytes a second are sent to it besides. The device says that it is one of 10 Mbit/s.
What listens on ADDRESS and PORT outside leads to port INNER inside. All of it goes when the process goes.
"""

import ctypes
import fcntl
import heapq
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

DEVICE: Final = "drill0"
OURS: Final = "192.0.2.1"
FAR_HOST: Final = "192.0.2.2"
SPEED_MBIT: Final = 10
# linux/if_tun.h, linux/sched.h, linux/mount.h, linux/prctl.h, linux/sockios.h, linux/ethtool.h
_TUNSETIFF: Final = 0x400454CA
_IFF_TUN_NO_PI: Final = 0x1001
_CLONE_NEWNET: Final = 0x40000000
_CLONE_NEWNS: Final = 0x00020000
_MS_REC_PRIVATE: Final = 0x4000 | 0x40000
_PR_SET_PDEATHSIG: Final = 1
_SIOCETHTOOL: Final = 0x8946
_ETHTOOL_SSET: Final = 2
# ethtool_cmd: command, supported, advertising, speed, duplex, port, and 24 bytes that stay zero
_SETTINGS: Final = struct.Struct("=IIIHBB28x")
_REQUEST: Final = struct.Struct("@16sP16x")  # ifreq
# in one piece: a burst of fragments would not fit the device's queue
_PACKET_BYTES: Final = 50_000
_MTU: Final = 60_000
# packets a second that go to the far host all the time, so that there is something to drop
_TRAFFIC: Final = 50
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def answer_to(packet: bytes) -> bytes | None:
    """Return the echo reply to an IPv4 echo request; None for other packets."""
    head = (packet[0] & 15) * 4
    if packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_ICMP or packet[head] != 8:
        return None
    # the type falls from 8 to 0; in one's complement the sum rises by as much (RFC 1624)
    total = struct.unpack_from("!H", packet, head + 2)[0] + 0x0800
    total = (total & 0xFFFF) + (total >> 16)
    reply = struct.pack("!BBH", 0, 0, total) + packet[head + 4 :]
    return packet[:12] + packet[16:20] + packet[12:16] + packet[20:head] + reply


def how(file: Path) -> dict[str, Any]:
    """Return what the file says; nothing while it is not there, or half there."""
    with suppress(OSError, ValueError):
        found: dict[str, Any] = json.loads(file.read_text())
        return found
    return {}


class FarHost:
    """What answers at the other end of the device."""

    def __init__(self, device: int, file: Path) -> None:
        self._device, self._file = device, file
        self._queue: list[tuple[float, int, bytes]] = []
        self._heard = 0
        self._debt = 0.0

    def live(self) -> None:
        """Answer for ever."""
        while True:
            patience = max(0.0, self._queue[0][0] - time.monotonic()) if self._queue else None
            if select.select([self._device], [], [], patience)[0]:
                self._hear(how(self._file))
            while self._queue and self._queue[0][0] <= time.monotonic():
                os.write(self._device, heapq.heappop(self._queue)[2])

    def _hear(self, told: dict[str, Any]) -> None:
        reply = answer_to(os.read(self._device, 65535))
        if told.get("reads"):
            time.sleep(1 / told["reads"])
        if reply is None:
            return
        self._heard += 1
        self._debt += told.get("loss", 0.0)
        if self._debt >= 1:  # evenly, so that no luck is in it
            self._debt -= 1
            return
        heapq.heappush(self._queue, (time.monotonic() + told.get("delay", 0.0), self._heard, reply))


def open_device() -> int:
    """Return the device of a network of our own; everything of this process is in it from now on. Raises OSError."""
    if _LIBC.unshare(_CLONE_NEWNET | _CLONE_NEWNS) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"a network of its own: {os.strerror(number)}")
    # /sys shows the network of whoever mounted it; where this may not be, only link-saturated misses it
    _LIBC.mount(b"none", b"/", None, _MS_REC_PRIVATE, None)
    _LIBC.mount(b"sysfs", b"/sys", b"sysfs", 0, None)
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH", DEVICE.encode(), _IFF_TUN_NO_PI))
    with suppress(OSError):  # a kernel before 4.18: its TUN devices are of this speed anyway
        _say_speed()
    for command in (
        f"address add {OURS}/30 dev {DEVICE}",
        f"link set {DEVICE} txqueuelen 20 mtu {_MTU} up",
        "link set lo up",
    ):
        subprocess.run(["ip", *command.split()], check=True)  # noqa: S607 -- as the path has it
    return device


def _say_speed() -> None:
    """Let the device say the same speed on every kernel: newer ones call it one of 10 Gbit/s. Raises OSError."""
    settings = ctypes.create_string_buffer(_SETTINGS.pack(_ETHTOOL_SSET, 0, 0, SPEED_MBIT, 1, 0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = _REQUEST.pack(DEVICE.encode(), ctypes.addressof(settings))
        fcntl.ioctl(any_socket, _SIOCETHTOOL, request)


def forward(listener: socket.socket, inner: int) -> None:
    """Lead each connection from outside to a port inside, for ever."""
    while True:
        outside, _ = listener.accept()
        inside = socket.socket()
        try:
            inside.connect(("127.0.0.1", inner))
        except OSError:
            outside.close()
            inside.close()
            continue
        for one, other in ((outside, inside), (inside, outside)):
            threading.Thread(target=_copy, args=(one, other), daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _chatter(file: Path) -> None:
    """Send small packets to the far host for ever, and large ones where it is told to; it has no use for them."""
    due = time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as talk:
        while True:
            size, rate = 5, _TRAFFIC
            if wanted := how(file).get("sends"):
                size, rate = _PACKET_BYTES, wanted / _PACKET_BYTES
            with suppress(OSError):  # the queue is full: that is what it is for
                talk.sendto(bytes(size), (FAR_HOST, 9))
            # by the clock: what a sleep takes longer must not make it less; what stood still is not made up for
            due = max(due + 1 / rate, time.monotonic() - 1)
            time.sleep(max(0.0, due - time.monotonic()))


def listen(address: str, port: int) -> socket.socket:
    """Return what takes connections where Prometheus is told to ask. Raises OSError for an address of others."""
    return socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET)


def main(listener: socket.socket, file: Path, inner: int, command: list[str]) -> None:
    """Make the network, start the command in it, and be the far host. Ends with the command's parent's signal only."""
    device = open_device()
    leash = lambda: _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # noqa: E731 -- for the child
    subprocess.Popen(command, preexec_fn=leash)  # noqa: PLW1509 -- there are no threads yet
    threading.Thread(target=forward, args=(listener, inner), daemon=True).start()
    threading.Thread(target=_chatter, args=(file,), daemon=True).start()
    FarHost(device, file).live()


if __name__ == "__main__":
    main(listen(sys.argv[1], int(sys.argv[2])), Path(sys.argv[3]), int(sys.argv[4]), sys.argv[5:])
