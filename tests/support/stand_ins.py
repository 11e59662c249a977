"""Images under the names of docker-compose.yml, where no registry is: Debian's programs, and small stand-ins.

Prometheus and Alertmanager are Debian 13's, with the paths, user and entry point of the project's own images. Python is
Debian 13's. Grafana and Vault are stand-ins with their ports, health pages and what they must find.
"""

import io
import tarfile
from pathlib import Path
from typing import Final

from tests.support import debian13
from tests.support.engine import Engine, _busybox
from tests.support.engine_remains import EngineError
from tests.support.systemd_machine import FOLDER

ROOT: Final = Path(__file__).resolve().parents[2]
PLUGINS: Final = debian13.FOLDER / "usr/libexec/docker/cli-plugins"
PYTHON: Final = "python:3.13-slim"
PROMETHEUS: Final = "prom/prometheus:v3.5.0"
ALERTMANAGER: Final = "prom/alertmanager:v0.28.1"
GRAFANA: Final = "grafana/grafana:12.3.1"
VAULT: Final = "hashicorp/vault:1.20.0"
_APPLETS: Final = ("sh", "wget", "cat", "kill")
# what the stand-ins of Grafana and Vault are made of
_PYTHON_PARTS: Final = ("grafana_stand_in.py", "dev_vault.py", "fake_vault.py", "web_server.py")
_VAULT: Final = '#!/bin/sh\nPYTHONPATH=/opt exec python3 -m tests.support.dev_vault "$@"\n'


def find_python() -> Path | None:
    """Return the archive that python_image.sh makes, None where it did not."""
    path = FOLDER / "python.tar"
    return path if path.exists() else None


def are_possible() -> bool:
    """Whether Compose, buildx, Prometheus and Alertmanager of Debian 13 and the image of Python are there."""
    programs = (debian13.find(name) for name in ("prometheus", "prometheus-alertmanager"))
    plugins = (PLUGINS / name for name in ("docker-compose", "docker-buildx"))
    return find_python() is not None and all(programs) and all(plugin.exists() for plugin in plugins)


def make_images(engine: Engine) -> None:
    """Put all of them into an engine, those that are not there. Takes some ten seconds once."""
    if not engine.has_image(PYTHON):
        python = find_python()
        if python is None:
            raise EngineError("no image of Python: sh tests/support/python_image.sh .local/machines")
        path = "ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8"
        engine.import_image(python, PYTHON, path, 'CMD ["python3"]')
    for name, program, installed in (
        (PROMETHEUS, "prometheus", "prometheus"),
        (ALERTMANAGER, "prometheus-alertmanager", "alertmanager"),
    ):
        if not engine.has_image(name):
            _import_program(engine, name, program, installed)
    for name, changes in ((GRAFANA, ("USER 472", "WORKDIR /opt")), (VAULT, ("WORKDIR /",))):
        if not engine.has_image(name):
            _import_python(engine, name, changes)


def _import_program(engine: Engine, name: str, program: str, installed: str) -> None:
    binary = debian13.find(program)
    if binary is None:
        raise EngineError(f"no {program} of Debian 13: make test-packages")
    root = _Root()
    root.folder("tmp", mode=0o1777)
    # both images are built so that a new volume there belongs to nobody
    root.folder(installed, owner=65534)
    root.add(binary, f"bin/{installed}")
    _add_busybox(root)
    for library in ("/lib64/ld-linux-x86-64.so.2", *(f"/lib/x86_64-linux-gnu/{so}" for so in _LIBRARIES)):
        root.add(Path(library).resolve(), library.removeprefix("/"))
    # Debian's builds read pages and default templates from here: without it Alertmanager does not start
    root.add(debian13.FOLDER / "usr/share/prometheus", "usr/share/prometheus")
    root.text("etc/passwd", "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
    root.text("etc/group", "root:x:0:\nnobody:x:65534:\n")
    changes = ("USER nobody", f'ENTRYPOINT ["/bin/{installed}"]', f"WORKDIR /{installed}")
    engine.import_image(root.archive(), name, *changes)


_LIBRARIES: Final = ("libc.so.6", "libresolv.so.2", "libpthread.so.0")


def _import_python(engine: Engine, name: str, changes: tuple[str, ...]) -> None:
    """Make an image of the one of Python and files of ours, by a container that never runs."""
    root = _Root()
    for part in _PYTHON_PARTS:
        root.add(ROOT / "tests/support" / part, f"opt/tests/support/{part}")
    root.folder("var/lib/grafana", owner=472)
    root.text("usr/local/bin/vault", _VAULT, mode=0o755)
    if (busybox := _busybox()) is not None:
        root.add(busybox, "usr/local/bin/wget")
    entry = ("ENV PYTHONUNBUFFERED=1", 'ENTRYPOINT ["python3", "-m", "tests.support.grafana_stand_in"]')
    container = engine.run("create", PYTHON, "true").strip()
    engine.run("cp", "-", f"{container}:/", stdin=root.archive())
    options = [part for change in (*changes, *entry) for part in ("--change", change)]
    engine.run("commit", *options, container, name)
    engine.remove(container)


def _add_busybox(root: "_Root") -> None:
    busybox = _busybox()
    if busybox is None:
        raise EngineError("no statically linked busybox: apt-get install busybox-static")
    root.add(busybox, "bin/busybox")
    for applet in _APPLETS:
        root.link(f"bin/{applet}", "busybox")


class _Root:
    """A root folder as a tar archive; all of it belongs to root but what says otherwise."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._buffer, mode="w")  # noqa: SIM115 -- archive() closes it

    def folder(self, name: str, mode: int = 0o755, owner: int = 0) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.uid, info.gid = tarfile.DIRTYPE, mode, owner, owner
        self._tar.addfile(info)

    def link(self, name: str, target: str) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = tarfile.SYMTYPE, target
        self._tar.addfile(info)

    def text(self, name: str, text: str, mode: int = 0o644) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(text.encode()), mode
        self._tar.addfile(info, io.BytesIO(text.encode()))

    def add(self, path: Path, name: str) -> None:
        self._tar.add(path, name, filter=_as_root)

    def archive(self) -> bytes:
        self._tar.close()
        return self._buffer.getvalue()


def _as_root(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    return info
