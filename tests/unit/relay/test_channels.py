"""Which channel a group goes to."""

import json
from typing import Any

import pytest

from exporter.relay.channels import ChannelRoute, pick, shown
from exporter.relay.episodes import Group, apply
from exporter.relay.intake import parse_snapshot
from exporter.settings.values import Regex
from tests.support.relay import alert, payload


def episode(*alerts: Any, **more: Any) -> Any:
    return apply(Group(), parse_snapshot(json.dumps(payload(*alerts, **more)).encode())).episode


ROUTES = (
    ChannelRoute(channel="#payments", match={"team": Regex("pay.*")}),
    ChannelRoute(channel="#db", receivers=("database", "dba")),
    ChannelRoute(channel="#db-pages", receivers=("database",), match={"severity": Regex("critical")}),
)


@pytest.mark.parametrize(
    ("made", "channel"),
    [
        (episode(alert(labels={"team": "payments"})), "#payments"),
        (episode(alert(labels={"team": "prepay"})), "#all"),
        (episode(alert(), receiver="dba"), "#db"),
        (episode(alert(), receiver="database"), "#db"),
        (episode(alert(), receiver="other"), "#all"),
        (episode(alert(labels={"team": "payments"}), alert(instance="b", labels={"team": "web"})), "#all"),
    ],
    ids=["by label", "the whole value", "by receiver", "first match", "default", "a label that not all share"],
)
def test_first_matching_route_wins(made: Any, channel: str) -> None:
    assert pick(made, ROUTES, "#all") == channel


def test_channels_that_come_with_the_token_stand_behind_the_settings() -> None:
    one = episode(alert(), receiver="web")
    assert pick(one, (), "#all", {"web": "#web"}) == "#web"
    assert pick(one, (), "#all", {"": "#vault"}) == "#all"
    assert pick(one, (), "", {"": "#vault"}) == "#vault"
    assert pick(one, (), "", {}) is None


def test_a_route_to_nowhere_is_refused() -> None:
    with pytest.raises(ValueError, match="channel: expected"):
        ChannelRoute(channel="")


@pytest.mark.parametrize(
    ("channel", "text"), [("#alerts", "#alerts"), ("C0123456789", "<#C0123456789>"), ("<!here>", "&lt;!here&gt;")]
)
def test_a_channel_is_shown_without_mentioning_anybody(channel: str, text: str) -> None:
    assert shown(channel) == text
