"""The stack with Docker: `docker compose up` of this repository, with all that is in docker-compose.yml."""

import json
import os
import re
import subprocess
import time
from collections.abc import Mapping
from typing import Final

from stack.failures import StackError
from stack.leash import leash
from stack.native import say
from stack.settings import HOST, ROOT
from stack.signals import Signals, StopAsked

COMPOSE: Final = ("docker", "compose", "--project-directory", str(ROOT))
# what a profile adds has to be named to be ended
_ALL: Final = (*COMPOSE, "--profile", "*")
OLDEST_COMPOSE: Final = (2, 20)
ASK_SECONDS: Final = 15.0
STOP_SECONDS: Final = 120.0
# the first time images are fetched, and one is built
UP_SECONDS: Final = 1800
HEALTHY_SECONDS: Final = 180
# somebody else may have ended it
LOOK_SECONDS: Final = 5.0

# what people look at first stands on top
_SHOWN: Final = {
    "grafana": "Grafana: dashboards; user admin, password: docker compose logs init",
    "prometheus": "Prometheus: graphs, rules, targets",
    "alertmanager": "Alertmanager: what fires, silences",
    "relay": "relay: each message as it would look in Slack",
    "exporter": "exporter: this machine's metrics",
}


class ImagesError(StackError):
    """What the containers are made of cannot be had here."""


def choose(environ: Mapping[str, str] = os.environ) -> str:
    """Return "" where the stack is to run with Docker, else why not. Asks the engine, for seconds at most.

    Raises StackError where STACK wants Docker and there is none, or is no choice at all.
    """
    wanted = environ.get("STACK") or "auto"
    if wanted not in {"auto", "native", "docker"}:
        raise StackError(f"STACK={wanted}: expected native or docker")
    if wanted == "native":
        return "STACK=native"
    why = why_not()
    if why and wanted == "docker":
        raise StackError(f"STACK=docker, but {why}")
    return why


def why_not() -> str:
    """Return "" where an engine and Compose answer, else what is missing."""
    try:
        if not _ask("docker", "version", "--format", "{{.Server.Version}}"):
            return "no Docker engine answers"
        version = _ask("docker", "compose", "version", "--short")
    except FileNotFoundError:
        return "there is no Docker"
    found = re.match(r"v?(\d+)\.(\d+)", version)
    if found is None:
        return "Docker has no Compose (its package is docker-compose-plugin)"
    if (int(found[1]), int(found[2])) < OLDEST_COMPOSE:
        return f"Compose is {version}, and 2.20 or later is needed"
    return ""


def _ask(*command: str) -> str:
    """Return what a command prints, "" where it fails or takes too long. Raises FileNotFoundError without it."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=ASK_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else ""


def run(signals: Signals) -> int:
    """Start all of it, wait until it is healthy, and run until somebody wants it to end. Returns the exit code.

    Raises ImagesError, with nothing left behind, where an image can neither be fetched nor built.
    """
    begun = time.monotonic()
    say("Starting with Docker; the first time images are fetched, and one is built")
    try:
        _create(signals)
        _do(signals, "up", "--detach", "--wait", f"--wait-timeout={HEALTHY_SECONDS}", seconds=UP_SECONDS)
        say(table(published()))
        say(f"Everything runs, after {time.monotonic() - begun:.0f} s. Ctrl-C stops it, make logs shows what it says.")
        while is_there():
            signals.pause(LOOK_SECONDS)
    except StopAsked as why:
        say(f"\nStopping: {why}.")
        return _stop(0)
    except ImagesError:
        raise
    except StackError as err:
        say(f"\n{err}\nStopping the rest.")
        return _stop(1)
    say("Stopped from elsewhere.")
    return 0


def _create(signals: Signals) -> None:
    """Fetch and build images and make the containers, and start none."""
    try:
        _do(signals, "create", "--build", seconds=UP_SECONDS)
    except StackError as err:
        _ask(*_ALL, "down")
        raise ImagesError("Its images cannot be fetched or built here, as Docker says above") from err


def _do(signals: Signals, *arguments: str, seconds: float) -> None:
    """Run Compose, what it prints shown. Raises StackError when it fails or takes too long, StopAsked."""
    # a session of its own: Ctrl-C reaches us alone
    process = subprocess.Popen(
        [*COMPOSE, *arguments],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=leash(),  # noqa: PLW1509 -- there is one thread
    )
    deadline = time.monotonic() + seconds
    try:
        while process.poll() is None:
            if time.monotonic() > deadline:
                raise StackError(f"docker compose {arguments[0]} took more than {seconds:.0f} s")
            signals.pause(0.2)
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)
    if process.returncode:
        raise StackError(f"docker compose {arguments[0]} failed (exit code {process.returncode}); see: make logs")


def published() -> dict[str, int]:
    """Return the ports on this machine by service, those of .env included. Raises StackError."""
    text = _ask(*COMPOSE, "config", "--format", "json")
    if not text:
        raise StackError("docker compose config failed")
    services = json.loads(text)["services"]
    return {name: int(one["ports"][0]["published"]) for name, one in services.items() if one.get("ports")}


def table(ports: Mapping[str, int]) -> str:
    """Return the addresses for people, a line each."""
    urls = {name: f"http://{HOST}:{ports[name]}" for name in _SHOWN if name in ports}
    width = max(map(len, urls.values()), default=0)
    return "\n".join(["", *(f"  {url:{width}}  {_SHOWN[name]}" for name, url in urls.items()), ""])


def is_there() -> bool:
    """Whether any container of the stack runs. Blocks for a moment."""
    return bool(_ask(*_ALL, "ps", "--quiet", "--status", "running"))


def down(environ: Mapping[str, str] = os.environ) -> bool:
    """Remove the containers, not the data; False where there are none. Raises StackError when that fails."""
    if choose(environ) or not _ask(*_ALL, "ps", "--all", "--quiet"):
        return False
    if subprocess.run([*_ALL, "down"], stdin=subprocess.DEVNULL, check=False).returncode:
        raise StackError("docker compose down failed")
    return True


def _stop(code: int) -> int:
    try:
        done = subprocess.run(
            [*_ALL, "stop"], stdin=subprocess.DEVNULL, check=False, timeout=STOP_SECONDS, preexec_fn=leash()
        )
    except subprocess.TimeoutExpired:
        say(f"docker compose stop took more than {STOP_SECONDS:.0f} s; what is left: make down")
        return 1
    say(
        "Stopped; its data are kept." if done.returncode == 0 else "docker compose stop failed; what is left: make down"
    )
    return code if done.returncode == 0 else 1
