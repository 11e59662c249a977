"""Both daemons tell systemd when they serve, read settings again and end; and, where it waits, that they work."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.collectors import COLLECTORS
from tests.support.certificates import Authority
from tests.support.client import until
from tests.support.exporter import exporter_running
from tests.support.notify_socket import NotifySocket
from tests.support.relay import RelayProcess

pytestmark = pytest.mark.slow

# two proofs of life fit into it on any machine
PATIENCE = {"WATCHDOG_USEC": "2000000"}
NAMES = [row.kind.name for row in COLLECTORS]
# bcrypt, of a password that nobody knows
HASH = "$2b$04$HnbHDTnvDOByGWKLGCKLFuJlPS5VMFZYJCpXkOtO1JRC8k3VVrbXS"


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[NotifySocket]:
    with NotifySocket(tmp_path) as listener:
        yield listener


def test_the_exporter_tells_of_start_reload_and_end(systemd: NotifySocket, tmp_path: Path) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text("")
    with exporter_running("--config", str(file), env={"NOTIFY_SOCKET": systemd.address}) as child:
        serves = f"Serves on 127.0.0.1:{child.port}"
        assert systemd.take() == {"READY": "1", "STATUS": serves}

        child.signal(signal.SIGHUP)
        assert systemd.take().keys() == {"RELOADING", "MONOTONIC_USEC"}
        assert systemd.take() == {"READY": "1", "STATUS": serves}

        file.write_text("collectors: 5\n")
        child.signal(signal.SIGHUP)
        assert "RELOADING" in systemd.take()
        told = systemd.take()
        assert told["READY"] == "1", "it still serves, with the settings that it had"
        assert told["STATUS"].startswith(f"{serves}; settings not usable: {file}")

        child.signal(signal.SIGTERM)
        assert systemd.take() == {"STOPPING": "1", "STATUS": "Ends"}
        assert child.wait(30) == 0
        assert not systemd.waiting()


def test_bad_settings_are_never_ready(systemd: NotifySocket, tmp_path: Path) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text("collectors: 5\n")
    with (
        pytest.raises(AssertionError, match="it ended with 2"),
        exporter_running("--config", str(file), env={"NOTIFY_SOCKET": systemd.address}),
    ):
        pass
    assert not systemd.waiting()


TLS = """
tls_server_config:
  cert_file: server.crt
  key_file: server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.crt
"""
LOCKED = f"""
basic_auth_users: {{prometheus: {HASH}}}
rate_limit: {{interval: 1h, burst: 1}}
"""


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("web", ["", LOCKED, TLS + LOCKED], ids=["open", "password and limit", "client certificates"])
def test_the_exporter_proves_that_it_works_whatever_its_locks(systemd: NotifySocket, tmp_path: Path, web: str) -> None:
    arguments = []
    if web:
        authority = Authority(tmp_path)
        authority.issue("other").copy_to(tmp_path)
        (tmp_path / "web.yml").write_text(web)
        arguments = ["--web-config", str(tmp_path / "web.yml")]
    with exporter_running(*arguments, env={"NOTIFY_SOCKET": systemd.address, **PATIENCE}) as child:
        for _ in range(2):
            assert systemd.take_until("WATCHDOG") == {"WATCHDOG": "1"}
        assert not [line for line in child.lines if '"warning"' in line or '"error"' in line]


def test_a_reload_does_not_end_the_proof(systemd: NotifySocket, tmp_path: Path) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text("")
    environment = {"NOTIFY_SOCKET": systemd.address, **PATIENCE}
    with exporter_running("--config", str(file), env=environment) as child:
        systemd.take_until("WATCHDOG")
        child.signal(signal.SIGHUP)
        systemd.take_until("RELOADING")
        for _ in range(2):
            systemd.take_until("WATCHDOG")
        assert not child.events("not well")


def test_no_proof_is_given_where_every_collector_fails(systemd: NotifySocket, tmp_path: Path) -> None:
    file = tmp_path / "exporter.yml"
    wanted = "\n".join(f"  {name}: {{enabled: {str(name == 'cpu').lower()}}}" for name in NAMES)
    file.write_text(f"collectors:\n{wanted}\nprobes: {{ping: {{targets: []}}}}\n")
    arguments = ("--config", str(file), "--path.procfs", str(tmp_path / "none"))
    environment = {"NOTIFY_SOCKET": systemd.address, **PATIENCE}
    with exporter_running(*arguments, env=environment) as child:
        told = systemd.take()
        assert told["READY"] == "1"
        assert systemd.take() == {"STATUS": "Not well: every collector fails in a scrape of ourselves"}
        until(lambda: len(child.events("not well")) > 2, "it is tried again")
        assert not systemd.waiting()


def test_the_relay_tells_of_start_and_end_and_proves_that_it_works(
    systemd: NotifySocket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"NOTIFY_SOCKET": systemd.address, **PATIENCE}.items():
        monkeypatch.setenv(name, value)
    with RelayProcess(tmp_path / "relay") as relay:
        first = systemd.take_until("READY")
        assert first == {"READY": "1", "STATUS": "Takes webhooks on 127.0.0.1:0"}
        assert relay.get("/-/healthy").status == 200, "ready means that it answers"
        for _ in range(2):
            assert systemd.take_until("WATCHDOG") == {"WATCHDOG": "1"}
        assert relay.stop() == 0
        assert systemd.take_until("STOPPING") == {"STOPPING": "1", "STATUS": "Ends"}
        assert not [event for event in relay.events() if event["level"] == "error"]
