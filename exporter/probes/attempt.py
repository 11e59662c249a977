"""What came of one attempt of a check: ok, failed with a reason, or it could not be asked."""

import errno
from collections.abc import Mapping
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Final, Literal, NamedTuple


class Outcome(Enum):
    """The three ends of an attempt. That something could not be asked never means that it is down."""

    OK = "ok"
    FAILED = "failed"
    NOT_ASKED = "not_asked"


class Reason(StrEnum):
    """Why an attempt was not ok: a closed set, for it is a label."""

    # the target was asked, and this is what is wrong with it
    REFUSED = "refused"
    TIMEOUT = "timeout"
    RESET = "reset"
    HOST_UNREACHABLE = "host_unreachable"
    NO_SUCH_NAME = "no_such_name"
    TLS_FAILED = "tls_failed"
    CERTIFICATE_EXPIRED = "certificate_expired"
    CERTIFICATE_NOT_YET_VALID = "certificate_not_yet_valid"
    CERTIFICATE_SELF_SIGNED = "certificate_self_signed"
    CERTIFICATE_UNTRUSTED = "certificate_untrusted"
    CERTIFICATE_NAME = "certificate_name"
    BAD_STATUS = "bad_status"
    BAD_HEADER = "bad_header"
    BAD_BODY = "bad_body"
    BAD_JSON = "bad_json"
    TOO_MANY_REDIRECTS = "too_many_redirects"
    BAD_REDIRECT = "bad_redirect"
    BAD_ANSWER = "bad_answer"
    TOO_LARGE = "too_large"
    BAD_REPLY = "bad_reply"
    WRONG_ANSWER = "wrong_answer"
    UNIT_NOT_ACTIVE = "unit_not_active"
    NO_SUCH_UNIT = "no_such_unit"
    TOO_FEW_PROCESSES = "too_few_processes"
    TOO_MANY_PROCESSES = "too_many_processes"

    # nobody was asked: nothing is known of the target
    NO_PERMISSION = "no_permission"
    NO_ROUTE = "no_route"
    NO_SOURCE_ADDRESS = "no_source_address"
    ADDRESS_FAMILY_UNSUPPORTED = "address_family_unsupported"
    RESOLVER_FAILED = "resolver_failed"
    OUT_OF_RESOURCES = "out_of_resources"
    NO_BUS = "no_bus"
    NO_DATA = "no_data"
    UNREADABLE_FILE = "unreadable_file"  # of a password or a certificate that a setting names
    STILL_RUNNING = "still_running"
    INTERNAL_ERROR = "internal_error"

    @property
    def outcome(self) -> Outcome:
        """What an attempt with this reason came to."""
        return Outcome.NOT_ASKED if self in _COULD_NOT_ASK else Outcome.FAILED


_COULD_NOT_ASK: Final = frozenset(
    {
        Reason.NO_PERMISSION,
        Reason.NO_ROUTE,
        Reason.NO_SOURCE_ADDRESS,
        Reason.ADDRESS_FAMILY_UNSUPPORTED,
        Reason.RESOLVER_FAILED,
        Reason.OUT_OF_RESOURCES,
        Reason.NO_BUS,
        Reason.NO_DATA,
        Reason.UNREADABLE_FILE,
        Reason.STILL_RUNNING,
        Reason.INTERNAL_ERROR,
    }
)

PHASES: Final = ("resolve", "connect", "tls", "processing", "transfer", "answer")
"""All phases that an attempt may have, in their order."""


class Certificates(NamedTuple):
    """What was seen of a peer's certificates."""

    not_after: float
    """The earliest expiry among them, seconds since the epoch."""
    covers: Literal["leaf", "chain"]


_NOTHING: Final[Mapping[str, float]] = MappingProxyType({})


class Attempt(NamedTuple):
    """The result of one attempt."""

    outcome: Outcome
    reason: Reason | None = None
    """None where the outcome is OK."""
    phases: Mapping[str, float] = _NOTHING
    """Seconds by phase (`PHASES`); those that were not reached are missing."""
    detail: str = ""
    """For the log: what was expected and what came; never a secret."""
    certificates: Certificates | None = None
    facts: Mapping[str, float] = _NOTHING
    """What else was learned: http_status_code, unit_restarts_total, processes."""

    @classmethod
    def of(
        cls,
        reason: Reason | None,
        detail: str = "",
        phases: Mapping[str, float] = _NOTHING,
        certificates: Certificates | None = None,
        facts: Mapping[str, float] = _NOTHING,
    ) -> "Attempt":
        """Return the attempt that ended for this reason; None is ok."""
        outcome = Outcome.OK if reason is None else reason.outcome
        return cls(outcome, reason, phases, detail, certificates, facts)


class AttemptError(Exception):
    """An attempt ends here, for this reason; raised inside a check, turned into an `Attempt` by it or by the engine."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(detail or reason.value)
        self.reason = reason
        self.detail = detail


_BY_ERRNO: Final = {
    errno.ECONNREFUSED: Reason.REFUSED,
    errno.ECONNRESET: Reason.RESET,
    errno.ECONNABORTED: Reason.RESET,
    errno.EPIPE: Reason.RESET,
    errno.ETIMEDOUT: Reason.TIMEOUT,
    # a neighbour that does not answer, or what a router or the target's firewall says
    errno.EHOSTUNREACH: Reason.HOST_UNREACHABLE,
    errno.EHOSTDOWN: Reason.HOST_UNREACHABLE,
    errno.ENETUNREACH: Reason.NO_ROUTE,
    errno.ENETDOWN: Reason.NO_ROUTE,
    errno.ENODEV: Reason.NO_ROUTE,  # an address with a scope whose device is gone
    errno.ENXIO: Reason.NO_ROUTE,
    # no address of ours to ask from (IPv6 switched off), or no free port
    errno.EADDRNOTAVAIL: Reason.NO_SOURCE_ADDRESS,
    errno.EAFNOSUPPORT: Reason.ADDRESS_FAMILY_UNSUPPORTED,
    errno.EPROTONOSUPPORT: Reason.ADDRESS_FAMILY_UNSUPPORTED,
    errno.EACCES: Reason.NO_PERMISSION,
    errno.EPERM: Reason.NO_PERMISSION,  # a firewall of this machine drops what leaves it
    errno.EMFILE: Reason.OUT_OF_RESOURCES,
    errno.ENFILE: Reason.OUT_OF_RESOURCES,
    errno.ENOBUFS: Reason.OUT_OF_RESOURCES,
    errno.ENOMEM: Reason.OUT_OF_RESOURCES,
    errno.EAGAIN: Reason.OUT_OF_RESOURCES,  # no room to send, or in the routing table
}


def reason_of(err: OSError) -> Reason:
    """Return why a socket's call failed; what we do not know is internal_error: nobody was told to be down by it."""
    return Reason.INTERNAL_ERROR if err.errno is None else _BY_ERRNO.get(err.errno, Reason.INTERNAL_ERROR)
