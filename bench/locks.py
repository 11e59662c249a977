"""A lock for our server, made for one run: a certificate, a password, the web configuration file that names them."""

import base64
import secrets
import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.access import HOST, Access
from bench.failures import BenchError

_USER: Final = "prometheus"
# what `openssl req` needs for a certificate of a kind that is in wide use, good for the address we connect to
_CERTIFICATE: Final = (
    *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
    *("-subj", "/CN=hostwatch bench", "-addext", f"subjectAltName=IP:{HOST}"),
)


@dataclass(frozen=True)
class Lock:
    """What the server is told and what its clients need."""

    web_config: Path
    access: Access


def missing() -> str:
    """Return what is not there that a lock is made with; empty where all is."""
    return "" if shutil.which("openssl") else "needs openssl"


def make_lock(folder: Path) -> Lock:
    """Make a lock in `folder`. Runs openssl; raises BenchError when that fails."""
    import bcrypt  # it comes with the exporter, which alone needs it

    _make_certificate(folder)
    password = secrets.token_hex(16)
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(10)).decode()
    web_config = folder / "web.yml"
    web_config.write_text(
        f"tls_server_config: {{cert_file: bench.crt, key_file: bench.key}}\nbasic_auth_users: {{{_USER}: '{hashed}'}}\n"
    )
    word = base64.b64encode(f"{_USER}:{password}".encode()).decode()
    return Lock(web_config, Access(f"Basic {word}", ssl.create_default_context(cafile=folder / "bench.crt")))


def _make_certificate(folder: Path) -> None:
    files = ("-keyout", str(folder / "bench.key"), "-out", str(folder / "bench.crt"))
    done = subprocess.run(["openssl", *_CERTIFICATE, *files], capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise BenchError(f"openssl: {' '.join(done.stderr.split())}")
