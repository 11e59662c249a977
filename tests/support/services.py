"""Exporters as services of a machine with systemd, as free or as confined as asked."""

import json
import time
from typing import Final

from tests.support import installed, unit_templates, units
from tests.support.peer import fetch
from tests.support.systemd_machine import Machine

DEADLINE_SECONDS: Final = 20
NODE: Final = "--collector.systemd --web.listen-address=0.0.0.0:PORT"
# all that systemd takes from a service that neither writes nor runs anything, as the unit of an installed host has it
HARDENED: Final = unit_templates.confinement(unit_templates.exporter(clock=True))


class Host:
    """The machine, and what runs on it as services."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._port = 9100

    def serve(self, name: str, command: str, properties: str = "") -> "Service":
        """Start a service of the command, with PORT replaced; return it as soon as it answers."""
        self._port += 1
        started = command.replace("PORT", str(self._port))
        units.write(self.machine, f"{name}.service", f"[Service]\nExecStart={started}\n{properties}")
        self.machine.exec("systemctl", "daemon-reload")
        self.machine.exec("systemctl", "start", name)
        service = Service(self.machine, name, self._port)
        service.wait()
        return service

    def hostwatch(self, name: str, properties: str = "", arguments: str = "") -> "Service":
        return self.serve(name, f"{installed.COMMAND} serve --listen 0.0.0.0:PORT {arguments}", properties)

    def node_exporter(self, version: str, arguments: str = NODE, name: str = "node") -> "Service":
        return self.serve(f"{name}{version}", f"/opt/node_exporter-{version} {arguments}")


class Service:
    """A service that serves /metrics."""

    def __init__(self, machine: Machine, name: str, port: int) -> None:
        self.machine = machine
        self.name = name
        self.url = f"http://{machine.address}:{port}/metrics"

    def wait(self) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            try:
                self.page()
            except OSError:
                if time.monotonic() > deadline or self.show("ActiveState") == "failed":
                    raise AssertionError(self.machine.exec("journalctl", "--no-pager", "--unit", self.name)) from None
                time.sleep(0.05)
            else:
                return

    def page(self) -> bytes:
        return fetch(self.url)

    def start(self) -> None:
        self.machine.exec("systemctl", "start", self.name)
        self.wait()

    def restart(self) -> None:
        self.machine.exec("systemctl", "restart", self.name)
        self.wait()

    def stop(self) -> None:
        self.machine.exec("systemctl", "stop", self.name)

    def events(self) -> list[dict[str, object]]:
        """Return the lines of the program in the journal, decoded. Raises ValueError when one is no JSON."""
        lines = self.machine.exec(
            *("journalctl", "--no-pager", "--output=json", "--unit", self.name, "_TRANSPORT=stdout")
        ).splitlines()
        return [json.loads(json.loads(line)["MESSAGE"]) for line in lines]

    def show(self, key: str) -> str:
        return units.show(self.machine, self.name, key)

    def _proc(self, name: str) -> str:
        return self.machine.exec("cat", f"/proc/{self.show('MainPID')}/{name}")

    def status(self) -> str:
        return self._proc("status")

    def mounts(self) -> dict[str, str]:
        """Return rw or ro by mount point, as the service itself sees it."""
        lines = [line.split() for line in self._proc("mountinfo").splitlines()]
        return {fields[4]: fields[5].partition(",")[0] for fields in lines}

    def resident_bytes(self) -> int:
        return int(self.status().partition("VmRSS:")[2].split()[0]) * 1024
