"""Debian machines with systemd as their process 1, each an unprivileged container of the tests' own engine."""

import io
import json
import tarfile
import time
import uuid
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Final, Self

from tests.support.engine import Engine
from tests.support.engine_remains import EngineError

FOLDER: Final = Path(__file__).resolve().parents[2] / ".local" / "machines"
BOOT_SECONDS: Final = 30
# --privileged fails where CAP_SYS_RESOURCE is missing, so these are named: what systemd and its sandboxing take, and
# nothing to change the machine beneath (no SYS_MODULE, SYS_RAWIO, SYS_BOOT, SYS_TIME)
_CAPABILITIES: Final = (
    *("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "SETFCAP"),
    *("LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER"),
    *("SYS_CHROOT", "SYS_PTRACE", "SYS_ADMIN", "SYS_NICE", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SYSLOG"),
)
# without its control groups writable MemoryMax= and CPUQuota= do nothing; without shared mounts LoadCredential= gives
# an empty folder
_INIT: Final = """
groups=/sys/fs/cgroup
if [ ! -e $groups/cgroup.controllers ]; then groups="$groups/*"; fi
for group in $groups; do mount -o remount,bind,rw "$group"; done
mount --make-rshared /
exec /sbin/init
"""


def find(release: str) -> Path | None:
    """Return the archive of that release's root folder, None where systemd_image.sh did not make it."""
    path = FOLDER / f"{release}.tar"
    return path if path.exists() else None


class Machine:
    """A running machine of Debian 12 (bookworm) or 13 (trixie), booted and reachable, for the length of a `with` block.

    It has one internal network: this host and other machines on it reach it, and it reaches nobody else.
    """

    def __init__(
        self, engine: Engine, release: str = "bookworm", *, network: str = "", options: tuple[str, ...] = ()
    ) -> None:
        """Take the engine; the network of another machine, or none for one of its own; more options of docker run."""
        self._engine = engine
        self._release = release
        self._own_network = not network
        self.network = network
        self._options = options
        self.name = f"machine-{uuid.uuid4().hex[:8]}"
        self.address = ""

    def __enter__(self) -> Self:
        self.network = self.network or self._engine.network()
        try:
            self._run()
            self._wait_until_up()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _run(self) -> None:
        self._engine.run(
            *("run", "--detach", "--name", self.name, "--hostname", self.name, "--network", self.network),
            *(f"--cap-add={capability}" for capability in _CAPABILITIES),
            *("--cgroupns=private", "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"),
            *("--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp:exec", "--stop-signal", "SIGRTMIN+3"),
            *(*self._options, _image(self._engine, self._release), "/bin/sh", "-c", _INIT),
        )
        networks = json.loads(self._engine.run("inspect", "--format", "{{json .NetworkSettings.Networks}}", self.name))
        self.address = str(networks[self.network]["IPAddress"])

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + BOOT_SECONDS
        while (state := self._state()) not in {"running", "degraded"}:
            if time.monotonic() > deadline:
                raise EngineError(f"{self.name} is not up: {state}\n{self._engine.run('logs', self.name)}")
            time.sleep(0.05)

    def _state(self) -> str:
        try:
            # its exit code is 0 for "running" alone
            return self.exec("sh", "-c", "systemctl is-system-running || true").strip()
        except EngineError as err:
            return str(err)

    def exec(self, *command: str, stdin: bytes = b"", seconds: float = 60) -> str:
        """Return the standard output of a command in the machine, as root. Raises EngineError with what it said."""
        return self._engine.run("exec", "--interactive", self.name, *command, stdin=stdin, seconds=seconds)

    def copy(self, source: Path | str, target: str, mode: int | None = None) -> None:
        """Put a file or folder of this host, or a text, there; folders on the way are made, the owner is root."""
        place = PurePosixPath(target)

        def as_root(info: tarfile.TarInfo) -> tarfile.TarInfo:
            info.uid = info.gid = 0
            info.uname = info.gname = "root"
            info.mode = info.mode if mode is None or info.isdir() else mode
            return info

        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            if isinstance(source, str):
                data = source.encode()
                info = tarfile.TarInfo(place.name)
                info.size, info.mtime = len(data), time.time()
                tar.addfile(as_root(info), io.BytesIO(data))
            else:
                tar.add(source.resolve(), place.name, filter=as_root)
        # not docker cp: what it writes lands beneath the machine's tmpfs mounts
        unpack = 'mkdir -p "$0" && tar -x -C "$0"'
        self.exec("sh", "-c", unpack, str(place.parent), stdin=archive.getvalue())

    def reboot(self) -> None:
        """Start it anew; what is not in /run or /tmp stays."""
        self._engine.run("restart", self.name)
        self._wait_until_up()

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.remove(self.name)
        if self._own_network and self.network:
            self._engine.run("network", "rm", self.network)


def _image(engine: Engine, release: str) -> str:
    """Return the name of the machine's image, imported on first use."""
    name = f"hostwatch-test/{release}:1"
    if not engine.has_image(name):
        archive = find(release)
        if archive is None:
            raise EngineError(f"no machine of {release}: sh tests/support/systemd_image.sh .local/machines {release}")
        engine.import_image(archive, name, "ENV container=docker")
    return name
