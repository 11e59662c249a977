"""What one drill brings along: its own exporter, its own victims, and the files that make Prometheus look at them.

Nothing that is in use is touched. Each target carries `drill="true"`, and with it every alert and message.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from exporter.drills import children, ledger, undo
from exporter.drills.children import Limits
from exporter.drills.processes import session_of
from exporter.drills.site import Site
from exporter.settings.collectors import Collectors

_HOSTWATCH: Final = (sys.executable, "-m", "exporter")
_MOUNTS: Final = Path("/run")
# what was killed is gone by then, unless the kernel holds it
_GONE_SECONDS: Final = 5.0
# what a drill's own exporter leaves to the real one, unless the fault is about it: nothing is told twice
_QUIET: Final = tuple(name for name in Collectors.__struct_fields__ if name not in {"exporter", "textfile"})


class SceneError(Exception):
    """The drill cannot be set up; the text says what is missing."""


class Scene:
    """The stage of one drill. What is put up is in the ledger before it is there."""

    def __init__(self, name: str, site: Site, book: ledger.Ledger, strength: float = 1.0) -> None:
        self.name, self.site, self.strength = name, site, strength
        self.token = secrets.token_hex(3)
        self.instance = f"drill-{name}-{self.token}"
        self.folder = site.options.state / self.instance
        self.mark = f"{book.head.run}/{self.instance}"
        self._book = book
        self._entries: list[ledger.Entry] = []
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self._started: list[subprocess.Popen[bytes]] = []
        """All that were ever started, those of the same name and programs that were run to their end included."""
        self.facts: dict[str, Any] = {}
        """What a fault has to remember."""
        self.textfiles = self.folder / "textfile"

    def open(self) -> None:
        """Make the drill's folder. Raises OSError and GoneError."""
        self._note(ledger.Folder(str(self.folder)))
        self._note(ledger.Processes(self.mark))
        self.folder.mkdir(mode=0o755)
        self.textfiles.mkdir()

    # -- processes --------------------------------------------------------------------------------------------------

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        limits: Limits = Limits(),  # noqa: B008 -- never changes
        environment: Mapping[str, str] | None = None,
    ) -> int:
        """Start a process of the drill and return its pid. Raises SceneError."""
        with (self.folder / f"{name}.log").open("ab") as log:
            try:
                child = children.start(command, self.mark, log, limits=limits, environment=environment)
            except OSError as err:
                raise SceneError(f"{command[0]}: {err.strerror}") from err
        self.children[name] = child
        self._started.append(child)
        # whoever kills us before this is written: the kernel ends it with us
        if found := session_of(child.pid, self.mark):
            self._note(found)
        return child.pid

    def victim(self, name: str, kind: str, *arguments: str) -> int:
        """Start one of the drill's own small servers."""
        return self.start(name, [sys.executable, "-m", "exporter.drills.victims", kind, *arguments])

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to a process of the drill; wait for its end after SIGKILL."""
        child = self.children[name]
        with suppress(ProcessLookupError):
            child.send_signal(number)
        if number == signal.SIGKILL:
            try:
                child.wait(_GONE_SECONDS)
            except subprocess.TimeoutExpired as err:
                raise SceneError(f"{name} (process {child.pid}) does not end") from err

    def kill_all(self) -> "list[subprocess.Popen[bytes]]":
        """Kill all that was started and still runs, and return it; waits for nothing."""
        running = [child for child in self._started if child.poll() is None]
        for child in running:
            _kill_group(child)
        return running

    def run(self, command: Sequence[str], seconds: float = 30.0) -> str:
        """Run a program to its end and return what it printed. Raises SceneError with what it said."""
        path = self.folder / "run.log"
        with path.open("wb") as log:
            try:
                child = children.start(command, self.mark, log, systemd=False)
                self._started.append(child)
                code = child.wait(seconds)
            except (OSError, subprocess.TimeoutExpired) as err:
                raise SceneError(f"{command[0]}: {err}") from err
        said = path.read_text(errors="replace").strip()
        if code != 0:
            raise SceneError(f"{' '.join(command)}: {said[:300]}")
        return said

    def fallen(self, expected: frozenset[str]) -> str:
        """Return what a process that ended by itself said last; empty when none did. `expected` may end."""
        for name, child in self.children.items():
            if name not in expected and child.poll() not in (None, -signal.SIGKILL):
                text = (self.folder / f"{name}.log").read_text(errors="replace")[-400:].strip()
                return f"the drill's own {name} ended with {child.returncode}: {text}"
        return ""

    # -- the exporter and its files ---------------------------------------------------------------------------------

    def exporter(self, settings: Mapping[str, Any] | None = None, name: str = "exporter", port: int = 0) -> int:
        """Start an exporter of the drill's own and return its port; `settings` as in its file."""
        port = port or free_port()
        self.write_settings(settings or {}, name)
        command = [*_HOSTWATCH, "serve", "--config", str(self.folder / f"{name}.yml")]
        self.start(name, [*command, "--listen", self.site.options.at(port)])
        return port

    def write_settings(self, settings: Mapping[str, Any], name: str = "exporter") -> None:
        """Write the settings of an exporter of the drill's own."""
        given = settings.get("collectors", {})
        collectors = {**{one: {"enabled": False} for one in _QUIET}, **given}
        collectors["textfile"] = {"directories": [str(self.textfiles)], **given.get("textfile", {})}
        probes = {"ping": {"enabled": False}, **settings.get("probes", {})}
        whole = {**settings, "collectors": collectors, "probes": probes}
        (self.folder / f"{name}.yml").write_text(json.dumps(whole))

    def rows(self, *rows: str, name: str = "drill") -> None:
        """Let the drill's own exporter expose these rows beside host_drill_active."""
        active = f'host_drill_active{{drill="{self.name}"}} 1'
        self._write(self.textfiles / f"{name}.prom", "\n".join((active, *rows) if name == "drill" else rows) + "\n")

    def register(self, job: str, port: int, instance: str | None = None) -> Path:
        """Make Prometheus scrape a port of this machine, as an instance of the drill's."""
        instance = instance or self.instance
        path = self.site.target_file(job, f"hostwatch-{instance}")
        self._note(ledger.File(str(path)))
        labels = {"instance": instance, "drill": "true"}
        target = [{"targets": [self.site.options.at(port)], "labels": labels}]
        self._write(path, json.dumps(target))
        return path

    def watch(self, settings: Mapping[str, Any] | None = None) -> int:
        """Start an exporter with these settings and let Prometheus scrape it; returns its port."""
        port = self.exporter(settings)
        self.register("node", port)
        return port

    # -- what the kernel and the engine keep ------------------------------------------------------------------------

    def disk(self, size: int, inodes: int) -> Path:
        """Mount a small file system in a file of the drill's own and return where. Raises SceneError.

        It is below /run, which exporters leave out unless they are told otherwise: the real one has no part in it.
        """
        image, path = self.folder / "image", _MOUNTS / self.instance
        with image.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
        # no journal and nothing kept for root: what is free can be had
        self.run(["mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", "-N", str(inodes), str(image)])
        self._note(ledger.Folder(str(path)))
        path.mkdir(mode=0o700)
        self._note(ledger.Mount(str(path)))
        self.run(["mount", "-t", "ext4", "-o", "loop", str(image), str(path)])
        (path / "lost+found").rmdir()
        return path

    def container(self, name: str) -> str:
        """Write down a container that will be made and return its whole name."""
        whole = f"hostwatch-{self.instance}-{name}"
        self._note(ledger.Container(self.site.options.docker, whole))
        return whole

    def image(self) -> str:
        """Write down an image that will be made and return its name."""
        whole = f"hostwatch-{self.instance}:drill"
        self._note(ledger.Image(self.site.options.docker, whole))
        return whole

    def clear(self) -> list[str]:
        """Undo all of it. Returns what stayed. May be called again; blocks for some seconds at most."""
        running = self.kill_all()
        faults = undo.undo(self._entries)
        deadline = time.monotonic() + _GONE_SECONDS
        return [*faults, *(fault for child in running if (fault := _wait(child, deadline)))]

    def _note(self, entry: ledger.Entry) -> None:
        self._book.add(entry)
        self._entries.append(entry)

    def _write(self, path: Path, text: str) -> None:
        """Replace a file in one go: whoever reads it never sees half of it."""
        fresh = path.with_name(f"{path.name}.new")
        self._note(ledger.File(str(fresh)))
        try:
            fresh.write_text(text)
            fresh.chmod(0o644)
            os.replace(fresh, path)  # noqa: PTH105 -- said with the other calls of the kernel
        except OSError as err:
            raise SceneError(f"{path}: {err.strerror}") from err


def _kill_group(child: "subprocess.Popen[bytes]") -> None:
    """Kill a process that nobody has waited for, so that its number is still its own, and its group, which it leads."""
    for kill in (os.killpg, os.kill):
        with suppress(ProcessLookupError, PermissionError):
            kill(child.pid, signal.SIGKILL)


def _wait(child: "subprocess.Popen[bytes]", deadline: float) -> str:
    """Return what to do about a process that does not end, as one that the kernel does not let go; empty when it did.

    The ledger's entries do not tell: they find only what others may see of it.
    """
    try:
        child.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return f"process {child.pid} does not end; kill -9 it"
    return ""


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
