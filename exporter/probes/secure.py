"""TLS as checks need it: a reason for each way a certificate can be wrong, and when it expires in any case.

A chain is judged alike on every Python: 3.13's default context refuses authorities without a key usage, which 3.11
takes, so the context is made here from its parts.
"""

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

from exporter.probes.attempt import AttemptError, Certificates, Reason
from exporter.probes.certificates import parse_validity
from exporter.settings.targets import TlsOptions

CHUNK: Final = 65536
MAX_CONTEXTS: Final = 256

# X509_V_ERR_* of openssl's x509_vfy.h
_NAME: Final = frozenset({62, 63, 64})
_REASONS: Final = {
    9: Reason.CERTIFICATE_NOT_YET_VALID,
    10: Reason.CERTIFICATE_EXPIRED,
    18: Reason.CERTIFICATE_SELF_SIGNED,
    **dict.fromkeys(_NAME, Reason.CERTIFICATE_NAME),
}

_Stamp = tuple[tuple[int, int, int], ...]
_Key = tuple[str | None, bool, str | None, str | None]

_contexts: Final[dict[_Key, tuple[_Stamp, ssl.SSLContext]]] = {}


class Secure:
    """The client's end of one TLS connection, without its socket."""

    def __init__(self, options: TlsOptions, host: str) -> None:
        """Take the name to ask for from the options, else from the target. Raises AttemptError for unusable files."""
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._checks = not options.insecure
        context = context_for(options)
        try:
            name = (options.server_name or host).partition("%")[0]  # an address without its scope
            self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        except ValueError as err:  # a name that IDNA cannot write
            raise AttemptError(Reason.NO_SUCH_NAME, f"{host}: {err}") from err

    def feed(self, data: bytes) -> None:
        """Take what came from the peer; nothing is its end."""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def outgoing(self) -> bytes:
        """Return what is to be sent to the peer."""
        return self._outgoing.read()

    def shake_hands(self) -> bool:
        """Go on with the handshake; return whether it is done. Raises AttemptError with the reason why it failed."""
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as err:
            raise _failure(err) from err
        return True

    def encrypt(self, data: bytes) -> bytes:
        """Return the data as it goes over the wire. Raises AttemptError."""
        try:
            if data:
                self._object.write(data)
        except ssl.SSLError as err:
            raise _failure(err) from err
        return self.outgoing()

    def decrypt(self) -> bytes | None:
        """Return what the peer said, nothing at the end; None while there is nothing whole. Raises AttemptError."""
        try:
            return self._object.read(CHUNK)
        except ssl.SSLWantReadError:
            return None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):  # many close without the farewell
            return b""
        except ssl.SSLError as err:
            raise _failure(err) from err

    def farewell(self) -> bytes:
        """Return what tells the peer that this is the end."""
        try:
            self._object.unwrap()
        except ssl.SSLError:  # it wants to hear the peer's own, for which nobody waits
            return self.outgoing()
        return self.outgoing()

    def certificates(self) -> Certificates | None:
        """Return when the first of the peer's certificates expires; None where none was seen.

        Of a chain that was found good it is the chain up to its root, else all that the server sent.
        """
        ders, covers = self._seen()
        expiries = []
        for der in ders:
            try:
                expiries.append(parse_validity(der).not_after)
            except ValueError:  # OpenSSL took it; what cannot be read says nothing here
                continue
        return Certificates(min(expiries), covers) if expiries else None

    def _seen(self) -> tuple[Sequence[bytes], Literal["leaf", "chain"]]:
        # public since Python 3.13; before that the object beneath has them, which also shows what a failed
        # handshake brought. Where neither does, the server's own certificate is all that can be seen.
        beneath: Any = getattr(self._object, "_sslobj", None)
        for name in _CHAINS if self._checks else _CHAINS[1:]:
            try:
                chain = getattr(beneath, name)() or ()
                ders = [der if isinstance(der, bytes) else der.public_bytes(_ENCODING_DER) for der in chain]
            except (AttributeError, ValueError, ssl.SSLError):
                continue
            if ders:
                return ders, "chain"
        try:
            leaf = self._object.getpeercert(binary_form=True)
        except ValueError:  # no handshake yet
            leaf = None
        return (leaf,) if leaf else (), "leaf"


_CHAINS: Final = ("get_verified_chain", "get_unverified_chain")
_ENCODING_DER: Final = 2  # of _ssl, X509_FILETYPE_ASN1 of openssl's x509.h


def _failure(err: ssl.SSLError) -> AttemptError:
    if isinstance(err, ssl.SSLCertVerificationError):
        reason = _REASONS.get(err.verify_code, Reason.CERTIFICATE_UNTRUSTED)
        return AttemptError(reason, f"certificate: {err.verify_message}")
    if isinstance(err, ssl.SSLEOFError):
        return AttemptError(Reason.TLS_FAILED, "the peer closed the connection in the handshake")
    return AttemptError(Reason.TLS_FAILED, f"TLS: {(err.reason or str(err)).replace('_', ' ').lower()}")


def context_for(options: TlsOptions) -> ssl.SSLContext:
    """Return the context for these options, made anew when one of their files changed. Reads the files.

    The system's certificates take 20 ms to load: checks with the same options share a context. Raises AttemptError
    naming the file that cannot be used.
    """
    key = (options.ca_file, options.insecure, options.certificate_file, options.key_file)
    stamp = _stamp(options)
    known = _contexts.get(key)
    if known is not None and known[0] == stamp:
        return known[1]
    context = _make(options)
    while len(_contexts) >= MAX_CONTEXTS:
        del _contexts[next(iter(_contexts))]
    _contexts[key] = (stamp, context)
    return context


def _stamp(options: TlsOptions) -> _Stamp:
    system = ssl.get_default_verify_paths().cafile if options.ca_file is None and not options.insecure else None
    out = []
    for path in (options.ca_file, options.certificate_file, options.key_file, system):
        if path is not None:
            try:
                status = Path(path).stat()
            except OSError as err:
                raise AttemptError(Reason.UNREADABLE_FILE, f"{path}: {err.strerror}") from err
            out.append((status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(out)


def _make(options: TlsOptions) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # an authority named in a setting is trusted, also where it is not a root
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.hostname_checks_common_name = False  # no browser does (RFC 9525 2)
    if options.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        path = options.ca_file
        if path is not None:
            context.load_verify_locations(path)
        elif not options.insecure:
            _load_trusted(context)
        if options.certificate_file is not None:
            path = options.certificate_file
            context.load_cert_chain(options.certificate_file, options.key_file, password="")
    except (OSError, ValueError) as err:
        reason = getattr(err, "reason", None) or getattr(err, "strerror", None) or str(err)
        raise AttemptError(Reason.UNREADABLE_FILE, f"{path}: {reason}") from err
    return context


def _load_trusted(context: ssl.SSLContext) -> None:
    paths = ssl.get_default_verify_paths()
    if not paths.cafile and not paths.capath:  # everybody would look like a stranger
        what = "this machine trusts nobody: install ca-certificates, or name a ca_file"
        raise AttemptError(Reason.UNREADABLE_FILE, what)
    context.load_default_certs()
