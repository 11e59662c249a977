"""Certificate authorities of the tests' own, made by the program openssl, strict enough for Python 3.13."""

import shutil
import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

LOCALHOST = ("DNS:localhost", "IP:127.0.0.1")
KEYS = {"ec": ("ec", "-pkeyopt", "ec_paramgen_curve:P-256"), "rsa": ("rsa:2048",)}


def openssl(*arguments: str | Path) -> None:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, (arguments, done.stderr)


class Pair(NamedTuple):
    """A certificate and its key, as files."""

    certificate: Path
    key: Path

    def copy_to(self, folder: Path) -> None:
        """Put the pair where a web configuration looks for it, one file after the other."""
        shutil.copy(self.certificate, folder / "server.crt")
        shutil.copy(self.key, folder / "server.key")


class Authority:
    """A certificate authority in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self.certificate, self._key = folder / "ca.crt", folder / "ca.key"
        usage = "keyUsage=critical,keyCertSign,cRLSign"
        openssl(
            *("req", "-x509", "-newkey", *KEYS["ec"], "-nodes", "-subj", f"/CN={folder.name}", "-days", "9"),
            *("-addext", usage, "-keyout", self._key, "-out", self.certificate),
        )

    def issue(self, name: str, names: Sequence[str] = LOCALHOST, *, days: int = 9, key: str = "ec") -> Pair:
        """Return a new pair; `names` are subject alternative names as openssl writes them, days may be under 0."""
        pair = Pair(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        request, extensions = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        lines = ["authorityKeyIdentifier=keyid", "keyUsage=critical,digitalSignature,keyEncipherment"]
        extensions.write_text("\n".join([*lines, *([f"subjectAltName={','.join(names)}"] if names else [])]))
        openssl(*("req", "-newkey", *KEYS[key], "-nodes", "-subj", f"/CN={name}", "-keyout", pair.key, "-out", request))
        openssl(
            *("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-days", str(days)),
            *("-extfile", extensions, "-out", pair.certificate),
        )
        return pair

    def client(self, pair: Pair | None = None, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """Return a client's context that trusts this authority; `pair` is what the client shows."""
        context = ssl.create_default_context(cafile=self.certificate)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        if pair is not None:
            context.load_cert_chain(*pair)
        return context
