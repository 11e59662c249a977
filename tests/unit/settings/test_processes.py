"""Groups of processes in the settings: good ones, and what is said of bad ones."""

import pytest

from exporter.settings import SettingsError, parse
from exporter.settings.exporter import Exporter
from exporter.settings.processes import GroupSettings, Match
from exporter.settings.values import Regex

PLACE = "collectors.process_groups"
WEB = "{name: web, match: {name: x}}"
REGEX = "expected a regular expression, got '(': missing ), unterminated subpattern at position 0"


def read(text: str) -> Exporter:
    return parse(f"collectors:\n  process_groups:\n    {text}".encode(), Exporter, "f.yml")


def test_without_settings_there_is_no_group_and_ten_names_are_listed() -> None:
    settings = parse(b"", Exporter, "f.yml").collectors.process_groups
    assert (settings.enabled, settings.groups, settings.top, settings.interval) == (True, (), 10, 10)


def test_groups_keep_their_order() -> None:
    settings = read(f"groups: [{WEB}, {{name: db, match: {{user: postgres, unit: p.*}}}}]").collectors.process_groups
    assert settings.groups == (
        GroupSettings("web", Match(name=Regex("x"))),
        GroupSettings("db", Match(user=Regex("postgres"), unit=Regex("p.*"))),
    )


def test_equal_matches_are_one_key() -> None:
    assert len({Match(name=Regex("x")), Match(name=Regex("x")), Match(user=Regex("x"))}) == 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"groups: [{WEB}, {WEB}]", ".groups: expected each name once, got 'web' more than once"),
        (
            "groups: [{name: a, match: {}}]",
            ".groups[0].match: expected one or more of name, command_line, executable, user, unit, cgroup",
        ),
        ("groups: [{name: a}]", ".groups[0]: expected the key match in it"),
        ("groups: [{name: a, match: {nam: x}}]", ".groups[0].match.nam: unknown key, did you mean name?"),
        ("groups: [{name: a, match: {name: (}}]", f".groups[0].match.name: {REGEX}"),
        ("groups: [{name: '', match: {name: x}}]", ".groups[0].name: expected a text of length >= 1"),
        ("interval: 500ms", ".interval: expected 1s to 60s, got 500ms"),
        ("interval: 2m", ".interval: expected 1s to 60s, got 120s"),
        ("top: 101", ".top: expected a whole number <= 100"),
        ("groups: {web: 1}", ".groups: expected a list, got a mapping"),
        (f"groups: [{','.join([WEB] * 257)}]", ".groups: expected a list of length <= 256"),
    ],
    ids=lambda value: value[:40],
)
def test_a_mistake_names_file_line_key_and_what_was_expected(text: str, problem: str) -> None:
    with pytest.raises(SettingsError) as err:
        read(text)
    assert err.value.problems == (f"f.yml:3: {PLACE}{problem}",)
