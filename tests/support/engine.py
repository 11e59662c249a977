"""A Docker Engine of the tests' own: Debian's dockerd with its data, socket, networks and cgroups apart from any other.

It asks no registry, changes no firewall rule, and no sysctl but of its own bridges; its mounts are in a namespace too.
"""

import contextlib
import io
import ipaddress
import itertools
import json
import os
import random
import shutil
import subprocess
import tarfile
import tempfile
import time
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.support.engine_remains import PATH, PREFIX, EngineError, end, lock, remove_leftovers

TINY: Final = "hostwatch-test/tiny:1"
START_SECONDS: Final = 30
COMMAND_SECONDS: Final = 120
PROGRAMS: Final = ("dockerd", "containerd", "runc", "docker", "ip", "unshare", "setpriv")
_APPLETS: Final = ("sh", "sleep", "true", "false", "cat", "dd", "wget", "httpd", "kill", "echo", "rm", "touch", "nc")


def is_possible() -> bool:
    """Whether this machine has what an engine takes: root, docker.io and busybox-static of Debian."""
    return os.geteuid() == 0 and all(shutil.which(name, path=PATH) for name in PROGRAMS) and _busybox() is not None


@cache
def _busybox() -> Path | None:
    """Return the statically linked busybox: an image of its own has no libraries for another."""
    for path in (Path("/bin/busybox"), Path("/usr/bin/busybox")):
        if path.exists():
            with path.open("rb") as file:
                if b"/ld-linux" not in file.read(4096):
                    return path
    return None


class Engine:
    """A Docker Engine that runs from the start of the `with` block to its end.

    Nothing of it outlives the process that started it: dockerd gets SIGTERM when that ends, however it ends, and what a
    killed one left is removed by the next start.
    """

    def __enter__(self) -> Self:
        remove_leftovers()
        making = Path(tempfile.mkdtemp(prefix="hostwatch-making-"))
        (making / "lock").touch()
        self._lock = lock(making)
        # only now may another's start see it, and that it is not left over
        self.folder = making.rename(making.with_name(making.name.replace("hostwatch-making-", PREFIX)))
        self.socket = self.folder / "docker.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(EngineError):  # sooner than dockerd, which waits for each to end by itself
            self.run("rm", "--force", "--volumes", *self.run("ps", "--all", "--quiet").split())
        end(self.folder)
        if self._process:
            self._process.wait()
        if self._lock is not None:
            os.close(self._lock)

    def _start(self) -> None:
        (self.folder / "daemon.json").write_text("{}")  # not the machine's own
        with (self.folder / "dockerd.log").open("wb") as log:
            # setpriv: what stack/leash.py does, for a process that may have threads
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", "unshare", "--mount", "--propagation", "slave", *self._dockerd()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # no pull may leave the machine: nobody listens on the discard port
                env={"PATH": PATH, "HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"},
                start_new_session=True,  # Ctrl-C is for the tests, which then end it in order
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise EngineError(f"dockerd did not start:\n{self.log()}")
            time.sleep(0.05)

    def _dockerd(self) -> list[str]:
        return [
            "dockerd",
            f"--config-file={self.folder}/daemon.json",
            f"--data-root={self.folder}/data",
            f"--exec-root={self.folder}/exec",
            f"--pidfile={self.folder}/dockerd.pid",
            f"--host=unix://{self.socket}",
            f"--cgroup-parent=/{self.folder.name}",
            "--exec-opt=native.cgroupdriver=cgroupfs",
            "--bridge=none",
            "--iptables=false",
            "--ip6tables=false",
            "--ip-forward=false",
            "--ip-masq=false",
            "--userland-proxy=false",
            "--shutdown-timeout=5",
        ]

    def _answers(self) -> bool:
        try:
            self.run("version")
        except EngineError:
            return False
        return True

    def log(self) -> str:
        """Return what dockerd wrote last."""
        return (self.folder / "dockerd.log").read_text(errors="replace")[-5000:]

    @property
    def environment(self) -> dict[str, str]:
        """The environment that leads every Docker client here."""
        free = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
        ours = {"DOCKER_HOST": f"unix://{self.socket}", "DOCKER_CONFIG": str(self.folder / "client")}
        return {**free, **ours, "PATH": PATH}

    def run(self, *arguments: str, stdin: bytes = b"", seconds: float = COMMAND_SECONDS) -> str:
        """Return the standard output of `docker ARGUMENTS...`. Raises EngineError when it fails or takes longer."""
        command = ["docker", *arguments]
        try:
            done = subprocess.run(
                command, check=False, input=stdin, capture_output=True, env=self.environment, timeout=seconds
            )
        except subprocess.TimeoutExpired as err:
            raise EngineError(f"{' '.join(command)} took more than {seconds} s") from err
        if done.returncode != 0:
            said = (done.stderr + done.stdout).decode(errors="replace").strip()
            raise EngineError(f"{' '.join(command)} exited with {done.returncode}: {said}")
        return done.stdout.decode(errors="replace")

    def remove(self, container: str) -> None:
        """Remove a container with its volumes, whatever it does just now; one that is not there is no error."""
        with contextlib.suppress(EngineError):
            self.run("rm", "--force", "--volumes", container)

    def has_image(self, name: str) -> bool:
        """Whether there is such an image."""
        return bool(self.run("images", "--quiet", name).strip())

    def import_image(self, tar: Path | bytes, name: str, *changes: str) -> str:
        """Make an image of a root folder's archive, with Dockerfile instructions (`CMD [...]`); return its name."""
        options = [part for change in changes for part in ("--change", change)]
        if isinstance(tar, bytes):
            self.run("import", *options, "-", name, stdin=tar)
        else:
            self.run("import", *options, str(tar), name)
        return name

    def tiny_image(self) -> str:
        """Return the name of an image of 2 MB, busybox alone, whose containers sleep unless told otherwise."""
        if not self.has_image(TINY):
            self.import_image(_tiny_root(), TINY, 'CMD ["/bin/sh", "-c", "sleep 3600"]')
        return TINY

    def network(self) -> str:
        """Make an internal network with a bridge and an unused range of its own; return its name.

        This machine reaches its containers by their addresses, they reach each other and it, and nobody else.
        """
        name = f"{self.folder.name}-{next(self._numbers)}"
        bridge = f"hw{random.randrange(1 << 48):012x}"
        with (self.folder / "bridges").open("a") as bridges:  # before there is one
            bridges.write(f"{bridge}\n")
        option = f"com.docker.network.bridge.name={bridge}"
        self.run("network", "create", "--internal", "--subnet", str(_unused_range()), "--opt", option, name)
        # --internal works by firewall rules, which are not ours to make: what comes from this bridge goes no further
        Path(f"/proc/sys/net/ipv4/conf/{bridge}/forwarding").write_text("0")
        return name


def _tiny_root() -> bytes:
    busybox = _busybox()
    if busybox is None:
        raise EngineError("no statically linked busybox: apt-get install busybox-static")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for folder, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777)):
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, mode
            tar.addfile(info)
        tar.add(busybox, "bin/busybox")
        for applet in _APPLETS:
            info = tarfile.TarInfo(f"bin/{applet}")
            info.type, info.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(info)
    return archive.getvalue()


def _unused_range() -> ipaddress.IPv4Network:
    """Return a /24 that no route of this machine leads to."""
    routes = json.loads(_output("ip", "-json", "-4", "route", "show", "table", "all"))
    # a default route has another word there
    taken = [ipaddress.IPv4Network(route["dst"], strict=False) for route in routes if route["dst"][0].isdigit()]
    while True:
        candidate = ipaddress.IPv4Network((0x0AC80000 + (random.randrange(50 * 256) << 8), 24))  # 10.200 to 10.249
        if not any(candidate.overlaps(network) for network in taken):
            return candidate


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, env={"PATH": PATH}).stdout
