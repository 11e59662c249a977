"""The one-shot: secrets made once, files of each part in its own volume, and no more said than once."""

import os
import stat
from pathlib import Path

import pytest
import yaml

from compose.init import GRAFANA, HOSTWATCH, NOBODY, ROOT, SHOWN, VAULT, Owner, prepare
from exporter.relay.settings import Relay
from exporter.settings import load

SHIPPED = Path(__file__).resolve().parents[3] / "alertmanager" / "alertmanager.yml"
VOLUMES = ("secrets", "relay", "alertmanager", "grafana", "targets", "vault", "vault-seed", "approle", "drills")


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch) -> dict[str, Owner]:
    """Who was made the owner of what, by path: to change that takes root."""
    found: dict[str, Owner] = {}

    def fchown(fd: int, user: int, group: int) -> None:
        found[str(Path(f"/proc/self/fd/{fd}").readlink())] = Owner(user, group)

    def chown(path: Path, user: int, group: int) -> None:
        found[str(path)] = Owner(user, group)

    monkeypatch.setattr(os, "fchown", fchown)
    monkeypatch.setattr(os, "chown", chown)
    return found


@pytest.fixture
def volumes(tmp_path: Path, owners: dict[str, Owner]) -> Path:
    for name in VOLUMES:
        (tmp_path / name).mkdir()
    return tmp_path


def run(volumes: Path, slack: str = "", **environ: str) -> str | None:
    given = volumes / "given"
    given.mkdir(exist_ok=True)
    (given / "slack_token").write_text(slack)
    return prepare(volumes, SHIPPED, given, environ)


def test_every_secret_is_one_owner_s_and_nobody_else_reads_it(volumes: Path, owners: dict[str, Owner]) -> None:
    run(volumes, "xoxb-test")
    wanted = {
        "secrets/grafana-password": (ROOT, 0o600),
        "secrets/relay-token": (ROOT, 0o600),
        "grafana/password": (GRAFANA, 0o400),
        "alertmanager/relay-token": (NOBODY, 0o400),
        "relay/relay-token": (HOSTWATCH, 0o400),
        "vault-seed/slack-token": (VAULT, 0o400),
    }
    for name, (owner, mode) in wanted.items():
        path = volumes / name
        assert stat.S_IMODE(path.stat().st_mode) == mode, name
        assert owners[str(path.with_name(f".{path.name}.new"))] == owner, name
    assert owners[str(volumes / "vault")] == owners[str(volumes / "approle")] == VAULT


def test_second_run_keeps_secrets(volumes: Path) -> None:
    names = ("grafana/password", "relay/relay-token", "alertmanager/relay-token")
    run(volumes)
    before = [(volumes / name).read_text() for name in names]
    run(volumes)
    assert [(volumes / name).read_text() for name in names] == before
    assert len({text.strip() for text in before}) == 2, "the relay's is also Alertmanager's"
    assert all(len(text) >= 32 for text in before)


def test_password_is_returned_until_it_was_shown(volumes: Path) -> None:
    password = run(volumes)
    assert password
    assert run(volumes) == password, "a run that was cut short"
    (volumes / SHOWN).touch()
    assert run(volumes) is None


def test_secret_file_that_is_empty_is_made_anew(volumes: Path) -> None:
    (volumes / "secrets/relay-token").touch()
    run(volumes)
    assert (volumes / "relay/relay-token").read_text().strip()


def test_alertmanager_sends_to_the_relay_and_is_the_shipped_one_otherwise(volumes: Path) -> None:
    run(volumes)
    made, shipped = (yaml.safe_load(path.read_text()) for path in (volumes / "alertmanager/alertmanager.yml", SHIPPED))
    (webhook,) = made["receivers"][0]["webhook_configs"]
    assert webhook["url"] == "http://relay:10102/alertmanager"
    webhook["url"] = shipped["receivers"][0]["webhook_configs"][0]["url"]
    assert made == shipped


@pytest.mark.parametrize("slack", ["", "xoxb-test"], ids=["preview", "slack"])
def test_relay_s_settings_are_valid_and_use_vault_only_with_a_token(volumes: Path, slack: str) -> None:
    run(volumes, slack, RELAY_PORT="20102", SLACK_API_URL="")
    settings = load(volumes / "relay/relay.yml", Relay)
    assert (settings.vault is not None) is bool(slack)
    assert settings.external_url == "http://127.0.0.1:20102/"
    assert settings.slack.api_url == "https://slack.com/api/"
    assert settings.alertmanager_urls == ("http://alertmanager:9093",)
    assert "xoxb" not in (volumes / "relay/relay.yml").read_text()


@pytest.mark.parametrize(("url", "allowed"), [("http://172.17.0.1:8000/api/", True), ("https://slack.test/", False)])
def test_slack_of_a_test_may_be_in_the_clear(volumes: Path, url: str, allowed: bool) -> None:
    run(volumes, "xoxb-test", SLACK_API_URL=url)
    settings = load(volumes / "relay/relay.yml", Relay)
    assert (settings.slack.api_url, settings.slack.allow_http) == (url, allowed)


def test_heartbeat_goes_to_the_address_that_was_given_and_only_its_file_holds_it(volumes: Path) -> None:
    run(volumes)
    assert load(volumes / "relay/relay.yml", Relay).watchdog.heartbeat_url_file is None
    (volumes / "given/heartbeat_url").write_text("https://example.com/secret\n")
    run(volumes)
    assert load(volumes / "relay/relay.yml", Relay).watchdog.heartbeat_url_file == "/etc/hostwatch/heartbeat-url"
    assert (volumes / "relay/heartbeat-url").read_text() == "https://example.com/secret"
    assert stat.S_IMODE((volumes / "relay/heartbeat-url").stat().st_mode) == 0o400


def test_targets_are_the_stack_s_own_and_the_demo_s_go(volumes: Path, owners: dict[str, Owner]) -> None:
    (volumes / "targets/node").mkdir()
    (volumes / "targets/node/demo.yml").write_text("[]")
    run(volumes)
    found = {path.parent.name: yaml.safe_load(path.read_text()) for path in volumes.glob("targets/*/*.yml")}
    assert {job: rows[0]["targets"] for job, rows in found.items()} == {
        "node": ["exporter:10101"],
        "relay": ["relay:10102"],
        "prometheus": ["prometheus:9090"],
        "alertmanager": ["alertmanager:9093"],
    }
    assert all(rows[0]["labels"] == {"instance": "localhost"} for rows in found.values())
    assert owners[str(volumes / "targets/node")] == HOSTWATCH, "the demo adds its own"
