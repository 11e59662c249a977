"""The settings of Vault: strict, with errors that name the key and the way out."""

from typing import Any

import msgspec
import pytest

from exporter.relay.settings import Relay
from exporter.settings import SettingsError, parse, schema


def read(**vault: Any) -> Relay:
    return parse(msgspec.yaml.encode({"vault": {"address": "https://vault:8200", **vault}}), Relay, "relay.yml")


def test_an_address_is_enough() -> None:
    settings = parse(b"vault: {address: https://vault.example.com:8200}", Relay, "relay.yml").vault
    assert settings is not None
    assert (settings.secret, settings.auth_mount) == ("secret/hostwatch/slack", "approle")
    assert settings.token_key == "bot_token"
    assert (settings.poll_interval, settings.timeout, settings.retry_after) == (60, 10, 1)


GOOD = {
    "loopback": {"address": "http://127.0.0.1:8200"},
    "loopback by name": {"address": "http://localhost:8200/"},
    "loopback of IPv6": {"address": "http://[::1]:8200"},
    "http that is meant": {"address": "http://vault:8200", "allow_http": True},
    "namespace": {"namespace": "parent/team/"},
    "deep path": {"mount": "kv/team", "path": "a/b.c/d_e"},
    "no key": {},
}


@pytest.mark.parametrize("more", GOOD.values(), ids=GOOD)
def test_these_are_good(more: dict[str, Any]) -> None:
    assert read(**more).vault is not None


BAD = {
    "no scheme": ({"address": "vault:8200"}, "vault.address: expected an address such as https://"),
    "other scheme": ({"address": "ftp://vault"}, "vault.address: expected an address such as https://"),
    "no host": ({"address": "https://"}, "vault.address: expected an address such as"),
    "blank": ({"address": "https://vault:8200 "}, "vault.address: expected an address such as"),
    "port": ({"address": "https://vault:99999"}, "vault.address: expected an address such as"),
    "broken": ({"address": "https://[::1"}, "vault.address: expected an address such as"),
    "password": ({"address": "https://me:pw@vault"}, "vault.address: expected scheme, host and port only"),
    "path": ({"address": "https://vault/ui"}, "vault.address: expected scheme, host and port only"),
    "query": ({"address": "https://vault?x=1"}, "vault.address: expected scheme, host and port only"),
    "http": ({"address": "http://vault:8200"}, "vault.address: expected https://, since http:// shows the token"),
    "http to all": ({"address": "http://0.0.0.0:8200"}, "vault.address: expected https://"),
    "http to what looks local": ({"address": "http://localhost.example.com"}, "vault.address: expected https://"),
    "http way out": ({"address": "http://10.0.0.1"}, "set allow_http: true"),
    "mount with slash": ({"mount": "secret/"}, "vault.mount: expected names with / between them"),
    "path with data": ({"path": "data/hostwatch/slack"}, "vault.path: expected the secret's path without data/"),
    "path upwards": ({"path": "a/../b"}, "vault.path: expected names with / between them"),
    "path with query": ({"path": "a?version=1"}, "vault.path: expected names"),
    "empty path": ({"path": ""}, "vault.path: expected names"),
    "path of two lines": ({"path": "a\nb"}, "vault.path: expected names"),
    "auth mount": ({"auth_mount": "auth/approle"}, "vault.auth_mount: expected the mount without auth/"),
    "namespace": ({"namespace": "a b"}, "vault.namespace: expected a name such as team"),
    "namespace of two lines": ({"namespace": "a\r\nX: 1"}, "vault.namespace: expected a name"),
    "credential": ({"secret_id_credential": "../secret"}, "vault.secret_id_credential: expected the name of a systemd"),
    "parent": ({"role_id_credential": ".."}, "vault.role_id_credential: expected the name of a systemd credential"),
    "key": ({"token_key": "a b"}, "vault.token_key: expected one of the secret's keys"),
    "same keys": ({"token_key": "channel"}, "vault.token_key: expected one of the secret's keys, each named once"),
    "no interval": ({"poll_interval": "0s"}, "vault.poll_interval: expected more than 0s"),
    "no timeout": ({"timeout": "0s"}, "vault.timeout: expected more than 0s"),
    "number": ({"timeout": 10}, "vault.timeout: expected a duration"),
    "unknown": ({"token": "x"}, "vault.token: unknown key"),
    "secret id itself": ({"secret_id": "x"}, "vault.secret_id: unknown key"),
}


@pytest.mark.parametrize(("more", "words"), BAD.values(), ids=BAD)
def test_a_bad_setting_is_named(more: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError) as err:
        read(**more)
    assert str(err.value).startswith("relay.yml:")
    assert words in str(err.value)


def test_an_address_is_needed() -> None:
    with pytest.raises(SettingsError, match=r"relay\.yml:1: vault.*address"):
        parse(b"vault: {path: a}", Relay, "relay.yml")


def test_two_sources_of_tokens_are_refused() -> None:
    text = b"slack: {token_file: /etc/token}\nvault: {address: https://vault:8200}\n"
    with pytest.raises(SettingsError, match=r"vault: expected either this or slack\.token_file, not both"):
        parse(text, Relay, "relay.yml")


def test_there_is_a_schema() -> None:
    assert "secret_id_file" in str(schema(Relay))
