"""Credentials from Vault: logged in, kept alive, rotated, and kept in memory whatever Vault does."""

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from exporter.relay.vault import VaultApi
from exporter.relay.vault_metrics import VaultMetrics
from exporter.relay.vault_settings import Vault
from exporter.relay.vault_source import CONDITIONS
from exporter.settings import Duration
from tests.support.client import until
from tests.support.fake_vault import FakeVault, VaultFault
from tests.support.vault_world import TOKEN, Clock, World, write_secret


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def vault(clock: Clock) -> Iterator[FakeVault]:
    with FakeVault(clock=clock) as running:
        yield running


@pytest.fixture
def world(vault: FakeVault, clock: Clock, tmp_path: Path) -> World:
    vault.write(bot_token=TOKEN, channel="#alerts")
    return World(vault, clock, tmp_path)


def test_the_secret_is_there_after_one_look(world: World) -> None:
    wait = world.look()
    assert (world.token, world.channels) == (TOKEN, {"": "#alerts"})
    assert world.source.state.ok
    assert world.source.status.condition == "ok"
    assert len(world.changes) == 1
    assert 48 <= wait <= 60
    assert [one.path.removeprefix("/v1/") for one in world.vault.requests] == [
        "auth/approle/login",
        "secret/metadata/hostwatch/slack",
        "secret/data/hostwatch/slack",
    ]


def test_a_login_carries_no_token_and_all_else_the_one_it_gave(world: World) -> None:
    world.look()
    world.vault.revoke_tokens()
    world.look(60)
    for one in world.vault.requests:
        assert bool(one.token) is not one.path.endswith("/login"), one
        assert one.headers["x-vault-request"] == "true"
        assert "x-vault-namespace" not in one.headers


def test_polls_read_metadata_only(world: World) -> None:
    for _ in range(5):
        world.look(60)
    assert len(world.vault.asked("/metadata/hostwatch/slack")) == 5
    assert len(world.vault.asked("/data/hostwatch/slack")) == 1
    assert world.slack.asked == [TOKEN]


def test_a_new_version_is_in_force_at_the_next_poll(world: World) -> None:
    world.look()
    world.vault.write(bot_token="xoxb-222-second", channel="#elsewhere")
    world.look(60)
    assert (world.token, world.channels) == ("xoxb-222-second", {"": "#elsewhere"})
    assert world.slack.asked == [TOKEN, "xoxb-222-second"]
    assert (world.source.status.version, world.source.status.latest) == (2, 2)
    assert len(world.changes) == 2


def test_a_new_channel_with_the_same_token_needs_no_word_of_slack(world: World) -> None:
    world.look()
    world.vault.write(bot_token=TOKEN, channels='{"team-a": "#a"}')
    world.look(60)
    assert world.channels == {"team-a": "#a"}
    assert world.slack.asked == [TOKEN]


def test_a_new_token_that_slack_refuses_keeps_the_old(world: World) -> None:
    world.look()
    world.slack.refuses("xoxb-222-bad")
    world.vault.write(bot_token="xoxb-222-bad")
    wait = world.look(60)
    assert (world.token, world.channels) == (TOKEN, {"": "#alerts"})
    assert world.source.state.text == (
        "Slack refuses the token of secret/hostwatch/slack in Vault, version 2: invalid_auth; version 1 stays in force"
    )
    assert world.source.status.condition == "refused"
    assert (world.source.status.version, world.source.status.latest) == (1, 2)
    assert wait < 2  # Slack is asked again, less and less often
    begun = world.clock.now
    while world.clock.now < begun + 600:
        wait = world.look(wait)
    # 1, 2, 4 ... 60 s, each less up to a quarter
    assert 10 <= world.slack.asked.count("xoxb-222-bad") <= 25
    world.vault.write(bot_token="xoxb-333-good")
    world.look(60)
    assert world.token == "xoxb-333-good"
    assert world.source.state.ok


def test_a_new_token_that_slack_cannot_be_asked_about_waits(world: World) -> None:
    world.look()
    world.slack.is_away("xoxb-222-second", retry_after=30)
    world.vault.write(bot_token="xoxb-222-second")
    wait = world.look(60)
    assert world.token == TOKEN
    assert "could not be asked about" in world.source.state.text
    assert wait == pytest.approx(30)
    world.slack.errors.clear()
    world.look(10)  # woken by something else: too early to ask
    assert world.token == TOKEN
    world.look(20)
    assert world.token == "xoxb-222-second"


def test_the_first_token_is_used_though_slack_cannot_be_asked_about_it(world: World) -> None:
    world.slack.is_away(TOKEN)
    world.look()
    assert world.token == TOKEN
    assert not world.source.state.ok
    world.slack.errors.clear()
    world.look(60)
    assert world.source.state.ok


def test_the_first_token_is_not_used_if_slack_refuses_it(world: World) -> None:
    world.slack.refuses(TOKEN)
    world.look()
    assert world.token is None
    assert world.source.status.condition == "refused"
    assert world.source.status.version is None


def test_a_refused_token_leads_to_a_look_at_once(world: World) -> None:
    source = world.make(poll_interval=3600)
    source.start()
    try:
        until(lambda: world.token == TOKEN, "the first token is there")
        world.vault.write(bot_token="xoxb-222-second")
        current = source.current()
        assert current is not None
        source.refused(current.version)
        until(lambda: world.token == "xoxb-222-second", "the second token is there")
        assert source.state.ok
    finally:
        source.stop()


def test_a_token_that_slack_refuses_in_use_is_told_until_slack_takes_it_for_a_while(world: World) -> None:
    world.look()
    current = world.source.current()
    assert current is not None
    world.source.refused(current.version)
    world.look()
    assert world.token == TOKEN
    assert world.source.state.text == f"Slack refuses the token of {current.origin}"
    # auth.test takes it, as it does where a scope is missing
    world.look(60)
    assert not world.source.state.ok
    world.look(60)
    assert not world.source.state.ok
    world.look(60)
    assert world.source.state.ok


def test_a_word_about_an_older_token_changes_nothing(world: World) -> None:
    world.look()
    world.source.refused("vault:0:")
    world.look()
    assert world.source.state.ok


# -- versions that are no more -----------------------------------------------------------------------------------------

GONE: dict[str, tuple[Callable[[FakeVault], object], str]] = {
    "deleted": (lambda vault: vault.delete(1), "Vault has deleted version 1 of secret/hostwatch/slack"),
    "destroyed": (lambda vault: vault.destroy(1), "Vault has deleted version 1 of secret/hostwatch/slack"),
    "all of it": (lambda vault: vault.secrets.clear(), "Vault has no such path (HTTP 404): metadata of secret/"),
    "newest": (lambda vault: vault.delete(vault.write(bot_token="x")), "Vault has deleted version 2 of secret/"),
    "no version": (lambda vault: vault.secrets["hostwatch/slack"].clear(), "Vault has no version of secret/"),
}


@pytest.mark.parametrize(("happens", "words"), GONE.values(), ids=GONE)
def test_a_version_that_is_gone_keeps_the_last_good_token(
    world: World, happens: Callable[[FakeVault], object], words: str
) -> None:
    world.look()
    happens(world.vault)
    world.look(60)
    assert world.token == TOKEN
    assert world.source.state.text.startswith(words)
    assert world.source.state.text.endswith("; the last good token stays in force")
    assert world.source.status.condition == "missing"
    world.vault.write(bot_token="xoxb-333-new")
    world.look(60)
    assert world.token == "xoxb-333-new"
    assert world.source.state.ok


@pytest.mark.parametrize(("happens", "words"), GONE.values(), ids=GONE)
def test_a_version_that_is_gone_at_the_start_is_no_token(
    world: World, happens: Callable[[FakeVault], object], words: str
) -> None:
    happens(world.vault)
    world.look()
    assert world.token is None
    assert world.source.state.text.startswith(words)
    assert "last good" not in world.source.state.text


def test_a_version_that_is_to_be_deleted_later_is_good(world: World) -> None:
    world.vault.write(bot_token="xoxb-222-second", delete_after=3600)
    world.look()
    assert world.token == "xoxb-222-second"


def test_an_undeleted_version_is_good_again(world: World) -> None:
    world.vault.delete(1)
    world.look()
    world.vault.undelete(1)
    world.look(60)
    assert world.token == TOKEN


def test_a_secret_made_anew_with_the_same_number_is_read(world: World) -> None:
    world.look()
    world.vault.secrets.clear()
    world.vault.write(bot_token="xoxb-444-anew")
    world.look(60)
    assert world.token == "xoxb-444-anew"


# -- what a secret may hold --------------------------------------------------------------------------------------------

CONTENTS: dict[str, tuple[dict[str, Any], str | None, dict[str, str], str]] = {
    "token alone": ({"bot_token": TOKEN}, TOKEN, {}, ""),
    "line end": ({"bot_token": f"{TOKEN}\n", "channel": " #a\n"}, TOKEN, {"": "#a"}, ""),
    "channels as JSON": ({"bot_token": TOKEN, "channels": '{"a": "#a", "b": "C1"}'}, TOKEN, {"a": "#a", "b": "C1"}, ""),
    "channels as an object": ({"bot_token": TOKEN, "channels": {"a": "#a"}}, TOKEN, {"a": "#a"}, ""),
    "both": ({"bot_token": TOKEN, "channel": "#x", "channels": '{"a": "#a"}'}, TOKEN, {"": "#x", "a": "#a"}, ""),
    "empty channels": ({"bot_token": TOKEN, "channel": "", "channels": " "}, TOKEN, {}, ""),
    "no token": ({"channel": "#a"}, None, {}, "has no key bot_token in secret/hostwatch/slack (version 2)"),
    "empty token": ({"bot_token": " "}, None, {}, "has no key bot_token"),
    "token of two words": ({"bot_token": "xoxb a"}, None, {}, "bot_token: expected one word"),
    "token with a line end inside": ({"bot_token": "xoxb\r\nX-Evil: 1"}, None, {}, "bot_token: expected one word"),
    "token not ASCII": ({"bot_token": "xoxb-é"}, None, {}, "bot_token: expected one word"),
    "token a number": ({"bot_token": 5}, None, {}, "bot_token: expected one word"),
    "token too long": ({"bot_token": "x" * 5000}, None, {}, "bot_token: expected one word"),
    "channels no JSON": ({"bot_token": TOKEN, "channels": "{a"}, TOKEN, {}, "channels: expected channels by receiver"),
    "channels a list": ({"bot_token": TOKEN, "channels": '["#a"]'}, TOKEN, {}, "channels: expected channels by"),
    "channels of numbers": ({"bot_token": TOKEN, "channels": '{"a": 1}'}, TOKEN, {}, "channels: expected channels"),
    "deep channels": ({"bot_token": TOKEN, "channels": "[" * 50_000}, TOKEN, {}, "channels: expected channels"),
    "channel of two words": ({"bot_token": TOKEN, "channel": "#a b"}, TOKEN, {}, "channel: expected a channel's name"),
    "token for a channel": ({"bot_token": TOKEN, "channel": TOKEN}, TOKEN, {}, "channel: expected a channel's name"),
}


@pytest.mark.parametrize(("data", "token", "channels", "words"), CONTENTS.values(), ids=CONTENTS)
def test_a_secret_is_judged_by_what_it_holds(
    world: World, data: dict[str, Any], token: str | None, channels: dict[str, str], words: str
) -> None:
    world.vault.write(**data)
    world.look()
    assert (world.token, world.channels) == (token, channels)
    assert words in world.source.state.text
    assert world.source.state.ok is not bool(words)
    assert TOKEN not in world.source.state.text


def test_a_new_token_beside_broken_channels_is_taken_with_the_channels_of_before(world: World) -> None:
    world.look()
    world.vault.write(bot_token="xoxb-222-second", channels="{broken")
    world.look(60)
    assert (world.token, world.channels) == ("xoxb-222-second", {"": "#alerts"})
    assert "secret/hostwatch/slack (version 2)" in world.source.state.text
    assert world.source.status.condition == "refused"


def test_names_and_places_are_settings(clock: Clock, tmp_path: Path) -> None:
    with FakeVault(clock=clock, mount="kv/team", auth_mount="approles/ops", namespace="ns/team") as vault:
        vault.policies["hostwatch"] = {"kv/team/data/relay", "kv/team/metadata/relay"}
        vault.write("relay", slack="xoxb-9", room="#r", rooms='{"x": "#x"}')
        world = World(vault, clock, tmp_path)
        keys = {"token_key": "slack", "channel_key": "room", "channels_key": "rooms"}
        world.make(mount="kv/team", path="relay", auth_mount="approles/ops", namespace="ns/team", **keys)
        world.look()
        assert (world.token, world.channels) == ("xoxb-9", {"": "#r", "x": "#x"})
        assert {one.headers["x-vault-namespace"] for one in vault.requests} == {"ns/team"}


# -- the relay's token for Vault ---------------------------------------------------------------------------------------


def test_the_lease_is_renewed_at_two_thirds(world: World) -> None:
    world.vault.role.token_ttl = 90
    world.look()
    assert world.source.status.lease_ends == world.clock.now + 90
    wait = world.look(30)
    assert wait == pytest.approx(90 * 0.65 - 30)
    world.look(wait)
    assert world.source.counts.renewals == 1
    assert world.source.status.lease_ends == world.clock.now + 90
    assert len(world.vault.logins) == 1


def test_renewals_go_on_until_the_role_allows_no_more_and_then_there_is_a_new_login(world: World) -> None:
    world.vault.role.token_ttl, world.vault.role.token_max_ttl = 90, 300
    wait = 0.0
    for _ in range(40):
        wait = world.look(wait)
        assert world.source.state.ok
        assert world.source.failures.total() == 0
    # a login each time that the rest of its longest life is less than a lease
    assert 3 <= len(world.vault.logins) <= 10
    assert world.source.counts.renewals > 5
    assert all(one.status == 200 for one in world.vault.requests)


def test_a_token_that_cannot_be_renewed_is_replaced(world: World) -> None:
    world.vault.role.token_ttl, world.vault.role.token_type = 90, "batch"
    wait = 0.0
    for _ in range(10):
        wait = world.look(wait)
    assert not world.vault.asked("/renew-self")
    assert len(world.vault.logins) > 2
    assert all(one.status == 200 for one in world.vault.requests)


def test_a_token_for_ever_is_never_renewed(world: World) -> None:
    world.vault.role.token_ttl = 0
    world.vault.fault = lambda _request: None
    real = world.vault._login

    def login(body: dict[str, Any]) -> Any:
        status, answer = real(body)
        for token in world.vault.tokens.values():
            token.ends = float("inf")
        return status, answer

    world.vault._login = login  # type: ignore[method-assign]
    world.look()
    for _ in range(5):
        world.look(100_000)
    assert not world.vault.asked("/renew-self")
    assert world.source.status.lease_ends is None
    assert len(world.vault.logins) == 1


def test_a_revoked_token_leads_to_a_new_login_in_the_same_look(world: World) -> None:
    world.look()
    world.vault.revoke_tokens()
    world.look(60)
    assert world.source.state.ok
    assert world.source.counts.logins == 2


def test_a_token_revoked_before_its_renewal_is_replaced(world: World) -> None:
    world.vault.role.token_ttl = 90
    wait = world.look()
    world.vault.revoke_tokens()
    world.look(max(wait, 60))
    assert world.source.state.ok
    assert (world.source.counts.renewal_failures, world.source.counts.logins) == (1, 2)


def test_a_lease_that_ended_unseen_leads_to_a_new_login(world: World) -> None:
    world.look()
    world.look(100_000)
    assert world.source.state.ok
    assert world.source.counts.logins == 2


def test_a_policy_that_denies_the_secret_is_no_reason_to_log_in_again(world: World) -> None:
    world.look()
    world.vault.policies["hostwatch"].clear()
    for _ in range(5):
        world.look(60)
    assert world.token == TOKEN
    assert world.source.status.condition == "denied"
    assert world.source.state.text == (
        "Vault denies it (HTTP 403): reading secret/hostwatch/slack; the last good token stays in force"
    )
    assert len(world.vault.logins) == 1


def test_a_policy_without_metadata_is_enough(world: World) -> None:
    world.vault.policies["hostwatch"] = {"secret/data/hostwatch/slack"}
    world.look()
    assert world.token == TOKEN
    world.vault.write(bot_token="xoxb-222-second")
    world.look(60)
    assert world.token == "xoxb-222-second"
    assert world.source.state.ok
    assert len(world.vault.asked("/metadata/hostwatch/slack")) == 1
    world.vault.delete(2)
    world.look(60)
    assert world.source.state.text.startswith("Vault has deleted this version (HTTP 404)")
    assert world.token == "xoxb-222-second"


# -- role_id and secret_id ---------------------------------------------------------------------------------------------


def test_a_denied_login_is_not_repeated_until_the_ids_change(world: World) -> None:
    world.vault.role.secret_ids.clear()
    for _ in range(20):
        world.look(10)
    assert len(world.vault.logins) == 1
    assert world.source.status.condition == "denied"
    words = "Vault does not accept role_id or secret_id (HTTP 400): AppRole login at auth/approle"
    assert world.source.state.text == words
    write_secret(world.folder / "secret-id", world.vault.new_secret_id())
    world.look(10)
    assert world.token == TOKEN


def test_a_denied_login_is_repeated_seldom_enough_not_to_lock_the_role(world: World) -> None:
    secret_id = world.vault.role.secret_ids.pop()
    for _ in range(15 * 60 // 10):
        world.look(10)
    assert len(world.vault.logins) < 5
    world.vault.role.secret_ids.append(secret_id)
    world.look(300)
    assert world.token == TOKEN


def test_a_used_up_secret_id_keeps_the_token_while_it_lasts(world: World) -> None:
    world.vault.role.token_ttl, world.vault.role.token_max_ttl = 90, 150
    world.vault.role.secret_ids[0].uses = 1
    world.look()
    begun, wait = world.clock.now, 0.0
    while world.clock.now < begun + 400:
        wait = world.look(wait)
    assert world.token == TOKEN
    assert world.source.status.condition == "denied"
    assert len(world.vault.logins) < 5
    write_secret(world.folder / "secret-id", world.vault.new_secret_id())
    world.look(60)
    assert world.source.state.ok


def test_systemd_credentials_come_before_files(world: World) -> None:
    folder = world.folder / "credentials"
    write_secret(folder / "vault-role-id", world.vault.role.role_id)
    write_secret(folder / "vault-secret-id", world.vault.new_secret_id(value="from-systemd"))
    world.make(credentials=folder)
    world.look()
    assert world.vault.logins[0].body["secret_id"] == "from-systemd"


def test_a_credential_that_vault_denies_gives_way_to_the_file(world: World) -> None:
    folder = world.folder / "credentials"
    write_secret(folder / "vault-secret-id", "of-last-month")
    world.make(credentials=folder)
    world.look()
    assert world.token == TOKEN
    assert [one.status for one in world.vault.logins] == [400, 200]
    world.vault.revoke_tokens()
    world.look(60)
    assert world.source.state.ok


IDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda file: file.unlink(), "cannot be read: No such file or directory"),
    "empty": (lambda file: file.write_text("\n"), "empty"),
    "open to all": (lambda file: file.chmod(0o644), "open to every user (mode 0644); chmod o-rwx"),
    "two words": (lambda file: file.write_text("a b"), "expected one token and nothing else"),
}


@pytest.mark.parametrize("what", ["role-id", "secret-id"])
@pytest.mark.parametrize(("spoil", "words"), IDS.values(), ids=IDS)
def test_an_unusable_file_is_named(world: World, spoil: Callable[[Path], object], words: str, what: str) -> None:
    spoil(world.folder / what)
    world.look()
    assert not world.vault.requests
    assert f"vault.{what.replace('-', '_')}_file {world.folder / what}: " in world.source.state.text
    assert words in world.source.state.text
    assert world.vault.role.secret_ids[0].value not in world.source.state.text


def test_without_file_and_credential_the_way_out_is_told(world: World) -> None:
    world.make(secret_id_file=None)
    world.look()
    assert world.source.state.text == (
        "Vault cannot be asked, there is no secret_id: set vault.secret_id_file, or"
        " LoadCredential=vault-secret-id:FILE in the relay's unit"
    )


# -- Vault in trouble --------------------------------------------------------------------------------------------------

TROUBLES: dict[str, tuple[VaultFault, str, str]] = {
    "sealed": (VaultFault(503, ("Vault is sealed",)), "sealed", "is sealed (HTTP 503)"),
    "load balancer without Vault": (VaultFault(503, body=b"<html>"), "unreachable", "is not available (HTTP 503)"),
    "not initialized": (VaultFault(501, ("Vault is not initialized",)), "sealed", "is not initialized"),
    "fault": (VaultFault(500, ("internal error",)), "unreachable", "has a fault (HTTP 500)"),
    "bad gateway": (VaultFault(502, body=b"<html>"), "unreachable", "has a fault (HTTP 502)"),
    "denied": (VaultFault(403, ("permission denied",)), "denied", "denies it (HTTP 403)"),
    "quota": (VaultFault(429, ("rate limit quota exceeded",)), "limited", "takes no more requests for now (HTTP 429)"),
    "behind": (VaultFault(412, ("required index state not present",)), "unreachable", "not up to date yet (HTTP 412)"),
    "standby for disasters": (VaultFault(472, ("x",)), "unreachable", "standby for disasters"),
    "performance standby": (VaultFault(473, ("x",)), "unreachable", "performance standby"),
    "removed": (VaultFault(530, ("x",)), "unreachable", "has a fault (HTTP 530)"),
    "wrong method": (VaultFault(405, ("unsupported operation",)), "unusable", "does not know such a request"),
    "engine in upgrade": (VaultFault(400, ("Upgrading",)), "unusable", "does not accept the request (HTTP 400)"),
    "web page": (VaultFault(body=b"<html>hello</html>"), "unusable", "not as Vault does: is vault.address right?"),
    "other JSON": (VaultFault(body=b'{"hello": 1}'), "unusable", "vault"),
    "JSON list": (VaultFault(body=b"[1]"), "unusable", "not as Vault does"),
    "nothing": (VaultFault(body=b""), "unusable", "vault"),
    "endless": (VaultFault(body=b'{"a": "' + b"x" * 2_000_000), "unusable", "not as Vault does"),
    "page not found": (VaultFault(404, body=b"<html>"), "unusable", "is vault.address right? (HTTP 404)"),
    "reset": (VaultFault(cut=True), "unreachable", "cannot be reached: connection"),
}


@pytest.mark.parametrize(("fault", "condition", "words"), TROUBLES.values(), ids=TROUBLES)
def test_trouble_later_keeps_the_last_good_token(world: World, fault: VaultFault, condition: str, words: str) -> None:
    world.look()
    world.vault.fault = lambda request: None if request.path.endswith("lookup-self") else fault
    wait = world.look(60)
    assert world.token == TOKEN
    assert words.lower() in world.source.state.text.lower()
    assert world.source.state.text.endswith("; the last good token stays in force")
    assert world.source.status.condition == condition
    assert 0.7 <= wait <= 1
    world.vault.fault = lambda _request: None
    world.look(1)
    assert world.source.state.ok


@pytest.mark.parametrize(("fault", "condition", "words"), TROUBLES.values(), ids=TROUBLES)
def test_trouble_at_the_start_is_no_token_until_it_ends(
    world: World, fault: VaultFault, condition: str, words: str
) -> None:
    world.vault.fault = lambda _request: fault
    world.look()
    assert world.token is None
    assert not world.source.state.ok
    if fault.status != 400:  # at a login that means the ids
        assert world.source.status.condition == condition
    world.vault.fault = lambda _request: None
    world.look(300)
    assert world.token == TOKEN


def test_failures_are_tried_again_less_and_less_often(world: World) -> None:
    world.vault.sealed = True
    waits = [world.look(1) for _ in range(9)]
    for wait, most in zip(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60], strict=True):
        assert 0.7 * most <= wait <= most
    assert world.source.failures == {"sealed": 9}


def test_the_waits_are_scaled_by_a_setting(world: World) -> None:
    world.make(retry_after=0.01)
    world.vault.sealed = True
    assert max(world.look(1) for _ in range(20)) <= 0.6


def test_retry_after_is_honoured_up_to_five_minutes(world: World) -> None:
    world.vault.fault = lambda _request: VaultFault(429, ("quota",), retry_after=40)
    assert world.look() == 40
    world.vault.fault = lambda _request: VaultFault(429, ("quota",), retry_after=86400)
    assert world.look(40) == 300


def test_a_standby_that_sends_elsewhere_is_not_followed(world: World, clock: Clock) -> None:
    world.look()
    with FakeVault(clock=clock) as elsewhere:
        world.vault.standby = elsewhere.address
        world.look(60)
        assert not elsewhere.requests
    assert world.source.status.condition == "unreachable"
    assert "is not the active node and sends elsewhere, where it is not followed (HTTP 307)" in world.source.state.text
    assert world.token == TOKEN


def test_a_vault_that_is_not_there_is_unreachable(world: World) -> None:
    world.look()
    world.vault.stop()
    world.look(60)
    assert "cannot be reached: connection refused" in world.source.state.text
    world.vault.start()
    world.look(60)
    assert world.source.state.ok


def test_a_name_that_is_not_found_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    world.make(address="https://vault.invalid:8200")
    world.look()
    assert "cannot be reached: its name is not found" in world.source.state.text


SLOW = {
    "silent": VaultFault(hang=30.0),
    "one byte at a time": VaultFault(drip=0.05),
    "one byte of an error at a time": VaultFault(500, ("x" * 5000,), drip=0.05),
}


@pytest.mark.parametrize("fault", SLOW.values(), ids=SLOW)
def test_a_slow_vault_is_given_up_after_the_timeout_in_all(world: World, fault: VaultFault) -> None:
    world.make(timeout=0.15)
    world.vault.fault = lambda _request: fault
    begun = time.monotonic()
    world.look()
    assert time.monotonic() - begun < 2
    assert "cannot be reached: no answer in time" in world.source.state.text


def test_stop_does_not_wait_for_a_vault_that_hangs(world: World) -> None:
    world.vault.fault = lambda _request: VaultFault(hang=30.0)
    source = world.make(timeout=30)
    source.start()
    until(lambda: world.vault.requests, "the login is under way")
    begun = time.monotonic()
    source.stop()
    assert time.monotonic() - begun < 0.5
    assert source.current() is None


def test_our_own_fault_is_told_without_its_text_and_the_thread_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = world.make(retry_after=0.001)
    source._first_wait = 0.001

    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("canary-in-a-text")

    with monkeypatch.context() as patch:
        patch.setattr(source, "_holder", Broken())
        source.start()
        until(lambda: "our own fault" in source.state.text, "it is told")
        assert re.search(r"RuntimeError at test_vault\.py:\d+$", source.state.text)
    until(lambda: world.token == TOKEN, "it goes on")
    source.stop()


def test_only_one_thread_asks_vault(world: World) -> None:
    threads: set[str] = set()
    real = world.source._api.latest

    def latest(token: Any) -> Any:
        threads.add(threading.current_thread().name)
        return real(token)

    world.source._api.latest = latest  # type: ignore[method-assign]
    world.source.start()
    until(lambda: world.token == TOKEN, "the token is there")
    for _ in range(20):
        world.source.refused("x")
    until(lambda: len(world.vault.asked("/metadata/hostwatch/slack")) > 1, "it looked again")
    world.source.stop()
    assert threads == {"vault"}


# -- exceptions and metrics --------------------------------------------------------------------------------------------


def chain(err: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and all that can be reached from it."""
    while err is not None:
        yield err
        err = err.__cause__ or err.__context__


@pytest.mark.parametrize("fault", [fault for fault, *_ in TROUBLES.values()] + [VaultFault(403, echo=True)])
def test_an_error_leads_to_nothing_that_was_sent(vault: FakeVault, fault: VaultFault) -> None:
    from exporter.logs import Secret
    from exporter.relay.vault_answers import VaultError

    secrets = [Secret("role-canary"), Secret("secret-canary")]
    api = VaultApi(Vault(address=vault.address, timeout=Duration(5)))
    vault.fault = lambda _request: fault
    for call in (
        lambda: api.login(*secrets),
        lambda: api.renew(Secret("token-canary")),
        lambda: api.latest(Secret("token-canary")),
        lambda: api.read(Secret("token-canary"), 3),
    ):
        with pytest.raises(VaultError) as caught:
            call()
        for err in chain(caught.value):
            assert "canary" not in repr((err, str(err), err.args, vars(err)))
            assert type(err).__module__.startswith("exporter."), err


def page(world: World) -> str:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(VaultMetrics(world.source))
    return generate_latest(registry).decode()


def test_metrics_tell_what_is_known_and_nothing_else(world: World) -> None:
    before = page(world)
    assert 'relay_vault_state{state="starting"} 1.0' in before
    assert not re.search(r"^relay_vault_(last_success|lease|secret)\w* ", before, re.MULTILINE)
    world.look()
    after = page(world)
    now = world.clock.now
    for line in (
        'relay_vault_state{state="ok"} 1.0',
        'relay_vault_state{state="starting"} 0.0',
        "relay_vault_secret_version 1.0",
        "relay_vault_secret_latest_version 1.0",
        "relay_vault_logins_total 1.0",
        'relay_vault_look_failures_total{reason="sealed"} 0.0',
    ):
        assert line in after.splitlines()
    assert float(re.findall(r"^relay_vault_last_success_timestamp_seconds (.*)$", after, re.MULTILINE)[0]) == now
    assert float(re.findall(r"^relay_vault_lease_expiry_timestamp_seconds (.*)$", after, re.MULTILINE)[0]) == now + 1200
    assert after.count('relay_vault_state{state="') == len(CONDITIONS)


def test_metrics_tell_of_trouble(world: World) -> None:
    world.look()
    world.vault.sealed = True
    world.look(60)
    text = page(world)
    assert 'relay_vault_state{state="sealed"} 1.0' in text
    assert 'relay_vault_look_failures_total{reason="sealed"} 1.0' in text
    assert "relay_vault_secret_version 1.0" in text
