"""Logs: one line per event, fields beside it, and no secret ever."""

import io
import json
import logging
import pickle
import sys
import traceback
from collections.abc import Iterator
from copy import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import logs
from exporter.logs import Log, Secret, mask


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    saved, level = root.handlers[:], root.level
    yield
    root.handlers[:] = saved
    root.setLevel(level)


def raised(text: str, *more: object) -> Exception:
    """Return an exception with a traceback."""
    try:
        raise ValueError(text, *more) if more else ValueError(text)
    except ValueError as err:
        return err


def lines(fmt: logs.Format, write: object, level: logs.Level = "debug") -> list[str]:
    """Return the lines that `write(log)` leads to."""
    stream = io.StringIO()
    logs.setup(fmt, level, stream)
    assert callable(write)
    write(Log("here"))
    return stream.getvalue().split("\n")[:-1]


def event(write: object) -> dict[str, object]:
    (line,) = lines("json", write)
    found = json.loads(line)
    assert isinstance(found, dict)
    return found


def test_an_event_is_one_json_object_with_its_fields() -> None:
    found = event(lambda log: log.warning("disk is slow", device="sda", seconds=1.5, list=[1, "b"], none=None))
    moment = found.pop("time")
    assert isinstance(moment, str)
    assert moment.endswith("Z")
    assert found == {
        "level": "warning",
        "logger": "here",
        "event": "disk is slow",
        "device": "sda",
        "seconds": 1.5,
        "list": [1, "b"],
        "none": None,
    }


@pytest.mark.parametrize(("level", "kept"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_a_level_keeps_what_is_at_least_as_bad(level: logs.Level, kept: int) -> None:
    def write(log: Log) -> None:
        log.debug("a")
        log.info("a")
        log.warning("a")
        log.error("a")

    assert len(lines("json", write, level)) == kept


def test_a_field_never_hides_what_every_event_has() -> None:
    found = event(lambda log: log.info("name", level="mine", time="mine", logger="mine"))
    assert (found["level"], found["event"], found["logger"]) == ("info", "name", "here")
    assert (found["level_"], found["time_"], found["logger_"]) == ("mine", "mine", "mine")


ODD = {
    "newline": "a\nb\r\nc",
    "quotes": 'say "x" \\ y',
    "control": "\x00\x1b[31m",
    "not utf-8": "caf\udce9",
    "emoji": "\N{PILE OF POO}",
    "line separator": "a\u2028b",
}


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_odd_text_stays_on_its_line_and_reads_back(value: str) -> None:
    assert event(lambda log: log.info("odd", value=value))["value"] == value


@given(st.text(st.characters(exclude_categories=[]), max_size=50))
def test_any_text_stays_on_its_line(value: str) -> None:
    (line,) = lines("json", lambda log: log.info("odd", value=value))
    assert isinstance(json.loads(line)["value"], str)
    (line,) = lines("text", lambda log: log.info("odd", value=value))
    assert " odd value=" in line


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


class Plain:
    def __repr__(self) -> str:
        return "<plain>"


STRANGE = {
    "object": (Plain(), "<plain>"),
    "bytes": (b"a\xff", "b'a\\xff'"),
    "set": ({1}, "{1}"),
    "exception": (OSError(2, "No such file"), "[Errno 2] No such file"),
    "keys that are no text": ({b"a": 1, (1, 2): Plain()}, None),
    "what cannot be printed": (Unprintable(), None),
    "not a number": (float("nan"), None),
    "infinite": ([float("inf")], None),
}


@pytest.mark.parametrize(("value", "shown"), STRANGE.values(), ids=STRANGE)
@pytest.mark.parametrize("fmt", ["json", "text"])
def test_no_value_costs_the_event(
    fmt: logs.Format, value: object, shown: object, capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = lines(fmt, lambda log: log.info("strange", value=value))
    assert "strange" in line
    if fmt == "json":
        found = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        assert shown is None or found["value"] == shown
    assert capsys.readouterr().err == ""


TOKENS = {
    "bot": "xoxb-1234567890-abcDEF123",
    "app": "xapp-1-A0123-987-abcdef",
    "user": "xoxp-1-2-3-abcdef",
    "rotating": "xoxe.xoxb-1-MQ-abcdef",
    "vault service": "hvs.CAESIJabcdefghijklmnop",
    "vault batch": "hvb.AAAAAQabcdefghijkl",
    "vault recovery": "hvr.abcdefghijklmnop",
    "old vault": "s.abcdefghijklmnopqrstuvwx",
    "old vault batch": "b.AAAAAQabcdefghijklmnopqrstuvwxyz",
    "old vault recovery": "r.abcdefghijklmnopqrstuvwx",
    "bearer": "Bearer abc.def-ghi_jkl~+/=",
    "bearer in capitals": "BEARER abcdefgh",
    "basic": "Basic dXNlcjpwYXNz",
}
AROUND = {
    "alone": "{}",
    "in a sentence": "the token {} was refused",
    "quoted": 'token="{}"',
    "in a url": "https://a/b?token={}&x=y",
    "behind a line end": "line\n{}\nline",
    "behind a tab": "a\t{}",
    "in brackets": "[{}]",
    "behind a colon": "authorization:{}",
}


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
@pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS)
@pytest.mark.parametrize("fmt", ["json", "text"])
def test_a_token_is_masked_wherever_it_stands(fmt: logs.Format, token: str, around: str) -> None:
    text = around.format(token)
    secret = token.rsplit(" ", maxsplit=1)[-1]

    def write(log: Log) -> None:
        log.info("field", value=text)
        log.info("deep", value={"a": [text]})
        err = raised(text)
        log.error("raised", exc=err, error=err)

    out = "\n".join(lines(fmt, write))
    assert secret not in out
    assert out.count(logs.MASK) >= 3
    if fmt == "json":
        assert all(json.loads(line) for line in out.split("\n"))


@pytest.mark.parametrize(
    "text",
    [
        "xox is a game",
        "hvs",
        "s.short",
        "class.method",
        "users.abcdefghijklmnopqrstuvwxyz",
        "basically",
    ],
)
def test_what_only_looks_a_little_like_a_token_stays(text: str) -> None:
    assert mask(text) == text


def test_a_secret_shows_nowhere_but_where_it_is_revealed() -> None:
    secret = Secret("hunter2")
    assert secret.reveal() == "hunter2"
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r}", "%s %r" % (secret, secret), "{}".format(secret)]  # noqa: UP031, UP032
    shown += [repr({"a": [secret]}), json.dumps({"a": secret}, default=str)]
    shown += lines("json", lambda log: log.info("a", secret=secret, deep={"b": [secret]}))
    shown += lines("text", lambda log: log.info("a", secret=secret, deep={"b": [secret]}))
    assert "hunter2" not in " ".join(shown)
    assert all(logs.MASK in text for text in shown)


def test_a_secret_does_not_show_in_a_traceback() -> None:
    secret = Secret("hunter2")
    err = raised("no use", secret)
    full = traceback.TracebackException.from_exception(err, capture_locals=True)
    assert "hunter2" not in "".join(full.format())
    out = lines("json", lambda log: log.error("failed", exc=err))
    assert "hunter2" not in out[0]


def test_a_secret_is_not_written_to_disk_by_pickle() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret("hunter2"))
    with pytest.raises(TypeError):
        copy(Secret("hunter2"))


def test_secrets_compare_without_being_shown() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


def test_an_error_brings_its_traceback_on_the_same_json_line() -> None:
    def write(log: Log) -> None:
        log.error("failed", exc=raised("a\nb"))

    found = event(write)
    assert str(found["traceback"]).startswith("Traceback (most recent call last):\n")
    assert str(found["traceback"]).endswith("ValueError: a\nb")
    first, *rest = lines("text", write)
    assert " error   failed" in first
    assert rest[0] == "Traceback (most recent call last):"


TEXT = {
    "plain": "plain",
    "": '""',
    "two words": '"two words"',
    'a"b': '"a\\"b"',
    "a=b": '"a=b"',
    "a\nb": '"a\\nb"',
    "é": "é",
}


@pytest.mark.parametrize(("value", "shown"), TEXT.items())
def test_text_is_quoted_where_it_would_be_misread(value: str, shown: str) -> None:
    (line,) = lines("text", lambda log: log.info("an event", key=value, other=1))
    assert line.endswith(f"Z info    an event key={shown} other=1")


def test_a_stream_that_is_gone_does_not_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    logs.setup("json", "info")
    Log("here").info("nobody hears this")


def test_the_moment_is_utc_with_milliseconds() -> None:
    assert logs._moment(784111777.9996) == "1994-11-06T08:49:37.999Z"
    assert logs._moment(0.0) == "1970-01-01T00:00:00.000Z"
