"""The settings of probes: what cannot work is refused with its place and what was expected there."""

import pytest

from exporter.settings import Duration, SettingsError, parse, schema
from exporter.settings.exporter import Exporter
from exporter.settings.probes import MAX_TARGETS, PingSettings, PingTarget, Probes
from exporter.settings.schedule import CheckSettings


def ping_of(text: str) -> PingSettings:
    return parse(f"probes: {{ping: {text}}}".encode(), Exporter, "f.yml").probes.ping


def test_without_settings_this_host_is_pinged_and_nothing_else_asked() -> None:
    probes = Exporter().probes
    assert probes.ping.hosts == (PingTarget("127.0.0.1", name="127.0.0.1"),)
    assert probes == Probes(ping=PingSettings())


def test_targets_are_texts_or_mappings() -> None:
    found = ping_of("{targets: [gw.example, {address: 2001:db8::1, name: uplink, family: ipv6}]}")
    assert found.hosts == (PingTarget("gw.example", name="gw.example"), PingTarget("2001:db8::1", "uplink", "ipv6"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{targets: [a, a]}", "probes.ping.targets: expected a name only once, got 'a' twice"),
        ("{targets: [a, {address: b, name: a}]}", "probes.ping.targets: expected a name only once, got 'a' twice"),
        ("{targets: [0.0.0.0]}", "probes.ping.targets: expected the address of a host, got '0.0.0.0'"),
        ("{targets: [{address: '::'}]}", "probes.ping.targets: expected the address of a host, got '::'"),
        ("{targets: ['']}", "probes.ping.targets[0]: expected a text of length >= 1"),
        ("{targets: [{address: b, nam: c}]}", "probes.ping.targets[0].nam: unknown key, did you mean name?"),
        ("{interval: 500ms}", "probes.ping.interval: expected 1s to 1m, got 500ms"),
        ("{interval: 61s}", "probes.ping.interval: expected 1s to 1m, got 61s"),
        (
            "{count: 20}",
            "probes.ping.interval: expected at least 21s, which 20 packets and their time-out take, got 15s",
        ),
        ("{count: 0}", "probes.ping.count: expected a whole number >= 1"),
        ("{timeout: 0s}", "probes.ping.timeout: expected more than 0s"),
        ("{interval: 1m, timeout: 61s}", "probes.ping.timeout: expected at most 60s, got 61s"),
        ("{packet_interval: 0s}", "probes.ping.packet_interval: expected more than 0s"),
        ("{payload_bytes: 15}", "probes.ping.payload_bytes: expected a whole number >= 16"),
    ],
)
def test_rounds_that_cannot_be_are_refused(text: str, problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        ping_of(text)
    assert caught.value.problems == (f"f.yml:1: {problem}",)


def test_more_targets_or_packets_than_sequence_numbers_allow_are_refused() -> None:
    with pytest.raises(ValueError, match="targets: expected at most 1000, got 1001"):
        PingSettings(targets=tuple(f"h{n}" for n in range(MAX_TARGETS + 1)))
    most = {"count": 60, "packet_interval": Duration(0.1)}
    with pytest.raises(ValueError, match="targets: expected at most 1000 packets a second in all"):
        PingSettings(targets=tuple(f"h{n}" for n in range(MAX_TARGETS)), **most)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"interval": Duration(0.5)}, "interval: expected 1s to 1d, got 500ms"),
        ({"interval": Duration(86401)}, "interval: expected 1s to 1d, got 86401s"),
        ({"timeout": Duration(0)}, "timeout: expected more than 0s"),
        ({"timeout": Duration(16)}, r"timeout: expected at most the interval \(15s\), got 16s"),
    ],
)
def test_timer_of_a_check_that_cannot_be_kept_is_refused(changes: dict[str, Duration], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        CheckSettings(name="a", **changes)


@pytest.mark.parametrize("kind", ["http", "tcp", "tls", "dns", "unit", "process", "services_api"])
def test_two_checks_of_a_kind_with_one_name_are_refused(kind: str) -> None:
    twice = (CheckSettings(name="a"), CheckSettings(name="a"))
    with pytest.raises(ValueError, match=f"{kind}: expected a name only once, got 'a' twice"):
        Probes(**{kind: twice})  # type: ignore[arg-type]


def test_the_schema_has_the_defaults_of_what_stands_in_lists() -> None:
    found = schema(Exporter)["$defs"]
    assert found["TcpSettings"]["properties"]["interval"]["default"] == "15s"
    assert found["PingTarget"]["properties"]["family"]["default"] == "any"
