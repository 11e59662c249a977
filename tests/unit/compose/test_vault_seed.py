"""Seeding: all that the relay needs, once, and again when Vault has forgotten."""

import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import hvac
import pytest

from compose.vault_seed import Place, Seeder, SeedError, run
from tests.support.client import until
from tests.support.dev_vault import DevVault

ROOT_TOKEN = "hvs.roottoken"


@pytest.fixture
def vault() -> Iterator[DevVault]:
    made = DevVault(ROOT_TOKEN)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def place(tmp_path: Path, vault: DevVault) -> Place:
    (tmp_path / "approle").mkdir()
    (tmp_path / "root-token").write_text(ROOT_TOKEN)
    (tmp_path / "slack-token").write_text("xoxb-one\n")
    return Place(
        "127.0.0.1",
        vault.port,
        tmp_path / "root-token",
        tmp_path / "slack-token",
        tmp_path / "approle",
        tmp_path / "seeded",
    )


def secret(vault: DevVault) -> dict[str, str]:
    """Return the newest version of the secret."""
    versions = vault.secrets["hostwatch/slack"]
    return dict(versions[max(versions)].data or {})


def test_relay_can_log_in_and_read_what_was_seeded(vault: DevVault, place: Place) -> None:
    assert Seeder(place, "#alerts").look() is True
    role, secret_id = ((place.approle / name).read_text() for name in ("role-id", "secret-id"))
    client = hvac.Client(f"http://127.0.0.1:{vault.port}", token="")
    client.auth.approle.login(role, secret_id)
    answer = client.secrets.kv.v2.read_secret_version("hostwatch/slack", raise_on_deleted_version=True)
    assert answer["data"]["data"] == {"channel": "#alerts", "bot_token": "xoxb-one"}


def test_credentials_are_for_the_owner_and_its_group(vault: DevVault, place: Place) -> None:
    Seeder(place, "#alerts").look()
    assert [stat.S_IMODE((place.approle / name).stat().st_mode) for name in ("role-id", "secret-id")] == [0o440] * 2


def test_second_look_changes_nothing(vault: DevVault, place: Place) -> None:
    seeder = Seeder(place, "#alerts")
    seeder.look()
    before = [(place.approle / name).read_text() for name in ("role-id", "secret-id")]
    assert seeder.look() is False
    assert Seeder(place, "#alerts").look() is False, "after a restart of ours"
    assert [(place.approle / name).read_text() for name in ("role-id", "secret-id")] == before
    assert len(vault.secrets["hostwatch/slack"]) == 1


def test_vault_that_forgot_is_seeded_again_with_new_credentials(vault: DevVault, place: Place) -> None:
    seeder = Seeder(place, "#alerts")
    seeder.look()
    port, before = vault.port, (place.approle / "role-id").read_text()
    vault.stop()
    with pytest.raises(SeedError, match="cannot be reached"):
        seeder.look()
    again = DevVault("hvs.another")
    again.port = port
    again.start()
    try:
        with pytest.raises(SeedError, match="403"):
            seeder.look()
        place.root_token.write_text("hvs.another")
        assert seeder.look() is True
        assert (place.approle / "role-id").read_text() == again.role.role_id != before
        assert secret(again)["bot_token"] == "xoxb-one"
    finally:
        again.stop()


def test_another_token_given_at_a_start_is_a_new_version(vault: DevVault, place: Place) -> None:
    Seeder(place, "#alerts").look()
    place.slack_token.write_text("xoxb-two")
    assert Seeder(place, "#alerts").look() is True
    assert secret(vault) == {"channel": "#alerts", "bot_token": "xoxb-two"}


def test_token_that_somebody_wrote_into_vault_stays(vault: DevVault, place: Place) -> None:
    seeder = Seeder(place, "#alerts")
    seeder.look()
    vault.write(bot_token="xoxb-by-hand", channel="#other")
    seeder.look()
    assert seeder.look() is False
    assert secret(vault) == {"bot_token": "xoxb-by-hand", "channel": "#other"}


def test_without_a_slack_token_the_channel_alone_is_seeded(vault: DevVault, place: Place) -> None:
    place.slack_token.write_text("")
    Seeder(place, "#ops").look()
    assert secret(vault) == {"channel": "#ops"}


def test_mark_stands_only_while_all_is_well(vault: DevVault, place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.root_token.unlink()
    place.mark.touch()
    ended = threading.Event()
    thread = threading.Thread(target=run, args=(Seeder(place, "#alerts"), place.mark, ended, 0.01))
    thread.start()
    try:
        until(lambda: not place.mark.exists(), "no mark yet", seconds=30)
        place.root_token.write_text(ROOT_TOKEN)
        until(place.mark.exists, "the mark", seconds=30)
    finally:
        ended.set()
        thread.join(30)
    assert ROOT_TOKEN not in caplog.text
