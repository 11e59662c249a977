"""Slack's Web API: the one module that imports slack_sdk. Blocks; the delivery calls it on threads of its own.

slack_sdk retries nothing for us: what failed stays in the queue, where a crash does not lose it. None of its exceptions
leaves this module, since their response carries the request's Authorization header.
"""

import errno
import http.client
import logging
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final
from urllib.error import URLError
from urllib.request import Request

import msgspec
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.web import SlackResponse

from exporter.logs import Secret
from exporter.relay import slack_wire

MAX_RETRY_AFTER: Final = 3600.0
# what Slack's own clients wait when a 429 does not say how long
DEFAULT_RETRY_AFTER: Final = 30.0
# its words at DEBUG hold whole messages, those at ERROR are told by our own events
_SILENT: Final = logging.getLogger("exporter.relay.slack.sdk")
_SILENT.setLevel(logging.CRITICAL)
# what chat.update takes of a message: it has no unfurl options
_UPDATE_KEYS: Final = ("text", "attachments", "blocks", "parse", "link_names", "metadata")


class ErrorKind(StrEnum):
    """What a failed call means for the delivery."""

    TOKEN = "token"  # noqa: S105 -- a kind of error
    CHANNEL = "channel"
    RATE = "rate"
    TRANSIENT = "transient"
    PAYLOAD = "payload"
    GONE = "gone"
    LOCKED = "locked"


# refusals that may be the token's after all, though Slack does not say so: the message can be changed again later
ACCESS_DENIED: Final = frozenset({"no_permission", "access_denied", "team_access_not_granted"})
_KINDS: Final[Mapping[ErrorKind, frozenset[str]]] = {
    ErrorKind.TOKEN: frozenset(
        {
            "invalid_auth",
            "not_authed",
            "token_expired",
            "token_revoked",
            "account_inactive",
            "missing_scope",
            "not_allowed_token_type",
            "org_login_required",
            "accesslimited",
            "two_factor_setup_required",
        }
    ),
    ErrorKind.CHANNEL: frozenset(
        {
            "channel_not_found",
            "not_in_channel",
            "is_archived",
            "restricted_action",
            "restricted_action_read_only_channel",
            "restricted_action_thread_only_channel",
            "restricted_action_non_threadable_channel",
            "ekm_access_denied",
            "team_not_found",
            "messages_tab_disabled",
            # of the token or of this channel alone: where it is the token, every channel says so
            *ACCESS_DENIED,
        }
    ),
    ErrorKind.RATE: frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"}),
    ErrorKind.PAYLOAD: frozenset(
        {
            "msg_too_long",
            "msg_blocks_too_long",
            "invalid_blocks",
            "invalid_blocks_format",
            "block_mismatch",
            "no_text",
            "too_many_attachments",
            "attachment_payload_limit_exceeded",
            "invalid_attachments",
            "invalid_arguments",
            "invalid_arg_name",
            "invalid_array_arg",
            "invalid_metadata_format",
            "invalid_metadata_schema",
            "metadata_too_large",
            "metadata_must_be_sent_from_app",
            "markdown_text_conflict",
        }
    ),
    # thread_not_found: the root that a line belongs to is gone
    ErrorKind.GONE: frozenset({"message_not_found", "thread_not_found"}),
    # it is there, and stays as it is
    ErrorKind.LOCKED: frozenset({"cant_update_message", "edit_window_closed", "cannot_reply_to_message"}),
}
# what Slack's codes look like; no token does
_CODE: Final = re.compile("[a-z][a-z0-9_]{0,79}")
# Slack says that some aspect of these may have been done all the same
_MAYBE_DONE: Final = frozenset({"fatal_error", "internal_error", "request_timeout"})
# a request that failed so never left this machine
_NEVER_SENT: Final = frozenset({errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN})

# what a call without an answer means, and whether it may have been processed
_CAUSES: Final = (
    (ssl.SSLCertVerificationError, "certificate_not_trusted", False),
    (socket.gaierror, "name_not_found", False),
    (TimeoutError, "timeout", True),
    (slack_wire.TooLongError, "answer_too_long", True),
)


class SlackError(Exception):
    """A call failed. `code` is Slack's own or one of ours; `ambiguous`: Slack may have done it all the same."""

    def __init__(
        self, kind: ErrorKind, code: str, *, retry_after: float | None = None, ambiguous: bool = False, status: int = 0
    ) -> None:
        super().__init__(code)
        self.kind = kind
        self.code = code
        self.retry_after = retry_after
        self.ambiguous = ambiguous
        self.status = status


class Posted(msgspec.Struct, frozen=True):
    """Where a message stands: the channel's ID and the message's ts, both needed to update it."""

    channel: str
    ts: str


class Identity(msgspec.Struct, frozen=True):
    """Whose token it is (auth.test)."""

    team: str
    user: str
    url: str


class Slack:
    """Calls to one workspace. Safe for several threads: each call has a client of its own."""

    def __init__(self, api_url: str, timeout: float) -> None:
        self._api_url = api_url if api_url.endswith("/") else api_url + "/"
        self._timeout = max(1, round(timeout))

    def post(
        self,
        token: Secret,
        channel: str,
        payload: Mapping[str, Any],
        *,
        thread: str | None = None,
        broadcast: bool = False,
        delivery: str = "",
    ) -> Posted:
        """Post a message and return where it stands. Blocks up to the time-out in all; raises SlackError."""
        arguments = {**payload, "channel": channel}
        if thread is not None:
            arguments |= {"thread_ts": thread, "reply_broadcast": broadcast}
        if delivery:
            arguments["metadata"] = {"event_type": "hostwatch_delivery", "event_payload": {"delivery": delivery}}
        answer = self._call(token, lambda client: client.chat_postMessage(**arguments))
        where, ts = answer.get("channel"), answer.get("ts")
        if not (isinstance(where, str) and isinstance(ts, str) and where and ts):
            raise SlackError(ErrorKind.TRANSIENT, "answer_without_ts", ambiguous=True)
        return Posted(channel=where, ts=ts)

    def update(self, token: Secret, where: Posted, payload: Mapping[str, Any]) -> None:
        """Replace a message. Blocks up to the time-out; raises SlackError."""
        arguments = {key: payload[key] for key in _UPDATE_KEYS if key in payload}
        self._call(token, lambda client: client.chat_update(channel=where.channel, ts=where.ts, **arguments))

    def auth_test(self, token: Secret) -> Identity:
        """Return whose token it is. Blocks up to the time-out; raises SlackError."""
        answer = self._call(token, lambda client: client.auth_test())
        team, user, url = (str(answer.get(key, "")) for key in ("team", "user", "url"))
        return Identity(team=team, user=user, url=url)

    def _call(self, token: Secret, call: Callable[[WebClient], SlackResponse]) -> SlackResponse:
        # retry_handlers: its own would send a message twice after a cut connection
        client = _Client(
            token=token.reveal(), base_url=self._api_url, timeout=self._timeout, retry_handlers=[], logger=_SILENT
        )
        try:
            return call(client)
        except SlackApiError as err:
            error = error_of(err.response)
        except Exception as err:  # noqa: BLE001 -- what a server can make slack_sdk raise has no end
            error = _connection_error(err)
        # raised behind the handlers, so that not even its context leads to theirs
        raise error


class _Client(WebClient):
    """slack_sdk's client, over a wire of ours."""

    def _perform_urllib_http_request_internal(self, _url: str, req: Request) -> dict[str, Any]:
        answer = slack_wire.exchange(req, float(self.timeout), self.proxy)
        return {"status": answer.status, "headers": answer.headers, "body": answer.body}


def error_of(response: SlackResponse) -> SlackError:
    """Return what an answer that is no success means."""
    data = response.data if isinstance(response.data, dict) else {}
    code = str(data.get("error") or "")
    status = int(response.status_code)
    if status == 429 or code in _KINDS[ErrorKind.RATE]:
        return SlackError(ErrorKind.RATE, "ratelimited", retry_after=_retry_after(response.headers), status=status)
    if 300 <= status < 400:
        return SlackError(ErrorKind.TRANSIENT, "redirect_not_followed", status=status)
    if not _CODE.fullmatch(code):
        # HTML of a proxy or an outage, where slack_sdk tells a sentence; or somebody repeats what was sent to him.
        # What came with a 2xx may be the rest of a success
        ambiguous = status >= 500 or status < 300
        return SlackError(ErrorKind.TRANSIENT, f"http_{status}", ambiguous=ambiguous, status=status)
    for kind, codes in _KINDS.items():
        if code in codes:
            return SlackError(kind, code, status=status)
    # what nobody has told us of is tried again for as long as it takes: dropping it could drop an alert
    return SlackError(ErrorKind.TRANSIENT, code, ambiguous=code in _MAYBE_DONE or status >= 500, status=status)


def _retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds of a Retry-After header, within bounds."""
    text = next((str(value) for name, value in headers.items() if name.lower() == "retry-after"), "")
    if not (text.isascii() and text.isdigit()):
        return DEFAULT_RETRY_AFTER
    return min(max(float(text[:9]), 1.0), MAX_RETRY_AFTER)


def _connection_error(err: Exception) -> SlackError:
    """Return what a call without an answer means: most of them may have been processed."""
    cause = err.reason if isinstance(err, URLError) and isinstance(err.reason, Exception) else err
    for kind, code, ambiguous in _CAUSES:
        if isinstance(cause, kind):
            return SlackError(ErrorKind.TRANSIENT, code, ambiguous=ambiguous)
    if isinstance(cause, OSError) and cause.errno in _NEVER_SENT:
        return SlackError(ErrorKind.TRANSIENT, errno.errorcode[cause.errno].lower())
    if isinstance(cause, OSError | http.client.HTTPException):
        return SlackError(ErrorKind.TRANSIENT, f"connection_{type(cause).__name__.lower()}", ambiguous=True)
    # a list where Slack has an object, JSON without end
    return SlackError(ErrorKind.TRANSIENT, "answer_not_understood", ambiguous=True)
