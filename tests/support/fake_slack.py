"""A Slack of our own: auth.test, chat.postMessage and chat.update over HTTP, as docs.slack.dev describes them.

It keeps its channels as Slack would show them, checks tokens and the limits of messages, and fails as it is told to.
"""

import http.server
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs

import msgspec

from tests.support.web_server import WebServer

TOKEN = "xoxb-0000000000-canary-7f3a9d"
MAX_BLOCKS, MAX_SECTION, MAX_ALL_BLOCKS, MAX_TEXT = 50, 3000, 13_200, 40_000


class Fault(msgspec.Struct):
    """What an answer shall be like: one of Slack's codes, an HTTP status, or no answer at all."""

    error: str = ""
    status: int = 200
    retry_after: int | None = None
    html: bool = False
    cut: str = ""
    """"before" or "after" the call is processed, the connection is reset."""
    hang: float = 0.0
    """Seconds of silence before the answer; the call is processed first."""


class SlackMessage(msgspec.Struct):
    """One message as the channel shows it."""

    ts: str
    text: str
    attachments: list[dict[str, Any]]
    delivery: str
    thread: str | None = None
    broadcast: bool = False
    edits: int = 0
    at: float = 0.0
    token: str = ""


class Call(msgspec.Struct):
    """One call as it came."""

    method: str
    token: str
    arguments: dict[str, Any]
    at: float
    answer: str = ""
    lost: bool = False
    """Whether its answer did not arrive, or late, though it was processed."""


class FakeSlack:
    """Use as a context manager. Everything in it may be read and changed at any time."""

    def __init__(self, channels: tuple[str, ...] = ("#alerts",), *, host: str = "127.0.0.1") -> None:
        self.lock = threading.RLock()
        self.tokens = {TOKEN}
        self.channels: dict[str, str] = {}
        self.messages: dict[str, list[SlackMessage]] = {}
        for name in channels:
            self.add_channel(name)
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.fault: Callable[[str, dict[str, Any]], Fault | None] = lambda _method, _arguments: None
        self.posts_per_second: float | None = None
        """To one channel."""
        self.limits: dict[str, tuple[int, float]] = {}
        """Of a method, in all channels: so many calls within any so many seconds; those beyond get 429."""
        self.clock: Callable[[], float] = time.monotonic
        self.delay = 0.0
        self._taken: dict[str, list[float]] = {}
        self._number = 0
        self.released = threading.Event()
        self._host = host

    def add_channel(self, name: str) -> str:
        """Make a channel and return its ID."""
        id_ = f"C{len(self.channels):010d}"
        self.channels[name] = id_
        self.messages[id_] = []
        return id_

    # -- what a test looks at ---------------------------------------------------------------------------------------

    def shown(self, channel: str = "#alerts") -> list[SlackMessage]:
        """Return what a reader of the channel sees: root messages and what was broadcast."""
        with self.lock:
            return [one for one in self.messages[self.channels[channel]] if one.thread is None or one.broadcast]

    def roots(self, channel: str = "#alerts") -> list[SlackMessage]:
        with self.lock:
            return [one for one in self.messages[self.channels[channel]] if one.thread is None]

    def thread(self, root: SlackMessage, channel: str = "#alerts") -> list[SlackMessage]:
        with self.lock:
            return [one for one in self.messages[self.channels[channel]] if one.thread == root.ts]

    def copies(self) -> list[SlackMessage]:
        """Return messages whose delivery was posted before."""
        with self.lock:
            seen: Counter[str] = Counter()
            out = []
            for messages in self.messages.values():
                for one in messages:
                    seen[one.delivery] += 1
                    if one.delivery and seen[one.delivery] > 1:
                        out.append(one)
            return out

    def unexplained(self) -> list[SlackMessage]:
        """Return copies beyond those that a lost answer is the reason of."""
        copies = self.copies()
        with self.lock:
            lost = Counter(delivery_in(call.arguments) for call in self.calls if call.lost)
        for one in copies:
            lost[one.delivery] -= 1
        return [one for one in copies if lost[one.delivery] < 0]

    def fail_next(self, *faults: Fault) -> None:
        """Let the next calls fail so, one after the other."""
        with self.lock:
            self.faults += faults

    def count(self, method: str) -> int:
        with self.lock:
            return sum(call.method == method for call in self.calls)

    @property
    def url(self) -> str:
        return f"{self._server.url}/api/"

    # -- server -----------------------------------------------------------------------------------------------------

    def __enter__(self) -> "FakeSlack":
        self._server = WebServer(_handler(self), host=self._host)
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.stop()

    def handle(self, method: str, token: str, arguments: dict[str, Any]) -> tuple[dict[str, Any] | None, Fault]:
        """Return the answer to a call and how to give it."""
        with self.lock:
            call = Call(method, token, arguments, time.time())
            self.calls.append(call)
            fault = (self.faults.pop(0) if self.faults else None) or self.fault(method, arguments) or Fault()
            if fault.cut == "before" or fault.error or fault.status != 200 or fault.html:
                call.answer = fault.error or f"http {fault.status}" if not fault.cut else "cut"
                return ({"ok": False, "error": fault.error} if fault.error else None), fault
            call.lost = bool(fault.cut or fault.hang)
            answer = self._answer(method, token, arguments)
            if answer.get("error") == "ratelimited":
                fault = Fault(status=429, retry_after=1, error="ratelimited")
            call.answer = str(answer.get("error", "ok"))
            return answer, fault

    def _answer(self, method: str, token: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if token not in self.tokens:
            return {"ok": False, "error": "invalid_auth" if token else "not_authed"}
        if method == "auth.test":
            return {"ok": True, "url": "https://example.slack.com/", "team": "Example", "user": "hostwatch"}
        if method not in {"chat.postMessage", "chat.update"}:
            return {"ok": False, "error": "unknown_method"}
        if method in self.limits and self._are_too_many(method, *self.limits[method]):
            return {"ok": False, "error": "ratelimited"}
        wanted = str(arguments.get("channel", ""))
        channel = self.channels.get(wanted) or (wanted if wanted in self.messages else None)
        if channel is None or (method == "chat.update" and wanted not in self.messages):
            return {"ok": False, "error": "channel_not_found"}
        if error := fault_in(arguments):
            return {"ok": False, "error": error}
        return (self._post if method == "chat.postMessage" else self._update)(channel, arguments, token)

    def _post(self, channel: str, arguments: dict[str, Any], token: str) -> dict[str, Any]:
        # ten seconds' worth and a burst
        if self.posts_per_second is not None and self._are_too_many(channel, 14, 10 / self.posts_per_second):
            return {"ok": False, "error": "ratelimited"}
        thread = arguments.get("thread_ts")
        if thread and not any(one.ts == thread for one in self.messages[channel]):
            return {"ok": False, "error": "thread_not_found"}
        self._number += 1
        message = SlackMessage(
            ts=f"{int(time.time())}.{self._number:06d}",
            text=arguments.get("text", ""),
            attachments=arguments.get("attachments") or [],
            delivery=delivery_in(arguments),
            thread=thread,
            broadcast=str(arguments.get("reply_broadcast", "")).lower() in {"true", "1"},
            at=time.time(),
            token=token,
        )
        self.messages[channel].append(message)
        return {"ok": True, "channel": channel, "ts": message.ts, "message": {"text": message.text}}

    def _are_too_many(self, what: str, calls: int, seconds: float) -> bool:
        """Count a call, unless so many of its kind were taken within so many seconds before it."""
        now = self.clock()
        recent = [at for at in self._taken.get(what, []) if now - at < seconds]
        if len(recent) < calls:
            self._taken[what] = [*recent, now]
            return False
        return True

    def _update(self, channel: str, arguments: dict[str, Any], token: str) -> dict[str, Any]:
        for one in self.messages[channel]:
            if one.ts == arguments.get("ts"):
                one.text, one.edits, one.token = arguments.get("text", ""), one.edits + 1, token
                one.attachments = arguments.get("attachments") or []
                return {"ok": True, "channel": channel, "ts": one.ts, "text": one.text}
        return {"ok": False, "error": "message_not_found"}


def delivery_in(arguments: dict[str, Any]) -> str:
    """Return the relay's own mark of a message, an empty text where there is none."""
    return str(((arguments.get("metadata") or {}).get("event_payload") or {}).get("delivery", ""))


def fault_in(arguments: dict[str, Any]) -> str:
    """Return Slack's code for a message beyond its limits (docs.slack.dev, Block Kit), an empty text for a good one."""
    if not arguments.get("text") and not arguments.get("blocks") and not arguments.get("attachments"):
        return "no_text"
    if len(arguments.get("text", "")) > MAX_TEXT:
        return "msg_too_long"
    attachments = arguments.get("attachments") or []
    if not isinstance(attachments, list) or len(attachments) > 100:
        return "too_many_attachments"
    blocks = [*(arguments.get("blocks") or []), *(b for one in attachments for b in one.get("blocks", []))]
    if len(blocks) > MAX_BLOCKS or any(not _good_block(block) for block in blocks):
        return "invalid_blocks"
    if len(json.dumps(blocks, ensure_ascii=False)) > MAX_ALL_BLOCKS:
        return "msg_blocks_too_long"
    return ""


def _good_block(block: dict[str, Any]) -> bool:
    if block["type"] == "section":
        return 1 <= len(block["text"]["text"]) <= MAX_SECTION
    if block["type"] == "context":
        elements = block["elements"]
        return 1 <= len(elements) <= 10 and all(1 <= len(one["text"]) <= MAX_SECTION for one in elements)
    return block["type"] == "divider"


def _handler(slack: FakeSlack) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            arguments = _arguments(self.headers.get("Content-Type", ""), body)
            answer, fault = slack.handle(self.path.rpartition("/")[2], token, arguments)
            if slack.delay:
                time.sleep(slack.delay)
            if fault.hang:
                slack.released.wait(fault.hang)
            if fault.cut:
                self._reset()
                return
            self._send(answer, fault)

        def _reset(self) -> None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.close_connection = True
            self.connection.close()

        def _send(self, answer: dict[str, Any] | None, fault: Fault) -> None:
            html = fault.html or answer is None
            data = b"<html><body>upstream error</body></html>" if html else json.dumps(answer).encode()
            self.send_response(fault.status)
            self.send_header("Content-Type", "text/html" if html else "application/json; charset=utf-8")
            if fault.retry_after is not None:
                self.send_header("Retry-After", str(fault.retry_after))
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


def _arguments(content_type: str, body: bytes) -> dict[str, Any]:
    """Return a call's arguments: JSON, or a form whose structured values are JSON."""
    if content_type.startswith("application/json"):
        return json.loads(body) if body else {}
    out: dict[str, Any] = {key: values[0] for key, values in parse_qs(body.decode()).items()}
    for key in ("attachments", "blocks", "metadata"):
        if isinstance(out.get(key), str):
            out[key] = json.loads(out[key])
    return out


@contextmanager
def slack_that(fault: Fault) -> Iterator[FakeSlack]:
    """Yield a Slack that gives every call this fault."""
    with FakeSlack() as slack:
        slack.fault = lambda _method, _arguments: fault
        yield slack
