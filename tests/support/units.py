"""Units for a machine with systemd: of each kind that the exporter tells of, in each state that lasts."""

import time
from collections.abc import Callable
from typing import Final

from tests.support.systemd_machine import Machine

DEADLINE_SECONDS: Final = 20
# systemd-escape 'a-b c é', and a backslash that a label has to escape
ESCAPED: Final = r"sleeper@a\x2db\x20c\x20\xc3\xa9.service"
_SLEEP: Final = "exec sleep infinity"

_UNITS: Final = {
    "failed.service": "[Service]\nExecStart=/bin/false\n",
    "restarted.service": """
        [Unit]
        After=idle.service
        [Service]
        Restart=on-failure
        RestartSec=50ms
        ExecStart=/bin/sh -c 'echo >>/run/starts; [ $(wc -l </run/starts) -gt 2 ] || exit 3; exec sleep infinity'
        """,
    "idle.service": "[Service]\nType=oneshot\nExecStart=/bin/true\n",
    "starting.service": "[Service]\nType=oneshot\nExecStart=/bin/sleep infinity\nTimeoutStartSec=infinity\n",
    "stopping.service": """
        [Service]
        ExecStart=/bin/sleep infinity
        ExecStop=/bin/sleep infinity
        TimeoutStopSec=infinity
        """,
    "reloading.service": """
        [Service]
        ExecStart=/bin/sleep infinity
        ExecReload=/bin/sleep infinity
        TimeoutSec=infinity
        """,
    "forked.service": "[Service]\nType=forking\nExecStart=/bin/sh -c 'sleep infinity &'\n",
    "kept.service": "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n",
    "bounded.service": "[Service]\nTasksMax=7\nExecStart=/bin/sh -c 'sleep infinity & exec sleep infinity'\n",
    "sleeper@.service": "[Service]\nExecStart=/bin/sleep infinity\n",
    "tick.timer": "[Timer]\nOnActiveSec=10ms\nAccuracySec=1ms\nUnit=tick.service\n",
    "tick.service": "[Service]\nType=oneshot\nExecStart=/bin/true\n",
    "never.timer": "[Timer]\nOnCalendar=2099-01-01\nUnit=tick.service\n",
    "echo.socket": "[Socket]\nListenStream=/run/echo\nAccept=yes\nMaxConnections=1\n",
    "echo@.service": "[Service]\nStandardInput=socket\nExecStart=/bin/cat\n",
    "client.service": """
        [Service]
        ExecStart=/usr/bin/python3 -c 'import socket, time; held = [socket.socket(socket.AF_UNIX) for _ in range(3)]; \
            [one.connect("/run/echo") for one in held]; time.sleep(1e6)'
        """,
}
_START: Final = (
    *("failed", "restarted", "starting", "stopping", "reloading", "forked", "kept", "bounded", ESCAPED, "tick.timer"),
    *("never.timer", "echo.socket"),
)


def write(machine: Machine, name: str, text: str) -> None:
    """Put a unit's file in its place; systemd knows it once it has reloaded."""
    lines = [line.strip() for line in text.strip().splitlines()]
    machine.copy("\n".join(lines) + "\n", f"/etc/systemd/system/{name}")


def wait_for(machine: Machine, name: str, key: str, is_reached: Callable[[str], object]) -> None:
    """Wait until a property of a unit has a value that satisfies."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not is_reached(value := show(machine, name, key)):
        assert time.monotonic() < deadline, f"{name}: {key} is {value!r}"
        time.sleep(0.05)


def show(machine: Machine, name: str, key: str) -> str:
    """Return a property of a unit, as systemctl writes it."""
    return machine.exec("systemctl", "show", "--value", "--property", key, name).strip()


def furnish(machine: Machine) -> None:
    """Make units of each kind, and wait until each is in the state that it stays in."""
    for name, text in _UNITS.items():
        write(machine, name, text)
    machine.exec("systemctl", "daemon-reload")
    machine.exec("systemctl", "start", "--no-block", *_START)
    wait_for(machine, "tick.timer", "LastTriggerUSec", lambda value: value not in {"", "n/a"})
    wait_for(machine, "restarted", "NRestarts", "2".__eq__)
    for name, state in {"stopping": "active", "reloading": "active", "echo.socket": "active"}.items():
        wait_for(machine, name, "ActiveState", state.__eq__)
    machine.exec("systemctl", "stop", "--no-block", "stopping")
    machine.exec("systemctl", "reload", "--no-block", "reloading")
    machine.exec("systemctl", "start", "--no-block", "client")
    wait_for(machine, "echo.socket", "NRefused", "2".__eq__)
