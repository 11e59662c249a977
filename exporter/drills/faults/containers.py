"""Faults of containers: failed, ended, gone, restarting, out of memory, unhealthy; the image is one program."""

import io
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from exporter.clients.docker import EngineError
from exporter.drills import engine_api
from exporter.drills.fault import Expected, Fault
from exporter.drills.scene import Scene, SceneError
from exporter.drills.site import Site

_BUSYBOX: Final = ("/bin/busybox", "/usr/bin/busybox")
_SECOND: Final = 1_000_000_000


def static_busybox() -> Path | None:
    """Return a program that runs in an image without libraries; None where there is none."""
    for path in (*_BUSYBOX, shutil.which("busybox") or ""):
        if path and Path(path).exists():
            with open(path, "rb") as file:
                if b"/ld-" not in file.read(4096):
                    return Path(path)
    return None


class _Containers(Fault):
    """A container of the drill's own, and an exporter that asks the engine."""

    cap: ClassVar[str] = "one container of 2 MB without a network, 32 MB of memory"
    lag: ClassVar[float] = 3.0
    expected_to_run: ClassVar[bool] = False
    """Whether a textfile says that it has to run."""
    command: ClassVar[str] = "while [ ! -e /fault ]; do sleep 0.2; done; exit 3"
    more: ClassVar[Mapping[str, Any]] = {}
    """What else the engine is told of it."""

    def missing(self, site: Site) -> list[str]:
        """Return what this machine lacks for it."""
        out = [lack] if (lack := engine_api.lack(site.options.docker)) else []
        if static_busybox() is None:
            out.append("a busybox that needs no libraries is missing: apt-get install busybox-static")
        return out

    def labels(self, scene: Scene) -> Mapping[str, str]:
        """Return the labels of the container."""
        return {"instance": scene.instance, "name": scene.facts["container"]}

    def stage(self, scene: Scene) -> None:
        """Make the container and have all containers watched, but for the others' alerts."""
        scene.facts["image"] = self._image(scene)
        scene.facts["container"] = name = scene.container("victim")
        if self.expected_to_run:
            scene.rows(f'host_container_expected_info{{name="{name}"}} 1')
        else:
            scene.rows()
        self.make(scene)
        scene.watch({"collectors": {"containers": {"socket": scene.site.options.docker}, "vmstat": {}}})

    def make(self, scene: Scene) -> None:
        """Make and start the container."""
        name = scene.facts["container"]
        host = {"Memory": 32 * 1024 * 1024, "NetworkMode": "none", **self.more.get("HostConfig", {})}
        asked = {"Image": scene.facts["image"], "Cmd": ["/bin/sh", "-c", self.command], "StopTimeout": 1}
        body = {**asked, **self.more, "HostConfig": host, "Labels": {"hostwatch.drill": scene.name}}
        self.ask(scene, "POST", f"/containers/create?name={name}", body)
        self.ask(scene, "POST", f"/containers/{name}/start")

    def ask(self, scene: Scene, method: str, target: str, body: object = None) -> Any:  # noqa: ANN401 -- JSON
        """Return the engine's answer. Raises SceneError."""
        try:
            return engine_api.call(scene.site.options.docker, method, target, body)
        except EngineError as err:
            raise SceneError(str(err)) from err

    def ready(self, scene: Scene) -> str:
        """Ask for the container, running."""
        return self._state(scene, "running")

    def inject(self, scene: Scene, strength: float) -> None:  # noqa: ARG002 -- it is so or not
        """Let its program fail."""
        self.put(scene, "fault")

    def recover(self, scene: Scene) -> None:
        """Make it anew."""
        self.ask(scene, "DELETE", f"/containers/{scene.facts['container']}?force=1")
        self.make(scene)

    def put(self, scene: Scene, name: str) -> None:
        """Put an empty file into the container's root: what its program waits for."""
        self.ask(scene, "PUT", f"/containers/{scene.facts['container']}/archive?path=/", _tar({name: b""}))

    def _state(self, scene: Scene, state: str) -> str:
        own = f'instance="{scene.instance}",name="{scene.facts["container"]}",state="{state}"'
        return f"host_container_state{{{own}}} == 1"

    def _image(self, scene: Scene) -> str:
        busybox = static_busybox()
        if busybox is None:
            raise SceneError("a busybox that needs no libraries is missing: apt-get install busybox-static")
        name = scene.image()
        files = {f"bin/{applet}": busybox.read_bytes() for applet in ("sh",)}
        layer = _tar(files, links={f"bin/{applet}": "sh" for applet in ("sleep", "tail", "true", "false")})
        repository, _, tag = name.partition(":")
        self.ask(scene, "POST", f"/images/create?fromSrc=-&repo={repository}&tag={tag}", layer)
        return name


class ContainerFailed(_Containers):
    """Its program fails."""

    name: ClassVar[str] = "container-failed"
    summary: ClassVar[str] = "The program of a container of the drill's own ends with exit code 3."
    alerts: ClassVar[tuple[str, ...]] = ("ContainerFailed",)

    def crossed(self, scene: Scene) -> str:
        """Ask for an exited container."""
        return self._state(scene, "exited")


class ContainerExited(ContainerFailed):
    """Its program ends, though it should not."""

    name: ClassVar[str] = "container-exited"
    summary: ClassVar[str] = (
        "The program of a container of the drill's own that is expected to run ends, without an error."
    )
    alerts: ClassVar[tuple[str, ...]] = ("ContainerExited",)
    command: ClassVar[str] = "while [ ! -e /fault ]; do sleep 0.2; done"
    expected_to_run: ClassVar[bool] = True


class ContainerGone(_Containers):
    """It is not there any more."""

    name: ClassVar[str] = "container-gone"
    summary: ClassVar[str] = "A container of the drill's own that is expected to run is removed."
    alerts: ClassVar[tuple[str, ...]] = ("ContainerGone",)
    expected_to_run: ClassVar[bool] = True

    def inject(self, scene: Scene, strength: float) -> None:  # noqa: ARG002 -- it is so or not
        """Remove it."""
        self.ask(scene, "DELETE", f"/containers/{scene.facts['container']}?force=1")

    def crossed(self, scene: Scene) -> str:
        """Ask for nothing of it in the last scrape."""
        own = f'instance="{scene.instance}"'
        name = f'{own},name="{scene.facts["container"]}"'
        return f"up{{{own}}} == 1 unless on (instance) host_container_state{{{name}}}"

    def recover(self, scene: Scene) -> None:
        """Make it anew."""
        self.make(scene)


class ContainerRestarting(_Containers):
    """It fails again and again."""

    name: ClassVar[str] = "container-restarting"
    summary: ClassVar[str] = (
        "The program of a container of the drill's own fails at each start; the engine restarts it."
    )
    alerts: ClassVar[tuple[str, ...]] = ("ContainerRestarting",)
    # 0.1 s, then twice as long each time: five restarts
    lag: ClassVar[float] = 15.0
    more: ClassVar[Mapping[str, Any]] = {
        "HostConfig": {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 8}}
    }

    def crossed(self, scene: Scene) -> str:
        """Ask for more than three restarts."""
        own = f'instance="{scene.instance}",name="{scene.facts["container"]}"'
        return f"host_container_restarts_total{{{own}}} > 3"


class ContainerOom(_Containers):
    """It wants more memory than it may have."""

    name: ClassVar[str] = "container-oom"
    summary: ClassVar[str] = (
        "The program of a container of the drill's own takes more than its 32 MB: the kernel kills it."
    )
    alerts: ClassVar[tuple[str, ...]] = ("ContainerOomKilled", "HostOomKill")
    whole_host: ClassVar[bool] = True
    command: ClassVar[str] = "while [ ! -e /fault ]; do sleep 0.2; done; tail /dev/zero"

    def expected(self, scene: Scene) -> tuple[Expected, ...]:
        """Return the container's alert, and the host's."""
        return (
            Expected("ContainerOomKilled", self.labels(scene)),
            Expected("HostOomKill", {"instance": scene.instance}),
        )

    def crossed(self, scene: Scene) -> str:
        """Ask for the kernel's word."""
        return f'host_container_oom_killed{{instance="{scene.instance}",name="{scene.facts["container"]}"}} == 1'


class ContainerUnhealthy(_Containers):
    """It runs, and its check fails."""

    name: ClassVar[str] = "container-unhealthy"
    summary: ClassVar[str] = "The health check of a container of the drill's own fails."
    alerts: ClassVar[tuple[str, ...]] = ("ContainerUnhealthy",)
    lag: ClassVar[float] = 6.0
    command: ClassVar[str] = "sleep 3600"
    more: ClassVar[Mapping[str, Any]] = {
        "Healthcheck": {
            "Test": ["CMD", "/bin/sh", "-c", "[ ! -e /fault ]"],
            "Interval": _SECOND,
            "Timeout": _SECOND * 5,
            "Retries": 2,
        }
    }

    def crossed(self, scene: Scene) -> str:
        """Ask for the engine's word."""
        own = f'instance="{scene.instance}",name="{scene.facts["container"]}",status="unhealthy"'
        return f"host_container_health{{{own}}} == 1"


def _tar(files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            row = tarfile.TarInfo(name)
            row.size, row.mode = len(content), 0o755
            archive.addfile(row, io.BytesIO(content))
        for name, target in (links or {}).items():
            row = tarfile.TarInfo(name)
            row.type, row.linkname = tarfile.SYMTYPE, target
            archive.addfile(row)
    return out.getvalue()
