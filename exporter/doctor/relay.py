"""The relay: its queue, Vault, the Slack token and the channels, as its own status tells them."""

from collections.abc import Mapping
from typing import Final

import msgspec

from exporter.clients.http_get import GetError
from exporter.doctor.finding import Finding, Found, Notes
from exporter.doctor.place import Place, is_absent

_NOTE: Final = Notes("relay")
WAITING_SECONDS: Final = 60.0

# what Slack says (docs.slack.dev, chat.postMessage, errors), and what mends it
_SLACK_FIXES: Final[Mapping[str, str]] = {
    "not_in_channel": "/invite the bot into the channel",
    "channel_not_found": "mend the channel's ID in Vault or in the settings; a private one wants the bot as a member",
    "is_archived": "take another channel, or unarchive it",
    "invalid_auth": "the token is wrong: write the bot token (xoxb-...) into Vault or the token file",
    "account_inactive": "the bot was removed from the workspace: install the app anew and write its new token",
    "token_revoked": "install the app anew and write its new token",
    "token_expired": "write a new token into Vault or the token file",
    "missing_scope": "give the app the scope chat:write and install it anew",
}
_CONFIG: Final = "--config /etc/hostwatch/relay.yml"
_TEST: Final = f"`hostwatch relay test {_CONFIG}`"
_LETTERS_FIX: Final = (
    f"`hostwatch relay dead-letters {_CONFIG}` shows them, `hostwatch relay replay {_CONFIG} --all` tries them again,"
    f" `hostwatch relay discard {_CONFIG} ID` forgets one that nobody will ever read"
)


class _Queue(msgspec.Struct):
    snapshots: int = 0
    messages: int = 0
    threads: int = 0
    limit: int = 0
    dead_letters: int = 0
    writable: bool = True
    oldest_seconds: float = 0.0


class _Watchdog(msgspec.Struct):
    expected: bool = False
    fresh: bool = False
    last_seen: str = ""
    silent_since: str = ""


class _Slack(msgspec.Struct):
    errors: Mapping[str, int] = {}
    undeliverable: int = 0
    last_success: str = ""
    failing_since: str = ""
    last_error: str = ""


class _Token(msgspec.Struct):
    present: bool = False
    ok: bool = False
    text: str = ""


class _Status(msgspec.Struct):
    mode: str
    queue: _Queue
    watchdog: _Watchdog
    slack: _Slack | None = None
    token: _Token | None = None


def examine(place: Place) -> Found:
    """Read its status once (GET /api/v1/status) and judge it."""
    try:
        status = msgspec.json.decode(place.read("/api/v1/status"), type=_Status)
    except GetError as err:
        yield _unreachable(place, err)
        return
    except msgspec.DecodeError as err:
        yield _NOTE.problem("reachable", f"{place.url}: not the relay's answer: {err}", "is the address right?")
        return
    yield _NOTE.ok("reachable", place.url)
    yield from _queue(status.queue)
    yield from _watchdog(status.watchdog)
    if status.token is not None:
        yield from _token(status.token)
    if status.slack is not None:
        yield from _slack(status.slack)
    else:
        fix = f"write a bot token into Vault or slack.token_file (docs/relay.md), then {_TEST}"
        yield _NOTE.warning("preview", "preview: nothing is sent to Slack", fix)


def _unreachable(place: Place, err: GetError) -> Finding:
    if is_absent(err) and not place.given:
        return _NOTE.skipped("reachable", f"nothing listens at {place.url}", "--relay URL, where it is elsewhere")
    fix = "systemctl status hostwatch-relay; journalctl -u hostwatch-relay"
    return _NOTE.problem("reachable", f"{place.url}: {err}", fix)


def _queue(queue: _Queue) -> Found:
    waiting = queue.snapshots + queue.messages + queue.threads
    if not queue.writable:
        fix = "is the disk full, or the folder another user's? `df`, `ls -l` of `database`"
        yield _NOTE.problem("database", "it cannot write its database: Alertmanager keeps what it sends", fix)
    if queue.oldest_seconds > WAITING_SECONDS:
        text = f"{waiting} wait, the oldest for {queue.oldest_seconds:.0f} s"
        yield _NOTE.problem("queue", text, "see what Slack or Vault answer, below")
    elif queue.writable:
        yield _NOTE.ok("queue", f"{waiting} of {queue.limit} wait")
    if queue.dead_letters:
        text = f"{queue.dead_letters} messages could not be read or delivered"
        yield _NOTE.warning("dead-letters", text, _LETTERS_FIX)


def _watchdog(watchdog: _Watchdog) -> Found:
    fix = "see Prometheus and Alertmanager, above: rules, `alertmanagers`, route, token"
    if watchdog.silent_since:
        text = f"no Watchdog since {watchdog.silent_since}: alerts do not arrive"
        yield _NOTE.problem("watchdog", text, fix)
    elif watchdog.fresh:
        yield _NOTE.ok("watchdog", f"the Watchdog arrives ({watchdog.last_seen})")
    elif watchdog.expected:
        fix = f"just started? Wait 2 minutes. Else {fix}"
        yield _NOTE.problem("watchdog", "no Watchdog has come since the start", fix)


def _token(token: _Token) -> Found:
    if token.ok:
        yield _NOTE.ok("token", token.text)
    else:
        fix = "is Vault sealed or its role gone? docs/vault.md; a token file must be the relay's to read"
        still = "" if token.present else "; there is no token at all"
        yield _NOTE.problem("token", f"the source of the Slack token fails: {token.text}{still}", fix)


def _slack(slack: _Slack) -> Found:
    said = slack.last_error if slack.failing_since else ""
    codes = {key.rpartition(": ")[2] for key in slack.errors}
    fixes = [fix for code, fix in _SLACK_FIXES.items() if code in said or (slack.undeliverable and code in codes)]
    fix = "; ".join(fixes) or f"{_TEST} says at which step it fails"
    if slack.failing_since:
        yield _NOTE.problem("slack", f"Slack takes no message since {slack.failing_since}: {slack.last_error}", fix)
    elif slack.undeliverable:
        text = f"{slack.undeliverable} messages could not be delivered: {', '.join(sorted(codes))}"
        yield _NOTE.warning("slack", text, fix)
    elif slack.last_success:
        yield _NOTE.ok("slack", f"Slack took a message at {slack.last_success}")
    else:
        yield _NOTE.ok("slack", f"nothing was sent yet: {_TEST} sends one message all the way")
