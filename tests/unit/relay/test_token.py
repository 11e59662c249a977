"""The token file: refused when it cannot be used, read again when it changed, never shown."""

from pathlib import Path
from typing import Any

import pytest

from exporter.relay.token import Token, TokenError, read_token

CANARY = "tok-canary-3f9a1c77d2"


@pytest.fixture
def file(tmp_path: Path) -> Any:
    path = tmp_path / "token"
    path.touch(0o600)
    path.write_text(CANARY + "\n")
    return path


def bearer(token: Any) -> Any:
    return b"Bearer " + token.encode()


def test_white_space_around_the_token_is_no_part_of_it(file: Path) -> None:
    file.write_text(f"  {CANARY} \r\n\n")
    assert read_token(file).reveal() == CANARY


BAD = {
    "empty": (b"", 0o600, "empty"),
    "blank": (b" \n", 0o600, "empty"),
    "two": (f"{CANARY} {CANARY}".encode(), 0o600, "one token"),
    "long": (CANARY.encode() * 1000, 0o600, "at most 4096 bytes"),
    "not ascii": (CANARY.encode() + b"\xff", 0o600, "ASCII"),
    "readable": (CANARY.encode(), 0o604, "mode 0604"),
    "writable": (CANARY.encode(), 0o602, "chmod o-rwx"),
}


@pytest.mark.parametrize(("data", "mode", "words"), BAD.values(), ids=BAD)
def test_an_unusable_file_says_why_and_not_what_it_holds(file: Path, data: Any, mode: Any, words: str) -> None:
    file.write_bytes(data)
    file.chmod(mode)
    with pytest.raises(TokenError) as err:
        read_token(file)
    assert words in str(err.value)
    assert str(file) in str(err.value)
    assert CANARY not in repr((str(err.value), err.value.__cause__, vars(err.value)))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TokenError, match=r"nothing-here: cannot be read: No such file"):
        read_token(tmp_path / "nothing-here")


HEADERS = {
    "right": (bearer(CANARY), True),
    "lower case scheme": (b"bearer " + CANARY.encode(), True),
    "wrong": (bearer("other"), False),
    "shorter": (bearer(CANARY[:-1]), False),
    "longer": (bearer(CANARY + "x"), False),
    "no scheme": (CANARY.encode(), False),
    "other scheme": (b"Basic " + CANARY.encode(), False),
    "nothing": (b"", False),
    "not ascii": (b"Bearer \xff\xfe", False),
}


@pytest.mark.parametrize(("header", "accepted"), HEADERS.values(), ids=HEADERS)
def test_only_the_token_is_accepted(file: Path, header: Any, accepted: Any) -> None:
    assert Token(file).accepts(header) is accepted


def test_a_changed_file_is_in_force_at_the_next_request(file: Path) -> None:
    token = Token(file)
    file.write_text("another-token")
    assert token.accepts(bearer("another-token"))
    assert not token.accepts(bearer(CANARY))


@pytest.mark.parametrize("spoil", [lambda f: f.unlink(), lambda f: f.write_text(""), lambda f: f.chmod(0o644)])
def test_a_spoilt_file_keeps_the_last_good_token_until_it_is_repaired(file: Path, spoil: Any) -> None:
    token = Token(file)
    spoil(file)
    assert token.accepts(bearer(CANARY))
    assert not token.last_read_ok
    new = file.with_name("new")
    new.touch(0o600)
    new.write_text("repaired")
    new.replace(file)
    assert token.accepts(bearer("repaired"))
    assert token.last_read_ok


def test_the_token_is_in_no_text_of_the_object(file: Path) -> None:
    token = Token(file)
    assert CANARY not in repr(vars(token))
