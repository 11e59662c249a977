"""TCP checks: conversations with servers on this machine."""

import asyncio
from typing import Any

import pytest

from exporter.probes.attempt import Attempt, Reason
from exporter.probes.tcp import MAX_LINE, MAX_RECEIVED, TcpCheck
from exporter.settings.checks import TcpSettings
from tests.support.checks import attempt, settings
from tests.support.web_servers import Handler, says, serving, silent


def talk(handler: Handler, *turns: dict[str, Any], timeout: float = 5.0, **given: Any) -> Attempt:
    async def run() -> Attempt:
        async with serving(handler) as port:
            address = f"127.0.0.1:{port}"
            return await attempt(TcpCheck(settings(TcpSettings, address=address, conversation=turns, **given)), timeout)

    return asyncio.run(run())


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    data = await reader.read(100)
    writer.write(repr(data).encode() + b"\n")


async def chatter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for _ in range(MAX_RECEIVED // 1000 + 70):
        writer.write(b"y" * 999 + b"\n")
        await writer.drain()


GOOD: dict[str, tuple[Handler, list[dict[str, Any]], dict[str, Any]]] = {
    "a connection is enough": (silent, [], {}),
    "a line later on": (says(b"a\nb\n\n220 c\r\n"), [{"expect": r"^220 c$"}], {}),
    "two lines of one reading": (says(b"one\ntwo\n"), [{"expect": "one"}, {"expect": "two"}], {}),
    "a last line without an end": (says(b"one\nready> "), [{"expect": "^ready> $"}], {}),
    "question and answer": (
        says(b"hello\n", b"+PONG\n", b"bye\n"),
        [{"expect": "hello"}, {"send": "PING"}, {"expect": r"^\+PONG$", "send": "QUIT"}, {"expect": "bye"}],
        {},
    ),
    "carriage return and line feed": (echo, [{"send": "x"}, {"expect": r"^b'x\\r\\n'$"}], {}),
    "line feed": (echo, [{"send": "x"}, {"expect": r"^b'x\\n'$"}], {"line_end": "lf"}),
    "no end of line": (echo, [{"send": "grün\0"}, {"expect": r"^b'gr\\xc3\\xbcn\\x00'$"}], {"line_end": "none"}),
}


@pytest.mark.parametrize(("handler", "turns", "given"), GOOD.values(), ids=GOOD)
def test_a_conversation_goes_as_expected(handler: Handler, turns: list[dict[str, Any]], given: dict[str, Any]) -> None:
    result = talk(handler, *turns, **given)
    assert (result.reason, result.detail) == (None, "")
    assert list(result.phases) == ["resolve", "connect", *(["processing"] if turns else [])]


BAD: dict[str, tuple[Handler, Reason, str]] = {
    "another line": (says(b"421 busy\n"), Reason.BAD_REPLY, "expected '^220', got '421 busy' last and the end"),
    "nothing": (says(b""), Reason.BAD_REPLY, "expected '^220', got nothing and the end of the connection"),
    "an endless line": (says(b"x" * (MAX_LINE + 70_000)), Reason.TOO_LARGE, f"a line over {MAX_LINE} bytes"),
    "endless lines": (chatter, Reason.TOO_LARGE, f"a line over {MAX_LINE} bytes, or over {MAX_RECEIVED} in all"),
    "not text": (says(b"\xff\xfe\x00\n"), Reason.BAD_REPLY, "expected '^220', got '��\\x00' last"),
}


@pytest.mark.parametrize(("handler", "reason", "detail"), BAD.values(), ids=BAD)
def test_a_wrong_reply_is_told(handler: Handler, reason: Reason, detail: str) -> None:
    result = talk(handler, {"expect": "^220"})
    assert result.reason is reason
    assert result.detail.startswith(detail)


def test_silence_is_a_time_out() -> None:
    result = talk(silent, {"expect": "."}, timeout=0.05)
    assert result.reason is Reason.TIMEOUT
    assert result.phases["processing"] > 0.04


def test_tls_is_from_the_start_but_where_a_turn_begins_it() -> None:
    def first(**given: Any) -> bool:
        return settings(TcpSettings, address="a:1", **given).tls_first

    assert first(tls={})
    assert not first()
    assert not first(tls={}, conversation=[{"starttls": True}])
