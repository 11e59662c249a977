"""The settings of the services API probe; field by field they are documented in docs/settings.md."""

from typing import Annotated, Final, NamedTuple

import msgspec

from exporter.settings.schedule import MAX_NAME
from exporter.settings.targets import host_and_port
from exporter.settings.values import Duration, above_zero, default, shown

HTTP_PORT: Final = 80

Share = Annotated[float, msgspec.Meta(gt=0, le=1)]


class ApiAddress(NamedTuple):
    """Where an API is asked."""

    host: str
    port: int
    path: str
    """What stands before `/servers`: empty, or a path that begins with a slash and does not end with one."""


class ServicesApiSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """An API that lists instances of services: `GET /servers`, then one request for each of them."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]
    """The label `api` of its rows."""
    url: Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
    """Where it is: http://HOST:PORT, with a path where it has one, or HOST:PORT alone."""
    interval: Duration = default(Duration(30))
    """From one poll to the next, 5s to 1h."""
    timeout: Duration = default(Duration(5))
    """How long one request may take; not more than half the interval."""
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4
    """Requests at a time. A server that takes one at a time has others wait, and drops them above about five."""
    max_instances: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1000
    """Instances to ask for, at most, in the order of the list; the rest is counted as too_many_instances."""
    cpu_threshold: Share = 0.75
    """An instance that uses this much CPU or more is unhealthy; 0 to 1."""
    memory_threshold: Share = 0.75
    """An instance that uses this much memory or more is unhealthy; 0 to 1."""

    def __post_init__(self) -> None:
        """Refuse what cannot be asked, and a timer that cannot be kept."""
        if not 5 <= self.interval <= 3600:
            raise ValueError(f"interval: expected 5s to 1h, got {self.interval}")
        above_zero(self, "timeout")
        if self.timeout > self.interval / 2:
            raise ValueError(
                f"timeout: expected at most half the interval ({Duration(self.interval / 2)}), got {self.timeout}"
            )
        try:
            api_address(self.url)
        except ValueError as err:
            raise ValueError(f"url: {err}") from err


def api_address(text: str) -> ApiAddress:
    """Return where an API is, of `HOST`, `HOST:PORT` or `http://HOST:PORT/PATH`; IPv6 with a port in brackets.

    Raises ValueError saying what was expected.
    """
    expected = "an address such as api.internal:8080 or http://api.internal:8080"
    scheme, separator, rest = text.rpartition("://")
    if separator and scheme.lower() == "https":
        raise ValueError(f"expected http://: this API is not spoken over TLS, got {shown(text)}")
    authority, slash, path = rest.partition("/")
    if "@" in authority:  # not shown: it may hold a password
        raise ValueError("expected no name and password in the address")
    path = (slash + path).rstrip("/")
    is_plain = path.isascii() and path.isprintable() and not set(' ?#"<>\\^`{|}') & set(path)
    if (separator and scheme.lower() != "http") or not is_plain:
        raise ValueError(f"expected {expected}, got {shown(text)}")
    try:
        host, port = host_and_port(authority, HTTP_PORT)
    except ValueError:
        raise ValueError(f"expected {expected}, got {shown(text)}") from None
    return ApiAddress(host, port, path)
