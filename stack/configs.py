"""The files that the parts read, in the state folder: the shipped ones, with this stack's ports and token."""

import os
import secrets
import shutil
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from stack.failures import StackError
from stack.settings import Settings

TOKEN: Final = "relay-token"
_HEAD: Final = "# Written by `make up`, at each start.\n"
# shipped folders that the copy does not need, or fills itself
_LEFT_OUT: Final = shutil.ignore_patterns("tests", "targets", "__pycache__")


def write_configs(settings: Settings) -> None:
    """Write all of them. Raises StackError when the state folder cannot be written or a shipped file not be read."""
    try:
        for folder in ("logs", "data/prometheus", "data/alertmanager"):
            (settings.state / folder).mkdir(parents=True, exist_ok=True)
        _write_token(settings.state / TOKEN)
        _copy(settings, "prometheus")
        _copy(settings, "alertmanager")
        _write_targets(settings)
        _write_alertmanager(settings)
        _write_own(settings)
    except (OSError, yaml.YAMLError) as err:
        raise StackError(f"cannot write the configurations: {err}") from err


def _write_token(path: Path) -> None:
    """Make a token once; Alertmanager sends it, the relay asks for it. Mode 0600 from the first moment."""
    if path.exists() and path.stat().st_size:
        return
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_urlsafe(32) + "\n")


def _copy(settings: Settings, folder: str) -> None:
    shutil.rmtree(settings.state / folder, ignore_errors=True)
    shutil.copytree(settings.configs / folder, settings.state / folder, ignore=_LEFT_OUT)


def _write_targets(settings: Settings) -> None:
    jobs = {"node": "exporter", "relay": "relay", "prometheus": "prometheus", "alertmanager": "alertmanager"}
    for job, part in jobs.items():
        target = {"targets": [settings.address(part)], "labels": {"instance": "localhost"}}
        _dump(settings.state / "prometheus" / "targets" / job / "localhost.yml", [target])


def _write_alertmanager(settings: Settings) -> None:
    """Send the shipped webhooks to this stack's relay, with this stack's token."""
    path = settings.state / "alertmanager" / "alertmanager.yml"
    config = yaml.safe_load(path.read_text())
    webhooks = [hook for receiver in config["receivers"] for hook in receiver.get("webhook_configs", [])]
    for webhook in webhooks:
        webhook["url"] = settings.url("relay") + urlsplit(webhook["url"]).path
        webhook["http_config"]["authorization"]["credentials_file"] = str(settings.state / TOKEN)
    _dump(path, config)


def _write_own(settings: Settings) -> None:
    """Write the settings of hostwatch's two daemons."""
    log = {"format": "json"}
    _dump(settings.state / "exporter.yml", {"listen": settings.address("exporter"), "log": log})
    relay = {
        "listen": settings.address("relay"),
        "token_file": str(settings.state / TOKEN),
        "database": str(settings.state / "data" / "relay.db"),
        "external_url": settings.url("relay") + "/",
        # who did it: the exporter is asked where Prometheus says that it is
        "evidence": {"prometheus_url": settings.url("prometheus")},
        # what ended while it was muted: Alertmanager knows, and does not say
        "alertmanager_urls": [settings.url("alertmanager")],
        "log": log,
    }
    _dump(settings.state / "relay.yml", relay)


def _dump(path: Path, content: Any) -> None:  # noqa: ANN401 -- YAML of any shape
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_HEAD + yaml.safe_dump(content, sort_keys=False))
