"""The way to Vault: TLS that is checked, limits, and words that tell what is wrong with the connection."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exporter.logs import Secret
from exporter.relay.vault import VaultApi
from exporter.relay.vault_answers import Trouble, VaultError
from exporter.relay.vault_settings import Vault
from exporter.settings import Duration
from tests.support.certificates import Authority
from tests.support.fake_vault import FakeVault

NOBODY = Secret("hvs.nobody")


def failure(address: str, ca_file: Path | None = None) -> VaultError:
    settings = Vault(address=address, ca_file=str(ca_file) if ca_file else None, timeout=Duration(2))
    with pytest.raises(VaultError) as caught:
        VaultApi(settings).latest(NOBODY)
    return caught.value


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.mark.needs("openssl")
def test_a_certificate_of_the_authority_is_trusted(authority: Authority) -> None:
    with FakeVault(certificate=authority.issue("good")) as vault:
        err = failure(vault.address, authority.certificate)
        assert vault.requests[0].token == NOBODY.reveal()
    assert err.trouble is Trouble.DENIED


def other_authority(authority: Authority, folder: Path) -> tuple[Path, Path]:
    return Authority(folder / "other").issue("vault")


UNTRUSTED: dict[str, tuple[Callable[[Authority, Path], tuple[Path, Path]], str]] = {
    "expired": (lambda authority, _: authority.issue("old", days=-1), "certificate has expired"),
    "other name": (lambda authority, _: authority.issue("other", ["DNS:other"]), "IP address mismatch"),
    "other authority": (other_authority, "unable to get local issuer certificate"),
}


@pytest.mark.needs("openssl")
@pytest.mark.parametrize(("make", "words"), UNTRUSTED.values(), ids=UNTRUSTED)
def test_any_other_certificate_gets_nothing(
    authority: Authority, tmp_path: Path, make: Callable[[Authority, Path], tuple[Path, Path]], words: str
) -> None:
    with FakeVault(certificate=make(authority, tmp_path)) as vault:
        err = failure(vault.address, authority.certificate)
        assert not vault.requests
    assert err.trouble is Trouble.UNREACHABLE
    assert "its certificate is not trusted" in err.text
    assert words in err.text
    assert "vault.ca_file" in err.text


@pytest.mark.needs("openssl")
def test_without_ca_file_an_own_authority_is_not_trusted(authority: Authority) -> None:
    with FakeVault(certificate=authority.issue("plain")) as vault:
        assert "its certificate is not trusted" in failure(vault.address).text
        assert not vault.requests


def test_a_ca_file_that_is_missing_or_none_is_named(tmp_path: Path) -> None:
    with FakeVault() as vault:
        https = vault.address.replace("http:", "https:")
        err = failure(https, tmp_path / "nothing")
        assert err.trouble is Trouble.UNUSABLE
        assert f"vault.ca_file {tmp_path / 'nothing'}: no such file" in err.text
        garbage = tmp_path / "garbage"
        garbage.write_text("no certificate")
        assert "is vault.ca_file PEM?" in failure(https, garbage).text


def test_http_where_tls_is_expected_is_told() -> None:
    with FakeVault() as vault:
        assert "TLS failed (" in failure(vault.address.replace("http:", "https:")).text


@pytest.mark.needs("openssl")
def test_tls_where_http_is_expected_is_told(authority: Authority) -> None:
    with FakeVault(certificate=authority.issue("tls")) as vault:
        err = failure(vault.address.replace("https:", "http:"))
    assert err.trouble is Trouble.UNREACHABLE


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port where whatever comes is a test's own doing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        yield server


def address_of(server: socket.socket) -> str:
    return f"http://127.0.0.1:{server.getsockname()[1]}"


ODD_SERVERS = {
    "closes": b"",
    "no HTTP": b"220 mail.example.com ESMTP\r\n",
    "half an answer": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
    "endless header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
    "compressed": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nabcde",
    "broken length": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}",
    "broken chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
}


@pytest.mark.parametrize("answer", ODD_SERVERS.values(), ids=ODD_SERVERS)
def test_a_server_that_speaks_nonsense_is_an_error_like_any_other(listener: socket.socket, answer: bytes) -> None:
    def serve() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):  # the relay goes away when it has heard enough
            connection.recv(65536)
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(2)
            connection.recv(65536)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    err = failure(address_of(listener))
    thread.join(5)
    assert err.trouble in {Trouble.UNREACHABLE, Trouble.UNUSABLE}
    assert "nobody" not in err.text
    assert "ESMTP" not in err.text


def test_a_name_with_several_addresses_is_tried_at_each(listener: socket.socket) -> None:
    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b'HTTP/1.1 403 F\r\nContent-Length: 13\r\n\r\n{"errors":[]}')

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    # localhost may be ::1 first, where nobody listens
    err = failure(address_of(listener).replace("127.0.0.1", "localhost"))
    thread.join(5)
    assert err.trouble is Trouble.DENIED
