"""The Docker Engine API: answers as they are, in every way that they can be wrong, and an engine that was restarted."""

import gc
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.clients.docker import (
    BadAnswerError,
    Engine,
    EngineError,
    EngineTimeoutError,
    NoEngineError,
    NoPermissionError,
    RefusedError,
    parse_time,
)
from exporter.clients.unix_http import MAX_BODY, MAX_HEAD, Parser
from tests.support.fake_engine import (
    STREAM_HEAD,
    FakeContainer,
    FakeEngine,
    Handler,
    chunked,
    closing,
    failure,
    saying,
    silent,
    trickling,
    whole,
)

LIST = "/containers/json"


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeEngine]:
    with FakeEngine(tmp_path / "docker.sock", [FakeContainer("web"), FakeContainer("db")]) as fake:
        yield fake


def engine_of(fake: FakeEngine) -> Engine:
    return Engine(str(fake.path))


def soon(seconds: float = 5) -> float:
    return time.monotonic() + seconds


def names(engine: Engine, seconds: float = 5) -> list[str | None]:
    return [one.name for one in engine.list_containers(soon(seconds))]


def test_list_and_inspect_share_one_connection(fake: FakeEngine) -> None:
    engine = engine_of(fake)
    assert names(engine) == ["web", "db"]
    detail = engine.inspect(fake.container("db").id, soon())
    assert detail is not None
    assert detail.state.status == "running"
    assert (fake.open, fake.count("_ping")) == (1, 1)


@pytest.mark.parametrize(
    ("theirs", "prefix"),
    [("1.41", "/v1.41"), ("1.24", "/v1.24"), ("1.99", "/v1.51"), ("2.0", "/v1.51"), ("", ""), ("x.y", "")],
)
def test_version_is_the_newest_that_both_know(fake: FakeEngine, theirs: str, prefix: str) -> None:
    fake.version = theirs
    engine = engine_of(fake)
    assert names(engine) == ["web", "db"]
    assert engine.prefix == prefix


def test_engine_that_is_too_old_is_an_error_that_says_so(fake: FakeEngine) -> None:
    fake.version = "1.23"
    with pytest.raises(EngineError, match=r"expected API version 1\.24 or later, got 1\.23"):
        names(engine_of(fake))


def test_proxy_that_forbids_ping_is_asked_without_a_version(fake: FakeEngine) -> None:
    fake.ill["/_ping"] = saying(failure("403 Forbidden", "no"))
    assert names(engine_of(fake)) == ["web", "db"]


def test_container_that_is_gone_is_none(fake: FakeEngine) -> None:
    assert engine_of(fake).inspect("0" * 64, soon()) is None


def test_own_name_is_told_from_those_in_linked_containers() -> None:
    # the fake lists "/another/web-alias" first, as Docker does for links
    assert FakeContainer("web").listed()["Names"] == ["/another/web-alias", "/web"]


def huge_head(peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * (MAX_HEAD // 4))


BAD: dict[str, tuple[Handler, type[EngineError], str]] = {
    "nothing": (closing(), EngineError, "closed without an answer"),
    "head cut off": (closing(b"HTTP/1.1 200 OK\r\nContent-Le"), EngineError, "cut off"),
    "body cut off": (closing(whole(b"[]" * 99)[:-1]), EngineError, "cut off"),
    "chunk cut off": (closing(chunked(b"[" + b" " * 99 + b"]")[:-9]), EngineError, "cut off"),
    "garbage": (closing(b"\x00\xff\x7f" * 99), EngineError, "no HTTP"),
    "another protocol": (closing(b"220 mail.example ESMTP\r\n"), EngineError, "no HTTP"),
    "chunk size is no number": (closing(STREAM_HEAD + b"zz\r\n"), EngineError, "no HTTP"),
    "two answers": (saying(whole(b"[]") * 2), EngineError, "more than one answer"),
    "no JSON": (saying(whole(b"<html>")), BadAnswerError, LIST),
    "half of JSON": (saying(whole(b'[{"Id":')), BadAnswerError, LIST),
    "no UTF-8": (saying(whole(b'[{"Id":"\xff","State":"x"}]')), BadAnswerError, LIST),
    "no list": (saying(whole(b'{"message":"x"}')), BadAnswerError, "array"),
    "field missing": (saying(whole(b'[{"Names":["/x"]}]')), BadAnswerError, "Id"),
    "field of another type": (saying(whole(b'[{"Id":7,"State":"running"}]')), BadAnswerError, "Id"),
    "id that is a path": (saying(whole(b'[{"Id":"../../../etc/x","State":"running"}]')), BadAnswerError, "Id"),
    "500": (saying(failure("500 Internal Server Error", "layer not known")), RefusedError, "HTTP 500: layer not known"),
    "403 without words": (saying(whole(b"denied", "403 Forbidden")), RefusedError, "HTTP 403: b'denied'"),
    "endless head": (huge_head, EngineError, "over 65536 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_answer_is_an_error_that_names_socket_and_question(fake: FakeEngine, case: str) -> None:
    handler, kind, text = BAD[case]
    fake.ill[LIST] = handler
    engine = engine_of(fake)
    with pytest.raises(kind, match=text) as caught:
        names(engine)
    assert str(fake.path) in str(caught.value)
    assert LIST in str(caught.value)
    fake.ill.clear()
    assert names(engine) == ["web", "db"], "it recovers"


def test_answer_that_is_too_large_is_given_up_while_it_comes(fake: FakeEngine) -> None:
    def endless(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        data = b" " * (1 << 20)
        while True:
            peer.sendall(b"%x\r\n%s\r\n" % (len(data), data))

    fake.ill[LIST] = endless
    with pytest.raises(EngineError, match=f"over {MAX_BODY} bytes"):
        names(engine_of(fake))


@pytest.mark.parametrize("handler", [silent, trickling], ids=["silent", "trickling"])
def test_slow_engine_is_given_up_at_the_deadline(fake: FakeEngine, handler: Handler) -> None:
    fake.ill[LIST] = handler
    engine = engine_of(fake)
    start = time.monotonic()
    with pytest.raises(EngineTimeoutError, match=LIST):
        names(engine, 0.1)
    assert time.monotonic() - start < 2
    fake.ill.clear()
    assert names(engine) == ["web", "db"], "what comes late belongs to no later question"


def test_answer_that_ends_with_its_connection_counts(fake: FakeEngine) -> None:
    fake.ill[LIST] = closing(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n[]")
    assert names(engine_of(fake)) == []


def test_engine_that_closes_after_each_answer_is_connected_anew(fake: FakeEngine) -> None:
    fake.ill["/_ping"] = saying(whole(b"OK", "200 OK", "Connection: close"))
    engine = engine_of(fake)
    assert names(engine) == ["web", "db"]
    assert names(engine) == ["web", "db"]


def test_restarted_engine_is_asked_again_within_the_same_question(fake: FakeEngine) -> None:
    engine = engine_of(fake)
    names(engine)
    fake.drop_all()
    fake.version = "1.30"
    assert names(engine) == ["web", "db"]
    assert engine.prefix == "/v1.30", "it may be another version now"


def test_no_socket(tmp_path: Path) -> None:
    with pytest.raises(NoEngineError, match="No such file"):
        names(Engine(str(tmp_path / "none")))


def test_socket_that_nobody_listens_on(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "left"))
    with pytest.raises(EngineError, match="Connection refused") as caught:
        names(Engine(str(tmp_path / "left")))
    assert type(caught.value) is EngineError


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, deadline: float) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("exporter.clients.docker.Connection", refuse)  # root may do everything
    with pytest.raises(NoPermissionError, match="Permission denied"):
        names(Engine(str(tmp_path / "closed")))


def test_many_failures_leave_no_connection_behind(fake: FakeEngine) -> None:
    fake.ill[LIST] = saying(whole(b"<html>"))
    engine = engine_of(fake)
    for _ in range(20):
        with pytest.raises(BadAnswerError):
            names(engine)
    fake.ill.clear()
    names(engine)
    deadline = time.monotonic() + 5
    while fake.open != 1:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_questions_leave_nothing_for_the_garbage_collector(fake: FakeEngine) -> None:
    engine = engine_of(fake)
    names(engine)
    parsers = sum(isinstance(thing, Parser) for thing in gc.get_objects())
    gc.disable()
    try:
        for _ in range(5):
            names(engine)
        assert sum(isinstance(thing, Parser) for thing in gc.get_objects()) == parsers
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2023-11-14T22:13:20.123456789Z", 1_700_000_000.123),
        ("2023-11-14T22:13:20Z", 1_700_000_000),
        ("2023-11-15T00:13:20.5+02:00", 1_700_000_000.5),
        ("0001-01-01T00:00:00Z", None),
        ("2023-11-14T22:13:20", None),
        ("", None),
        ("soon", None),
    ],
)
def test_moments(text: str, moment: float | None) -> None:
    assert parse_time(text) == moment
