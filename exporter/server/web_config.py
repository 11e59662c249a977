"""The web configuration file that Prometheus' exporters share: TLS, client certificates, passwords, headers.

The format is that of exporter-toolkit (docs/web-configuration.md there). What Python's ssl cannot do is refused by
name. Paths are relative to the file's own folder.
"""

import os
from pathlib import Path
from typing import Final, Literal

import msgspec

from exporter.settings import SettingsError, load

Version = Literal["TLS10", "TLS11", "TLS12", "TLS13"]
ClientAuth = Literal["NoClientCert", "RequestClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"]
Curve = Literal["CurveP256", "CurveP384", "CurveP521", "X25519"]

HEADERS: Final = (
    "Content-Security-Policy",
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "X-XSS-Protection",
)


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
            if (inline is None) == (file is None):
                raise ValueError(f"expected either {name} or {name}_file")
        if self.client_ca is not None and self.client_ca_file is not None:
            raise ValueError("expected either client_ca or client_ca_file")
        verifies = self.client_auth_type in {"VerifyClientCertIfGiven", "RequireAndVerifyClientCert"}
        has_ca = self.client_ca is not None or self.client_ca_file is not None
        if verifies and not has_ca:
            raise ValueError(f"client_auth_type {self.client_auth_type} expects client_ca_file")
        if has_ca and not verifies:
            raise ValueError("client_ca_file expects a client_auth_type that verifies")
        if self.client_allowed_sans and self.client_auth_type != "RequireAndVerifyClientCert":
            raise ValueError("client_allowed_sans expects client_auth_type RequireAndVerifyClientCert")
        if len(self.curve_preferences) > 1:
            raise ValueError("curve_preferences: expected one curve at most, which is what Python's ssl can set")


class Http(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """HTTP as far as it applies: there is no HTTP/2 here, so `http2` changes nothing."""

    http2: bool = True
    headers: dict[str, str] = {}

    def __post_init__(self) -> None:
        """Refuse other headers than the toolkit knows, and line ends in them."""
        for name, value in self.headers.items():
            if name not in HEADERS:
                raise ValueError(f"headers.{name}: expected one of {', '.join(HEADERS)}")
            if not value.isprintable():
                raise ValueError(f"headers.{name}: expected one line of text")


class WebConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The whole file; an empty one locks nothing."""

    tls_server_config: Tls | None = None
    http_server_config: Http = Http()
    basic_auth_users: dict[str, str] = {}

    def __post_init__(self) -> None:
        """Refuse hashes that no password can have."""
        for user, hashed in self.basic_auth_users.items():
            if len(hashed) != 60 or hashed[:4] not in {"$2a$", "$2b$", "$2y$"} or not hashed[4:6].isdigit():
                raise ValueError(f"basic_auth_users.{user}: expected a bcrypt hash, as `htpasswd -nBC 10 ''` prints it")


class ConfigFile:
    """The file and those it names: tells when one of them changed. `version` rises with each good reading."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = load(path, WebConfig)
        self.version = 0
        self._stamps = self._look()

    def file(self, name: str) -> Path:
        """Return where a file named in the configuration stands."""
        return self.path.parent / name

    def _look(self) -> tuple[object, ...]:
        """Return what changes when one of the files is written or replaced."""
        tls = self.config.tls_server_config
        names = (tls.cert_file, tls.key_file, tls.client_ca_file) if tls is not None else ()
        out: list[object] = []
        for path in (self.path, *(self.file(name) for name in names if name is not None)):
            try:
                stat = os.stat(path)  # noqa: PTH116 -- a fifth of Path.stat's cost, on the event loop
                out.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
            except OSError:
                out.append(None)
        return tuple(out)

    def changed(self) -> bool:
        """Whether a file changed since the last call that said so."""
        now = self._look()
        if now == self._stamps:
            return False
        self._stamps = now
        return True

    def read_again(self) -> WebConfig:
        """Return the file's content now, without taking it over. Raises SettingsError."""
        return load(self.path, WebConfig)

    def take(self, config: WebConfig) -> None:
        """Take a configuration over that was found good."""
        self.config = config
        self.version += 1
        self._stamps = self._look()


__all__ = ["ConfigFile", "Http", "SettingsError", "Tls", "WebConfig"]
