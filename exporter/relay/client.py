"""Talking to a running relay, as its command line does: over HTTP with the webhook's bearer token. Blocks."""

import http.client
import socket
import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from exporter.logs import Secret
from exporter.settings import parse_address

TIMEOUT: Final = 15.0
MAX_ANSWER: Final = 64 * 1024 * 1024


class NotRunningError(Exception):
    """Nothing listens there."""


class AnswerError(Exception):
    """The relay did not answer, or with an error; the text says which. `status` is HTTP's, 0 without an answer."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


class RelayClient:
    """One relay at an address; an empty host or an unspecified one means this machine."""

    def __init__(self, address: str, token: Secret) -> None:
        host, self._port = parse_address(address)
        self._host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 -- compared
        self._token = token

    def is_running(self) -> bool:
        """Say whether a relay answers there. Raises AnswerError when something else does."""
        try:
            status, body = self._request("GET", "/-/healthy", None)
        except NotRunningError:
            return False
        if (status, body) != (200, b"healthy\n"):
            raise AnswerError(f"what listens on {self._host}:{self._port} is no relay")
        return True

    def get(self, path: str) -> Any:  # noqa: ANN401 -- JSON
        """Return the JSON that a path answers. Raises NotRunningError and AnswerError."""
        return self._json("GET", path, None)

    def post(self, path: str, content: object) -> Any:  # noqa: ANN401 -- JSON
        """Send JSON and return the answer's. Raises NotRunningError and AnswerError."""
        return self._json("POST", path, msgspec.json.encode(content))

    def _json(self, method: str, path: str, body: bytes | None) -> Any:  # noqa: ANN401 -- JSON
        status, data = self._request(method, path, body)
        try:
            decoded = msgspec.json.decode(data)
        except msgspec.DecodeError:
            decoded = None
        if status != 200 or decoded is None:
            said = decoded.get("error") if isinstance(decoded, Mapping) else data.decode(errors="replace")[:200].strip()
            raise AnswerError(f"{method} {path.partition('?')[0]}: HTTP status {status}: {said}", status)
        return decoded

    def _request(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT)
        headers = {"Authorization": f"Bearer {self._token.reveal()}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(MAX_ANSWER)
        except (ConnectionRefusedError, socket.gaierror) as err:
            raise NotRunningError(f"nothing listens on {self._host}:{self._port}") from err
        except (OSError, http.client.HTTPException) as err:
            raise AnswerError(f"{self._host}:{self._port}: {err or type(err).__name__}") from err
        finally:
            connection.close()


def wait_for(found: Any, seconds: float) -> Any:  # noqa: ANN401 -- whatever is found
    """Return the first true result of `found()`, asked until the time is up; then its last."""
    deadline = time.monotonic() + seconds
    while not (result := found()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return result
