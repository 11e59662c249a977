"""One HTTP GET with a deadline for the whole of it, a size limit, and no redirects. Blocks; no proxy is used.

For answers of programs of ours and Prometheus' inside one network; urllib's time limit is one for each read only.
"""

import base64
import socket
import ssl
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from exporter.clients.unix_http import Answer, HttpError, Parser, remaining
from exporter.logs import Secret

MAX_URL: Final = 4096
_CHUNK: Final = 65536


class GetError(Exception):
    """There is no answer, or none that can be used; the text says why, and holds nothing secret."""


class Access(NamedTuple):
    """What a server asks for: a name and password, and what its certificate and ours are."""

    username: str = ""
    password: Secret | None = None
    tls: ssl.SSLContext | None = None


def get(url: str, deadline: float, max_bytes: int, access: Access = Access()) -> Answer:  # noqa: B008 -- never changes
    """Return the answer of `url`, an address with http or https and without user and password.

    Blocks until `deadline` (time.monotonic()) at most, but for a look-up of the name. Raises GetError.
    """
    parts = _split(url)
    try:
        return _exchange(parts, deadline, max_bytes, access)
    except TimeoutError as err:
        raise GetError("no whole answer in time") from err
    except ssl.SSLCertVerificationError as err:
        raise GetError(f"its certificate is not trusted: {err.verify_message}") from err
    except UnicodeError as err:
        raise GetError("not a host's name") from err
    except (HttpError, OSError) as err:
        raise GetError(err.strerror if isinstance(err, OSError) and err.strerror else str(err)) from err


def tls_context(ca_file: str | None, cert_file: str | None = None, key_file: str | None = None) -> ssl.SSLContext:
    """Return what trusts an authority's file, or the system's, and shows a certificate.

    Reads files; raises GetError naming the one that cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
        if cert_file is not None:
            context.load_cert_chain(cert_file, key_file)
    except OSError as err:  # SSLError is one: no certificate in the file, or a key that is not its
        raise GetError(f"{ca_file or cert_file}: {err.strerror or err}") from err
    return context


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 -- raises ValueError for what is none
    except ValueError as err:
        raise GetError("not an address") from err
    # white space and control characters would end the request's first line
    plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= MAX_URL
    if parts.scheme not in {"http", "https"} or not parts.hostname or not plain or "@" in parts.netloc:
        raise GetError("not an address of http or https")
    return parts


def _exchange(parts: SplitResult, deadline: float, max_bytes: int, access: Access) -> Answer:
    host, secure = parts.hostname or "", parts.scheme == "https"
    with _connect(host, parts.port or (443 if secure else 80), deadline) as plain:
        if not secure:
            return _ask(plain, parts, deadline, max_bytes, access)
        context = access.tls or tls_context(None)
        plain.settimeout(remaining(deadline))  # the whole handshake has this time
        with context.wrap_socket(plain, server_hostname=host) as connection:
            return _ask(connection, parts, deadline, max_bytes, access)


def _connect(host: str, port: int, deadline: float) -> socket.socket:
    """Return a connection to the first of the host's addresses that takes one."""
    failure: OSError = ConnectionError(f"{host} has no address")
    for family, kind, protocol, _, where in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(remaining(deadline))
            connection.connect(where)
        except OSError as err:
            connection.close()
            failure = err
            continue
        return connection
    raise failure


def _ask(connection: socket.socket, parts: SplitResult, deadline: float, max_bytes: int, access: Access) -> Answer:
    connection.settimeout(remaining(deadline))
    connection.sendall(_request(parts, access))
    parser = Parser(max_bytes)
    while not parser.is_complete:
        connection.settimeout(remaining(deadline))
        data = connection.recv(_CHUNK)
        if data:
            parser.feed(data)
        else:
            parser.end()
    return parser.answer()


def _request(parts: SplitResult, access: Access) -> bytes:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [
        f"GET {target} HTTP/1.1",
        f"Host: {parts.netloc}",
        "User-Agent: hostwatch",
        "Accept: application/json",
        "Connection: close",
    ]
    if access.password is not None:
        pair = f"{access.username}:{access.password.reveal()}".encode()
        lines.append(f"Authorization: Basic {base64.b64encode(pair).decode()}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
