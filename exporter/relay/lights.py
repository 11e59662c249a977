"""One line about each part of the relay, for its page: good, worth a look, or bad. Pure."""

from typing import Literal, NamedTuple

from exporter.relay import wording
from exporter.relay.status import (
    FAILING_SECONDS,
    HeartbeatStatus,
    SlackStatus,
    Status,
    TokenStatus,
    WatchdogStatus,
)

Tone = Literal["good", "look", "bad", "off"]


class Light(NamedTuple):
    """A part, how it is doing, and words on that: the first line, then small print."""

    name: str
    tone: Tone
    text: str
    more: str = ""


def lights_of(status: Status) -> list[Light]:
    """Return the lights of all parts."""
    out = [_slack(status.slack), _token(status.token), _watchdog(status.watchdog)]
    if status.heartbeat is not None:
        out.append(_heartbeat(status.heartbeat))
    if status.evidence is not None:
        asked = f"{status.evidence.fetches} asked for, {status.evidence.failures} without an answer"
        out.append(Light("Evidence", "good", asked))
    return out


def _slack(slack: SlackStatus | None) -> Light:
    if slack is None:
        return Light("Slack", "off", "Preview: nothing is sent", "no slack.token_file and no vault is set")
    calls = sum(slack.calls.values())
    more = f"{calls} calls, {slack.messages} messages and {slack.lines} lines taken"
    if slack.copies:
        more += f", {slack.copies} copies"
    for what, seconds in slack.pauses.items():
        more += f" · {what} pauses for {wording.duration(seconds)}"
    if slack.failing_since is not None:
        seconds = slack.failing_seconds or 0.0
        # it asks for a pause now and then: only what lasts is bad
        tone: Tone = "bad" if seconds > FAILING_SECONDS else "look"
        return Light("Slack", tone, f"Takes no message for {wording.duration(seconds)}: {slack.last_error}", more)
    if slack.last_success is None:
        return Light("Slack", "good", "Nothing was sent yet", more)
    return Light("Slack", "look" if slack.pauses else "good", f"Took a message {_clock(slack.last_success)}", more)


def _token(token: TokenStatus | None) -> Light:
    if token is None:
        return Light("Token", "off", "None is set")
    tone: Tone = "good" if token.ok else "look" if token.present else "bad"
    more = f"since {_clock(token.since)}"
    if token.version is not None:
        more += f" · version {token.version} of {token.latest or token.version}"
    if token.lease_ends is not None:
        more += f" · Vault's lease ends {_clock(token.lease_ends)} unless it is renewed"
    return Light("Token", tone, token.text[:1].upper() + token.text[1:], more)


def _watchdog(watchdog: WatchdogStatus) -> Light:
    if watchdog.silent_since is not None:
        return Light("Watchdog", "bad", f"Silent since {_clock(watchdog.silent_since)}", "alerts may be missing")
    if watchdog.age_seconds is not None:
        tone: Tone = "good" if watchdog.fresh else "look"
        return Light("Watchdog", tone, f"Came {wording.duration(watchdog.age_seconds)} ago")
    if watchdog.last_seen is not None:
        return Light("Watchdog", "look", "Not yet since the start", f"came last {_clock(watchdog.last_seen)}")
    text = "Never came" if watchdog.expected else "Never came, and is not expected"
    return Light("Watchdog", "look" if watchdog.expected else "off", text)


def _heartbeat(heartbeat: HeartbeatStatus) -> Light:
    if heartbeat.withheld:
        return Light("Heartbeat", "look", f"Withheld: {heartbeat.withheld}", f"{heartbeat.sent} sent")
    if heartbeat.last_success is None:
        tone: Tone = "bad" if heartbeat.failures else "look"
        return Light("Heartbeat", tone, "None sent yet", f"{heartbeat.failures} failed" if heartbeat.failures else "")
    return Light("Heartbeat", "good", f"Sent {_clock(heartbeat.last_success)}", f"{heartbeat.failures} failed")


def _clock(text: str) -> str:
    """Return an RFC 3339 moment as the page shows it."""
    return f"{text[:10]} {text[11:19]} UTC"
