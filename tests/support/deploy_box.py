"""A machine that deploy.py changes: its folders below a temporary one, and a systemd that only remembers."""

import json
from pathlib import Path

import pytest

from tests.support.role_files import load

UNIT = "hostwatch-exporter.service"
RELAY = "hostwatch-relay.service"


class FakeSystemd:
    """What systemctl would say and do of one unit."""

    def __init__(self) -> None:
        self.unit = {"ActiveState": "inactive", "UnitFileState": "", "LoadState": "loaded", "MainPID": "1"}
        self.unit["ExecMainStartTimestamp"] = "Sat 2026-11-21 16:00:00 UTC"
        self.commands: list[str] = []
        self.starts = True

    def run(self, *command: str) -> str:
        if command[:2] == ("systemctl", "show"):
            return self.unit.get(command[3], "")
        if command[0] == "date":
            return "1795276800"
        self.commands.append(" ".join(command[:2]))
        if command[:2] == ("systemctl", "enable"):
            self.unit["UnitFileState"] = "enabled"
        if command[:2] == ("systemctl", "disable"):
            self.unit["UnitFileState"] = "disabled"
        return ""

    def start(self, unit: str) -> None:
        self.commands.append("start")
        self.unit["ActiveState"] = "active" if self.starts else "failed"
        if not self.starts:
            raise self.error(f"{unit} does not start")

    error: type[Exception] = Exception


class Box:
    """The program with a root, a folder of changes under way and a systemd of its own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.root, self.settings = folder / "opt/hostwatch", folder / "exporter.yml"
        monkeypatch.setenv("HOSTWATCH_DEPLOY_ROOT", str(self.root))
        monkeypatch.setenv("HOSTWATCH_DEPLOY_RUN", str(folder / "run"))
        self.command = folder / "usr/local/bin/hostwatch"
        monkeypatch.setenv("HOSTWATCH_DEPLOY_COMMAND", str(self.command))
        self.program = load("hostwatch_release/files/deploy.py")
        self.systemd = FakeSystemd()
        self.systemd.error = self.program.DeployError
        monkeypatch.setattr(self.program, "_run", self.systemd.run)
        monkeypatch.setattr(self.program, "_start", self.systemd.start)
        monkeypatch.setattr(self.program, "_disarm", lambda unit: None)
        monkeypatch.setattr(self.program.subprocess, "run", lambda command, **options: self.systemd.run(*command))
        self.wanted: dict[str, object] = {
            "unit": UNIT,
            "seconds": 300,
            "files": [str(self.settings)],
            "folders": [],
            "user": "root",
        }

    def begin(self, unit: str = UNIT) -> dict[str, object]:
        found: dict[str, object] = self.program.begin(json.dumps({**self.wanted, "unit": unit}))
        return found

    def install(self, release: str) -> None:
        (self.root / release).mkdir(parents=True)
        (self.root / release / ".whole").touch()

    def roll_out(self, release: str, text: str, unit: str = UNIT) -> None:
        self.begin(unit)
        if not (self.root / release).exists():
            self.install(release)
        self.settings.write_text(text)
        self.program.activate(unit, release, "http://h1:10101/metrics")
        self.program.keep(unit, str(self.settings))

    @property
    def releases(self) -> list[str]:
        return sorted(path.name for path in self.root.iterdir() if path.is_dir() and not path.is_symlink())
