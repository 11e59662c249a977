"""Hosts behind a TUN device that answer echo requests as they are told: python tunhost.py '{"10.99.0.20": {...}}'

Runs as root in a network namespace, which it gives the device lat0 (10.99.0.1/24, fd99::1/64). Each host has `delay`
and `jitter` in seconds, `loss` 0 to 1, and may behave: `twice` (each answer two times), `stranger` (answers from
another address), `garbled` (answers with other content), `error` (a [type, code] of ICMP instead of an answer).
Prints "ready"; for every line of input a line of JSON: requests seen and answers written, by host.
"""

import fcntl
import heapq
import json
import os
import random
import select
import socket
import struct
import sys
import time
from typing import Any, NamedTuple

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
ROUTERS = {4: "10.99.0.254", 6: "fd99::fe"}
STRANGERS = {4: "10.99.0.253", 6: "fd99::fd"}


class Request(NamedTuple):
    """An echo request as it came."""

    version: int
    source: bytes
    destination: bytes
    body: bytes
    """From the ICMP header on."""
    packet: bytes

    @property
    def host(self) -> str:
        return socket.inet_ntop(socket.AF_INET if self.version == 4 else socket.AF_INET6, self.destination)


def parse(packet: bytes) -> Request | None:
    """Return the echo request that a packet is; None for anything else."""
    version = packet[0] >> 4
    if version == 4 and packet[9] == socket.IPPROTO_ICMP:
        request = Request(4, packet[12:16], packet[16:20], packet[(packet[0] & 15) * 4 :], packet)
        return request if request.body[0] == 8 else None
    if version == 6 and packet[6] == socket.IPPROTO_ICMPV6:
        request = Request(6, packet[8:24], packet[24:40], packet[40:], packet)
        return request if request.body[0] == 128 else None
    return None


def summed(data: bytes) -> int:
    """Return the Internet checksum of some bytes."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def wrap(version: int, source: bytes, destination: bytes, message: bytes) -> bytes:
    """Return a packet around an ICMP message whose checksum is still 0."""
    if version == 4:
        message = message[:2] + struct.pack("!H", summed(message)) + message[4:]
        header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(message), 0, 0, 64, 1, 0, source, destination)
        return header[:10] + struct.pack("!H", summed(header)) + header[12:] + message
    pseudo = source + destination + struct.pack("!II", len(message), socket.IPPROTO_ICMPV6)
    message = message[:2] + struct.pack("!H", summed(pseudo + message)) + message[4:]
    return struct.pack("!IHBB", 6 << 28, len(message), socket.IPPROTO_ICMPV6, 64) + source + destination + message


def pack(version: int, address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET if version == 4 else socket.AF_INET6, address)


def answers(request: Request, host: dict[str, Any]) -> list[bytes]:
    """Return what a host says to a request."""
    version = request.version
    if error := host.get("error"):
        quoted = request.packet[: 28 if version == 4 else 48]  # as little as RFC 792 asks for
        message = struct.pack("!BBHI", error[0], error[1], 0, 0) + quoted
        return [wrap(version, pack(version, ROUTERS[version]), request.source, message)]
    source = pack(version, STRANGERS[version]) if host.get("stranger") else request.destination
    content = bytes(len(request.body) - 8) if host.get("garbled") else request.body[8:]
    message = bytes((0 if version == 4 else 129, 0, 0, 0)) + request.body[4:8] + content
    return [wrap(version, source, request.source, message)] * (2 if host.get("twice") else 1)


def open_device() -> int:
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", b"lat0", IFF_TUN | IFF_NO_PI))
    commands = ("addr add 10.99.0.1/24 dev lat0", "addr add fd99::1/64 dev lat0 nodad", "link set lat0 up")
    for command in commands:
        assert os.system(f"ip {command}") == 0, command
    return device


class Hosts:
    """The hosts, and what waits to be said."""

    def __init__(self, hosts: dict[str, dict[str, Any]], device: int) -> None:
        self._hosts = hosts
        self._device = device
        self._queue: list[tuple[float, int, str, bytes]] = []
        self._random = random.Random(7)
        self.counts = {name: {"seen": 0, "answered": 0} for name in hosts}

    def hear(self, now: float) -> None:
        request = parse(os.read(self._device, 65535))
        host = None if request is None else self._hosts.get(request.host)
        if request is None or host is None:
            return
        self.counts[request.host]["seen"] += 1
        if self._random.random() < host.get("loss", 0.0):
            return
        at = now + host.get("delay", 0.0) + self._random.uniform(-1, 1) * host.get("jitter", 0.0)
        for packet in answers(request, host):
            heapq.heappush(self._queue, (at, len(self._queue), request.host, packet))

    def speak(self) -> None:
        while self._queue and self._queue[0][0] <= time.monotonic():
            _, _, name, packet = heapq.heappop(self._queue)
            os.write(self._device, packet)
            self.counts[name]["answered"] += 1

    @property
    def patience(self) -> float | None:
        return max(self._queue[0][0] - time.monotonic(), 0.0) if self._queue else None


def main() -> None:
    device = open_device()
    hosts = Hosts(json.loads(sys.argv[1]), device)
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([device, sys.stdin], [], [], hosts.patience)
        if device in ready:
            hosts.hear(time.monotonic())
        hosts.speak()
        if sys.stdin in ready:
            if not sys.stdin.readline():
                return
            print(json.dumps(hosts.counts), flush=True)


if __name__ == "__main__":
    main()
