"""Servers for checks to ask: good ones and bad ones, on the loop that runs them."""

import asyncio
import base64
import contextlib
import gzip
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple, cast

import dns.message
import dns.rcode
import dns.rrset

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

PASSWORD = "open sesame"
TOKEN = "s3cr3t-token"


class Request(NamedTuple):
    """A request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


def response(body: bytes = b"fine", status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(*chunks: bytes, headers: tuple[str, ...] = ()) -> bytes:
    head = "\r\n".join(["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *headers, "", ""]).encode()
    return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


HEALTH = b'{"status": "up", "items": [{"n": 1, "ok": true}], "load": 0.5, "none": null, "a.b": "dotted"}'

PAGES: dict[str, bytes] = {
    "/": response(b"<h1>Welcome</h1>", "200 OK", "Server: test/1", "Set-Cookie: a=1", "Set-Cookie: b=2"),
    "/500": response(b"broken", "500 Internal Server Error"),
    "/404": response(b"gone", "404 Not Found"),
    "/204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "/interim": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + response(b"after hints"),
    "/moved": response(b"", "301 Moved Permanently", "Location: /?from=moved"),
    "/see-other": response(b"", "303 See Other", "Location: /method"),
    "/keep-method": response(b"", "307 Temporary Redirect", "Location: /method"),
    "/loop": response(b"", "302 Found", "Location: /loop?token=abc"),
    "/to-nowhere": response(b"", "302 Found", "Location: gopher://127.0.0.1/"),
    "/no-location": response(b"", "302 Found"),
    "/health": response(HEALTH, "200 OK", "Content-Type: application/json"),
    "/not-json": response(b"{up"),
    "/latin": response("grün".encode("latin-1"), "200 OK", "Content-Type: text/html; charset=ISO-8859-1"),
    "/chunked": chunked(b"one ", b"two"),
    "/until-close": b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    "/gzip": response(gzip.compress(b"packed"), "200 OK", "Content-Encoding: gzip"),
    "/gzip-cut": response(gzip.compress(b"packed" * 100)[:-9], "200 OK", "Content-Encoding: gzip"),
    "/bomb": response(gzip.compress(bytes(20_000_000)), "200 OK", "Content-Encoding: gzip"),
    "/brotli": response(b"\x0b\x02", "200 OK", "Content-Encoding: br"),
    "/large": response(bytes(2 * 1024 * 1024)),
    "/cut": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfour",
    "/cut-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    "/garbage": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "/nothing": b"",
    "/many-headers": b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * 200_000,
}


async def read_request(reader: asyncio.StreamReader) -> Request:
    begin = await reader.readexactly(1)
    if begin == b"\x16":  # the first byte of a TLS handshake
        raise ValueError("TLS")
    head = (begin + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Request(method, target, headers, await reader.readexactly(int(headers.get("content-length", 0))))


def answer(request: Request) -> bytes:
    """Return what the test's web server says."""
    path = request.target.partition("?")[0]
    basic = base64.b64encode(f"watcher:{PASSWORD}".encode()).decode()
    if path == "/locked" and request.headers.get("authorization") not in (f"Basic {basic}", f"Bearer {TOKEN}"):
        return response(b"who?", "401 Unauthorized")
    if path == "/locked":
        return response(b"come in")
    if path == "/echo":
        return response(request.body)
    if path == "/method":
        return response(f"{request.method} {len(request.body)}".encode())
    if path == "/target":
        return response(request.target.encode())
    if path == "/headers":
        return response("\n".join(f"{name}: {value}" for name, value in request.headers.items()).encode())
    if path == "/zip-if-asked":
        return PAGES["/gzip"] if "gzip" in request.headers.get("accept-encoding", "") else response(b"plain")
    if path == "/elsewhere":  # where the target says
        return response(b"", "302 Found", f"Location: {request.target.partition('?to=')[2]}")
    found = PAGES.get(path, PAGES["/404"])
    return found.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if request.method == "HEAD" else found


async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        request = await read_request(reader)
    except ValueError:
        writer.write(response(b"", "400 Bad Request"))
        return
    if request.target == "/slow":
        await asyncio.sleep(3600)
    if request.target == "/stages":  # a while before the first byte, and another before the last
        await asyncio.sleep(0.05)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(b"b")
        return
    if request.target == "/endless":
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 1000)
            await writer.drain()
            await asyncio.sleep(0.001)
    writer.write(answer(request))


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


def says(*lines: bytes) -> Handler:
    """Return a server that says these lines, each but the first after one that it hears, and ends."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number, line in enumerate(lines):
            if number:
                await reader.readline()
            writer.write(line)
            await writer.drain()

    return handler


def mail(context: ssl.SSLContext) -> Handler:
    """Return a mail server as far as STARTTLS goes."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220-wait\r\n220 mail.test ESMTP\r\n")
        assert (await reader.readline()).startswith(b"EHLO")
        writer.write(b"250-mail.test\r\n250 STARTTLS\r\n")
        assert (await reader.readline()).rstrip() == b"STARTTLS"
        writer.write(b"220 go\r\n")
        await writer.drain()
        await writer.start_tls(context)
        assert (await reader.readline()).startswith(b"EHLO")
        writer.write(b"250 secure\r\n")

    return handler


def _guarded(handler: Handler) -> Handler:
    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # a client that goes early is a case, not a fault; and at the end who hangs is told to stop
        with contextlib.suppress(OSError, EOFError, AssertionError, asyncio.LimitOverrunError, asyncio.CancelledError):
            await handler(reader, writer)
            if writer.can_write_eof():  # closing with something unread would be a reset
                writer.write_eof()
                await reader.read()
        writer.close()

    return guarded


@contextlib.asynccontextmanager
async def serving(
    handler: Handler, host: str = "127.0.0.1", port: int = 0, context: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Serve on a port, a free one by default, until the end of the block; a hung connection ends with the loop."""
    server = await asyncio.start_server(_guarded(handler), host, port, ssl=context)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()


# what the test's name server knows: names to records by type; an error by its name
ZONE: dict[str, dict[str, list[str]] | str] = {
    "web.test.": {"A": ["127.0.0.1"], "TXT": ['"v=spf1 " "-all"'], "NS": ["ns.test."]},
    "both.test.": {"A": ["127.0.0.1"], "AAAA": ["::1"]},
    "mail.test.": {
        "A": ["127.0.0.1", "127.0.0.2"],
        "MX": ["10 web.test.", "20 backup.test."],
        "SOA": ["ns.test. admin.test. 7 3600 600 86400 300"],
    },
    "_http._tcp.test.": {"SRV": ["1 2 8000 web.test."]},
    "1.0.0.127.in-addr.arpa.": {"PTR": ["web.test."]},
    "alias.test.": {"CNAME": ["web.test."]},
    "large.test.": {"TXT": [f'"{"x" * 200} {number}"' for number in range(20)]},
    "broken.test.": "SERVFAIL",
    "forbidden.test.": "REFUSED",
}


def resolve(query: bytes, room: int = 65535) -> bytes | None:
    """Return the name server's answer, None for no answer."""
    message = dns.message.from_wire(query)
    reply = dns.message.make_response(message, recursion_available=True)
    asked = message.question[0]
    name, kind = asked.name.to_text().lower(), asked.to_text().split()[-1]
    found = ZONE.get(name)
    if name == "silent.test.":
        return None
    if isinstance(found, str):
        reply.set_rcode(dns.rcode.from_text(found))
    elif found is None:
        reply.set_rcode(dns.rcode.NXDOMAIN)
    elif records := found.get(kind):
        reply.answer.append(dns.rrset.from_text(asked.name, 60, "IN", kind, *records))
    if name == "alias.test." and kind != "CNAME":
        reply.answer.append(dns.rrset.from_text("alias.test.", 60, "IN", "CNAME", "web.test."))
        reply.answer.append(dns.rrset.from_text("web.test.", 60, "IN", "A", "127.0.0.1"))
    wire = reply.to_wire()
    if len(wire) <= room:
        return wire
    reply.answer.clear()
    reply.flags |= dns.flags.TC
    return reply.to_wire()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, change: Callable[[bytes], bytes]) -> None:
        self._change = change

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        reply = resolve(data, 512)
        if reply is not None:
            self._transport.sendto(self._change(reply), address)


async def _stream_names(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    (size,) = struct.unpack("!H", await reader.readexactly(2))
    reply = resolve(await reader.readexactly(size))
    if reply is not None:
        writer.write(struct.pack("!H", len(reply)) + reply)


@contextlib.asynccontextmanager
async def serving_names(
    host: str = "127.0.0.1", port: int = 0, change: Callable[[bytes], bytes] = lambda reply: reply
) -> AsyncIterator[int]:
    """Answer DNS on UDP and TCP; `change` spoils what goes over UDP."""
    async with serving(_stream_names, host, port) as port:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Datagrams(change), local_addr=(host, port)
        )
        try:
            yield port
        finally:
            transport.close()
