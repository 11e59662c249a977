"""HTTP checks against a web server on this machine: what is sent, what is followed, what is good."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from exporter.probes.attempt import Attempt, Outcome, Reason
from exporter.probes.http import HttpCheck
from exporter.settings.checks import HttpSettings
from exporter.settings.http_check import split_url
from tests.support.checks import attempt, settings
from tests.support.web_servers import PASSWORD, TOKEN, Handler, read_request, response, says, serving, web


def ask(path: str, *, handler: Handler = web, timeout: float = 5.0, **given: Any) -> Attempt:
    """Return what comes of asking the test's web server."""

    async def run() -> Attempt:
        async with serving(handler) as port:
            check = HttpCheck(settings(HttpSettings, url=f"http://127.0.0.1:{port}{path}", **given))
            return await attempt(check, timeout)

    return asyncio.run(run())


GOOD: dict[str, tuple[str, dict[str, Any]]] = {
    "status by default": ("/", {}),
    "204 has no body": ("/204", {}),
    "status from a range": ("/404", {"expect": {"status": ["400-404"]}}),
    "status from a class": ("/500", {"expect": {"status": [200, "5xx"]}}),
    "hints before the answer": ("/interim", {"expect": {"body": ["^after hints$"]}}),
    "text in the body": ("/", {"expect": {"body_contains": ["<h1>", "Welcome"]}}),
    "no such text": ("/", {"expect": {"forbidden_body": ["(?i)error"]}}),
    "one of two headers": ("/", {"expect": {"headers": {"Set-Cookie": "^b=2$"}}}),
    "header of another name's size": ("/", {"expect": {"headers": {"SERVER": "test"}}}),
    "chunks": ("/chunked", {"expect": {"body": ["^one two$"]}}),
    "until the end of the connection": ("/until-close", {"expect": {"body": ["^until the end$"]}}),
    "another character set": ("/latin", {"expect": {"body_contains": ["grün"]}}),
    "packed": ("/gzip", {"expect": {"body": ["^packed$"]}}),
    "gzip asked for": ("/zip-if-asked", {"compression": True, "expect": {"body": ["^packed$"]}}),
    "gzip not asked for": ("/zip-if-asked", {"expect": {"body": ["^plain$"]}}),
    "redirect": ("/moved", {"expect": {"body": ["Welcome"]}}),
    "redirect that is the answer": ("/moved", {"expect": {"status": [301]}}),
    "redirect without a place": ("/no-location", {"expect": {"status": [302]}}),
    "redirect as an answer like others": ("/loop", {"redirects": 0, "expect": {"status": ["3xx"]}}),
    "post": ("/method", {"method": "POST", "body": "grün", "expect": {"body": ["^POST 5$"]}}),
    "empty post": ("/method", {"method": "POST", "expect": {"body": ["^POST 0$"]}}),
    "post that becomes get": ("/see-other", {"method": "POST", "body": "x", "expect": {"body": ["^GET 0$"]}}),
    "post that stays": ("/keep-method", {"method": "POST", "body": "x", "expect": {"body": ["^POST 1$"]}}),
    "head": ("/large", {"method": "HEAD"}),
    "target in UTF-8": ("/target?q=gr%C3%BCn&x=ü", {"expect": {"body_contains": ["/target?q=gr%C3%BCn&x=%C3%BC"]}}),
    "host of a setting": (
        "/headers",
        {"headers": {"Host": "shop.test", "X-Probe": "1"}, "expect": {"body": ["host: shop.test\n", "x-probe: 1"]}},
    ),
    "our own headers": (
        "/headers",
        {"expect": {"body": [r"host: 127\.0\.0\.1:\d+\n", "user-agent: hostwatch", "connection: close"]}},
    ),
}


@pytest.mark.parametrize(("path", "given"), GOOD.values(), ids=GOOD)
def test_a_good_answer_is_good(path: str, given: dict[str, Any]) -> None:
    assert ask(path, **given).reason is None


JSON = [
    ({"path": "status", "equals": "up"}, None),
    ({"path": "items[0].n", "equals": 1}, None),
    ({"path": "items[0].n", "equals": 1.0}, None),
    ({"path": "items[0].ok", "equals": True}, None),
    ({"path": "load", "equals": 0.5}, None),
    ({"path": "none", "equals": None}, None),
    ({"path": '["a.b"]', "equals": "dotted"}, None),
    ({"path": "items[0].n", "matches": "^[0-9]$"}, None),
    ({"path": "items", "matches": '"ok": true'}, None),
    ({"path": "status", "equals": "down"}, 'status: expected "down", got \'"up"\''),
    ({"path": "items[0].n", "equals": True}, "items[0].n: expected true, got '1'"),
    ({"path": "items[0].ok", "equals": 1}, "items[0].ok: expected 1, got 'true'"),
    ({"path": "items[1].n", "equals": 1}, "items[1].n: not there"),
    ({"path": "items.n", "equals": 1}, "items.n: not there"),
    ({"path": "status[0]", "equals": "u"}, "status[0]: not there"),
    ({"path": "nothing", "equals": None}, "nothing: not there"),
    ({"path": "status", "matches": "^down"}, "status: expected '^down', got 'up'"),
]


@pytest.mark.parametrize(("value", "detail"), JSON)
def test_a_value_of_json_is_what_the_setting_says(value: dict[str, Any], detail: str | None) -> None:
    result = ask("/health", expect={"json": [value]})
    assert (result.reason, result.detail) == ((Reason.BAD_JSON, detail) if detail else (None, ""))


BAD: dict[str, tuple[str, dict[str, Any], Reason, str]] = {
    "status": ("/500", {}, Reason.BAD_STATUS, "expected status 2xx, got 500"),
    "redirect without a place": ("/no-location", {}, Reason.BAD_STATUS, "expected status 2xx, got 302"),
    "no JSON": (
        "/not-json",
        {"expect": {"json": [{"path": "a", "equals": 1}]}},
        Reason.BAD_JSON,
        "the body is not JSON: ",
    ),
    "text not there": ("/", {"expect": {"body_contains": ["Bye"]}}, Reason.BAD_BODY, "body: expected the text 'Bye'"),
    "header not there": ("/", {"expect": {"headers": {"X": "a"}}}, Reason.BAD_HEADER, "X: expected 'a', got none"),
    "no headers match": (
        "/",
        {"expect": {"headers": {"Set-Cookie": "c"}}},
        Reason.BAD_HEADER,
        "Set-Cookie: expected 'c', got 'a=1', 'b=2'",
    ),
    "a redirect too many": ("/loop", {"redirects": 3}, Reason.TOO_MANY_REDIRECTS, "more than 3, the last to '/loop'"),
    "redirect to another scheme": ("/to-nowhere", {}, Reason.BAD_REDIRECT, "to 'gopher://127.0.0.1/', which is no"),
    "redirect to what is no address": ("/elsewhere?to=http://[", {}, Reason.BAD_REDIRECT, "to 'http://['"),
    "body too large": ("/large", {}, Reason.TOO_LARGE, "more than 1048576 bytes of body"),
    "body of a bomb": ("/bomb", {"max_body_bytes": 4096}, Reason.TOO_LARGE, "more than 4096 bytes of body"),
    "headers too large": ("/many-headers", {}, Reason.TOO_LARGE, "more than 65536 bytes of headers"),
    "cut off": ("/cut", {}, Reason.BAD_ANSWER, "the connection was closed after 4 bytes of the body"),
    "cut off in a chunk": ("/cut-chunk", {}, Reason.BAD_ANSWER, "the connection was closed after 2 bytes of the body"),
    "packed and cut off": ("/gzip-cut", {}, Reason.BAD_ANSWER, "the end of the compressed body is missing"),
    "packed in another way": ("/brotli", {}, Reason.BAD_ANSWER, "Content-Encoding: br, which was not asked for"),
    "not HTTP": ("/garbage", {}, Reason.BAD_ANSWER, "not HTTP: "),
    "nothing": ("/nothing", {}, Reason.BAD_ANSWER, "the connection was closed before an answer"),
}


@pytest.mark.parametrize(("path", "given", "reason", "detail"), BAD.values(), ids=BAD)
def test_a_bad_answer_says_what_is_bad(path: str, given: dict[str, Any], reason: Reason, detail: str) -> None:
    result = ask(path, **given)
    assert (result.outcome, result.reason) == (Outcome.FAILED, reason)
    assert result.detail.startswith(detail)


@pytest.mark.parametrize("path", ["/slow", "/endless"])
def test_an_answer_that_does_not_end_is_a_time_out_with_its_phases(path: str) -> None:
    result = ask(path, timeout=0.1, max_body_bytes=67108864)
    assert result.reason is Reason.TIMEOUT
    assert list(result.phases)[:3] == ["resolve", "connect", "processing"]
    assert sum(result.phases.values()) >= 0.09


def test_phases_tell_where_the_time_went() -> None:
    result = ask("/stages")
    assert list(result.phases) == ["resolve", "connect", "processing", "transfer"]
    assert result.phases["processing"] > 0.045
    assert result.phases["transfer"] > 0.045


def to(place: bytes) -> Handler:
    """Redirect from / to a place, byte for byte, and say there what was asked for."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = (await read_request(reader)).target
        if target == "/":
            writer.write(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: %s\r\n\r\n" % place)
        else:
            writer.write(response(target.encode()))

    return handle


@pytest.mark.parametrize(
    ("place", "target"),
    [
        pytest.param("/grün?wie=süß#hier".encode(), "/gr%C3%BCn?wie=s%C3%BC%C3%9F", id="UTF-8"),
        pytest.param("/grün".encode("latin-1"), "/gr%FCn", id="another character set, byte for byte"),
        pytest.param("/a\u00a0b".encode(), "/a%C2%A0b", id="a blank that does not break"),
        pytest.param(b"/a b?c d", "/a%20b?c%20d", id="blanks"),
        pytest.param(b"/a%20b?c=%C3%BC", "/a%20b?c=%C3%BC", id="escaped already"),
        pytest.param(b"/a \t ", "/a", id="blanks behind it are none of it"),
        pytest.param(b"?a=//b c", "/?a=//b%20c", id="relative"),
    ],
)
def test_a_redirect_to_what_is_not_escaped_is_followed(place: bytes, target: str) -> None:
    result = ask("/", handler=to(place), expect={"body": [f"^{re.escape(target)}$"]})
    assert (result.reason, result.detail) == (None, "")


def test_a_redirect_to_a_host_with_a_name_in_utf_8_keeps_the_name() -> None:
    check = HttpCheck(settings(HttpSettings, url="http://a.test/"))
    for place in ("http://münchen.test/straße", "//münchen.test/straße"):
        following = check._next_url(split_url("http://a.test/"), place.encode().decode("latin-1"))
        assert (following.hostname, following.path) == ("münchen.test", "/stra%C3%9Fe")


@pytest.mark.parametrize("place", [b"http://a b/", b"http://\xff\xfe/", b"http://a\xc2\xa0b/"], ids=repr)
def test_a_redirect_to_no_host_is_refused(place: bytes) -> None:
    assert ask("/", handler=to(place)).reason is Reason.BAD_REDIRECT


def test_phases_of_redirects_add_up() -> None:
    result = ask("/elsewhere?to=/stages")
    assert result.phases["processing"] > 0.045
    assert result.facts == {"http_status_code": 200.0}


def test_the_status_is_told_of_an_answer_that_is_bad_behind_it() -> None:
    assert ask("/cut").facts == {"http_status_code": 200.0}


@pytest.mark.parametrize(
    ("given", "secret"),
    [
        ({"basic_auth": {"username": "watcher", "password_file": "FILE"}}, PASSWORD),
        ({"bearer_token_file": "FILE"}, TOKEN),
    ],
    ids=["password", "token"],
)
def test_a_secret_is_read_anew_for_each_attempt(tmp_path: Path, given: dict[str, Any], secret: str) -> None:
    file = tmp_path / "secret"
    given = {
        key: value.replace("FILE", str(file)) if isinstance(value, str) else {**value, "password_file": str(file)}
        for key, value in given.items()
    }

    async def run() -> list[Attempt]:
        async with serving(web) as port:
            check = HttpCheck(settings(HttpSettings, url=f"http://127.0.0.1:{port}/locked", **given))
            out = [await attempt(check)]
            for content in ("wrong", f"{secret}\n", "two\nlines", "", "x" * 20_000, b"\xff"):
                file.write_bytes(content if isinstance(content, bytes) else content.encode())
                out.append(await attempt(check))
            return out

    results = asyncio.run(run())
    unusable = Reason.UNREADABLE_FILE
    assert [result.reason for result in results] == [unusable, Reason.BAD_STATUS, None, *[unusable] * 4]
    assert {result.outcome for result in results if result.reason is unusable} == {Outcome.NOT_ASKED}
    assert all(str(file) in result.detail for result in results if result.reason is unusable)
    assert not [result for result in results if secret in str(result)]


def test_secrets_stay_with_the_host_that_they_are_for(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)

    async def run(place: str) -> Attempt:
        async with serving(web) as port, serving(web) as other:
            place = place.replace("OTHER", str(other))
            given = {"headers": {"Cookie": "a=1", "X-Kept": "1"}, "bearer_token_file": str(token)}
            expected = {"body": ["x-kept: 1"], "forbidden_body": ["cookie", "authorization", TOKEN]}
            url = f"http://127.0.0.1:{port}/elsewhere?to={place}"
            return await attempt(HttpCheck(settings(HttpSettings, url=url, expect=expected, **given)))

    assert asyncio.run(run("http://127.0.0.1:OTHER/headers")).reason is None
    assert asyncio.run(run("/headers")).reason is Reason.BAD_BODY


def test_what_stands_behind_the_question_mark_is_not_logged() -> None:
    check = HttpCheck(settings(HttpSettings, url="http://a.test/x?token=secret#y"))
    assert check.target == "http://a.test/x"
    assert "abc" not in ask("/loop").detail  # the server's own redirect has a token


def test_a_server_that_resets_is_told_so() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.transport.abort()

    assert ask("/", handler=reset).reason in (Reason.RESET, Reason.BAD_ANSWER)


def test_what_follows_the_answer_is_no_matter() -> None:
    result = ask("/", handler=says(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naGARBAGE\r\n\r\n"))
    assert result.reason is None


def test_an_answer_byte_by_byte_is_the_same() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for byte in b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

    assert ask("/", handler=drip, expect={"body": ["^ab$"]}).reason is None
