"""What systemd is told, as it reads it."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.server.notify import SEND_SECONDS, Notifier
from tests.support.notify_socket import Message, NotifySocket


@pytest.mark.parametrize("abstract", [False, True], ids=["a path", "a name"])
@pytest.mark.parametrize(
    ("tell", "expected"),
    [
        (lambda n: n.ready("Serves"), {"READY": "1", "STATUS": "Serves"}),
        (lambda n: n.reloading(), {"RELOADING": "1", "MONOTONIC_USEC": "1234567"}),
        (lambda n: n.stopping(), {"STOPPING": "1", "STATUS": "Ends"}),
        (lambda n: n.alive(), {"WATCHDOG": "1"}),
        (lambda n: n.status("one\nREADY=1\ttwo"), {"STATUS": "one READY=1 two"}),
        (lambda n: n.status("x" * 1000), {"STATUS": "x" * 200}),
    ],
    ids=["ready", "reloading", "stopping", "alive", "a status is one line", "a status has an end"],
)
def test_each_message_is_one_datagram(
    tmp_path: Path, tell: Callable[[Notifier], None], expected: Message, *, abstract: bool
) -> None:
    with NotifySocket(tmp_path, abstract=abstract) as listener:
        tell(Notifier({"NOTIFY_SOCKET": listener.address}, monotonic_ns=lambda: 1_234_567_890))
        assert listener.waiting() == [expected]


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative"])
def test_nobody_is_told_where_nobody_asked(address: str, caplog: pytest.LogCaptureFixture) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address} if address else {})
    notifier.ready("Serves")
    notifier.alive()
    assert not caplog.messages


def test_no_child_inherits_the_way_to_systemd() -> None:
    environment = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "PATH": "/bin"}
    Notifier(environment)
    assert environment == {"PATH": "/bin"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_PID": str(os.getpid())}, None),
    ],
    ids=["unset", "for all", "for us", "for another", "off", "negative", "no number", "no time"],
)
def test_how_long_systemd_waits(environment: dict[str, str], expected: float | None) -> None:
    assert Notifier(environment).watchdog_seconds == expected


def test_a_deaf_systemd_is_logged_once_until_it_hears_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    notifier.alive()
    notifier.alive()
    assert caplog.messages == ["systemd cannot be told"]
    with NotifySocket(tmp_path) as listener:
        notifier.alive()
        assert listener.waiting() == [{"WATCHDOG": "1"}]
    (tmp_path / "notify").unlink()
    notifier.alive()
    assert caplog.messages == ["systemd cannot be told"] * 2


@pytest.mark.slow
def test_a_systemd_that_stands_still_costs_time_and_no_processor(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with NotifySocket(tmp_path) as listener:
        notifier = Notifier({"NOTIFY_SOCKET": listener.address})
        sent = 0
        while not caplog.messages:
            assert sent < 10_000, "its queue has an end"
            used, began = time.thread_time(), time.monotonic()
            notifier.alive()
            used, took = time.thread_time() - used, time.monotonic() - began
            sent += 1
        assert took >= SEND_SECONDS
        assert used < took / 50
        assert listener.waiting() == [{"WATCHDOG": "1"}] * (sent - 1)
