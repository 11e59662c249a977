"""Certificates that something is wrong with, and chains, of one authority of the tests' own."""

import ssl
import zlib
from pathlib import Path

from tests.support.certificates import KEYS, Authority, Pair, openssl

WEB = ("DNS:web.test", "DNS:localhost", "IP:127.0.0.1")

_CA = """
[ca]
default_ca = own
[own]
database = {folder}/index.txt
new_certs_dir = {folder}
serial = {folder}/serial
certificate = {certificate}
private_key = {key}
default_md = sha256
policy = any
x509_extensions = extensions
unique_subject = no
[any]
commonName = supplied
[extensions]
{extensions}
"""


class OddAuthority(Authority):
    """An authority that also makes out what no good one does."""

    def issue_between(
        self, name: str, start: str, end: str, extensions: str = f"subjectAltName={','.join(WEB)}"
    ) -> Pair:
        """Return a pair that holds from one moment to another, each as YYYYMMDDHHMMSSZ."""
        pair = Pair(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        request, settings = self._folder / f"{name}.csr", self._folder / f"{name}.cnf"
        folder = self._folder / f"{name}.ca"
        folder.mkdir()
        (folder / "index.txt").touch()
        (folder / "serial").write_text(f"{zlib.crc32(name.encode()):016x}\n")
        settings.write_text(
            _CA.format(folder=folder, certificate=self.certificate, key=self._key, extensions=extensions)
        )
        openssl(
            *("req", "-newkey", *KEYS["ec"], "-nodes", "-subj", f"/CN={name}", "-keyout", pair.key, "-out", request)
        )
        openssl(
            *("ca", "-batch", "-notext", "-config", settings, "-startdate", start, "-enddate", end),
            *("-in", request, "-out", pair.certificate),
        )
        return pair

    def intermediate(self, name: str, end: str) -> "OddAuthority":
        """Return an authority below this one, that holds until a moment."""
        usage = "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign\nauthorityKeyIdentifier=keyid"
        pair = self.issue_between(name, "20200101000000Z", end, usage)
        below = OddAuthority.__new__(OddAuthority)
        below._folder = self._folder / f"{name}.below"
        below._folder.mkdir()
        below.certificate, below._key = pair
        return below

    def chain(self, pair: Pair, *above: Path) -> Pair:
        """Return a pair whose file also holds the certificates above it."""
        together = pair.certificate.with_suffix(".chain")
        together.write_text("".join(path.read_text() for path in (pair.certificate, *above)))
        return Pair(together, pair.key)


def self_signed(folder: Path, names: tuple[str, ...] = WEB) -> Pair:
    """Return a certificate that nobody but itself vouches for."""
    pair = Pair(folder / "self.crt", folder / "self.key")
    openssl(
        *("req", "-x509", "-newkey", *KEYS["ec"], "-nodes", "-subj", "/CN=self", "-days", "9"),
        *("-addext", f"subjectAltName={','.join(names)}", "-keyout", pair.key, "-out", pair.certificate),
    )
    return pair


def server(pair: Pair, wants: Path | None = None) -> ssl.SSLContext:
    """Return a server's context; `wants` is the authority that clients' certificates must be of."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    if wants is not None:
        context.load_verify_locations(wants)
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # of 1.3 a client learns of it only when it reads
        context.verify_mode = ssl.CERT_REQUIRED
    return context
