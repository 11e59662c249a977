"""HTTP/1.1 as a client speaks it: a request as bytes, an answer from bytes. Nothing of an answer is trusted."""

import zlib
from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, quote

import httptools

from exporter.probes.attempt import AttemptError, Reason

MAX_HEAD: Final = 65536

# what a character set is called, of those that web servers use: others could be made to take for ever
_CHARSETS: Final = frozenset({"utf-8", "utf8", "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252", "utf-16"})
# what may stand in a target as it is; "%" for what is escaped already
_SAFE: Final = "%/:=&?~#+!$,;'@()*[]|"


def host_of(url: SplitResult) -> str:
    """Return what the Host header says, in the form that names the port where it is not the scheme's own."""
    host = str(url.hostname)
    if ":" in host:
        host = f"[{host.partition('%')[0]}]"
    elif not host.isascii():
        host = host.encode("idna").decode()
    return host if url.port in (None, default_port(url)) else f"{host}:{url.port}"


def default_port(url: SplitResult) -> int:
    """Return the scheme's own port."""
    return 443 if url.scheme == "https" else 80


def encode_request(method: str, url: SplitResult, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """Return a request that asks for one answer and the end of the connection; `headers` go before ours."""
    target = quote(url.path or "/", safe=_SAFE) + (f"?{quote(url.query, safe=_SAFE)}" if url.query else "")
    ours = {"Host": host_of(url), "User-Agent": "hostwatch", "Accept": "*/*", "Connection": "close"}
    given = {name.lower() for name in headers}
    lines = [f"{method} {target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in ours.items() if name.lower() not in given]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


class Answer:
    """An answer as it comes in; `is_complete` says when it is whole."""

    def __init__(self, method: str, max_body: int) -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.body = b""
        self.has_head = False
        self.is_complete = False
        self._parser = httptools.HttpResponseParser(self)
        self._is_head = method == "HEAD"
        self._max_body = max_body
        self._head_bytes = 0
        self._received = 0
        self._parts: list[bytes] = []
        self._unpack: _Gunzip | None = None
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes; none is the end of the connection. Raises AttemptError for what is no answer."""
        if not data:
            self._end()
            return
        if not self.has_head:
            self._received += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as err:
            raise AttemptError(Reason.BAD_ANSWER, "the server changed to another protocol") from err
        except httptools.HttpParserError as err:
            cause = err.__context__
            if isinstance(cause, AttemptError):  # ours, raised within the parser
                raise cause from None
            if not self.is_complete:  # what stands behind the answer is no matter
                raise AttemptError(Reason.BAD_ANSWER, f"not HTTP: {err}") from err
        if not self.has_head and self._received > MAX_HEAD:
            raise AttemptError(Reason.TOO_LARGE, f"more than {MAX_HEAD} bytes of headers")

    def _end(self) -> None:
        """Take the end of the connection, which is the answer's own where it has no length."""
        names = {name for name, _ in self.headers}
        if not self.has_head:
            raise AttemptError(Reason.BAD_ANSWER, "the connection was closed before an answer")
        if names & {"content-length", "transfer-encoding"}:
            raise AttemptError(Reason.BAD_ANSWER, f"the connection was closed after {self._size} bytes of the body")
        self._finish()

    # called by the parser

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or one that stands behind the body."""
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MAX_HEAD:
            raise AttemptError(Reason.TOO_LARGE, f"more than {MAX_HEAD} bytes of headers")
        if not self.has_head:
            self.headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """Take the status; one below 200 only announces another."""
        status = int(self._parser.get_status_code())
        if status < 200:
            self.headers.clear()
            return
        if self.has_head:
            return
        self.status, self.has_head = status, True
        encoding = self.header("content-encoding") or "identity"
        if self._is_head:
            self.is_complete = True
        elif encoding.lower() in ("gzip", "x-gzip"):
            self._unpack = _Gunzip(self._max_body)
        elif encoding.lower() != "identity":
            raise AttemptError(Reason.BAD_ANSWER, f"Content-Encoding: {encoding[:80]}, which was not asked for")

    def on_body(self, data: bytes) -> None:
        """Take a part of the body."""
        if self.is_complete:
            return
        plain = data if self._unpack is None else self._unpack.feed(data)
        self._size += len(plain)
        if self._size > self._max_body:
            raise AttemptError(Reason.TOO_LARGE, f"more than {self._max_body} bytes of body (max_body_bytes)")
        self._parts.append(plain)

    def on_message_complete(self) -> None:
        """Note that the answer is whole."""
        if self.has_head and not self.is_complete:
            self._finish()

    def _finish(self) -> None:
        if self._unpack is not None and self._size and not self._unpack.is_complete:
            raise AttemptError(Reason.BAD_ANSWER, "the end of the compressed body is missing")
        self.body = b"".join(self._parts)
        self.is_complete = True

    # what is known of it

    def header(self, name: str) -> str | None:
        """Return the first header of a name, in small letters; None where there is none."""
        return next((value for known, value in self.headers if known == name), None)

    def text(self) -> str:
        """Return the body as text; what its character set does not know is replaced."""
        content_type = self.header("content-type") or ""
        _, _, rest = content_type.lower().partition("charset=")
        charset = rest.partition(";")[0].strip(" \"'")
        return self.body.decode(charset if charset in _CHARSETS else "utf-8", "replace")


class _Gunzip:
    """Unpacks at most so many bytes and one, however small a bomb is."""

    def __init__(self, most: int) -> None:
        self._left = most + 1
        self._stream = zlib.decompressobj(16 + zlib.MAX_WBITS)

    @property
    def is_complete(self) -> bool:
        return self._stream.eof

    def feed(self, data: bytes) -> bytes:
        out = b""
        while data and self._left > 0:
            if self._stream.eof:  # a file of gzip may have several parts (RFC 1952 2.2)
                self._stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
            try:
                plain = self._stream.decompress(data, self._left)
            except zlib.error as err:
                raise AttemptError(Reason.BAD_ANSWER, f"not gzip: {err}") from err
            out += plain
            self._left -= len(plain)
            data = self._stream.unused_data
        return out
