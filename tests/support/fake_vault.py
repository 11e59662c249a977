"""A Vault of our own, as far as the relay needs one: AppRole, tokens with leases, a key-value engine of version 2.

It answers over HTTP as developer.hashicorp.com/vault/api-docs describes, and fails as it is told to.
"""

import http.server
import json
import math
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.web_server import WebServer, tls_of

Answer = tuple[int, dict[str, Any]]


@dataclass
class VaultFault:
    """What an answer shall be like."""

    status: int = 200
    errors: tuple[str, ...] = ()
    body: bytes | None = None
    """Sent as it is, as HTML."""
    location: str = ""
    retry_after: int | None = None
    cut: bool = False
    """The connection is reset instead of an answer."""
    hang: float = 0.0
    """Seconds of silence before the answer."""
    drip: float = 0.0
    """Seconds between one byte of the answer and the next."""
    echo: bool = False
    """The error repeats all that was sent, headers and body."""


@dataclass
class VaultRequest:
    """One request as it came."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: dict[str, Any]
    at: float = 0.0
    status: int = 0

    @property
    def token(self) -> str:
        return self.headers.get("x-vault-token", "")


@dataclass
class FakeToken:
    """A token that was given out; moments are those of the fake's clock."""

    value: str
    ttl: float
    ends: float
    last_end: float
    renewable: bool
    policies: set[str]


@dataclass
class SecretId:
    value: str
    uses: int = 0
    """How many logins it is good for, 0 for any number."""


@dataclass
class Role:
    """An AppRole: what a login with it gives."""

    role_id: str
    token_ttl: float = 1200
    token_max_ttl: float = 86400
    token_type: str = "service"
    policies: set[str] = field(default_factory=lambda: {"default", "hostwatch"})
    secret_ids: list[SecretId] = field(default_factory=list)


@dataclass
class KvVersion:
    data: dict[str, Any] | None
    created: str
    deletion_time: str = ""
    destroyed: bool = False

    @property
    def gone(self) -> bool:
        return self.destroyed or bool(self.deletion_time and self.deletion_time <= now_text())

    def about(self) -> dict[str, Any]:
        return {"created_time": self.created, "deletion_time": self.deletion_time, "destroyed": self.destroyed}


def now_text(offset: float = 0.0) -> str:
    moment = datetime.fromtimestamp(time.time() + offset, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"


class FakeVault:
    """Use as a context manager. Everything in it may be read and changed at any time."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        mount: str = "secret",
        auth_mount: str = "approle",
        namespace: str = "",
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        self.lock = threading.RLock()
        self.clock, self.mount, self.auth_mount, self.namespace = clock, mount, auth_mount, namespace
        self.sealed = False
        self.initialized = True
        self.standby = ""
        """The active node's address: each request is sent there with 307."""
        self.role = Role(role_id=str(uuid.uuid4()))
        self.policies: dict[str, set[str]] = {
            "default": {"auth/token/lookup-self", "auth/token/renew-self"},
            "hostwatch": {f"{mount}/data/hostwatch/slack", f"{mount}/metadata/hostwatch/slack"},
        }
        self.tokens: dict[str, FakeToken] = {}
        self.secrets: dict[str, dict[int, KvVersion]] = {}
        self.requests: list[VaultRequest] = []
        self.fault: Callable[[VaultRequest], VaultFault | None] = lambda _request: None
        self.released = threading.Event()
        self.port = 0
        self._certificate = certificate
        self._server: WebServer | None = None

    # -- what an administrator does ---------------------------------------------------------------------------------

    def new_secret_id(self, uses: int = 0, value: str = "") -> str:
        with self.lock:
            self.role.secret_ids.append(SecretId(value or str(uuid.uuid4()), uses))
            return self.role.secret_ids[-1].value

    def write(self, path: str = "hostwatch/slack", *, delete_after: float | None = None, **data: Any) -> int:
        """Write a new version of a secret and return its number."""
        with self.lock:
            versions = self.secrets.setdefault(path, {})
            number = max(versions, default=0) + 1
            ends = now_text(delete_after) if delete_after is not None else ""
            versions[number] = KvVersion(data, now_text(), ends)
            return number

    def delete(self, number: int, path: str = "hostwatch/slack") -> None:
        self.secrets[path][number].deletion_time = now_text()

    def undelete(self, number: int, path: str = "hostwatch/slack") -> None:
        self.secrets[path][number].deletion_time = ""

    def destroy(self, number: int, path: str = "hostwatch/slack") -> None:
        with self.lock:
            self.secrets[path][number].destroyed, self.secrets[path][number].data = True, None

    def revoke_tokens(self) -> None:
        with self.lock:
            self.tokens.clear()

    # -- what a test looks at ---------------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        return f"{'https' if self._certificate else 'http'}://127.0.0.1:{self.port}"

    def asked(self, path: str) -> list[VaultRequest]:
        """Return the requests to paths that end so."""
        with self.lock:
            return [one for one in self.requests if one.path.endswith(path)]

    @property
    def logins(self) -> list[VaultRequest]:
        return self.asked("/login")

    # -- server -----------------------------------------------------------------------------------------------------

    def __enter__(self) -> "FakeVault":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, host: str = "127.0.0.1") -> None:
        """Listen, on the port of the last time if there was one."""
        self.released.clear()
        tls = tls_of(*self._certificate) if self._certificate else None
        self._server = WebServer(_handler(self), host=host, port=self.port, tls=tls)
        self.port = self._server.port
        self._server.start()

    def stop(self) -> None:
        """Be gone: connections are refused."""
        self.released.set()
        if self._server is not None:
            self._server.stop()
            self._server = None

    def handle(self, request: VaultRequest) -> tuple[Answer, VaultFault]:
        """Return the answer to a request and how to give it."""
        with self.lock:
            self.requests.append(request)
            fault = self.fault(request) or VaultFault()
            if fault.echo:
                said = f"{request.headers} {request.body}"
                answer: Answer = fault.status, {"errors": [said]}
            elif fault.status != 200 or fault.errors:
                answer = fault.status, {"errors": list(fault.errors)}
            elif self.standby:
                fault, answer = VaultFault(location=f"{self.standby}{request.path}"), (307, {})
            else:
                answer = self._answer(request)
            request.status = answer[0]
            return answer, fault

    def _answer(self, request: VaultRequest) -> Answer:
        if not self.initialized:
            return 501, {"errors": ["Vault is not initialized"]}
        if self.sealed:
            return 503, {"errors": ["Vault is sealed"]}
        path = request.path.removeprefix("/v1/")
        if request.headers.get("x-vault-namespace", "").strip("/") != self.namespace:
            return 404, {"errors": [f'no handler for route "{path}". route entry not found.']}
        if path == f"auth/{self.auth_mount}/login":
            return self._login(request.body)
        token = self.tokens.get(request.token)
        if token is None or self.clock() >= token.ends:
            return 403, {"errors": ["permission denied", "invalid token"] if request.token else ["permission denied"]}
        if not any(path in self.policies.get(name, set()) for name in token.policies):
            return 403, {"errors": ["1 error occurred:\n\t* permission denied\n\n"]}
        if path == "auth/token/renew-self":
            return self._renew(token)
        if path == "auth/token/lookup-self":
            left = math.ceil(token.ends - self.clock())
            return 200, _envelope({"ttl": left, "renewable": token.renewable, "policies": sorted(token.policies)})
        return self._kv(path, request)

    def _login(self, body: dict[str, Any]) -> Answer:
        secret_id = next((one for one in self.role.secret_ids if one.value == body.get("secret_id")), None)
        if body.get("role_id") != self.role.role_id or secret_id is None:
            return 400, {"errors": ["invalid role or secret ID"]}
        if secret_id.uses:
            secret_id.uses -= 1
            if not secret_id.uses:
                self.role.secret_ids.remove(secret_id)
        role, now = self.role, self.clock()
        ttl = min(role.token_ttl, role.token_max_ttl)
        batch = role.token_type == "batch"
        value = ("hvb.AAAAAQ" if batch else "hvs.CAES") + uuid.uuid4().hex * 3
        token = FakeToken(value, ttl, now + ttl, now + role.token_max_ttl, not batch, set(role.policies))
        self.tokens[value] = token
        return 200, _granted(token, ttl)

    def _renew(self, token: FakeToken) -> Answer:
        if not token.renewable:
            return 400, {"errors": ["lease is not renewable"]}
        left = min(token.ttl, token.last_end - self.clock())
        token.ends = self.clock() + left
        return 200, _granted(token, left)

    def _kv(self, path: str, request: VaultRequest) -> Answer:
        _, kind, name = path.removeprefix(self.mount).split("/", 2)
        versions = self.secrets.get(name)
        if versions is None:
            return 404, {"errors": []}
        newest = max(versions, default=0)
        if kind == "metadata":
            known = {str(number): one.about() for number, one in versions.items()}
            return 200, _envelope({"current_version": newest, "oldest_version": 0, "versions": known})
        number = int(request.query.get("version", ["0"])[0]) or newest
        if number not in versions:
            return 404, {"errors": []}
        one = versions[number]
        about = {**one.about(), "custom_metadata": None, "version": number}
        return (404 if one.gone else 200), _envelope({"data": None if one.gone else one.data, "metadata": about})


def _envelope(data: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return what every answer of Vault's has around it."""
    return {
        "request_id": str(uuid.uuid4()),
        "lease_id": "",
        "renewable": False,
        "lease_duration": 0,
        "data": data,
        "wrap_info": None,
        "warnings": None,
        "auth": None,
    }


def _granted(token: FakeToken, seconds: float) -> dict[str, Any]:
    auth = {
        "client_token": token.value,
        "accessor": "accessor",
        "policies": sorted(token.policies),
        "lease_duration": int(seconds),
        "renewable": token.renewable,
        "token_type": "service",
    }
    return _envelope() | {"auth": auth}


def _handler(vault: FakeVault) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = urlsplit(self.path)
            request = VaultRequest(
                method=self.command,
                path=parts.path,
                query=parse_qs(parts.query),
                headers={name.lower(): value for name, value in self.headers.items()},
                body=json.loads(data) if data else {},
                at=time.time(),
            )
            (status, body), fault = vault.handle(request)
            if fault.hang:
                vault.released.wait(fault.hang)
            if fault.cut:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                self.close_connection = True
                self.connection.close()
                return
            self._send(status, body, fault)

        do_POST = do_GET  # noqa: N815 -- http.server's name

        def _send(self, status: int, body: dict[str, Any], fault: VaultFault) -> None:
            data = json.dumps(body).encode() if fault.body is None else fault.body
            lines = [f"HTTP/1.1 {status} Because", f"Content-Length: {len(data)}", "Cache-Control: no-store"]
            lines.append(f"Content-Type: {'application/json' if fault.body is None else 'text/html'}")
            if fault.location:
                lines.append(f"Location: {fault.location}")
            if fault.retry_after is not None:
                lines.append(f"Retry-After: {fault.retry_after}")
            answer = "\r\n".join([*lines, "", ""]).encode() + data
            if not fault.drip:
                self.wfile.write(answer)
                return
            for number in range(len(answer)):
                self.wfile.write(answer[number : number + 1])
                if vault.released.wait(fault.drip):
                    return

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
