"""Clients that a locked server should survive, in a process of their own: python lock_attackers.py KIND PORT CA."""

import base64
import select
import socket
import ssl
import sys
import time
from collections.abc import Iterator

GUESSES_PER_TICK, TICK = 10, 0.01


def idle(port: int, context: ssl.SSLContext) -> Iterator[float]:
    """Hold 200 connections without a handshake; come again when turned away."""
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(200)]
    while held:
        for place, sock in enumerate(held):
            if select.select([sock], [], [], 0)[0]:  # its end: the deadline of handshakes
                sock.close()
                held[place] = socket.create_connection(("127.0.0.1", port))
                yield 0.005
        yield 0.1


def guess(port: int, context: ssl.SSLContext) -> Iterator[float]:
    """Try 1,000 passwords a second, on two connections."""
    socks = [context.wrap_socket(socket.create_connection(("127.0.0.1", port))) for _ in range(2)]
    guesses = 0
    while socks:
        for sock in socks:
            data = b""
            for _ in range(GUESSES_PER_TICK // len(socks)):
                guesses += 1
                guessed = base64.b64encode(b"prometheus:%x %d" % (id(socks), guesses))
                data += b"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Basic " + guessed + b"\r\n\r\n"
            sock.sendall(data)
            answers = 0
            while answers < GUESSES_PER_TICK // len(socks):
                received = sock.recv(65536)
                assert b" 200 " not in received
                answers += received.count(b"HTTP/1.1 4")
        yield TICK


KINDS = {"200 idle": idle, "1,000 passwords a second": guess}


def main() -> None:
    context = ssl.create_default_context(cafile=sys.argv[3])
    context.check_hostname = False
    attack = KINDS[sys.argv[1]](int(sys.argv[2]), context)
    next(attack)
    print("ready", flush=True)
    due = time.monotonic()
    while not select.select([sys.stdin], [], [], max(due - time.monotonic(), 0))[0]:
        due = max(due, time.monotonic() - 1) + next(attack)


if __name__ == "__main__":
    main()
