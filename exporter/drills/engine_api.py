"""The few calls of a Docker Engine's API that make and remove a container of our own. Blocks, with a time limit."""

import http.client
import json
import socket
import time
from typing import Any, Final
from urllib.parse import quote

from exporter.clients.docker import Engine, EngineError, NoEngineError, NoPermissionError

# removing kills first: the engine answers once the container is gone
SECONDS: Final = 20.0


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(SECONDS)
        self.sock.connect(self._path)


def call(path: str, method: str, target: str, body: object = None, *, missing_ok: bool = False) -> Any:  # noqa: ANN401 -- JSON of any shape
    """Return the decoded answer of the engine behind a socket, None for an empty one. Raises EngineError.

    It is asked in the newest version of the API that both know: an engine refuses versions that it finds too old.
    `body` is sent as it is when it is bytes (a tar archive), as JSON else.
    """
    prefix = Engine(path).fetch_prefix(time.monotonic() + SECONDS)
    connection = _Unix(path)
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    kind = "application/x-tar" if isinstance(body, bytes) else "application/json"
    try:
        connection.request(method, prefix + target, data, {"Content-Type": kind})
        response = connection.getresponse()
        answer = response.read()
    except (OSError, http.client.HTTPException) as err:
        raise EngineError(f"{path}: {method} {target}: {err}") from err
    finally:
        connection.close()
    if response.status == 404 and missing_ok:
        return None
    if response.status >= 400:
        raise EngineError(
            f"{path}: {method} {target}: {response.status} {answer.decode(errors='replace')[:200].strip()}"
        )
    try:
        return json.loads(answer) if answer else None
    except ValueError:  # a stream of progress
        return None


def lack(path: str) -> str:
    """Return why the engine behind a socket cannot be used, and what to do; empty when it can. Blocks likewise."""
    try:
        call(path, "GET", "/version")
    except NoEngineError as err:
        return f"no Docker Engine: {err}; --docker says where its socket is"
    except NoPermissionError as err:
        return f"the Docker Engine's socket is closed to this user: {err}; run it as root"
    except EngineError as err:
        return f"the Docker Engine cannot be used: {err}; --docker says where another is"
    return ""


def remove_container(path: str, name: str) -> None:
    """Kill and remove a container; one that is not there is fine. Raises EngineError."""
    call(path, "DELETE", f"/containers/{quote(name)}?force=1&v=1", missing_ok=True)


def remove_image(path: str, name: str) -> None:
    """Remove an image; one that is not there is fine. Raises EngineError."""
    call(path, "DELETE", f"/images/{quote(name)}?force=1", missing_ok=True)
