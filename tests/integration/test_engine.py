"""The tests' own Docker Engine: apart from the machine's, and nothing of it is left whatever happens."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.engine import Engine
from tests.support.engine_remains import EngineError, remove_leftovers

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.needs("root", "docker-engine")]

# runs a container that comes back, says where, and is killed with or without its daemon
KILLED = """
import os, signal, sys
from pathlib import Path
from tests.support.engine import Engine

engine = Engine().__enter__()
engine.run("run", "--detach", "--restart=always", "--network", engine.network(), engine.tiny_image())
print(engine.folder, flush=True)
if sys.argv[1] == "both":
    os.kill(int(Path(engine.folder, "dockerd.pid").read_text()), signal.SIGKILL)
os.kill(os.getpid(), signal.SIGKILL)
"""


def traces(folder: Path) -> list[str]:
    """Return what is left of an engine: files, processes, control groups, mounts and bridges."""
    name = folder.name
    found = [str(folder)] if folder.exists() else []
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/{name}")]
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [str(process)] if name.encode() in process.read_bytes() else []
        except OSError:  # it ends
            continue
    found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if name in line]
    return found


def bridges(folder: Path) -> list[Path]:
    """Return the kernel's folders of an engine's bridges, in the order of their making."""
    return [Path("/sys/class/net", name) for name in (folder / "bridges").read_text().split()]


@pytest.mark.parametrize("killed", ["tests", "both"])
def test_next_start_removes_what_a_killed_one_left(killed: str) -> None:
    command = [sys.executable, "-c", KILLED, killed]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    folder = Path(done.stdout.strip())
    (bridge,) = bridges(folder)
    remove_leftovers()
    assert not traces(folder)
    assert not bridge.exists()


def test_end_leaves_nothing_and_a_start_leaves_others_alone(engine: Engine) -> None:
    name = engine.run("run", "--detach", engine.tiny_image()).strip()
    with Engine() as other:
        assert other.folder != engine.folder
        assert not other.run("ps", "--all", "--quiet")
        other.run("run", "--detach", "--network", other.network(), other.tiny_image())
        (bridge,) = bridges(other.folder)
        assert bridge.exists()
    assert not traces(other.folder)
    assert not bridge.exists()
    assert engine.run("inspect", "--format", "{{.State.Running}}", name).strip() == "true"
    engine.remove(name)


def address(engine: Engine, container: str) -> str:
    networks = json.loads(engine.run("inspect", "--format", "{{json .NetworkSettings.Networks}}", container))
    (settings,) = networks.values()
    return str(settings["IPAddress"])


def test_containers_reach_those_of_their_network_and_nobody_else(engine: Engine) -> None:
    networks = [engine.network() for _ in range(2)]
    first, second, foreign = (
        engine.run("run", "--detach", "--network", network, engine.tiny_image()).strip()
        for network in (networks[0], networks[0], networks[1])
    )
    ping = ("exec", first, "busybox", "ping", "-c", "1", "-W", "1")
    engine.run(*ping, address(engine, second))
    with pytest.raises(EngineError, match="100% packet loss"):
        engine.run(*ping, address(engine, foreign))
    for bridge in bridges(engine.folder)[-2:]:
        assert Path(f"/proc/sys/net/ipv4/conf/{bridge.name}/forwarding").read_text() == "0\n"
    for container in (first, second, foreign):
        engine.remove(container)


def test_image_that_is_not_there_is_an_error_at_once_not_a_pull(engine: Engine) -> None:
    with pytest.raises(EngineError, match=r"127\.0\.0\.1:9"):
        engine.run("run", "nowhere:1", seconds=10)


def test_docker_settings_of_the_user_do_not_reach_it(engine: Engine, environment_kept: None) -> None:
    os.environ["DOCKER_HOST"] = "unix:///nowhere"
    os.environ["DOCKER_CONTEXT"] = "elsewhere"
    assert engine.run("version", "--format", "{{.Server.Version}}").strip()
