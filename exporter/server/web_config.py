"""The web configuration file that Prometheus' exporters share: TLS, client certificates, passwords, headers.

The format is that of exporter-toolkit (docs/web-configuration.md there). What Python's ssl cannot do is refused by
name. Paths are relative to the file's own folder.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from exporter.settings import SettingsError, load
from exporter.settings.values import Duration

Version = Literal["TLS10", "TLS11", "TLS12", "TLS13"]
ClientAuth = Literal["NoClientCert", "RequestClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"]
Curve = Literal["CurveP256", "CurveP384", "CurveP521", "X25519"]

# the headers that can be set, and the values of those that have no others
HEADERS: Final[dict[str, tuple[str, ...]]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
# version, cost, salt (128 bits as 22 characters, so four bits of the last are not there), hash (184 bits as 31)
_BCRYPT: Final = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}", re.ASCII)
MIN_COST: Final = 4
MAX_COST: Final = 18
"""16 s of one core, longer than any scrape waits; 31 would take a day, and nobody else's password be checked."""


class Tls(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The server's certificate and what it asks of clients."""

    cert: str | None = None
    cert_file: str | None = None
    key: str | None = None
    key_file: str | None = None
    client_auth_type: ClientAuth = "NoClientCert"
    client_ca: str | None = None
    client_ca_file: str | None = None
    client_allowed_sans: list[str] = []
    min_version: Version = "TLS12"
    max_version: Version = "TLS13"
    cipher_suites: list[str] = []
    curve_preferences: list[Curve] = []
    # Go's own order has been used whatever is said here, since Go 1.17; ours is OpenSSL's
    prefer_server_cipher_suites: bool = True

    def __post_init__(self) -> None:
        """Refuse what is missing or given twice, as exporter-toolkit does."""
        for name, inline, file in (("cert", self.cert, self.cert_file), ("key", self.key, self.key_file)):
            if bool(inline) == bool(file):
                raise ValueError(f"expected either {name} or {name}_file")
        if self.client_ca and self.client_ca_file:
            raise ValueError("expected either client_ca or client_ca_file")
        has_ca = bool(self.client_ca or self.client_ca_file)
        if self.client_auth_type == "RequireAndVerifyClientCert" and not has_ca:
            # exporter-toolkit takes the system's authorities then, of which anybody can have a certificate
            raise ValueError("client_auth_type: RequireAndVerifyClientCert expects client_ca_file")
        if has_ca and self.client_auth_type == "NoClientCert":
            raise ValueError("client_auth_type: expected one that asks for a certificate, since there is a client_ca")
        if self.client_allowed_sans and self.client_auth_type != "RequireAndVerifyClientCert":
            raise ValueError("client_allowed_sans: expected with client_auth_type RequireAndVerifyClientCert only")
        if self.min_version > self.max_version:
            raise ValueError(f"min_version: expected at most max_version, {self.max_version}")
        if len(self.curve_preferences) > 1:
            raise ValueError("curve_preferences: expected one curve at most, which is what Python's ssl can set")

    @property
    def verifies(self) -> bool:
        """Whether a client certificate that is no good keeps its client out."""
        return self.client_auth_type in {"VerifyClientCertIfGiven", "RequireAndVerifyClientCert"}


class Http(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """HTTP as far as it applies: there is no HTTP/2 here, so `http2` changes nothing."""

    http2: bool = True
    headers: dict[str, str | int] = {}

    def __post_init__(self) -> None:
        """Refuse other headers and values than exporter-toolkit knows, and line ends in them."""
        for name, value in self.headers.items():
            if name not in HEADERS:
                raise ValueError(f"headers: {name}: unknown header, expected one of {', '.join(HEADERS)}")
            if HEADERS[name] and value not in HEADERS[name]:
                raise ValueError(f"headers: {name}: expected {' or '.join(HEADERS[name])}, got {value!r}")
            if not str(value).isprintable():
                raise ValueError(f"headers: {name}: expected one line of text")

    @property
    def lines(self) -> tuple[str, ...]:
        """The headers as they go out; one without a value does not."""
        return tuple(f"{name}: {value}" for name, value in self.headers.items() if value != "")


class RateLimit(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How often anybody may ask, all clients together: a burst, then one request an interval; 0 means no limit."""

    interval: str | int = 0
    burst: Annotated[int, msgspec.Meta(ge=0)] = 0

    def __post_init__(self) -> None:
        """Refuse what is no length of time."""
        if isinstance(self.interval, int) and self.interval != 0:
            raise ValueError(f"interval: expected a duration such as 1s, or 0, got {self.interval}")
        try:
            self.seconds  # noqa: B018 -- read for its error
        except ValueError as err:
            raise ValueError(f"interval: {err}") from err

    @property
    def seconds(self) -> float:
        """The interval."""
        return 0.0 if self.interval in {0, "0"} else Duration.parse(str(self.interval))


class WebConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The whole file; an empty one locks nothing."""

    tls_server_config: Tls | None = None
    http_server_config: Http = Http()
    basic_auth_users: dict[str, str] = {}
    rate_limit: RateLimit = RateLimit()

    def __post_init__(self) -> None:
        """Refuse hashes that no password can have, without showing them: it may be a password that stands there."""
        for user, hashed in self.basic_auth_users.items():
            found = _BCRYPT.fullmatch(hashed)
            if found is None:
                what = "a bcrypt hash, as `htpasswd -nBC 10 ''` prints it"
                raise ValueError(f"basic_auth_users: {user}: expected {what}")
            if not MIN_COST <= int(found[1]) <= MAX_COST:
                what = f"a bcrypt hash with a cost from {MIN_COST} to {MAX_COST}, got {found[1]}"
                raise ValueError(f"basic_auth_users: {user}: expected {what}")


class ConfigFile:
    """The file and those it names: tells when one of them changed. `version` rises with each configuration taken.

    What is watched are the files of the last attempt, good or not: a certificate that was missing may come later.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.version = 0
        self._watched = [path]
        self._stamps: list[object] = []
        self.config = self.read_again()

    def file(self, name: str) -> Path:
        """Return where a file named in the configuration stands."""
        return self.path.parent / name

    def changed(self) -> bool:
        """Whether a file was written, replaced, removed or made readable since it was last read."""
        return self._look() != self._stamps

    def read_again(self) -> WebConfig:
        """Return the file's content now, without taking it over; what it names counts as seen. Raises SettingsError.

        The stamps are from before the reading, so that what changes meanwhile counts as a change.
        """
        self._stamps = self._look()
        config = load(self.path, WebConfig)
        tls = config.tls_server_config
        names = (tls.cert_file, tls.key_file, tls.client_ca_file) if tls is not None else ()
        self._watched = [self.path, *(self.file(name) for name in names if name)]
        self._stamps[1:] = self._look()[1:]
        return config

    def take(self, config: WebConfig) -> None:
        """Take a configuration over that was found good."""
        self.config = config
        self.version += 1

    def _look(self) -> list[object]:
        """Return what changes when one of the files is written, replaced or made readable: ctime tells all three."""
        out: list[object] = []
        for path in self._watched:
            try:
                stat = os.stat(path)  # noqa: PTH116 -- a fifth of Path.stat's cost, on the event loop
                out.append((stat.st_ctime_ns, stat.st_size, stat.st_ino))
            except (OSError, ValueError):  # ValueError: a name with a NUL in it
                out.append(None)
        return out


__all__ = ["ConfigFile", "Http", "RateLimit", "SettingsError", "Tls", "WebConfig"]
