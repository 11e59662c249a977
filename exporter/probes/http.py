"""HTTP checks: a request, the redirects that it leads to, and what the last answer must be."""

import re
from typing import ClassVar, Final
from urllib.parse import SplitResult, quote, urljoin

from exporter.probes.attempt import Attempt, AttemptError, Reason
from exporter.probes.check import Schedule
from exporter.probes.http_judge import judge
from exporter.probes.http_message import Answer, default_port, encode_request
from exporter.probes.secrets import read_secret
from exporter.probes.stopwatch import Stopwatch, measure
from exporter.probes.streams import Stream, connect, handshake
from exporter.settings.checks import HttpSettings
from exporter.settings.http_check import REDIRECTS, split_url

# after these a POST goes on as a GET without its body, as browsers do (RFC 9110 15.4)
_TO_GET: Final = frozenset({301, 302, 303})
# what is meant for one host only
_FIRST_HOST_ONLY: Final = frozenset({"authorization", "cookie", "host"})
# of an address, as it begins up to its path
_HOST: Final = re.compile(rb"(?:[a-z][a-z0-9+.-]*:)?//[^/?#]*", re.IGNORECASE)
# "%" is escaped already, and control characters are refused: nobody means them
_NOT_ESCAPED: Final = bytes(range(128)).replace(b" ", b"")


class HttpCheck:
    """Asks a web server for a page."""

    kind: ClassVar[str] = "http"

    def __init__(self, settings: HttpSettings) -> None:
        self.name = settings.name
        self.target = _without_query(settings.url)
        self.schedule = Schedule(settings.interval, settings.timeout, settings.retries, settings.retry_delay)
        self._settings = settings
        self._url = split_url(settings.url)

    async def attempt(self, deadline: float) -> Attempt:
        """Ask once, redirects included."""

        async def work(watch: Stopwatch) -> None:
            await self._follow(watch, deadline)

        return await measure(work, deadline)

    async def _follow(self, watch: Stopwatch, deadline: float) -> None:
        settings, url, method = self._settings, self._url, self._settings.method
        body = None if method != "POST" else (settings.body or "").encode()
        headers = self._headers()
        for left in range(settings.redirects, -1, -1):
            answer = await self._ask(encode_request(method, url, headers, body), url, watch, deadline)
            watch.facts["http_status_code"] = float(answer.status)
            location = answer.header("location") if answer.status in REDIRECTS else None
            # one whose status a setting asks for is the answer
            if location is None or settings.redirects == 0 or answer.status in settings.expect.statuses:
                judge(answer, settings.expect)
                return
            if left == 0:
                raise AttemptError(
                    Reason.TOO_MANY_REDIRECTS, f"more than {settings.redirects}, the last to {_shown(location)}"
                )
            before, url = url, self._next_url(url, location)
            if (before.scheme, before.hostname, before.port) != (url.scheme, url.hostname, url.port):
                headers = {name: value for name, value in headers.items() if name.lower() not in _FIRST_HOST_ONLY}
            if answer.status in _TO_GET and method == "POST":
                method, body = "GET", None

    def _headers(self) -> dict[str, str]:
        """Return the headers to send, with the password or the token as its file has it now. Reads that file."""
        settings = self._settings
        headers = dict(settings.headers)
        if settings.compression:
            headers["Accept-Encoding"] = "gzip"
        if settings.bearer_token_file is not None:
            headers["Authorization"] = f"Bearer {read_secret(settings.bearer_token_file)}"
        elif settings.basic_auth is not None:
            import base64  # noqa: PLC0415 -- for a setting only

            user = settings.basic_auth
            pair = f"{user.username}:{read_secret(user.password_file)}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        return headers

    async def _ask(self, request: bytes, url: SplitResult, watch: Stopwatch, deadline: float) -> Answer:
        settings, host = self._settings, str(url.hostname)
        stream = await connect(host, url.port or default_port(url), settings.family, watch, deadline)
        try:
            if url.scheme == "https":
                await handshake(stream, settings.tls, host, watch)
            watch.enter("processing")
            return await self._converse(stream, request, watch)
        finally:
            stream.close()

    async def _converse(self, stream: Stream, request: bytes, watch: Stopwatch) -> Answer:
        settings = self._settings
        answer = Answer(request.partition(b" ")[0].decode(), settings.max_body_bytes)
        await stream.send(request)
        while not answer.is_complete:
            data = await stream.receive()
            if watch.phase == "processing" and data:
                watch.enter("transfer")
            answer.feed(data)
            if answer.has_head:
                watch.facts["http_status_code"] = float(answer.status)
                is_redirect = answer.status in REDIRECTS and answer.header("location") is not None
                if is_redirect and settings.redirects and answer.status not in settings.expect.statuses:
                    break  # nobody reads what stands below it
        return answer

    def _next_url(self, url: SplitResult, location: str) -> SplitResult:
        try:
            following = split_url(urljoin(url.geturl(), _escaped(location)))
        except ValueError as err:
            raise AttemptError(Reason.BAD_REDIRECT, f"to {_shown(location)}, which is no address to ask") from err
        if url.scheme == "https" and following.scheme == "http" and not self._settings.allow_downgrade:
            raise AttemptError(Reason.BAD_REDIRECT, f"from https to {_shown(location)} (allow_downgrade is off)")
        return following


def _escaped(location: str) -> str:
    """Return the address of a header with what no address may hold escaped byte by byte, but in the host's name."""
    raw = location.encode("latin-1").strip(b" \t")
    found = _HOST.match(raw)
    host = b"" if found is None else found[0]
    return host.decode("utf-8", "replace") + quote(raw[len(host) :], safe=_NOT_ESCAPED)


def _without_query(url: str) -> str:
    """Return an address as a log may show it: what stands behind the question mark is often a token."""
    return url.partition("#")[0].partition("?")[0]


def _shown(location: str) -> str:
    return repr(_without_query(location)[:200])
