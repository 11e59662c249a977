"""HTTP as calls to Vault need it: no environment, no redirects, no second try, a deadline for all, an end of the body.

Of what went wrong only words of ours leave this module: the exceptions of requests carry headers.
"""

import socket
import ssl
from collections.abc import Iterator
from typing import Any, Final

import requests
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from exporter.relay.deadline import Deadline, cover
from exporter.relay.vault_answers import Trouble, VaultError
from exporter.relay.vault_settings import Vault


def session(settings: Vault) -> requests.Session:
    """Return a session for calls to Vault; close it."""
    out = requests.Session()
    # no proxy, no netrc, no REQUESTS_CA_BUNDLE
    out.trust_env = False
    out.verify = settings.ca_file or True
    for scheme in ("http://", "https://"):
        out.mount(scheme, _Transport())
    return out


def exchange(session: requests.Session, settings: Vault, method: str, url: str, **more: Any) -> tuple[int, str, bytes]:  # noqa: ANN401
    """Return the status, the header Retry-After and the body of an answer."""
    seconds = float(settings.timeout)
    with Deadline(seconds) as deadline:
        try:
            with session.request(method, url, timeout=seconds, allow_redirects=False, stream=True, **more) as response:
                body = response.raw.read(settings.response_bytes + 1, decode_content=False)
            words = "no answer in time"
            if not deadline.passed:  # else the body may have been cut
                return response.status_code, response.headers.get("Retry-After", ""), body
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as err:
            words = "no answer in time" if deadline.passed else _words(err)
    # behind the handler, so that not even its context leads to the exception that carries the request
    raise VaultError(Trouble.UNREACHABLE, f"cannot be reached: {words}")


class _Connection(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        cover(self.sock)


class _TlsConnection(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        cover(self.sock)


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Transport(requests.adapters.HTTPAdapter):
    """Connections whose sockets a deadline can cut; nothing is tried twice."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 -- requests' signature
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}


def _words(err: BaseException) -> str:
    """Return what is wrong with a connection, in words of ours."""
    found = next((words for cause in _causes(err) if (words := _words_of(cause))), "")
    return found or f"{type(err).__name__}"


def _words_of(cause: BaseException) -> str:
    """Return what one exception tells, an empty text if it is nothing."""
    words = ""
    if isinstance(cause, ssl.SSLCertVerificationError):
        words = f"its certificate is not trusted ({cause.verify_message}); see vault.ca_file"
    elif isinstance(cause, ssl.SSLError):
        words = f"TLS failed ({cause.reason or 'no reason given'}); does it speak TLS, is vault.ca_file PEM?"
    elif isinstance(cause, socket.gaierror):
        words = "its name is not found"
    elif isinstance(cause, TimeoutError | urllib3.exceptions.TimeoutError):
        words = "no answer in time"
    elif isinstance(cause, ConnectionError) and not isinstance(cause, requests.RequestException):
        words = (cause.strerror or "connection closed without an answer").lower()
    elif isinstance(cause, OSError) and cause.errno and cause.strerror:
        words = cause.strerror.lower()
    return words


MAX_CAUSES: Final = 20


def _causes(err: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those beneath it, the innermost first."""
    chain: list[BaseException] = []
    waiting: list[object] = [err]
    while waiting and len(chain) < MAX_CAUSES:
        one = waiting.pop(0)
        if isinstance(one, BaseException) and not any(one is known for known in chain):
            chain.append(one)
            waiting += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
    yield from reversed(chain)
