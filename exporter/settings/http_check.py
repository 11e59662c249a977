"""The settings of HTTP checks; field by field they are documented in docs/settings.md."""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec

from exporter.settings.schedule import CheckSettings
from exporter.settings.targets import Family, TlsOptions, absolute
from exporter.settings.values import Regex, default, shown

if TYPE_CHECKING:
    from urllib.parse import SplitResult

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# what makes up the message itself: a second one would contradict it
_OWN_HEADERS: Final = frozenset(
    {"connection", "content-length", "transfer-encoding", "accept-encoding", "expect", "te"}
)

_STATUS: Final = re.compile(r"([1-5])xx|([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?", re.ASCII)
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}", re.ASCII)
_PATH_STEP: Final = re.compile(r"""\.?([^.\["\]]+)|\[([0-9]{1,9})\]|\["([^"]*)"\]""")
MAX_HEADERS: Final = 50

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=10_000)]
Scalar = str | int | float | bool | None


@lru_cache(1024)
def _steps(path: str) -> tuple[str | int, ...]:
    """Return the steps of a path. Raises ValueError for what is none."""
    out: list[str | int] = []
    at = 0
    while at < len(path):
        found = _PATH_STEP.match(path, at)
        if found is None or (at == 0 and path.startswith(".")):
            raise ValueError(f"path: expected a path such as data.items[0].state, got {shown(path)}")
        key, index, quoted = found.groups()
        out.append(int(index) if index is not None else key if key is not None else quoted)
        at = found.end()
    return tuple(out)


class JsonValue(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A value that the answer's JSON must hold."""

    path: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    """Where it stands: `data.items[0].state`; a key with dots or brackets as `["a.b"]`."""
    equals: Scalar | msgspec.UnsetType = msgspec.UNSET
    """What it must be: a text, a number, true, false or null."""
    matches: Regex | None = None
    """An expression to be found in it, if it is a text, or in the way JSON writes it."""

    def __post_init__(self) -> None:
        """Refuse a path that cannot be read, and more or less than one thing to compare with."""
        self.steps  # noqa: B018 -- raises ValueError for what is no path
        if (self.equals is msgspec.UNSET) is (self.matches is None):
            raise ValueError("expected either equals or matches")

    @property
    def steps(self) -> tuple[str | int, ...]:
        """The path's keys and indexes."""
        return _steps(self.path)


class Expected(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What a good answer is; expressions find anywhere."""

    status: Annotated[tuple[int | str, ...], msgspec.Meta(min_length=1, max_length=50)] = ("2xx",)
    """Status codes: 200, "2xx" or "200-299". A redirect whose status stands here is not followed."""
    headers: dict[str, Regex] = default({})
    """Expressions that the header of that name must match; of several headers of a name, one."""
    forbidden_headers: dict[str, Regex] = default({})
    """Expressions that no header of that name may match; one that is missing is fine."""
    body_contains: tuple[Text, ...] = ()
    """Texts that the body must hold, each of them."""
    body: tuple[Regex, ...] = ()
    """Expressions that the body must match, each of them. One with repeats within repeats can hold up everything."""
    forbidden_body: tuple[Regex, ...] = ()
    """Expressions that the body must not match, none of them."""
    json: tuple[JsonValue, ...] = ()
    """Values that the body, as JSON, must hold."""

    def __post_init__(self) -> None:
        """Refuse what is no status and no header's name."""
        for status in self.status:
            if _range(status) is None:
                raise ValueError(f'status: expected codes such as 200, "2xx" or "200-299", got {shown(status)}')
        for key in ("headers", "forbidden_headers"):
            for name in getattr(self, key):
                if not _HEADER_NAME.fullmatch(name):
                    raise ValueError(f"{key}: expected the name of a header, got {shown(name)}")

    @property
    def statuses(self) -> frozenset[int]:
        """All status codes that are good."""
        return _statuses(self.status)

    @property
    def looks_at_body(self) -> bool:
        """Whether anything is expected of the body."""
        return bool(self.body_contains or self.body or self.forbidden_body or self.json)


@lru_cache(1024)
def _statuses(given: tuple[int | str, ...]) -> frozenset[int]:
    ranges = (_range(status) for status in given)
    return frozenset(code for codes in ranges if codes is not None for code in codes)


def _range(status: int | str) -> range | None:
    found = _STATUS.fullmatch(str(status))
    if found is None or isinstance(status, bool):
        return None
    hundreds, first, last = found.groups()
    if hundreds:
        return range(int(hundreds) * 100, int(hundreds) * 100 + 100)
    codes = range(int(first), int(last or first) + 1)
    return codes or None


class BasicAuth(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A name and a password to send."""

    username: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    """The user's name; it has no colon."""
    password_file: Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
    """The file with the password; it is read anew for each attempt."""

    def __post_init__(self) -> None:
        """Refuse what the scheme cannot say."""
        if ":" in self.username or not self.username.isprintable():
            raise ValueError(f"username: expected a name without a colon, got {shown(self.username)}")
        absolute("password_file", self.password_file)


class HttpSettings(CheckSettings, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A web page or an API. No proxy is used, whatever the environment says."""

    url: Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
    """Its address, http:// or https://."""
    method: Literal["GET", "HEAD", "POST"] = "GET"
    """How to ask."""
    headers: dict[str, str] = default({})
    """Headers to send; Host says to the server which of its sites is meant."""
    body: Annotated[str, msgspec.Meta(max_length=65536)] | None = None
    """What to send with POST."""
    expect: Expected = default(Expected())
    """What a good answer is."""
    redirects: Annotated[int, msgspec.Meta(ge=0, le=20)] = 10
    """How many redirects to follow; with 0 a redirect is an answer like others."""
    allow_downgrade: bool = False
    """Whether a redirect may lead from https to http."""
    basic_auth: BasicAuth | None = None
    """Name and password; they go to the host of `url` only, not where it redirects to."""
    bearer_token_file: Annotated[str, msgspec.Meta(min_length=1, max_length=4096)] | None = None
    """The file with a token to send, likewise; it is read anew for each attempt."""
    compression: bool = False
    """Whether to ask for gzip; what comes compressed is always read."""
    max_body_bytes: Annotated[int, msgspec.Meta(ge=1, le=67_108_864)] = 1_048_576
    """The largest body, once unpacked; a larger one fails as too_large. HEAD asks for none."""
    family: Family = "any"
    """Which addresses of a name to ask, one after the other; any is all of them as the system sorts them."""
    tls: TlsOptions = default(TlsOptions())
    """How the certificate of an https server is checked."""

    def __post_init__(self) -> None:
        """Refuse what cannot be asked."""
        super().__post_init__()
        split_url(self.url)
        if self.body is not None and self.method != "POST":
            raise ValueError(f"body: expected method: POST with it, got {self.method}")
        if self.method == "HEAD" and self.expect.looks_at_body:
            raise ValueError("method: expected GET or POST where expect says something of the body, got HEAD")
        if self.basic_auth is not None and self.bearer_token_file is not None:
            raise ValueError("bearer_token_file: expected this or basic_auth, not both")
        absolute("bearer_token_file", self.bearer_token_file)
        self._check_headers()

    def _check_headers(self) -> None:
        if len(self.headers) > MAX_HEADERS:
            raise ValueError(f"headers: expected at most {MAX_HEADERS}, got {len(self.headers)}")
        for name, value in self.headers.items():
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError(f"headers: expected the name of a header, got {shown(name)}")
            if name.lower() in _OWN_HEADERS:
                raise ValueError(f"headers: expected none that the request itself decides, got {name}")
            if name.lower() == "authorization":
                raise ValueError("headers: expected basic_auth or bearer_token_file in place of Authorization")
            if not value.isprintable() or not value.isascii():
                raise ValueError(f"headers: expected printable ASCII as the value of {name}")


def split_url(url: str) -> "SplitResult":
    """Return the parts of an address that can be asked for. Raises ValueError saying what was expected."""
    from urllib.parse import urlsplit  # noqa: PLC0415 -- for settings with an HTTP check only

    expected = "url: expected an address such as https://www.example.com/health"
    if not url.isprintable() or " " in url:
        raise ValueError(f"{expected}, without blanks, got {shown(url)}")
    try:
        parts = urlsplit(url)
        port = parts.port
        (parts.hostname or "").encode("ascii" if parts.netloc.isascii() else "idna")
    except ValueError as err:
        raise ValueError(f"{expected}, got {shown(url)}: {err}") from err
    if "@" in parts.netloc:  # not shown: it may hold a password
        raise ValueError("url: expected no name and password in the address; basic_auth has a place for them")
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError(f"{expected}, got {shown(url)}")
    return parts
