"""What can be seen of a stack of docker-compose.yml that runs: jobs, messages, secrets, how busy the machine is."""

import json
import re
import time
from typing import Any, Final

from tests.support.compose import Project, logs
from tests.support.engine import Engine

PARTS: Final = ("exporter", "relay", "prometheus", "alertmanager", "grafana", "vault", "vault-seed", "docker-proxy")
JOBS: Final = frozenset({"node", "relay", "prometheus", "alertmanager"})
# how long anything may take that is no measurement
LONG: Final = 180.0


def jobs_up(project: Project) -> dict[tuple[str, str], str]:
    return {(row["metric"]["job"], row["metric"]["instance"]): row["value"][1] for row in project.query("up")}


def messages(project: Project) -> list[dict[str, Any]]:
    """Return what the relay's page shows; none while it does not answer."""
    try:
        found: list[dict[str, Any]] = json.loads(project.get("relay", "/api/v1/messages"))["messages"]
    except OSError:
        return []
    return found


def has_message(project: Project, alert: str, text: str, *, state: str = "firing") -> bool:
    return any(
        alert in one["alert_names"] and text in json.dumps(one) and one["status"] == state for one in messages(project)
    )


# what one small container takes on two quiet cores, from `docker run` to its end
QUIET_SECONDS: Final = 0.5


def slowness(engine: Engine) -> float:
    """Return how many times slower than a quiet machine this one starts a container now; 1 at least."""
    began = time.monotonic()
    for _ in range(3):
        engine.run("run", "--rm", "--network=none", engine.tiny_image(), "true")
    return max(1.0, (time.monotonic() - began) / 3 / QUIET_SECONDS)


def shown_password(project: Project) -> str:
    (password,) = re.findall(r"password (\S+) --", logs(project.engine, project.container("init")))
    return str(password)


def read(project: Project, service: str, path: str) -> str:
    return project.engine.run("exec", project.container(service), "cat", path)


def project_status(project: Project) -> bytes:
    return project.get("relay", "/api/v1/status")
