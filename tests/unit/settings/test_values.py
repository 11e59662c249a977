"""Durations, addresses and the JSON Schema."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.settings import Duration, parse_address, schema
from exporter.settings.exporter import Exporter
from exporter.settings.values import DURATION_PATTERN, MAX_DAYS

DURATIONS = {
    "0s": 0,
    "15s": 15,
    "250ms": 0.25,
    "1m": 60,
    "1ms": 0.001,
    "1m30s": 90,
    "1h": 3600,
    "2d": 172800,
    "090s": 90,
}


@pytest.mark.parametrize(("text", "seconds"), DURATIONS.items())
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert Duration.parse(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "5", "s", "1.5s", "5S", " 5s", "5s\n", "-1s", "+1s", "1s1m", "1h1h", "1w", "5 s", "1e3s"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration such as 15s, 250ms or 1m30s, got "):
        Duration.parse(text)


@given(st.integers(0, MAX_DAYS * 86_400_000))
def test_a_duration_reads_back_as_written(milliseconds: int) -> None:
    duration = Duration(milliseconds / 1000)
    assert round(Duration.parse(str(duration)) * 1000) == milliseconds


@given(st.from_regex(DURATION_PATTERN))
def test_what_the_schema_takes_is_a_duration_or_too_long(text: str) -> None:
    text = text.removesuffix("\n")  # Python's $ takes one, JSON Schema's does not
    try:
        assert Duration.parse(text) >= 0
    except ValueError as err:
        assert "expected at most 366d" in str(err) or not text.isascii()  # noqa: PT017 -- either way is right


@given(st.text("0123456789dhms", max_size=12))
def test_schema_and_reader_agree(text: str) -> None:
    try:
        Duration.parse(text)
        read = True
    except ValueError as err:
        read = "at most" in str(err)
    assert read == bool(re.search(DURATION_PATTERN, text))


ADDRESSES = {
    "127.0.0.1:10101": ("127.0.0.1", 10101),
    "localhost:0": ("localhost", 0),
    ":80": ("", 80),
    "[::1]:443": ("::1", 443),
    "[::]:65535": ("::", 65535),
    "host.example:00080": ("host.example", 80),
}


@pytest.mark.parametrize(("text", "address"), ADDRESSES.items())
def test_an_address_is_read(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text", ["", ":", "80", "a:", "a:b", "::1:80", "a:65536", "a:-1", "a: 1", "a:٣", "[::1]", "a:1e3", "a:1\n"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected ADDRESS:PORT such as"):
        parse_address(text)


def test_the_schema_describes_every_key_and_its_default() -> None:
    """Structurally, since no validator is among our libraries: every key has a type or a reference that exists."""
    found = schema(Exporter)
    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    defaults = {}
    _walk(found, found, "", defaults)
    assert defaults["listen"] == "127.0.0.1:10101"
    assert defaults["sampler.interval"] == "5s"
    assert defaults["scrape.timeout_offset"] == "500ms"
    assert defaults["collectors.cpu.enabled"] is True
    assert defaults["http.max_connections"] == 512
    assert str(defaults["collectors.filesystem.mount_points_exclude"]).startswith("^/(dev|")


def _walk(node: dict[str, Any], root: dict[str, Any], path: str, defaults: dict[str, Any]) -> None:
    if "$ref" in node:
        node = root["$defs"][node["$ref"].removeprefix("#/$defs/")]
    if node.get("type") != "object" or "properties" not in node:  # one value, or a mapping of the user's own names
        assert "type" in node or "enum" in node or "anyOf" in node, path
        if isinstance(default := node.get("default"), str) and "pattern" in node:
            assert re.search(node["pattern"], default)
        if "enum" in node:
            assert node["default"] in node["enum"]
        assert "default" in node, path
        defaults[path] = node["default"]
        return
    assert node["additionalProperties"] is False, path
    assert not node.get("required"), path
    for key, value in node["properties"].items():
        _walk(value, root, f"{path}.{key}".lstrip("."), defaults)
