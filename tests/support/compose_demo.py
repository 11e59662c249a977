"""The stack's demo with all its times divided, a Slack that its relay posts to, and somebody outside who listens."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import yaml

from tests.support.compose import ROOT, Project, clone, gateway
from tests.support.engine import Engine
from tests.support.fake_slack import TOKEN, FakeSlack
from tests.support.outside import Outside
from tests.support.scaling import scale_tree

# a scrape a second; group_wait of a critical alert is a third of one
FACTOR: Final = 15


class Demo(Project):
    """A project with the Slack that its relay posts to, and the one outside who waits for its heartbeats."""

    slack: FakeSlack
    outside: Outside


@contextlib.contextmanager
def demo(engine: Engine, folder: Path) -> Iterator[Demo]:
    """Run the demo from a clone in a folder, with a Slack token and a heartbeat; times are divided by FACTOR."""
    clone(folder)
    for part in ("prometheus", "alertmanager"):
        shutil.rmtree(folder / part)
    scale_tree(ROOT, folder, FACTOR)
    more = {
        "SLACK_CHANNEL": "#ops",
        "HEALTH_INTERVAL": "1s",
        "HEALTH_INTERVAL_EARLY": "1s",
        "COMPOSE_PROFILES": "demo",
        "ALERTMANAGER_MAINTENANCE": "1s",
    }
    with Demo(engine, folder, more=more) as project:
        project.settings["COMPOSE_FILE"] += f":{scale_services(folder)}"
        host = gateway(engine, project.network)
        with FakeSlack(("#ops",), host=host) as project.slack, Outside(host) as project.outside:
            project.settings["SLACK_API_URL"] = project.slack.url
            for name, secret in (("SLACK_TOKEN", TOKEN), ("HEARTBEAT_URL", project.outside.url)):
                file = folder / name.lower()
                file.touch(0o600)
                file.write_text(secret)
                os.chown(file, 1000, 1000)  # a user's own file, which nobody else may read
                project.settings[f"{name}_FILE"] = str(file)
            project.run("up", "--detach", "--wait", "--wait-timeout", "120")
            yield project


def scale_services(folder: Path) -> str:
    """Write an override with the times that no file under prometheus/ and alertmanager/ holds; return its name."""
    shipped = yaml.safe_load((folder / "docker-compose.yml").read_text())["services"]
    # the settings' defaults are 5m and 1m; Prometheus' own is 1m
    beats = r"/^watchdog:/a\  silent_after: 20s\n  heartbeat_interval: 1s"
    relay = f"sed '{beats}' /etc/hostwatch/relay.yml >/tmp/relay.yml; exec hostwatch relay --config /tmp/relay.yml"
    services = {
        "prometheus": {"command": [*shipped["prometheus"]["command"], "--rules.alert.resend-delay=4s"]},
        "relay": {"entrypoint": ["sh", "-c", relay], "command": []},
    }
    (folder / "times.yml").write_text(yaml.safe_dump({"services": services}))
    return "times.yml"
