"""The relay with Vault: alerts are taken whatever Vault does, wait on disk, and go out once it gives the token."""

import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Authority
from tests.support.client import until
from tests.support.fake_slack import TOKEN, FakeSlack, Fault
from tests.support.fake_vault import FakeVault, VaultFault
from tests.support.relay import RelayProcess, alert, payload, resolved
from tests.support.vault_world import vault_settings, write_secret

pytestmark = pytest.mark.slow

SECOND = "xoxb-2222222222-canary-second"


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with FakeSlack() as running:
        yield running


@pytest.fixture
def vault() -> Iterator[FakeVault]:
    with FakeVault() as running:
        running.write(bot_token=TOKEN, channel="#alerts")
        yield running


def slack_settings(slack: FakeSlack, **more: Any) -> dict[str, Any]:
    return {
        "api_url": slack.url,
        "timeout": 2,
        "retry_after": 0.02,
        "posts_per_second": 500,
        "burst": 50,
        "posts_per_minute": 30_000,
        "updates_per_minute": 30_000,
        **more,
    }


def relay_for(folder: Path, slack: FakeSlack, vault: FakeVault, **more: Any) -> RelayProcess:
    waits = {"poll_interval": 0.2, "timeout": 0.5, "retry_after": 0.02}
    return RelayProcess(folder, slack=slack_settings(slack), vault=vault_settings(vault, folder, **waits, **more))


def one(number: int) -> dict[str, Any]:
    return payload(alert(f"Trouble{number:04}"))


def told(slack: FakeSlack, count: int, seconds: float = 15) -> None:
    until(lambda: len(slack.roots()) == count, f"{count} messages are in Slack", seconds=seconds)


def test_the_token_and_the_channel_come_from_vault(tmp_path: Path, slack: FakeSlack, vault: FakeVault) -> None:
    slack.add_channel("#team-a")
    vault.write(bot_token=TOKEN, channel="#alerts", channels=json.dumps({"team-a": "#team-a"}))
    with relay_for(tmp_path, slack, vault) as relay:
        assert relay.post(one(1)).status == 200
        assert relay.post(payload(alert("Other"), receiver="team-a")).status == 200
        told(slack, 1)
        until(lambda: len(slack.roots("#team-a")) == 1, "the other team's message")
        assert relay.metric('relay_vault_state{state="ok"}') == 1
        assert relay.metric("relay_vault_secret_version") == 2


def down(vault: FakeVault) -> Callable[[], None]:
    vault.stop()
    return vault.start


def sealed(vault: FakeVault) -> Callable[[], None]:
    vault.sealed = True
    return lambda: setattr(vault, "sealed", False)


def failing(fault: VaultFault) -> Callable[[FakeVault], Callable[[], None]]:
    def begin(vault: FakeVault) -> Callable[[], None]:
        vault.fault = lambda _request: fault
        return lambda: setattr(vault, "fault", lambda _request: None)

    return begin


STARTS: dict[str, Callable[[FakeVault], Callable[[], None]]] = {
    "down": down,
    "sealed": sealed,
    "silent": failing(VaultFault(hang=30)),
    "one byte at a time": failing(VaultFault(drip=0.1)),
    "denying": failing(VaultFault(403, ("permission denied",))),
    "behind": failing(VaultFault(412, ("required index state not present",))),
    "limited": failing(VaultFault(429, ("quota",))),
    "not the active node": failing(VaultFault(307, location="http://127.0.0.1:9/")),
}


@pytest.mark.parametrize("begin", STARTS.values(), ids=STARTS)
def test_alerts_are_taken_while_vault_is_in_trouble_and_wait_on_disk(
    tmp_path: Path, slack: FakeSlack, vault: FakeVault, begin: Callable[[FakeVault], Callable[[], None]]
) -> None:
    end = begin(vault)
    with relay_for(tmp_path, slack, vault) as relay:
        for number in range(5):
            begun = time.monotonic()
            assert relay.post(one(number)).status == 200
            assert time.monotonic() - begun < 1
        until(lambda: not relay.metric('relay_vault_state{state="starting"}'), "Vault was asked")
        assert relay.metric('relay_vault_state{state="ok"}') == 0
        assert relay.get("/-/healthy").status == 200
        # what waits is on disk, and outlives the relay
        relay.kill()
        relay.start()
        assert relay.post(one(5)).status == 200
        assert slack.count("chat.postMessage") == 0
        end()
        told(slack, 6)
        assert relay.metric('relay_vault_state{state="ok"}') == 1
    assert not slack.copies()


@pytest.mark.parametrize("begin", STARTS.values(), ids=STARTS)
def test_trouble_later_holds_nothing_up(
    tmp_path: Path, slack: FakeSlack, vault: FakeVault, begin: Callable[[FakeVault], Callable[[], None]]
) -> None:
    with relay_for(tmp_path, slack, vault) as relay:
        assert relay.post(one(0)).status == 200
        told(slack, 1)
        begin(vault)
        until(lambda: relay.metric('relay_vault_state{state="ok"}') == 0, "the relay has noticed")
        for number in range(1, 4):
            relay.post(one(number))
        told(slack, 4)
        assert relay.metric("relay_vault_secret_version") == 1
        begun = time.monotonic()
        assert relay.stop() == 0
        assert time.monotonic() - begun < 2


def swaps(relay: RelayProcess) -> list[float]:
    """Return when the relay logged that no call carries the older token any more: seconds since 1970, rounded up."""
    found = [event for event in relay.events() if event["event"] == "Slack token swapped"]
    return [datetime.fromisoformat(event["time"]).timestamp() + 0.001 for event in found]


def ends_of_calls(slack: FakeSlack) -> list[tuple[float, str]]:
    """Return a list that gets the end and the token of each call; calls last long enough to overlap a swap."""
    ended: list[tuple[float, str]] = []
    handle = slack.handle

    def slowly(method: str, token: str, arguments: dict[str, Any]) -> Any:
        answer = handle(method, token, arguments)
        time.sleep(0.01)
        ended.append((time.time(), token))
        return answer

    slack.handle = slowly  # type: ignore[method-assign]
    return ended


@pytest.mark.soak(20, 3)
def test_a_token_rotated_in_a_storm_costs_no_message_no_restart_and_no_call_with_the_old_one(
    tmp_path: Path, slack: FakeSlack, vault: FakeVault, count: int
) -> None:
    ended = ends_of_calls(slack)
    groups = 40
    with relay_for(tmp_path, slack, vault) as relay:
        pid = relay.process.pid
        old = TOKEN
        for turn in range(count):
            for number in range(groups):
                relay.post(one(turn * groups + number))
                if number == groups // 2:
                    new = f"xoxb-{turn}-canary-rotated"
                    slack.tokens.add(new)
                    vault.write(bot_token=new, channel="#alerts")
            until(lambda turn=turn: len(swaps(relay)) == turn + 1, "the swap is told")  # type: ignore[misc]
            slack.tokens.discard(old)
            told(slack, (turn + 1) * groups)
            moment = swaps(relay)[-1]
            late = [at - moment for at, token in ended if token == old and at > moment]
            assert not late, f"{len(late)} calls with the old token after the swap, the last by {max(late):.3f} s"
            old = new
        # the swaps did take place in the middle of it all
        used = {call.token for call in slack.calls if call.method == "chat.postMessage"}
        assert len(used) >= count
        assert relay.process.pid == pid
        assert relay.process.poll() is None
        assert relay.metric("relay_dead_letters") == 0
    assert not slack.copies()
    assert not [call for call in slack.calls if call.answer != "ok"]


def test_a_token_that_slack_revoked_leads_to_a_look_at_once(tmp_path: Path, slack: FakeSlack, vault: FakeVault) -> None:
    with relay_for(tmp_path, slack, vault) as relay:
        relay.settings["vault"]["poll_interval"] = 3600  # type: ignore[index]
        relay.stop()
        relay.start()
        relay.post(one(0))
        told(slack, 1)
        vault.write(bot_token=SECOND, channel="#alerts")
        slack.tokens = {SECOND}
        relay.post(one(1))
        told(slack, 2)
        refused = [call for call in slack.calls if call.answer == "invalid_auth"]
        assert 1 <= len(refused) <= 4
    assert not slack.copies()


def test_a_bad_new_token_leaves_the_old_one_at_work(tmp_path: Path, slack: FakeSlack, vault: FakeVault) -> None:
    with relay_for(tmp_path, slack, vault) as relay:
        relay.post(one(0))
        told(slack, 1)
        vault.write(bot_token=SECOND, channel="#alerts")
        until(lambda: relay.metric('relay_vault_state{state="refused"}') == 1, "it is told")
        relay.post(payload(resolved(alert("Trouble0000"))))
        until(lambda: "RESOLVED" in slack.roots()[0].text, "the old token works on")
        assert (relay.metric("relay_vault_secret_version"), relay.metric("relay_vault_secret_latest_version")) == (1, 2)
        assert "version 2: invalid_auth; version 1 stays in force" in relay.log()
        slack.tokens.add(SECOND)
        until(lambda: relay.metric("relay_vault_secret_version") == 2, "it is asked about again")


def test_renewals_and_logins_go_on_while_messages_do(tmp_path: Path, slack: FakeSlack, vault: FakeVault) -> None:
    vault.role.token_ttl, vault.role.token_max_ttl = 1, 3
    with relay_for(tmp_path, slack, vault) as relay:
        until(
            lambda: relay.metric("relay_vault_renewals_total") >= 2 and relay.metric("relay_vault_logins_total") >= 2,
            "renewals and logins",
        )
        relay.post(one(0))
        told(slack, 1)
        for reason in ("denied", "unreachable", "unusable"):
            assert relay.metric(f'relay_vault_look_failures_total{{reason="{reason}"}}') == 0


def test_systemd_credentials_open_vault(
    tmp_path: Path, slack: FakeSlack, vault: FakeVault, environment_kept: None
) -> None:
    folder = tmp_path / "credentials"
    write_secret(folder / "vault-role-id", vault.role.role_id)
    write_secret(folder / "vault-secret-id", vault.new_secret_id())
    os.environ["CREDENTIALS_DIRECTORY"] = str(folder)
    with relay_for(tmp_path, slack, vault) as relay:
        for name in ("role_id_file", "secret_id_file"):
            relay.settings["vault"].pop(name)  # type: ignore[attr-defined]
        relay.stop()
        relay.start()
        relay.post(one(0))
        told(slack, 1)


@pytest.mark.needs("openssl")
def test_nothing_is_taken_from_the_environment(tmp_path: Path, slack: FakeSlack, environment_kept: None) -> None:
    authority = Authority(tmp_path / "ca")
    home = tmp_path / "home"
    write_secret(home / ".vault-token", "hvs.CANARY-of-the-home")
    write_secret(home / ".netrc", "default login canary password canary")
    with FakeVault() as trap, FakeVault(certificate=authority.issue("vault")) as vault:
        vault.write(bot_token=TOKEN, channel="#alerts")
        os.environ.update(
            {
                "HOME": str(home),
                "VAULT_ADDR": trap.address,
                "VAULT_TOKEN": "hvs.CANARY-of-the-environment",
                "VAULT_NAMESPACE": "elsewhere",
                "VAULT_CACERT": "/nonexistent",
                "VAULT_CLIENT_CERT": "/nonexistent",
                "VAULT_CLIENT_KEY": "/nonexistent",
                "VAULT_SKIP_VERIFY": "1",
                "REQUESTS_CA_BUNDLE": "/nonexistent",
                "CURL_CA_BUNDLE": "/nonexistent",
                "SSLKEYLOGFILE": "",
                "ALL_PROXY": trap.address,
                "all_proxy": trap.address,
            }
        )
        with relay_for(tmp_path, slack, vault, ca_file=str(authority.certificate)) as relay:
            relay.post(one(0))
            told(slack, 1)
        assert not trap.requests
        for request in vault.requests:
            assert "CANARY" not in str(request.headers)
            assert "authorization" not in request.headers
            assert "x-vault-namespace" not in request.headers


def test_a_relay_without_vault_does_not_import_hvac(tmp_path: Path, slack: FakeSlack) -> None:
    token = write_secret(tmp_path / "slack-token", TOKEN)
    with RelayProcess(tmp_path, slack=slack_settings(slack, token_file=str(token), channel="#alerts")) as relay:
        relay.post(one(0))
        told(slack, 1)
        maps = Path(f"/proc/{relay.process.pid}/maps")
        if maps.exists():  # charset_normalizer's compiled parts come with requests, which comes with hvac
            assert "charset_normalizer" not in maps.read_text()


def test_slack_down_at_the_start_is_no_reason_to_wait_for_auth_test(
    tmp_path: Path, slack: FakeSlack, vault: FakeVault
) -> None:
    slack.fault = lambda method, _arguments: Fault(status=500, html=True) if method == "auth.test" else None
    with relay_for(tmp_path, slack, vault) as relay:
        relay.post(one(0))
        told(slack, 1)
