"""docker-compose.yml in an engine of the tests' own: a new clone, `docker compose` on it, and what its parts answer."""

import contextlib
import ipaddress
import json
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support import installed
from tests.support.certificates import Authority
from tests.support.engine import Engine
from tests.support.engine_remains import PATH, EngineError
from tests.support.package_index import package_index
from tests.support.stand_ins import PLUGINS, make_images

ROOT: Final = Path(__file__).resolve().parents[2]
PORTS: Final = {"exporter": 10101, "relay": 10102, "prometheus": 9090, "alertmanager": 9093, "grafana": 3000}
_VAULT_PORT: Final = 8200
IMAGE: Final = "hostwatch:local"
# what a build and a start read of a clone
_CLONE: Final = (
    *("docker-compose.yml", "Dockerfile", ".dockerignore", "pyproject.toml", "README.md", "LICENSE", "requirements"),
    *("compose", "exporter", "prometheus", "alertmanager", "grafana"),
)


def prepare(engine: Engine) -> None:
    """Give an engine Compose, images, and a root that mounts can be slaves of, as systemd makes it on any machine."""
    plugins = engine.folder / "client/cli-plugins"
    if not plugins.exists():
        plugins.parent.mkdir(parents=True, exist_ok=True)
        plugins.symlink_to(PLUGINS)
    pid = (engine.folder / "dockerd.pid").read_text().strip()
    # in the engine's own mount namespace
    subprocess.run(["nsenter", "--mount", f"--target={pid}", "mount", "--make-rshared", "/"], check=True)
    make_images(engine)


def clone(folder: Path) -> Path:
    """Copy what git has of this tree, or would have, as far as Docker needs it."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *_CLONE],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


class Project:
    """One clone with its containers, network and volumes; all of it is gone at the end of the `with` block."""

    def __init__(self, engine: Engine, folder: Path, *, more: Mapping[str, str] | None = None) -> None:
        """Take an engine that is prepared, the clone's folder, and more settings as `.env` would have them."""
        self.engine = engine
        self.folder = folder
        self.network = engine.network()
        self.name = self.network.replace("hostwatch-engine-", "")
        self.ports = {part: _free_port() for part in PORTS}
        # a network of the engine that leads nowhere else, and builds that reach the index on this machine
        override = {
            "services": {"init": {"build": {"network": "host"}}},
            "networks": {"hostwatch": {"external": True, "name": self.network}},
        }
        (folder / "override.yml").write_text(yaml.safe_dump(override))
        self.settings = {
            "DOCKER_SOCKET": str(engine.socket),
            "COMPOSE_FILE": "docker-compose.yml:override.yml",
            "COMPOSE_PROJECT_NAME": self.name.lower(),
            **{f"{part.upper()}_PORT": str(port) for part, port in self.ports.items()},
            **(more or {}),
        }

    def __enter__(self) -> "Project":
        return self

    def __exit__(self, *_: object) -> None:
        """Remove it, at once: `down` would wait for each to end by itself."""
        with contextlib.suppress(EngineError):
            label = f"label=com.docker.compose.project={self.settings['COMPOSE_PROJECT_NAME']}"
            self.engine.run("rm", "--force", *self.engine.run("ps", "--all", "--quiet", "--filter", label).split())
            self.run("--profile", "demo", "down", "--volumes", "--timeout", "1")
        self.engine.run("network", "rm", self.network)

    def run(self, *arguments: str, seconds: float = 180) -> str:
        """Return what `docker compose ARGUMENTS...` prints. Raises EngineError when it fails or takes longer."""
        done = self.call(*arguments, seconds=seconds)
        if done.returncode != 0:
            said = f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
            raise EngineError(f"compose {' '.join(arguments)} exited with {done.returncode}: {said}\n{self.state()}")
        return done.stdout + done.stderr

    def call(self, *arguments: str, seconds: float = 180) -> "subprocess.CompletedProcess[str]":
        """Return how `docker compose ARGUMENTS...` ended. Raises EngineError when it takes longer."""
        command = [str(PLUGINS / "docker-compose"), *arguments]
        environ = {**self.engine.environment, **self.settings, "PATH": PATH, "BUILDX_CONFIG": f"{self.folder}/.buildx"}
        try:
            return subprocess.run(
                command,
                cwd=self.folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                check=False,
                capture_output=True,
                text=True,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired as err:
            raise EngineError(f"compose {' '.join(arguments)} took more than {seconds} s\n{self.state()}") from err

    def state(self) -> str:
        """Return the containers and what they said last, for an error."""
        name = self.settings["COMPOSE_PROJECT_NAME"]
        rows = self.engine.run("ps", "--all", "--filter", f"name={name}", "--format", "{{.Names}}: {{.Status}}")
        bad = [row.split(":")[0] for row in rows.splitlines() if "(healthy)" not in row]
        return "\n".join([rows, *(f"{one}: {logs(self.engine, one)[-1500:]}" for one in bad)])

    def container(self, service: str) -> str:
        """Return the name of a service's container."""
        return f"{self.settings['COMPOSE_PROJECT_NAME']}-{service}-1"

    def inspect(self, service: str) -> dict[str, Any]:
        """Return what the engine knows of a service's container."""
        (row,) = json.loads(self.engine.run("inspect", self.container(service)))
        return dict(row)

    def is_healthy(self, service: str) -> bool:
        """Whether a service runs, and its health check agrees."""
        state = self.inspect(service)["State"]
        return bool(state["Running"] and state.get("Health", {"Status": "healthy"})["Status"] == "healthy")

    def url(self, service: str, path: str = "/") -> str:
        """Return the address of a page: on the container's own address, since this engine makes no firewall rules."""
        networks = self.inspect(service)["NetworkSettings"]["Networks"]
        return f"http://{networks[self.network]['IPAddress']}:{PORTS.get(service, _VAULT_PORT)}{path}"

    def get(self, service: str, path: str) -> bytes:
        """Return what a service answers. Raises OSError."""
        return fetch(self.url(service, path))

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return what Prometheus answers, [] while it does not."""
        path = "/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        try:
            rows: list[dict[str, Any]] = json.loads(self.get("prometheus", path))["data"]["result"]
        except OSError:
            return []
        return rows


def fetch(where: str | urllib.request.Request, body: bytes | None = None) -> bytes:
    """Return what an address answers, to a POST where there is a JSON body. Raises OSError."""
    request = urllib.request.Request(where) if isinstance(where, str) else where
    if body is not None:
        request.data, request.headers = body, {"Content-Type": "application/json"}
    with _OPENER.open(request, timeout=30) as answer:
        data: bytes = answer.read()
    return data


def gateway(engine: Engine, network: str) -> str:
    """Return the address that this machine has in a network."""
    configuration = json.loads(engine.run("network", "inspect", "--format", "{{json .IPAM.Config}}", network))
    # what an engine gives a bridge unless it is told otherwise
    return str(ipaddress.ip_network(configuration[0]["Subnet"])[1])


def logs(engine: Engine, container: str) -> str:
    """Return all that a container wrote, on both of its streams."""
    command = ["docker", "logs", container]
    done = subprocess.run(command, check=True, env=engine.environment, stdout=-1, stderr=-2, timeout=30)
    return done.stdout.decode(errors="replace")


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port


def build(engine: Engine, folder: Path) -> str:
    """Build the image as behind a package index of a company, with its own authority; return what was printed."""
    authority = Authority(folder / "authority")
    with package_index(installed._wheelhouse("3.13"), authority.issue("index")) as address:
        (folder / "pip.conf").write_text(f"[global]\nindex-url = {address}\n")
        project = Project(
            engine,
            clone(folder / "clone"),
            more={"PIP_CONFIG_FILE": str(folder / "pip.conf"), "BUILD_CA_FILE": str(authority.certificate)},
        )
        try:
            return project.run("--progress", "plain", "build", "init")
        finally:
            engine.run("network", "rm", project.network)
