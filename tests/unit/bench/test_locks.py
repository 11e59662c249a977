import base64
import ssl
import stat
from pathlib import Path

import bcrypt
import pytest

from bench import locks
from exporter.server.web_config import WebConfig
from exporter.settings import load


def test_a_lock_is_one_that_our_server_takes(tmp_path: Path) -> None:
    lock = locks.make_lock(tmp_path)
    config = load(lock.web_config, WebConfig)
    user, _, password = base64.b64decode(lock.access.authorization.removeprefix("Basic ")).partition(b":")
    assert bcrypt.checkpw(password, config.basic_auth_users[user.decode()].encode())
    assert config.tls_server_config is not None
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(
        tmp_path / (config.tls_server_config.cert_file or ""), tmp_path / (config.tls_server_config.key_file or "")
    )
    assert lock.access.tls is not None
    assert lock.access.tls.verify_mode is ssl.CERT_REQUIRED
    assert stat.S_IMODE((tmp_path / "bench.key").stat().st_mode) == 0o600


def test_without_openssl_the_rows_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert locks.missing() == "needs openssl"
