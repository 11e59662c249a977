"""The web configuration file: what is taken and what is refused, as exporter-toolkit's documentation has it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.server.web_config import ConfigFile, RateLimit, WebConfig
from exporter.settings import SettingsError, parse

PAIR = "tls_server_config: {cert_file: server.crt, key_file: server.key"
HASH = "$2y$10$" + "a" * 21 + "u" + "b" * 31

GOOD = {
    "an empty file": "",
    "a pair": f"{PAIR}}}",
    "a pair as text": "tls_server_config: {cert: CERT, key: KEY}",
    "a certificate's file and a key as text": "tls_server_config: {cert_file: server.crt, key: KEY}",
    "nobody is asked": f"{PAIR}, client_auth_type: NoClientCert}}",
    "a certificate is asked for": f"{PAIR}, client_auth_type: RequestClientCert}}",
    "one is verified if given": f"{PAIR}, client_auth_type: VerifyClientCertIfGiven}}",
    "one is required": f"{PAIR}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt}}",
    "an authority as text": f"{PAIR}, client_auth_type: RequireAndVerifyClientCert, client_ca: CA}}",
    "names": f"{PAIR}, client_auth_type: RequireAndVerifyClientCert, client_ca: CA, client_allowed_sans: [a.example]}}",
    "versions": f"{PAIR}, min_version: TLS13, max_version: TLS13}}",
    "old versions": f"{PAIR}, min_version: TLS10, max_version: TLS11}}",
    "a curve": f"{PAIR}, min_version: TLS13, curve_preferences: [CurveP521]}}",
    "the client's order": f"{PAIR}, prefer_server_cipher_suites: false}}",
    "no HTTP/2": "http_server_config: {http2: false}",
    "headers": "http_server_config: {headers: {X-Frame-Options: deny, X-Content-Type-Options: nosniff, "
    "Strict-Transport-Security: max-age=31536000; includeSubDomains, X-XSS-Protection: 1, "
    "Content-Security-Policy: \"default-src 'self' *.test.example.net\"}}",
    "users": f"basic_auth_users: {{alice: {HASH}, bob: $2b$04{HASH[6:]}, carol: $2a$18{HASH[6:]}}}",
    "a limit": "rate_limit: {interval: 1s, burst: 0}",
    "no limit": "rate_limit: {interval: 0, burst: 0}",
}

BAD = {
    "no mapping": ("tls_server_config", "1: top level: expected a mapping, got a text"),
    "an unknown key": ("tls_config: {}", "1: tls_config: unknown key, did you mean tls_server_config?"),
    "an unknown key below": (f"{PAIR}, certs: x}}", "1: tls_server_config.certs: unknown key, did you mean cert?"),
    "a key twice": (f"{PAIR}, key_file: x}}", "1: tls_server_config.key_file: key repeated, first seen on line 1"),
    "nothing of TLS": ("tls_server_config: {}", "1: tls_server_config: expected either cert or cert_file"),
    "no certificate's file": (
        "tls_server_config:\n  cert_file: ''\n  key_file: x",
        "1: tls_server_config: expected either cert or cert_file",
    ),
    "no certificate's text": ("tls_server_config: {cert: '', key_file: x}", "expected either cert or cert_file"),
    "no key's file": ("tls_server_config: {cert_file: x, key_file: ''}", "expected either key or key_file"),
    "no key's text": ("tls_server_config: {cert_file: x, key: ''}", "expected either key or key_file"),
    "neither": ("tls_server_config: {cert_file: '', key_file: ''}", "expected either cert or cert_file"),
    "two keys": (f"{PAIR}, key: KEY}}", "1: tls_server_config: expected either key or key_file"),
    "an authority and no policy": (
        f"{PAIR}, client_ca_file: /dev/null}}",
        "1: tls_server_config.client_auth_type: expected one that asks for a certificate, since there is a client_ca",
    ),
    "a policy and no authority": (
        f"{PAIR},\n  client_auth_type: RequireAndVerifyClientCert}}",
        "client_auth_type: RequireAndVerifyClientCert expects client_ca_file",
    ),
    "an invented policy": (
        f"{PAIR},\n  client_auth_type: RequireAnyClientCert}}",
        "2: tls_server_config.client_auth_type: expected one of NoClientCert, RequestClientCert, VerifyClient",
    ),
    "names and no certificate": (
        f"{PAIR},\n  client_allowed_sans: [a]}}",
        "2: tls_server_config.client_allowed_sans: expected with client_auth_type RequireAndVerifyClientCert only",
    ),
    "names and perhaps a certificate": (
        f"{PAIR}, client_auth_type: VerifyClientCertIfGiven, client_ca: CA, client_allowed_sans: [a]}}",
        "client_allowed_sans: expected with client_auth_type RequireAndVerifyClientCert only",
    ),
    "an invented version": (f"{PAIR}, min_version: TLS111}}", "expected one of TLS10, TLS11, TLS12, TLS13"),
    "versions upside down": (
        f"{PAIR},\n  min_version: TLS13,\n  max_version: TLS12}}",
        "2: tls_server_config.min_version: expected at most max_version, TLS12",
    ),
    "an invented curve": (f"{PAIR}, curve_preferences: [CurveP257]}}", "CurveP257"),
    "several curves": (f"{PAIR}, curve_preferences: [CurveP256, X25519]}}", "curve_preferences: expected one curve"),
    "another header": (
        "http_server_config:\n  headers:\n    X-Other: x",
        "3: http_server_config.headers.X-Other: unknown header, expected one of Content-Security-Policy, Strict-",
    ),
    "a header's value": (
        "http_server_config:\n  headers:\n    X-Frame-Options: never",
        "3: http_server_config.headers.X-Frame-Options: expected deny or sameorigin, got 'never'",
    ),
    "another header's value": (
        "http_server_config: {headers: {X-Content-Type-Options: sniff}}",
        "expected nosniff, got 'sniff'",
    ),
    "a header of two lines": (
        'http_server_config: {headers: {X-XSS-Protection: "1\\r\\nX: y"}}',
        "X-XSS-Protection: expected one line of text",
    ),
    "a password": (
        "basic_auth_users:\n  alice: hunter2",
        "2: basic_auth_users.alice: expected a bcrypt hash, as `htpasswd -nBC 10 ''` prints it",
    ),
    "half a hash": (f"basic_auth_users:\n  alice: {HASH[:-1]}", "2: basic_auth_users.alice: expected a bcrypt hash"),
    "another kind of hash": (f"basic_auth_users: {{a: $6$10{HASH[6:]}}}", "expected a bcrypt hash"),
    "a salt that bcrypt refuses": (f"basic_auth_users: {{a: {HASH[:28]}v{HASH[29:]}}}", "expected a bcrypt hash"),
    "a cost that takes a day": (f"basic_auth_users: {{a: $2y$31{HASH[6:]}}}", "with a cost from 4 to 18, got 31"),
    "a cost that is none": (f"basic_auth_users: {{a: $2y$03{HASH[6:]}}}", "with a cost from 4 to 18, got 03"),
    "an interval without unit": ("rate_limit: {interval: 5}", "1: rate_limit.interval: expected a duration such as 1s"),
    "no interval": ("rate_limit:\n  interval: often", "2: rate_limit.interval: expected a duration such as 15s"),
    "less than nothing": ("rate_limit: {burst: -1}", "1: rate_limit.burst: expected a whole number >= 0"),
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_what_exporter_toolkit_takes_is_taken(text: str) -> None:
    parse(text.encode(), WebConfig, "web.yml")


@pytest.mark.parametrize(("text", "problem"), BAD.values(), ids=BAD)
def test_what_is_refused_names_the_place_and_what_was_expected(text: str, problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(text.encode(), WebConfig, "web.yml")
    assert str(caught.value).startswith("web.yml:")
    assert problem in str(caught.value)


def test_a_password_that_stands_where_its_hash_belongs_is_not_shown() -> None:
    with pytest.raises(SettingsError) as caught:
        parse(b"basic_auth_users: {alice: hunter2}", WebConfig, "web.yml")
    assert "hunter2" not in str(caught.value)


def test_headers_go_out_as_lines_but_for_empty_ones() -> None:
    text = b"http_server_config: {headers: {X-XSS-Protection: 1, Content-Security-Policy: ''}}"
    assert parse(text, WebConfig, "web.yml").http_server_config.lines == ("X-XSS-Protection: 1",)


@pytest.mark.parametrize(("interval", "seconds"), [(0, 0.0), ("0", 0.0), ("0s", 0.0), ("1m30s", 90.0)])
def test_an_interval_is_in_seconds(interval: str | int, seconds: float) -> None:
    assert RateLimit(interval=interval).seconds == seconds


def _replace(path: Path) -> None:
    path.with_suffix(".new").write_text(path.read_text())
    path.with_suffix(".new").replace(path)


CHANGES: dict[str, Callable[[Path], object]] = {
    "written": lambda path: path.write_text("longer than before\n"),
    "replaced by the same text": _replace,
    "removed": lambda path: path.unlink(),
    "made readable": lambda path: (path.chmod(0), path.chmod(0o644)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("name", ["web.yml", "server.crt", "server.key"])
def test_a_change_is_seen_once(tmp_path: Path, name: str, change: Callable[[Path], object]) -> None:
    for file in ("server.crt", "server.key"):
        (tmp_path / file).write_text("x")
    (tmp_path / "web.yml").write_text(f"{PAIR}}}")
    file = ConfigFile(tmp_path / "web.yml")
    assert not file.changed()
    before = (tmp_path / name).stat().st_ctime_ns
    change(tmp_path / name)
    while (tmp_path / name).exists() and (tmp_path / name).stat().st_ctime_ns == before:
        change(tmp_path / name)  # a file system's clock may tick every 4 ms only
    assert file.changed()
    if name != "web.yml":
        file.read_again()
        assert not file.changed()


def test_a_file_that_is_named_and_missing_is_watched(tmp_path: Path) -> None:
    path = tmp_path / "web.yml"
    path.write_text("")
    file = ConfigFile(path)
    path.write_text(f"{PAIR}}}")
    file.read_again()
    assert not file.changed()
    (tmp_path / "server.crt").write_text("now it is there")
    assert file.changed()
