"""Names of the machine and its kernel (/proc/sys/kernel)."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Final

from exporter.collectors.sysctl import SysctlFile
from exporter.collectors.watched import WatchedFile
from exporter.exposition import Block, Family, Layout, text_of
from exporter.kernel import KernelError, KernelFiles

INFO: Final = Family(
    "node_uname_info",
    "gauge",
    "1; names of the machine and its kernel in the labels (/proc/sys/kernel, as uname(2) tells them).",
    ("domainname", "machine", "nodename", "release", "sysname", "version"),
)

_HOSTNAME_BYTES: Final = 4096


class Uname:
    """Host name, domain name, kernel and hardware name.

    `root` is where the machine's own tree is mounted: a container has a host name of its own and no way to ask for the
    machine's, so there it comes from the machine's /etc/hostname.
    """

    name: ClassVar[str] = "uname"
    families: ClassVar[tuple[Family, ...]] = (INFO,)
    blocking: ClassVar[bool] = False

    def __init__(
        self, files: KernelFiles, root: Path = Path("/"), machine: Callable[[], str] = lambda: os.uname().machine
    ) -> None:
        self._files = files
        self._machine = machine
        self._hostname = SysctlFile(files, "proc/sys/kernel/hostname")
        self._domainname = SysctlFile(files, "proc/sys/kernel/domainname")
        self._etc = WatchedFile(str(root / "etc/hostname"), _HOSTNAME_BYTES) if root != Path("/") else None
        self._kernel: tuple[str, str, str, str] | None = None
        self._names: tuple[bytes, bytes] | None = None
        self._block: Block = b""

    def collect(self) -> Block:
        """Return the one row. Raises KernelError when a file is missing or holds no line."""
        names = self._read_nodename(), self._domainname.read()
        if names != self._names:
            if self._kernel is None:
                self._kernel = self._read_kernel()
            sysname, release, version, machine = self._kernel
            nodename, domainname = [text_of(name[:-1]) for name in names]
            layout = Layout([(INFO, [(domainname, machine, nodename, release, sysname, version)])])
            self._block = layout.fill([b"1"])
            self._names = names
        return self._block

    def _read_nodename(self) -> bytes:
        if self._etc is not None:
            try:
                text = self._etc.read()
            except FileNotFoundError:
                text = b""
            # hostname(5): comments, then one line
            for line in text.split(b"\n"):
                if line.strip() and not line.startswith(b"#"):
                    return line.strip() + b"\n"
        return self._hostname.read()

    def _read_kernel(self) -> tuple[str, str, str, str]:
        """Return what does not change while a kernel runs: its name, release, version and the machine's kind."""
        try:
            machine = self._read_once("arch")  # since Linux 6.1
        except KernelError:
            machine = self._machine()
        return self._read_once("ostype"), self._read_once("osrelease"), self._read_once("version"), machine

    def _read_once(self, name: str) -> str:
        return text_of(SysctlFile(self._files, f"proc/sys/kernel/{name}").read()[:-1])
