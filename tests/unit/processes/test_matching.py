"""Which processes a match means, and what can be told of those of whom something is hidden."""

import pytest

from exporter.processes.matching import Matcher, Place, Verdict, first_match, parse_users, unit_of
from exporter.settings.processes import Match
from exporter.settings.values import Regex

WEB = {
    "name": ("web",),
    "command_line": ("/usr/sbin/web --port 80",),
    "executable": ("/usr/sbin/web",),
    "user": ("www-data", "33"),
    "unit": ("web.service",),
    "cgroup": ("/system.slice/web.service", "/docker/abc"),
}
YES, NO = Verdict(matches=True), Verdict(matches=False)


def judge(**fields: str) -> Verdict:
    return Matcher(Match(**{key: Regex(value) for key, value in fields.items()})).judge(WEB)


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({"name": "web"}, YES),
        ({"name": "we"}, NO),
        ({"name": "w.*|x"}, YES),
        ({"command_line": "--port 80$"}, YES),
        ({"command_line": "^--port"}, NO),
        ({"executable": ".*/web"}, YES),
        ({"executable": "/usr"}, NO),
        ({"user": "www-data"}, YES),
        ({"user": "33"}, YES),
        ({"user": "3"}, NO),
        ({"unit": r"web\.service"}, YES),
        ({"unit": "web"}, NO),
        ({"cgroup": "^/docker/"}, YES),
        ({"cgroup": "slice/web"}, YES),
        ({"cgroup": "kube"}, NO),
        ({"name": "web", "user": "33"}, YES),
        ({"name": "web", "user": "34"}, NO),
    ],
    ids=str,
)
def test_every_expression_must_be_satisfied(fields: dict[str, str], verdict: Verdict) -> None:
    assert judge(**fields) == verdict


def test_a_line_end_in_a_name_hides_nobody() -> None:
    assert Matcher(Match(name=Regex(".*"))).judge({"name": ("a\nb\n",)}) == YES
    assert Matcher(Match(command_line=Regex("^a.*z$"))).judge({"command_line": ("a\n\nz",)}) == YES


HIDDEN = {**WEB, "executable": None, "command_line": None}
OPEN, LINE = Matcher(Match(executable=Regex(".*/web"))), Matcher(Match(command_line=Regex("port")))
NAMED, NEVER = Matcher(Match(name=Regex("web"))), Matcher(Match(name=Regex("x"), executable=Regex(".*")))


@pytest.mark.parametrize(
    ("matchers", "place"),
    [
        ([NAMED, OPEN], Place(0, ())),
        ([NEVER, NAMED], Place(1, ())),
        ([OPEN], Place(None, ((0, "executable"),))),
        ([OPEN, LINE, NEVER], Place(None, ((0, "executable"), (1, "command_line")))),
        ([OPEN, NEVER, NAMED, LINE], Place(None, ((0, "executable"), (2, "executable")))),
        ([NEVER], Place(None, ())),
        ([], Place(None, ())),
    ],
    ids=["before", "settled by another field", "open", "two open", "one of two", "none", "no groups"],
)
def test_hidden_field_leaves_open_which_group_it_is(matchers: list[Matcher], place: Place) -> None:
    assert first_match(matchers, HIDDEN) == place


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/system.slice/web.service", "web.service"),
        ("/system.slice/web.service/worker", "web.service"),
        ("/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"),
        ("/user.slice/user-1000.slice/session-2.scope", "session-2.scope"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/editor.service", "user@1000.service"),
        ("/init.scope", "init.scope"),
        ("/system.slice/_cpu.service", "cpu.service"),
        ("/system.slice", None),
        ("/docker/abc", None),
        ("/", None),
        ("", None),
        ("/../web.service", "web.service"),
        ("/../../system.slice/web.service/worker", "web.service"),
        ("/../../user.slice/user-1000.slice/user@1000.service/app.slice/editor.service", "user@1000.service"),
        ("/../..", None),
        ("/../abc/web.service", None),
    ],
)
def test_unit_is_the_first_part_behind_the_slices(path: str, unit: str | None) -> None:
    assert unit_of(path) == unit


def test_users_by_number_the_first_line_counts() -> None:
    text = b"root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:\n\n+::::::\n# x\nbad:x:y:0\nwww\xff:x:33:33::/:\n"
    assert parse_users(text) == {0: "root", 33: "www\\xff"}
