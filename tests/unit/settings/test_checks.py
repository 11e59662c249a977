"""The settings of checks: what is wrong with a bad one is said with its place and what belongs there."""

import re
from pathlib import Path

import msgspec
import pytest

from exporter.settings import SettingsError, parse
from exporter.settings.checks import HttpSettings, JsonValue
from exporter.settings.probes import Probes
from exporter.settings.targets import host_and_port

DOCUMENT = Path(__file__).parents[3] / "docs/service-checks.md"

STATUS = 'expected codes such as 200, "2xx" or "200-299", got '
URL = "expected an address such as https://www.example.com/health"
ADDRESS = "expected HOST:PORT such as db.internal:5432, 192.0.2.7:22 or [2001:db8::7]:443, got "

BAD: dict[str, tuple[str, str]] = {
    # what all kinds share
    "no name": ("tcp: [{address: 'a:1'}]", "tcp[0]: expected the key name in it"),
    "empty name": ("tcp: [{name: '', address: 'a:1'}]", "tcp[0].name: expected a text of length >= 1"),
    "a name twice": (
        "tcp: [{name: a, address: 'a:1'}, {name: a, address: 'a:2'}]",
        "tcp: expected a name only once, got 'a' twice",
    ),
    "misspelt key": ("http: [{name: a, urll: x}]", "http[0].urll: unknown key, did you mean url?"),
    "a mapping for the list": ("http: {name: a}", "http: expected a list, got a mapping"),
    "interval without a unit": (
        "tls: [{name: a, address: 'a:1', interval: 5}]",
        "tls[0].interval: expected a duration such as 15s, 250ms or 1m30s, got 5",
    ),
    "interval too short": (
        "tls: [{name: a, address: 'a:1', interval: 10ms}]",
        "tls[0].interval: expected 1s to 1d, got 10ms",
    ),
    "time-out beyond the interval": (
        "dns: [{name: a, server: a, question: a, timeout: 20s}]",
        "dns[0].timeout: expected at most the interval (15s), got 20s",
    ),
    "no time": (
        "unit: [{name: a, unit: a.service, timeout: 0s}]",
        "unit[0].timeout: expected more than 0s",
    ),
    # HTTP
    "no address": ("http: [{name: a}]", "http[0]: expected the key url in it"),
    "another scheme": ("http: [{name: a, url: 'ftp://x'}]", f"http[0].url: {URL}, got 'ftp://x'"),
    "no scheme": ("http: [{name: a, url: www.example.com}]", f"http[0].url: {URL}, got 'www.example.com'"),
    "no host": ("http: [{name: a, url: 'http:///x'}]", f"http[0].url: {URL}, got 'http:///x'"),
    "a blank in an address": (
        "http: [{name: a, url: 'http://a/b c'}]",
        f"http[0].url: {URL}, without blanks, got 'http://a/b c'",
    ),
    "port of an address": (
        "http: [{name: a, url: 'http://a:99999/'}]",
        f"http[0].url: {URL}, got 'http://a:99999/': Port out of range 0-65535",
    ),
    "password in an address": (
        "http: [{name: a, url: 'http://me:secret@a/'}]",
        "http[0].url: expected no name and password in the address; basic_auth has a place for them",
    ),
    "unknown method": (
        "http: [{name: a, url: 'http://a', method: PUT}]",
        "http[0].method: expected one of GET, HEAD, POST, got 'PUT'",
    ),
    "body without POST": (
        "http: [{name: a, url: 'http://a', body: x}]",
        "http[0].body: expected method: POST with it, got GET",
    ),
    "body of HEAD": (
        "http: [{name: a, url: 'http://a', method: HEAD, expect: {body: [x]}}]",
        "http[0].method: expected GET or POST where expect says something of the body, got HEAD",
    ),
    "status out of range": ("http: [{name: a, url: 'http://a', expect: {status: [600]}}]", f"{STATUS}600"),
    "status by a word": ("http: [{name: a, url: 'http://a', expect: {status: [ok]}}]", f"{STATUS}'ok'"),
    "status backwards": ("http: [{name: a, url: 'http://a', expect: {status: ['299-200']}}]", f"{STATUS}'299-200'"),
    "no status at all": (
        "http: [{name: a, url: 'http://a', expect: {status: []}}]",
        "http[0].expect.status: expected a list of length >= 1",
    ),
    "one status for the list": (
        "http: [{name: a, url: 'http://a', expect: {status: 200}}]",
        "http[0].expect.status: expected a list, got a whole number",
    ),
    "expression for a body": (
        "http: [{name: a, url: 'http://a', expect: {body: ['(']}}]",
        "http[0].expect.body[0]: expected a regular expression, got '(': missing ), unterminated subpattern",
    ),
    "header that is none": (
        "http: [{name: a, url: 'http://a', expect: {headers: {'a b': x}}}]",
        "http[0].expect.headers: expected the name of a header, got 'a b'",
    ),
    "line end in a header": (
        'http: [{name: a, url: "http://a", headers: {X: "a\\r\\nY: b"}}]',
        "http[0].headers: expected printable ASCII as the value of X",
    ),
    "length of one's own": (
        "http: [{name: a, url: 'http://a', headers: {Content-Length: '5'}}]",
        "http[0].headers: expected none that the request itself decides, got Content-Length",
    ),
    "password in a header": (
        "http: [{name: a, url: 'http://a', headers: {authorization: Basic eA==}}]",
        "http[0].headers: expected basic_auth or bearer_token_file in place of Authorization",
    ),
    "two ways to log in": (
        "http: [{name: a, url: 'http://a', bearer_token_file: /t, basic_auth: {username: u, password_file: /p}}]",
        "http[0].bearer_token_file: expected this or basic_auth, not both",
    ),
    "password file from somewhere": (
        "http: [{name: a, url: 'http://a', basic_auth: {username: u, password_file: p}}]",
        "http[0].basic_auth.password_file: expected a path from the root such as /etc/hostwatch/password_file, got 'p'",
    ),
    "colon in a name": (
        "http: [{name: a, url: 'http://a', basic_auth: {username: 'u:v', password_file: /p}}]",
        "http[0].basic_auth.username: expected a name without a colon, got 'u:v'",
    ),
    "JSON path": (
        "http: [{name: a, url: 'http://a', expect: {json: [{path: 'a[b]', equals: 1}]}}]",
        "http[0].expect.json[0].path: expected a path such as data.items[0].state, got 'a[b]'",
    ),
    "JSON without a value": (
        "http: [{name: a, url: 'http://a', expect: {json: [{path: a}]}}]",
        "http[0].expect.json[0]: expected either equals or matches",
    ),
    "too many redirects": (
        "http: [{name: a, url: 'http://a', redirects: 21}]",
        "http[0].redirects: expected a whole number <= 20",
    ),
    "certificate without its key": (
        "http: [{name: a, url: 'https://a', tls: {certificate_file: /c}}]",
        "http[0].tls: expected certificate_file and key_file together, key_file is missing",
    ),
    # TCP and TLS
    "no port": ("tcp: [{name: a, address: db}]", f"tcp[0].address: {ADDRESS}'db'"),
    "port 0": ("tcp: [{name: a, address: 'db:0'}]", f"tcp[0].address: {ADDRESS}'db:0'"),
    "port without a host": ("tls: [{name: a, address: ':443'}]", f"tls[0].address: {ADDRESS}':443'"),
    "an address of the web": (
        "tls: [{name: a, address: 'https://a:443'}]",
        f"tls[0].address: {ADDRESS}'https://a:443'",
    ),
    "IPv6 without brackets": ("tls: [{name: a, address: '::1:443'}]", f"tls[0].address: {ADDRESS}'::1:443'"),
    "a turn without anything": (
        "tcp: [{name: a, address: 'a:1', conversation: [{}]}]",
        "tcp[0].conversation[0]: expected one or more of expect, send, starttls",
    ),
    "TLS begun twice": (
        "tcp: [{name: a, address: 'a:1', conversation: [{starttls: true}, {starttls: true}]}]",
        "tcp[0].conversation: expected starttls once at most, got it 2 times",
    ),
    "unknown family": (
        "tls: [{name: a, address: 'a:1', family: ip6}]",
        "tls[0].family: expected one of any, ipv4_first, ipv6_first, ipv4, ipv6, got 'ip6'",
    ),
    "authority from somewhere": (
        "tls: [{name: a, address: 'a:1', tls: {ca_file: ca.pem}}]",
        "tls[0].tls.ca_file: expected a path from the root such as /etc/hostwatch/ca_file, got 'ca.pem'",
    ),
    # DNS
    "unknown type": (
        "dns: [{name: a, server: '::1', question: a, type: ANY}]",
        "dns[0].type: expected one of A, AAAA, CNAME, MX, NS, PTR, SOA, SRV, TXT, got 'ANY'",
    ),
    "another script": (
        "dns: [{name: a, server: '::1', question: ö.de}]",
        "dns[0].question: expected a name in ASCII (xn--... for others) with parts of 1 to 63 characters, got 'ö.de'",
    ),
    "an empty part": (
        "dns: [{name: a, server: '::1', question: a..de}]",
        "dns[0].question: expected a name in ASCII (xn--... for others) with parts of 1 to 63 characters, got 'a..de'",
    ),
    "a server with a path": (
        "dns: [{name: a, server: 'a/b', question: a}]",
        f"dns[0].server: {ADDRESS.replace('expected', 'expected HOST or')}'a/b'",
    ),
    # this machine
    "unit without its kind": (
        "unit: [{name: a, unit: nginx}]",
        "unit[0].unit: expected a whole name such as nginx.service, got 'nginx'",
    ),
    "unknown state": (
        "unit: [{name: a, unit: a.service, state: [running]}]",
        "unit[0].state[0]: expected one of active, reloading, inactive, failed, activating, deactivating, maint",
    ),
    "every process": (
        "process: [{name: a, match: {}}]",
        "process[0].match: expected one or more of name, command_line, executable, user, unit, cgroup",
    ),
    "no process at all": ("process: [{name: a}]", "process[0]: expected the key match in it"),
    "limits the wrong way round": (
        "process: [{name: a, match: {name: x}, minimum: 3, maximum: 2}]",
        "process[0].maximum: expected at least the minimum (3), got 2",
    ),
    "limits that are none": (
        "process: [{name: a, match: {name: x}, minimum: 0}]",
        "process[0].minimum: expected at least 1, or a maximum: with neither there is nothing to check",
    ),
}


@pytest.mark.parametrize(("text", "problem"), BAD.values(), ids=BAD)
def test_a_bad_setting_names_its_place_and_what_belongs_there(text: str, problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(text.encode(), Probes, "f.yml")
    assert problem in str(caught.value)
    assert re.match(r"f\.yml:1: (http|tcp|tls|dns|unit|process)\b", str(caught.value))
    assert "secret" not in str(caught.value)


class Whole(msgspec.Struct, forbid_unknown_fields=True):
    probes: Probes


def test_examples_of_the_documents_can_be_used() -> None:
    examples = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    for example in examples:
        probes = parse(example.encode(), Whole, str(DOCUMENT)).probes
        assert probes.http[0].expect.statuses == {*range(200, 300), 304}
        assert not probes.tcp[1].tls_first
    assert examples


@pytest.mark.parametrize(
    ("text", "port", "expected"),
    [
        ("a:1", None, ("a", 1)),
        ("[::1]:53", None, ("::1", 53)),
        ("a", 53, ("a", 53)),
        ("a:54", 53, ("a", 54)),
        ("::1", 53, ("::1", 53)),
        ("[::1]", 53, ("::1", 53)),
        ("[::1]:54", 53, ("::1", 54)),
        ("fe80::1%eth0", 53, ("fe80::1%eth0", 53)),
    ],
)
def test_an_address_has_a_host_and_a_port(text: str, port: int | None, expected: tuple[str, int]) -> None:
    assert host_and_port(text, port) == expected


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("a", ("a",)),
        ("a.b[2].c-d", ("a", "b", 2, "c-d")),
        ("[0][1]", (0, 1)),
        ('a["b.c"].d', ("a", "b.c", "d")),
        ('[""]', ("",)),
    ],
)
def test_a_path_into_json_has_steps(path: str, steps: tuple[str | int, ...]) -> None:
    assert JsonValue(path=path, equals=None).steps == steps


def test_defaults_ask_for_a_page_and_follow_redirects() -> None:
    settings = HttpSettings(name="a", url="http://a")
    assert (settings.method, settings.redirects, settings.expect.statuses) == ("GET", 10, frozenset(range(200, 300)))
    assert not settings.allow_downgrade
    assert not settings.tls.insecure
