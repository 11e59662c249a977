"""Settings files, good and bad: each bad one ends with file, line, key and what was expected there, never otherwise."""

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.settings import Duration, SettingsError, load, override, parse
from exporter.settings.exporter import Exporter
from exporter.settings.reading import MAX_BYTES
from tests.support.effort import tries

DURATION = "expected a duration such as 15s, 250ms or 1m30s, got "
ADDRESS = "expected ADDRESS:PORT such as 127.0.0.1:10101 or [::1]:10101, got "
KEYS = "collectors, dashboard, http, listen, log, paths, probes, sampler, scrape"
LEVEL = "log: {level: "

BAD: dict[str, tuple[bytes | str, str]] = {
    "unknown key": ("xyz: red", f"f.yml:1: xyz: unknown key, expected one of {KEYS}"),
    "misspelt key": ("\n\ncollector: {}", "f.yml:3: collector: unknown key, did you mean collectors?"),
    "misspelt key within": ("collectors:\n  cpuu: {}", "f.yml:2: collectors.cpuu: unknown key, did you mean cpu?"),
    "key with a line end": ('"a\\nb": 1', f"f.yml:1: a\nb: unknown key, expected one of {KEYS}"),
    "null as key": ("null: 1", f"f.yml:1: null: unknown key, expected one of {KEYS}"),
    "list as key": ("? [a]\n: b", "f.yml:1: top level: expected a text as key"),
    "long key": ("a" * 300 + ": 1", "f.yml:1: top level: expected keys of at most 200 characters"),
    "repeated key": ("log: {}\nlog: {}", "f.yml:2: log: key repeated, first seen on line 1"),
    "repeated key within": (
        "http:\n  max_connections: 1\n  max_connections: 1",
        "f.yml:3: http.max_connections: key repeated, first seen on line 2",
    ),
    "list for a mapping": ("- a", "f.yml:1: top level: expected a mapping, got a list"),
    "number for a mapping": ("5", "f.yml:1: top level: expected a mapping, got a whole number"),
    "nothing for a mapping": ("log:", "f.yml:1: log: expected a mapping, got nothing"),
    "number for a text": ("listen: 5", "f.yml:1: listen: expected a text, got a whole number"),
    "nothing for a text": ("listen:", "f.yml:1: listen: expected a text, got nothing"),
    "number for a duration": ("sampler:\n  interval: 5", f"f.yml:2: sampler.interval: {DURATION}5"),
    "float for a duration": ("sampler:\n  interval: 5.5", f"f.yml:2: sampler.interval: {DURATION}5.5"),
    "mapping for a duration": ("sampler: {interval: {a: b}}", f"f.yml:1: sampler.interval: {DURATION}{{'a': 'b'}}"),
    "no such duration": ("sampler: {interval: 5 s}", f"f.yml:1: sampler.interval: {DURATION}'5 s'"),
    "negative duration": ("http: {idle_timeout: -5s}", f"f.yml:1: http.idle_timeout: {DURATION}'-5s'"),
    "words of ours in a value": ("sampler: {interval: 'null'}", f"f.yml:1: sampler.interval: {DURATION}'null'"),
    "a place in a value": (
        "sampler: {interval: '5s - at `$.x`'}",
        f"f.yml:1: sampler.interval: {DURATION}'5s - at `$.x`'",
    ),
    "arabic digits": ("sampler: {interval: ٥s}", f"f.yml:1: sampler.interval: {DURATION}'٥s'"),
    "endless duration": (
        "sampler: {interval: " + "9" * 5000 + "s}",
        f"f.yml:1: sampler.interval: {DURATION}'" + "9" * 79 + "...",
    ),
    "duration of ages": (
        "scrape: {collector_timeout: 999999999d}",
        "f.yml:1: scrape.collector_timeout: expected at most 366d, got '999999999d'",
    ),
    "interval out of range": ("sampler:\n  interval: 90s", "f.yml:2: sampler.interval: expected 1s to 60s, got 90s"),
    "no time for requests": ("http: {request_timeout: 0s}", "f.yml:1: http.request_timeout: expected more than 0s"),
    "no time for idling": ("http: {idle_timeout: 0ms}", "f.yml:1: http.idle_timeout: expected more than 0s"),
    "no time for collectors": (
        "scrape: {collector_timeout: 0s}",
        "f.yml:1: scrape.collector_timeout: expected more than 0s",
    ),
    "no time for mounts": (
        "collectors:\n  filesystem:\n    mount_timeout: 0s",
        "f.yml:3: collectors.filesystem.mount_timeout: expected more than 0s",
    ),
    "number too small": (
        "http: {max_connections: 0}",
        "f.yml:1: http.max_connections: expected a whole number >= 1",
    ),
    "number too large": (
        "http: {max_connections: 65537}",
        "f.yml:1: http.max_connections: expected a whole number <= 65536",
    ),
    "float for a whole number": (
        "http: {max_connections: 1.0}",
        "f.yml:1: http.max_connections: expected a whole number, got a number",
    ),
    "one of several": (LEVEL + "loud}", "f.yml:1: log.level: expected one of debug, info, warning, error, got 'loud'"),
    "yes and no": (
        "collectors: {cpu: {enabled: no}}",
        "f.yml:1: collectors.cpu.enabled: expected true or false, got a text",
    ),
    "on and off": (LEVEL + "on}", "f.yml:1: log.level: expected one of debug, info, warning, error, got 'on'"),
    "minutes and seconds": ("sampler: {interval: 12:30}", f"f.yml:1: sampler.interval: {DURATION}'12:30'"),
    "octal": ("http: {max_connections: 0777}", "f.yml:1: http.max_connections: expected a whole number, got a text"),
    "hexadecimal": (
        "http: {max_connections: 0x1F}",
        "f.yml:1: http.max_connections: expected a whole number, got a text",
    ),
    "underscores": (
        "http: {max_connections: 1_000}",
        "f.yml:1: http.max_connections: expected a whole number, got a text",
    ),
    "date": ("listen: 2024-01-01", f"f.yml:1: listen: {ADDRESS}'2024-01-01'"),
    "merge key": ("a: &a {}\n<<: *a", f"f.yml:1: a: unknown key, expected one of {KEYS}"),
    "merge key first": ("<<: {listen: x}", f"f.yml:1: <<: unknown key, expected one of {KEYS}"),
    "tag": ("listen: !secret x", "f.yml:1: listen: expected a plain value, got the tag '!secret'"),
    "tag before a mapping": ("log: !secret {}", "f.yml:1: log: expected a plain value, got the tag '!secret'"),
    "python's tag": (
        "listen: !!python/object/apply:os.system [ls]",
        "f.yml:1: listen: expected a plain value, got the tag 'tag:yaml.org,2002:python/object/apply:os.system'",
    ),
    "binary": (
        "listen: !!binary aGk=",
        "f.yml:1: listen: expected a plain value, got the tag 'tag:yaml.org,2002:binary'",
    ),
    "tag that the value is not": (
        "listen: !!int abc",
        "f.yml:1: listen: expected a plain value, got the tag 'tag:yaml.org,2002:int'",
    ),
    "bool that is none": (
        "listen: !!bool abc",
        "f.yml:1: listen: expected a plain value, got the tag 'tag:yaml.org,2002:bool'",
    ),
    "regular expression": (
        "collectors:\n  netdev:\n    device_include: '('",
        (
            "f.yml:3: collectors.netdev.device_include: expected a regular expression, got '(': missing ), "
            "unterminated subpattern at position 0"
        ),
    ),
    "regular expression too large": (
        "collectors: {netdev: {device_include: 'a{99999999999}'}}",
        (
            "f.yml:1: collectors.netdev.device_include: expected a regular expression, got 'a{99999999999}': the "
            "repetition number is too large"
        ),
    ),
    "number for a regular expression": (
        "collectors: {netdev: {device_include: 5}}",
        "f.yml:1: collectors.netdev.device_include: expected a regular expression, got 5",
    ),
    "include and exclude": (
        "collectors: {hwmon: {chip_include: a, chip_exclude: b}}",
        "f.yml:1: collectors.hwmon: expected chip_include or chip_exclude, not both",
    ),
    "include and exclude of the other pair": (
        "collectors: {hwmon: {chip_include: a, sensor_include: a, sensor_exclude: b}}",
        "f.yml:1: collectors.hwmon: expected sensor_include or sensor_exclude, not both",
    ),
    "path that depends on where the daemon starts": (
        "paths:\n  sysfs: /host/sys\n  procfs: host/proc",
        "f.yml:3: paths.procfs: expected a path from the root, such as /host/proc",
    ),
    "no path": ("paths: {rootfs: ''}", "f.yml:1: paths.rootfs: expected a path from the root, such as /host/proc"),
    "address without port": ("listen: localhost", f"f.yml:1: listen: {ADDRESS}'localhost'"),
    "port too large": ("listen: localhost:65536", f"f.yml:1: listen: {ADDRESS}'localhost:65536'"),
    "address named like one of our words": ("listen: object", f"f.yml:1: listen: {ADDRESS}'object'"),
    "endless port": ("listen: a:" + "9" * 5000, f"f.yml:1: listen: {ADDRESS}'a:" + "9" * 77 + "..."),
    "not closed": (
        "log: {level",
        "f.yml:2: not valid YAML: while parsing a flow mapping, did not find expected ',' or '}'",
    ),
    "tab": (
        "\tlog: {}",
        "f.yml:1: not valid YAML: while scanning for the next token, found character that cannot start any token",
    ),
    "two documents": (
        "log: {}\n---\nlog: {}",
        "f.yml:2: not valid YAML: expected a single document in the stream, but found another document",
    ),
    "unknown alias": ("log: *x", "f.yml:1: not valid YAML: found undefined alias"),
    "control character": (
        b"a: \x01",
        "f.yml: not valid YAML: unacceptable character #x0001: control characters are not allowed",
    ),
    "latin-1": (
        "listen: caf\xe9".encode("latin-1"),
        "f.yml: not valid YAML: unacceptable character #x-001: incomplete UTF-8 octet sequence",
    ),
    "nested too deep": ("[" * 100_000, "f.yml:1: expected at most 32 levels"),
    "nested too deep in blocks": (
        "\n".join(" " * n + "a:" for n in range(500)),
        "f.yml:33: expected at most 32 levels",
    ),
    "alias of itself": ("x: &a [*a]", "f.yml:1: x" + "[0]" * 32 + ": expected at most 32 levels"),
    "bomb of aliases": (
        "a0: &a0 [1, 1]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)),
        "f.yml: expected at most 50000 values, aliases counted where they are used",
    ),
    "dashboard that asks what is no address": (
        "dashboard: {prometheus_url: 'localhost:9090'}",
        "f.yml:1: dashboard.prometheus_url: expected an address such as http://localhost:9090",
    ),
    "dashboard with a password in the address": (
        "dashboard: {prometheus_url: 'http://me:secret@localhost:9090'}",
        "f.yml:1: dashboard.prometheus_url: expected an address without a user and password",
    ),
    "too large": (b"#" * (MAX_BYTES + 1), f"f.yml: expected at most {MAX_BYTES} bytes"),
}


@pytest.mark.parametrize(("data", "problem"), BAD.values(), ids=BAD)
def test_a_bad_file_is_told_by_line_and_key(data: bytes | str, problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(data if isinstance(data, bytes) else data.encode(), Exporter, "f.yml")
    assert str(caught.value) == problem


GOOD = {
    "empty": b"",
    "comment": b"# nothing\n",
    "null": b"~",
    "empty mapping": b"{}",
    "byte order mark": "\ufefflog: {}".encode(),
    "utf-16": "log: {}".encode("utf-16"),
    "windows line ends": b"log:\r\n  level: info\r\n",
    "defaults written out": b"listen: 127.0.0.1:10101\nsampler: {interval: 5s}\nhttp: {max_connections: 512}",
    "aliases": b"collectors: {cpu: &on {enabled: true}, stat: *on}",
    "tags that say what is so": b"!!map {listen: !!str 127.0.0.1:10101, http: {max_connections: !!int 512}}",
}


@pytest.mark.parametrize("data", GOOD.values(), ids=GOOD)
def test_a_file_that_says_nothing_new_means_the_defaults(data: bytes) -> None:
    assert parse(data, Exporter, "f.yml") == Exporter()


def test_every_kind_of_value_arrives() -> None:
    text = b"""
listen: "[::]:9100"
log: {format: text, level: debug}
scrape: {collector_timeout: 1m30s, timeout_offset: 250ms}
collectors:
  cpu: {enabled: false}
  netdev: {device_exclude: "veth.*"}
"""
    got = parse(text, Exporter, "f.yml")
    assert got.listen == "[::]:9100"
    assert (got.log.format, got.log.level) == ("text", "debug")
    assert (got.scrape.collector_timeout, got.scrape.timeout_offset) == (90.0, 0.25)
    assert got.collectors.cpu.enabled is False
    assert got.collectors.netdev.device_exclude is not None
    assert got.collectors.netdev.device_exclude.pattern.fullmatch("veth1")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^.*/no\.yml: cannot be read: No such file or directory$"):
        load(tmp_path / "no.yml", Exporter)
    with pytest.raises(SettingsError, match=r": cannot be read: Is a directory$"):
        load(tmp_path, Exporter)


def test_a_file_without_end_is_not_read_to_its_end() -> None:
    with pytest.raises(SettingsError, match=rf"^/dev/zero: expected at most {MAX_BYTES} bytes$"):
        load(Path("/dev/zero"), Exporter)


@settings(max_examples=tries(300), deadline=None)
@given(data=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace"))))
def test_any_bytes_are_settings_or_a_settings_error(data: bytes) -> None:
    try:
        parse(data, Exporter, "f.yml")
    except SettingsError as err:
        assert str(err).startswith("f.yml")  # noqa: PT017 -- either way is right


_SCALARS = st.one_of(
    st.text(max_size=5), st.sampled_from(["{}", "[]", "true", "5", "1.5", "~", "5s", "!x", "*a", "&a"])
)
_KEYS = st.sampled_from(["listen", "log", "level", "collectors", "cpu", "enabled", "sampler", "interval", "<<", "?"])


@settings(max_examples=tries(300), deadline=None)
@given(lines=st.lists(st.tuples(st.integers(0, 3), _KEYS, _SCALARS), max_size=8))
def test_near_misses_are_settings_or_a_settings_error(lines: list[tuple[int, str, str]]) -> None:
    text = "\n".join(f"{'  ' * depth}{key}: {value}" for depth, key, value in lines)
    try:
        parse(text.encode("utf-8", "replace"), Exporter, "f.yml")
    except SettingsError as err:
        assert str(err).startswith("f.yml")  # noqa: PT017 -- either way is right


def test_the_command_line_stands_above_the_file() -> None:
    got = override(Exporter(), {"listen": "a:1", "log.format": "text", "log.level": None})
    assert got == msgspec.structs.replace(
        Exporter(), listen="a:1", log=msgspec.structs.replace(Exporter().log, format="text")
    )


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (
            {"paths.procfs": "host/proc"},
            "command line: paths.procfs: expected a path from the root, such as /host/proc",
        ),
        ({"listen": "nowhere"}, f"command line: listen: {ADDRESS}'nowhere'"),
    ],
)
def test_what_the_command_line_says_wrong_is_named(given: dict[str, object], problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        override(Exporter(), given)
    assert caught.value.problems == (problem,)


def test_settings_of_another_encoding_of_the_file_system_are_named(tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.yml")
    with pytest.raises(SettingsError) as caught:
        load(Path(name), Exporter)
    assert isinstance(caught.value.problems[0], str)


def test_a_duration_is_seconds() -> None:
    assert Duration.parse("1d2h3m4s5ms") == 86400 + 7200 + 180 + 4 + 0.005
