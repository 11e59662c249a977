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
    "evidence with a password": (b"evidence: {prometheus_url: 'http://user:pass@prometheus:9090'}", "without a user"),
    "api with a password": (b"slack: {api_url: 'https://user:pass@slack.com/api/'}", "without a user"),
    "api in the clear": (b"slack: {api_url: 'http://slack.com/api/'}", "allow_http"),
    "api in the clear of a network": (b"slack: {api_url: 'http://10.0.0.1:8000/api/'}", "allow_http"),
    "duration": (b"http: {body_timeout: 10}", "http.body_timeout"),
}


@pytest.mark.parametrize(("text", "words"), BAD.values(), ids=BAD)
def test_a_bad_setting_is_named(text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=r"relay\.yml") as err:
        parse(text, Relay, "relay.yml")
    assert words in str(err.value)


@pytest.mark.parametrize(
    "slack",
    [
        "{api_url: 'http://127.0.0.1:9/'}",
        "{api_url: 'http://[::1]:9/'}",
        "{api_url: 'http://localhost:9/'}",
        "{api_url: 'https://slack.example.com/api/'}",
        "{api_url: 'http://172.17.0.1:9/', allow_http: true}",
    ],
)
def test_slack_is_asked_in_the_clear_on_this_machine_only_unless_that_is_meant(slack: str) -> None:
    assert parse(f"slack: {slack}".encode(), Relay, "relay.yml").slack.api_url


def test_a_password_in_an_address_is_not_repeated() -> None:
    with pytest.raises(SettingsError) as err:
        parse(b"evidence: {prometheus_url: 'http://user:canary@prometheus:9090'}", Relay, "relay.yml")
    assert "canary" not in str(err.value)


def test_there_is_a_schema() -> None:
    assert "token_file" in str(schema(Relay))
