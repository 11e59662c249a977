"""TLS contexts built from the web configuration."""

import ipaddress
import os
import re
import ssl
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from exporter.server.web_config import ConfigFile, Tls
from exporter.settings import SettingsError
from exporter.settings.reading import place_of

_VERSIONS: Final = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
_VERIFY: Final = {
    "NoClientCert": ssl.CERT_NONE,
    # Go asks and takes whatever comes: nobody is kept out, so not asking is the same
    "RequestClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_CURVES: Final = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}
# Go's names of the suites of TLS 1.2 that are not known broken, and OpenSSL's; those of TLS 1.3 are always on in both
_SUITES: Final = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
}
_SUITES_13: Final = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}


def build(tls: Tls, file: ConfigFile) -> ssl.SSLContext:
    """Return a new server context. Raises SettingsError naming the file and what is wrong with it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _set_versions(context, tls)
    context.options |= ssl.OP_NO_RENEGOTIATION
    # a scraper keeps its connection: tickets would cost each handshake, and bring back a certificate that has expired
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    _load_pair(context, tls, file)
    context.verify_mode = _VERIFY[tls.client_auth_type]
    if tls.client_ca_file or tls.client_ca:
        _load_ca(context, tls, file)
    if tls.cipher_suites:
        names = _cipher_names(tls.cipher_suites, file)
        _set(context.set_ciphers, ":".join(names), file, "cipher_suites")
    if tls.curve_preferences:
        _set(context.set_ecdh_curve, _CURVES[tls.curve_preferences[0]], file, "curve_preferences")
    return context


def _set_versions(context: ssl.SSLContext, tls: Tls) -> None:
    with warnings.catch_warnings():  # TLS 1.0 and 1.1 are on where the operator asks for them by name
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = _VERSIONS[tls.min_version]
        context.maximum_version = _VERSIONS[tls.max_version]


def _set(setter: Callable[[str], None], value: str, file: ConfigFile, key: str) -> None:
    try:
        setter(value)
    except (ssl.SSLError, ValueError) as err:
        raise _problem(file, key, f"expected some that this machine's OpenSSL has: {_why(err)}") from err


def _load_pair(context: ssl.SSLContext, tls: Tls, file: ConfigFile) -> None:
    with _path(tls.cert, tls.cert_file, file, "cert") as cert, _path(tls.key, tls.key_file, file, "key") as key:
        try:
            # an empty password instead of none: an encrypted key must not ask on the terminal
            context.load_cert_chain(cert, key, password=b"")
        except (OSError, ValueError) as err:  # ssl.SSLError is an OSError
            pair = f"{tls.cert_file or 'cert'} and {tls.key_file or 'key'}"
            what = f"expected a certificate and its key in PEM, without a password, in {pair}: {_why(err)}"
            raise _problem(file, "cert_file" if tls.cert_file else "cert", what) from err


def _load_ca(context: ssl.SSLContext, tls: Tls, file: ConfigFile) -> None:
    key = "client_ca_file" if tls.client_ca_file else "client_ca"
    with _path(tls.client_ca, tls.client_ca_file, file, "client_ca") as path:
        try:
            context.load_verify_locations(cafile=path)
        except (OSError, ValueError) as err:
            raise _problem(file, key, f"expected certificates in PEM: {_why(err)}") from err


@contextmanager
def _path(inline: str | None, name: str | None, file: ConfigFile, key: str) -> Iterator[Path]:
    """Lend the path of a file that can be read: ssl takes no text. Raises SettingsError naming it."""
    if inline:
        with _text_as_file(inline) as path:
            yield path
        return
    path = file.file(name or "")
    try:
        with path.open("rb"):
            pass
    except (OSError, ValueError) as err:
        raise _problem(file, f"{key}_file", f"{path} cannot be read: {_why(err)}") from err
    yield path


@contextmanager
def _text_as_file(text: str) -> Iterator[Path]:
    """Lend a path that reads as the text: on Linux it is memory, so that a key never gets to a disk."""
    if sys.platform == "linux":
        number = os.memfd_create("inline", os.MFD_CLOEXEC)
        with open(number, "w", closefd=True) as out:
            out.write(text)
            out.flush()
            yield Path(f"/proc/self/fd/{number}")
    else:
        with tempfile.NamedTemporaryFile("w") as out:  # only its owner can read it
            out.write(text)
            out.flush()
            yield Path(out.name)


def _problem(file: ConfigFile, key: str, what: str) -> SettingsError:
    return SettingsError(f"{place_of(file.path, f'tls_server_config.{key}')}: {what}")


def _why(err: Exception) -> str:
    """Return what OpenSSL or the system says, without OpenSSL's codes and lines of C."""
    reason = getattr(err, "reason", None)
    if reason:
        return str(reason).lower().replace("_", " ")
    return re.sub(r"^\[.*?\] | \(_ssl\.c:\d+\)$", "", getattr(err, "strerror", None) or str(err))


def _cipher_names(suites: list[str], file: ConfigFile) -> list[str]:
    names = []
    for suite in suites:
        if suite in _SUITES:
            names.append(_SUITES[suite])
        elif suite not in _SUITES_13:
            known = ", ".join(sorted([*_SUITES, *_SUITES_13]))
            raise _problem(file, "cipher_suites", f"expected some of {known}, got {suite!r}")
    return names or list(_SUITES.values())


def has_allowed_san(certificate: Mapping[str, Any] | None, allowed: list[str]) -> bool:
    """Whether one of the certificate's subject alternative names is allowed (DNS, IP, e-mail or URI, as it stands).

    `certificate` is what ssl's getpeercert() returns. Addresses may be written in any way.
    """
    names = (certificate or {}).get("subjectAltName", ())
    plain = {value for kind, value in names if kind in {"DNS", "email", "URI"}}
    addresses = {_address(value.strip()) for kind, value in names if kind == "IP Address"} - {None}
    return any(name in plain or _address(name) in addresses for name in allowed)


def _address(text: str) -> object:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
