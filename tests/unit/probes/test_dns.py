"""DNS checks against a name server on this machine, which a library of others' speaks for."""

import asyncio
import struct
from typing import Any

import pytest

from exporter.probes.attempt import Attempt, Reason
from exporter.probes.dns import DnsCheck
from exporter.settings.checks import DnsSettings
from tests.support.checks import attempt, settings
from tests.support.web_servers import ZONE, Handler, says, serving, serving_names


def ask(
    question: str, kind: str = "A", timeout: float = 5.0, change: Any = lambda reply: reply, **given: Any
) -> Attempt:
    async def run() -> Attempt:
        async with serving_names(change=change) as port:
            own = {"server": f"127.0.0.1:{port}", "question": question, "type": kind, **given}
            return await attempt(DnsCheck(settings(DnsSettings, **own)), timeout)

    return asyncio.run(run())


GOOD: list[tuple[str, str, dict[str, Any]]] = [
    ("web.test", "A", {"answers": [r"^127\.0\.0\.1$"]}),
    ("WEB.test.", "A", {"answers": [r"^127\.0\.0\.1$"]}),
    ("both.test", "AAAA", {"answers": ["^::1$"]}),
    ("mail.test", "A", {"min_answers": 2}),
    ("mail.test", "MX", {"answers": [r"^10 web\.test\.$", r"^20 backup\.test\.$"]}),
    ("mail.test", "SOA", {"answers": [r"^ns\.test\. admin\.test\. 7 3600 600 86400 300$"]}),
    ("web.test", "TXT", {"answers": ["^v=spf1 -all$"]}),
    ("web.test", "NS", {"answers": [r"^ns\.test\.$"]}),
    ("_http._tcp.test", "SRV", {"answers": [r"^1 2 8000 web\.test\.$"]}),
    ("1.0.0.127.in-addr.arpa", "PTR", {"answers": [r"^web\.test\.$"]}),
    ("alias.test", "CNAME", {"answers": [r"^web\.test\.$"]}),
    ("alias.test", "A", {"answers": [r"^127\.0\.0\.1$"], "forbidden_answers": ["web"]}),
    ("large.test", "TXT", {"min_answers": 20, "answers": [" 19$"]}),
    ("web.test", "A", {"transport": "tcp", "answers": ["127"]}),
    ("web.test", "AAAA", {"min_answers": 0}),
    ("web.test", "A", {"recursion": False}),
    ("nobody.test", "A", {"response_codes": ["NXDOMAIN"]}),
    ("broken.test", "A", {"response_codes": ["NOERROR", "SERVFAIL"]}),
]


@pytest.mark.parametrize(("question", "kind", "given"), GOOD)
def test_an_answer_as_expected_is_good(question: str, kind: str, given: dict[str, Any]) -> None:
    result = ask(question, kind, **given)
    assert (result.reason, result.detail) == (None, "")


def test_a_cut_answer_is_asked_for_again_over_tcp() -> None:
    assert list(ask("web.test").phases) == ["resolve", "answer"]
    assert list(ask("large.test", "TXT").phases) == ["resolve", "answer", "connect"]


BAD: list[tuple[str, str, dict[str, Any], Reason, str]] = [
    ("nobody.test", "A", {}, Reason.NO_SUCH_NAME, "expected NOERROR, got NXDOMAIN"),
    ("broken.test", "A", {}, Reason.WRONG_ANSWER, "expected NOERROR, got SERVFAIL"),
    ("forbidden.test", "A", {}, Reason.WRONG_ANSWER, "expected NOERROR, got REFUSED"),
    ("web.test", "A", {"response_codes": ["NXDOMAIN"]}, Reason.WRONG_ANSWER, "expected NXDOMAIN, got NOERROR"),
    ("web.test", "AAAA", {}, Reason.WRONG_ANSWER, "expected 1 AAAA records or more, got none"),
    ("mail.test", "A", {"min_answers": 3}, Reason.WRONG_ANSWER, "expected 3 A records or more, got '127.0.0."),
    ("web.test", "A", {"answers": ["^192"]}, Reason.WRONG_ANSWER, "expected '^192' among the records, got '127.0.0.1'"),
    ("mail.test", "MX", {"forbidden_answers": ["ba"]}, Reason.WRONG_ANSWER, "expected no 'ba' among the records, got"),
]


@pytest.mark.parametrize(("question", "kind", "given", "reason", "detail"), BAD)
def test_another_answer_is_wrong(question: str, kind: str, given: dict[str, Any], reason: Reason, detail: str) -> None:
    result = ask(question, kind, **given)
    assert result.reason is reason
    assert result.detail.startswith(detail)


def test_somebody_elses_answer_is_not_taken() -> None:
    def forged(reply: bytes) -> bytes:
        return bytes([reply[0] ^ 0x80]) + reply[1:]

    assert ask("web.test", timeout=0.1, change=forged).reason is Reason.TIMEOUT


@pytest.mark.parametrize(
    "change",
    [lambda reply: reply[:-1], lambda reply: reply[:-6] + b"\xff\xff" + reply[-4:], lambda reply: reply[:14]],
    ids=["cut", "too long a record", "cut in the question"],
)
def test_a_broken_answer_is_told(change: Any) -> None:
    result = ask("web.test", change=change)
    assert result.reason is Reason.BAD_ANSWER
    assert result.detail.startswith("not a DNS message: ")


def test_a_port_that_nobody_listens_on_is_refused_at_once() -> None:
    async def run() -> Attempt:
        async with serving(says()) as port:
            pass
        check = DnsCheck(settings(DnsSettings, server=f"127.0.0.1:{port}", question="a.test"))
        return await attempt(check)

    result = asyncio.run(run())
    assert result.reason is Reason.REFUSED
    assert result.phases["answer"] < 1


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        (b"", "the connection was closed after 0 bytes of the answer"),
        (struct.pack("!H", 100) + b"ab", "the connection was closed after 4 bytes of the answer"),
        (struct.pack("!H", 12) + bytes(12), "the answer is one to another question"),
    ],
)
def test_a_broken_answer_over_tcp_is_told(said: bytes, detail: str) -> None:
    async def hear_and_say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(2)
        writer.write(said)

    async def run(handler: Handler) -> Attempt:
        async with serving(handler) as port:
            own = {"server": f"127.0.0.1:{port}", "question": "web.test", "transport": "tcp"}
            return await attempt(DnsCheck(settings(DnsSettings, **own)))

    result = asyncio.run(run(hear_and_say))
    assert (result.reason, result.detail) == (Reason.BAD_ANSWER, detail)


def test_a_name_server_by_name_is_looked_up() -> None:
    async def run() -> Attempt:
        async with serving_names() as port:
            own = {"server": f"localhost:{port}", "question": "web.test", "family": "ipv4_first"}
            return await attempt(DnsCheck(settings(DnsSettings, **own)))

    assert asyncio.run(run()).reason is None


def test_the_zone_has_every_kind_of_record() -> None:
    kinds = {kind for records in ZONE.values() if isinstance(records, dict) for kind in records}
    assert kinds >= {"A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"}
