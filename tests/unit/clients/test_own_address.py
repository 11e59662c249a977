"""Which hosts are this machine: by its addresses, its name, /etc/hosts and the resolver's domains; no name server."""

import socket
from pathlib import Path

import pytest

from exporter.clients import own_address
from exporter.clients.own_address import is_loopback, is_ours

HOSTS = """
127.0.0.1 localhost
127.0.1.1 web-01.example.com web-01   # as Debian has it
198.51.100.7 other.example.com
"""


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hosts").write_text(HOSTS)
    (tmp_path / "resolv.conf").write_text("nameserver 192.0.2.53\nsearch inner.example example.net.\n")
    monkeypatch.setattr(own_address, "HOSTS", tmp_path / "hosts")
    monkeypatch.setattr(own_address, "RESOLVER", tmp_path / "resolv.conf")
    monkeypatch.setattr(socket, "gethostname", lambda: "web-01")

    def nobody(*_: object, **__: object) -> None:
        pytest.fail("a name server would be asked")

    for name in ("getaddrinfo", "gethostbyname", "getfqdn"):
        monkeypatch.setattr(socket, name, nobody)


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        pytest.param("127.0.0.1", True, id="loopback"),
        pytest.param("127.8.8.8", True, id="any-loopback"),
        pytest.param("::1", True, id="loopback-6"),
        pytest.param("localhost", True, id="localhost"),
        pytest.param("exporter.localhost", True, id="below-localhost"),
        pytest.param("web-01", True, id="name"),
        pytest.param("WEB-01.Inner.Example", True, id="name-with-the-resolver-s-domain"),
        pytest.param("web-01.example.net.", True, id="with-the-root"),
        pytest.param("web-01.example.com", True, id="hosts-file-has-it"),
        pytest.param("other.example.com", False, id="hosts-file-has-it-elsewhere"),
        pytest.param("web-01.another.example", False, id="same-name-in-another-domain"),
        pytest.param("web-02", False, id="another-name"),
        pytest.param("exporter", False, id="name-of-a-compose-service"),
        pytest.param("192.0.2.7", False, id="another-address"),
        pytest.param("2001:db8::7", False, id="another-address-6"),
        pytest.param("", False, id="nothing"),
        pytest.param("a b", False, id="nonsense"),
    ],
)
def test_which_hosts_are_ours(host: str, ours: bool) -> None:
    assert is_ours(host) is ours


def test_address_of_a_card_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.7", 9))
        except OSError:
            pytest.skip("this machine has no network")
        own = sock.getsockname()[0]
    assert is_ours(own)
    assert not is_loopback(own)


def test_machine_without_such_files_knows_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOSTS", "RESOLVER"):
        monkeypatch.setattr(own_address, name, tmp_path / "nothing")
    assert is_ours("web-01")
    assert not is_ours("web-01.example.com")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "127.0.0.1", "::1", "a.localhost"])
def test_loopback_means_whoever_asks(host: str) -> None:
    assert is_loopback(host)
    assert not is_loopback("web-01")
