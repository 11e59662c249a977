"""What documents tell people to type exists: commands, options, and paths of our servers."""

import re
from typing import Final

import promql_parser
import pytest

from exporter.doctor import relay as relay_doctor
from tests.support import documents, invocations
from tests.support.exposed import RULES
from tests.support.invocations import Call, Servers

# http://HOST:10101/path, in a block or a sentence
_ADDRESS: Final = re.compile(r"https?://[\w.\[\]-]+:(10101|10102)(/[^\s'\"`)|;,<]*)")
# a path in a sentence that can be nobody's but a server's
_PATH: Final = re.compile(r"(?:GET |POST )?(/(?:-/|api/v|health|ready|live|metrics)[^\s`]*)")
# of Prometheus and Alertmanager (prometheus.io, "HTTP API", "Management API"), whom some pages tell about, too
OTHERS: Final = frozenset({"/-/reload", "/api/v1/rules", "/api/v1/status/config", "/api/v2/status", "/api/v2/alerts"})

RUNBOOKS: Final = documents.ROOT / "docs" / "runbooks"
CALLS: Final = list(invocations.calls())


def test_every_command_in_a_document_exists_with_its_options() -> None:
    assert len(CALLS) > 50
    found = {f"{one.file}: hostwatch {' '.join(one.words)}": why for one in CALLS if (why := invocations.wrong(one))}
    assert found == {}


def test_what_the_doctor_says_of_dead_letters_can_be_typed() -> None:
    fixes = re.findall(r"`([^`]+)`", relay_doctor._LETTERS_FIX)
    calls = [Call("", words, False) for fix in fixes for words in invocations.in_line(fix)]
    assert [one.words[:2] for one in calls] == [("relay", "dead-letters"), ("relay", "replay"), ("relay", "discard")]
    assert [invocations.wrong(one) for one in calls] == [""] * 3
    assert all("--config" in one.words for one in calls)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("hostwatch relay --config relay.yml replay", "wants one of"),
        ("$ sudo /usr/local/bin/hostwatch relay discard", "wants one of"),
        ("docker compose exec relay hostwatch relay replay --everything", "No such option"),
        ("hostwatch relay reply --all", "No such command"),
        ("hostwatch config check", "Missing argument"),
        ("hostwatch relay replay seventeen", "not a valid integer"),
        ("hostwatch relay test --timeout soon", "soon"),
        ("hostwatch fleet --helthCheck", "No such option"),
        ("hostwatch containers | hostwatch contain", "No such command"),
        ("hostwatch drill", "Usage: hostwatch drill"),
    ],
)
def test_a_call_that_cannot_be_is_found(line: str, told: str) -> None:
    found = [invocations.wrong(Call("", words, False)) for words in invocations.in_line(line)]
    assert told in " ".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "hostwatch relay replay --all   # all of them",
        "* * * * * hostwatch relay replay ID... > FILE",
        "hostwatch relay test --timeout DURATION",
        "hostwatch fleet api:80 -hc -hi 3",
        "hostwatch fleet",
        "hostwatch COMMAND --help",
        "hostwatch --version && hostwatch drill run --help",
    ],
)
def test_a_call_that_can_be_passes(line: str) -> None:
    calls = [Call("", words, False) for words in invocations.in_line(line)]
    assert calls
    assert [invocations.wrong(one) for one in calls] == [""] * len(calls)


@pytest.mark.parametrize(
    "line",
    ["this machine's hostwatch", "- hosts: hostwatch", "cd /opt/hostwatch", "relay   hostwatch relay, port 10102"],
)
def test_what_is_no_call_is_none(line: str) -> None:
    assert list(invocations.in_line(line)) == []


# these tell their rule in words of their own, or have none
OWN_WORDS: Final = frozenset({"AlertPipelineSilent", "HostCpuHigh", "Watchdog"})
ALERTS: Final = {name: rule for name, rule in RULES.items() if "alert" in rule and name not in OWN_WORDS}


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    assert {page.stem for page in RUNBOOKS.glob("*.md")} == {*ALERTS, *OWN_WORDS}


@pytest.mark.parametrize("alert", sorted(ALERTS))
def test_a_runbook_says_what_its_rule_says(alert: str) -> None:
    """Expression, severity, summary, times and thresholds; in the expression white space is free."""
    rule, text = ALERTS[alert], (RUNBOOKS / f"{alert}.md").read_text()
    before, _, after = text.partition("The expression:\n\n```\n")
    said = " ".join(before.split())
    assert _plain(after.partition("```")[0]) == _plain(rule["expr"])
    summary = re.sub(r"{{ \$labels\.(\w+) }}", r"*\1*", rule["annotations"]["summary"])
    assert f"Severity {rule['labels']['severity']}: {summary}." in said
    for key, sentence in {"for": "fires when that has held for", "keep_firing_for": "It is kept for"}.items():
        assert re.findall(rf"{sentence} (\w+)", said) == ([rule[key]] if key in rule else [])
    assert set(re.findall(r"host:threshold:\w+", said)) == set(re.findall(r"host:threshold:\w+", rule["expr"]))


def _plain(expression: str) -> str:
    return promql_parser.parse(expression).prettify()


def test_documents_ask_our_servers_only_for_what_they_have() -> None:
    servers, unknown = Servers(), set()
    for page in documents.pages():
        name, text = page.relative_to(documents.ROOT), page.read_text()
        asked = [(port, path.rstrip(".")) for port, path in _ADDRESS.findall(text)]
        unknown |= {f"{name}: {port}{path}" for port, path in asked if not servers.has(port, path)}
        for piece in re.findall(r"`([^`\n]+)`", text):
            if (match := _PATH.fullmatch(piece)) and not _is_known(servers, match[1]):
                unknown.add(f"{name}: {piece}")
    assert unknown == set()


def _is_known(servers: Servers, path: str) -> bool:
    """Whether one of our servers or of the others has a path; one that ends in / or ... is the beginning of some."""
    beginning = path.endswith(("/", "/..."))
    return beginning or path.partition("?")[0] in OTHERS or servers.has("10101", path) or servers.has("10102", path)


@pytest.mark.parametrize(
    ("port", "path", "there"),
    [
        ("10101", "/healthz", False),
        ("10101", "/-/healthy", True),
        ("10101", "/api/v1/history?name=cpu", True),
        ("10102", "/healthz", False),
        ("10102", "/-/ready", True),
        ("10102", "/api/v1/dead-letters/replay", True),
        ("10102", "/api/v1/history", False),
    ],
)
def test_the_check_of_paths_sees_what_it_has_to(port: str, path: str, there: bool) -> None:
    assert Servers().has(port, path) is there
