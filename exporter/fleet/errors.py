"""All that can go wrong with an API, by name."""

import errno
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What went wrong: a closed set, for it is a label."""

    # the API was asked, and this is what is wrong with it or with its answer
    REFUSED = "refused"
    TIMEOUT = "timeout"
    RESET = "reset"
    HOST_UNREACHABLE = "host_unreachable"
    NO_SUCH_NAME = "no_such_name"
    BAD_ANSWER = "bad_answer"
    BAD_STATUS = "bad_status"
    TOO_LARGE = "too_large"
    BAD_JSON = "bad_json"
    MISSING_FIELD = "missing_field"
    BAD_VALUE = "bad_value"
    GONE = "gone"
    """Listed, and unknown a moment later."""
    TOO_MANY_INSTANCES = "too_many_instances"
    OUT_OF_TIME = "out_of_time"
    """Not asked for, because the poll had to end."""

    # nobody was asked: nothing is known of the API
    NO_ROUTE = "no_route"
    NO_PERMISSION = "no_permission"
    RESOLVER_FAILED = "resolver_failed"
    OUT_OF_RESOURCES = "out_of_resources"
    INTERNAL_ERROR = "internal_error"

    @property
    def was_asked(self) -> bool:
        """Whether this says anything about the API."""
        return self not in _NOT_ASKED


_NOT_ASKED: Final = frozenset(
    {Kind.NO_ROUTE, Kind.NO_PERMISSION, Kind.RESOLVER_FAILED, Kind.OUT_OF_RESOURCES, Kind.INTERNAL_ERROR}
)


class FetchError(Exception):
    """There is no answer, or none that can be used."""

    def __init__(self, kind: Kind, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


_BY_ERRNO: Final = {
    errno.ECONNREFUSED: Kind.REFUSED,
    errno.ECONNRESET: Kind.RESET,
    errno.ECONNABORTED: Kind.RESET,
    errno.EPIPE: Kind.RESET,
    errno.ETIMEDOUT: Kind.TIMEOUT,
    # a neighbour that does not answer
    errno.EHOSTUNREACH: Kind.HOST_UNREACHABLE,
    errno.EHOSTDOWN: Kind.HOST_UNREACHABLE,
    errno.ENETUNREACH: Kind.NO_ROUTE,
    errno.ENETDOWN: Kind.NO_ROUTE,
    errno.ENODEV: Kind.NO_ROUTE,
    errno.EAFNOSUPPORT: Kind.NO_ROUTE,
    errno.EADDRNOTAVAIL: Kind.NO_ROUTE,
    errno.EACCES: Kind.NO_PERMISSION,
    errno.EPERM: Kind.NO_PERMISSION,
    errno.EMFILE: Kind.OUT_OF_RESOURCES,
    errno.ENFILE: Kind.OUT_OF_RESOURCES,
    errno.ENOBUFS: Kind.OUT_OF_RESOURCES,
    errno.ENOMEM: Kind.OUT_OF_RESOURCES,
    errno.EAGAIN: Kind.OUT_OF_RESOURCES,
}


def kind_of(err: OSError) -> Kind:
    """Return why a socket's call failed; what we do not know says nothing about the API."""
    return _BY_ERRNO.get(err.errno or 0, Kind.INTERNAL_ERROR)
