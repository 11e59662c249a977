"""What a daemon tells systemd about itself: sd_notify(3)'s protocol. Where nobody asked, nothing is told."""

import os
import socket
import time
from collections.abc import Callable, MutableMapping
from typing import Final

from exporter.logs import Log

log = Log(__name__)

# only while systemd itself stands still does a message have to wait
SEND_SECONDS: Final = 0.5
# STATUS= is one line for `systemctl status`
MAX_STATUS: Final = 200


class Notifier:
    """The way to systemd, from the environment that it gave this process.

    The variables are taken out of the environment: no child shall speak for us.
    """

    def __init__(
        self,
        environment: MutableMapping[str, str] | None = None,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        environment = os.environ if environment is None else environment
        self._address = _address(environment.pop("NOTIFY_SOCKET", ""))
        self._monotonic_ns = monotonic_ns
        self._failed = False
        self.watchdog_seconds = _watchdog_seconds(environment)
        """How long systemd waits for WATCHDOG=1 before it starts us anew; None where it does not wait."""

    def ready(self, status: str) -> None:
        """Tell that we serve: after a start or after a reload."""
        self._send("READY=1", _status(status))

    def reloading(self) -> None:
        """Tell that the settings are being read again; `ready` has to follow."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={self._monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Tell that we are about to end."""
        self._send("STOPPING=1", _status("Ends"))

    def status(self, text: str) -> None:
        """Tell what `systemctl status` shows."""
        self._send(_status(text))

    def alive(self) -> None:
        """Tell that we work: systemd begins to wait anew."""
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        """Send one datagram; blocks SEND_SECONDS at most. A failure is logged when it begins."""
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.settimeout(SEND_SECONDS)
                sock.connect(self._address)  # else poll(2) sees room where the other side's queue is full
                sock.send("\n".join(lines).encode())
        except OSError as err:
            if not self._failed:
                log.warning("systemd cannot be told", error=err.strerror or str(err), message=lines[0])
            self._failed = True
        else:
            self._failed = False


def _address(text: str) -> str | None:
    """Return the socket's address: a path, or a name of Linux' own after `@`; others (vsock) are for other machines."""
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else None


def _watchdog_seconds(environment: MutableMapping[str, str]) -> float | None:
    """Return what sd_watchdog_enabled(3) returns, in seconds; None where it is off or meant for another process."""
    text, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
    if not text.isdecimal() or int(text) == 0 or pid not in {"", str(os.getpid())}:
        return None
    return int(text) / 1e6


def _status(text: str) -> str:
    line = " ".join(text.split())
    return f"STATUS={line[:MAX_STATUS]}"
