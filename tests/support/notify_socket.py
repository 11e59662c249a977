"""systemd's side of sd_notify(3): a socket that keeps what a daemon tells."""

import socket
from pathlib import Path
from types import TracebackType
from typing import Self

Message = dict[str, str]


class NotifySocket:
    """Listens at a path in `folder`, or at a name of Linux' own (`@...`), for the length of a `with` block."""

    def __init__(self, folder: Path, *, abstract: bool = False) -> None:
        path = str(folder / "notify")
        self.address = f"@{path}" if abstract else path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + path if abstract else path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def take(self, seconds: float = 30) -> Message:
        """Return the next message. Raises TimeoutError."""
        self._socket.settimeout(seconds)
        return _parse(self._socket.recv(65536))

    def take_until(self, key: str, seconds: float = 30) -> Message:
        """Return the next message with that key. Raises TimeoutError when none comes for so long."""
        while key not in (message := self.take(seconds)):
            pass
        return message

    def waiting(self) -> list[Message]:
        """Return what came and was not taken."""
        self._socket.setblocking(False)
        found = []
        while True:
            try:
                found.append(_parse(self._socket.recv(65536)))
            except BlockingIOError:
                return found


def _parse(data: bytes) -> Message:
    return dict(line.split("=", 1) for line in data.decode().splitlines())
