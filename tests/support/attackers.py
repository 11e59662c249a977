"""Clients that a server should survive, as a process of their own: python attackers.py KIND PORT, until stdin ends."""

import select
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

REQUEST = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
MEGABYTE = b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%07d: %s\r\n" % (n, b"y" * 88) for n in range(10_000))


def connect(port: int, receive_buffer: int | None = None) -> socket.socket:
    sock = socket.socket()
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.connect(("127.0.0.1", port))
    sock.setblocking(False)
    return sock


def idle(port: int, number: int) -> Iterator[float]:
    """Open connections and say nothing."""
    held = [connect(port) for _ in range(number)]
    while held:
        yield 0.1


def a_byte_a_second(port: int) -> Iterator[float]:
    """Send a request that takes for ever; come again when turned away."""
    while True:
        sock = connect(port)
        with suppress(OSError):
            for byte in b"GET /metrics HTTP/1.1\r\nX: " + b"y" * 1000:
                sock.send(bytes([byte]))
                yield 1.0
        sock.close()


def never_reads(port: int) -> Iterator[float]:
    """Ask again and again without reading an answer; come again when turned away."""
    while True:
        sock = connect(port, receive_buffer=4096)
        for _ in range(1000):
            try:
                sock.send(REQUEST)
            except BlockingIOError:
                yield 0.1
            except OSError:
                break
            yield 0.002
        sock.close()


def a_megabyte_of_headers(port: int) -> Iterator[float]:
    """Send a megabyte of headers, read what comes back, and begin again."""
    while True:
        sock = connect(port)
        sock.settimeout(5)
        with suppress(OSError):
            sock.sendall(MEGABYTE)
            while sock.recv(65536):
                pass
        sock.close()
        yield 0.01


KINDS: dict[str, Callable[[int], Iterator[float]]] = {
    "1 idle": lambda port: idle(port, 1),
    "200 idle": lambda port: idle(port, 200),
    "a byte a second": a_byte_a_second,
    "never reads": never_reads,
    "1 MB of headers": a_megabyte_of_headers,
}


def main() -> None:
    kind, port = sys.argv[1], int(sys.argv[2])
    attack = KINDS[kind](port)
    pause = next(attack)
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], pause)[0]:
        start = time.monotonic()
        pause = next(attack)
        pause = max(pause - (time.monotonic() - start) / 10, 0)


if __name__ == "__main__":
    main()
