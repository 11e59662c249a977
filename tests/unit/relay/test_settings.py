"""The relay's settings: strict, and complete without a file but for the token."""

import pytest

from exporter.relay.settings import Relay
from exporter.settings import SettingsError, parse, schema


def test_no_settings_are_the_defaults() -> None:
    settings = parse(b"", Relay, "relay.yml")
    assert settings.listen == "127.0.0.1:10102"
    assert settings.database == "/var/lib/hostwatch/relay.db"


BAD = {
    "key": (b"tokenfile: x", "tokenfile: unknown key"),
    "listen": (b"listen: nowhere", "expected ADDRESS:PORT"),
    "limit": (b"limits: {body_bytes: 1}", "limits.body_bytes"),
    "small total": (b"limits: {intake_bytes: 2048}", "at least body_bytes"),
    "url": (b"external_url: ftp://x", "external_url"),
    "broken url": (b'external_url: "http://["', "external_url"),
    "duration": (b"http: {body_timeout: 10}", "http.body_timeout"),
}


@pytest.mark.parametrize(("text", "words"), BAD.values(), ids=BAD)
def test_a_bad_setting_is_named(text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=r"relay\.yml") as err:
        parse(text, Relay, "relay.yml")
    assert words in str(err.value)


def test_there_is_a_schema() -> None:
    assert "token_file" in str(schema(Relay))
