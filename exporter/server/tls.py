"""TLS of the exporter's server: contexts built from the web configuration, the newest good one for each handshake."""

import os
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from exporter.server.web_config import ConfigFile, Tls
from exporter.settings import SettingsError

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
    context.minimum_version, context.maximum_version = _VERSIONS[tls.min_version], _VERSIONS[tls.max_version]
    context.options |= ssl.OP_NO_RENEGOTIATION
    _load_pair(context, tls, file)
    context.verify_mode = _VERIFY[tls.client_auth_type]
    if tls.client_ca_file is not None or tls.client_ca is not None:
        _load_ca(context, tls, file)
    if tls.cipher_suites:
        context.set_ciphers(":".join(_cipher_names(tls.cipher_suites, file)))
    if tls.curve_preferences:
        context.set_ecdh_curve(_CURVES[tls.curve_preferences[0]])
    return context


def _load_pair(context: ssl.SSLContext, tls: Tls, file: ConfigFile) -> None:
    place = f"{file.path}: tls_server_config"
    with tempfile.TemporaryDirectory() as folder:  # ssl loads a pair from files only
        cert = _as_file(tls.cert, tls.cert_file, file, folder, "cert")
        key = _as_file(tls.key, tls.key_file, file, folder, "key")
        for path in (cert, key):
            _check_readable(path, place)
        try:
            # an empty password instead of none: an encrypted key must not ask on the terminal
            context.load_cert_chain(cert, key, password=b"")
        except (ssl.SSLError, ValueError) as err:
            pair = f"{tls.cert_file or 'cert'} and {tls.key_file or 'key'}"
            raise SettingsError(f"{place}: {pair}: expected a certificate and its key in PEM: {err}") from err


def _load_ca(context: ssl.SSLContext, tls: Tls, file: ConfigFile) -> None:
    place = f"{file.path}: tls_server_config.client_ca_file"
    try:
        if tls.client_ca is not None:
            context.load_verify_locations(cadata=tls.client_ca)
        else:
            path = file.file(tls.client_ca_file or "")
            _check_readable(path, place)
            context.load_verify_locations(cafile=path)
    except (ssl.SSLError, ValueError) as err:
        raise SettingsError(f"{place}: expected certificates in PEM: {err}") from err


def _as_file(inline: str | None, name: str | None, file: ConfigFile, folder: str, kind: str) -> Path:
    if inline is None:
        return file.file(name or "")
    path = Path(folder, kind)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(inline)
    return path


def _check_readable(path: Path, place: str) -> None:
    try:
        with open(path, "rb"):
            pass
    except OSError as err:
        raise SettingsError(f"{place}: {path} cannot be read: {err.strerror}") from err


def _cipher_names(suites: list[str], file: ConfigFile) -> list[str]:
    names = []
    for suite in suites:
        if suite in _SUITES:
            names.append(_SUITES[suite])
        elif suite not in _SUITES_13:
            known = ", ".join(sorted([*_SUITES, *_SUITES_13]))
            raise SettingsError(
                f"{file.path}: tls_server_config.cipher_suites: expected some of {known}, got {suite!r}"
            )
    return names or list(_SUITES.values())


class NewestContext(ssl.SSLContext):
    """What asyncio is given: each handshake goes to the context that is in force when it begins."""

    current: ssl.SSLContext
    before_handshake: Callable[[], None]

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:  # noqa: ANN401 -- its own signature, handed on
        """Begin a handshake (asyncio.sslproto calls nothing else)."""
        self.before_handshake()
        return self.current.wrap_bio(*args, **kwargs)


def newest(first: ssl.SSLContext) -> NewestContext:
    """Return the context for asyncio, with `first` in force."""
    context = NewestContext(ssl.PROTOCOL_TLS_SERVER)
    context.current = first
    context.before_handshake = lambda: None
    return context


def has_allowed_san(certificate: dict[str, Any] | None, allowed: list[str]) -> bool:
    """Whether one of the certificate's subject alternative names is allowed (DNS, IP, e-mail or URI, as it stands)."""
    names = (certificate or {}).get("subjectAltName", ())
    return any(value in allowed for _, value in names)
