"""The one-shot of the stack: passwords, tokens and the files that the others read, each in the owner's volume.

It runs before everything else at each `docker compose up`, and changes nothing that is there already but what follows
from settings. Only its first run prints Grafana's password. `python -m compose.init`, with settings from the
environment and volumes below /volumes.
"""

import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import yaml

SHIPPED: Final = Path("/shipped/alertmanager/alertmanager.yml")
SECRETS: Final = Path("/run/secrets")
VOLUMES: Final = Path("/volumes")
# beside the password: there once it was shown
SHOWN: Final = "secrets/grafana-password-shown"
_HEAD: Final = "# Written by the service init, at each start.\n"


class Owner(NamedTuple):
    """A user and a group by number: images have names of their own for them."""

    user: int
    group: int


ROOT: Final = Owner(0, 0)
HOSTWATCH: Final = Owner(10101, 10101)
# writes the credentials that the relay's group reads
VAULT: Final = Owner(10100, 10101)
NOBODY: Final = Owner(65534, 65534)
GRAFANA: Final = Owner(472, 0)

TARGETS: Final = {
    "node": ("localhost", "exporter:10101"),
    "relay": ("localhost", "relay:10102"),
    "prometheus": ("localhost", "prometheus:9090"),
    "alertmanager": ("localhost", "alertmanager:9093"),
}


def prepare(volumes: Path, shipped: Path, given: Path, environ: Mapping[str, str]) -> str | None:
    """Fill the volumes; return Grafana's password as long as nobody has said that it was shown.

    `given` holds what users may give: slack_token and heartbeat_url, each a file, empty where there is none.

    Raises OSError where a volume cannot be written, yaml.YAMLError and KeyError for a shipped file that is none.
    """
    password = _secret(volumes / "secrets/grafana-password")
    token = _secret(volumes / "secrets/relay-token")
    slack, heartbeat = (_given(given / name) for name in ("slack_token", "heartbeat_url"))
    _write(volumes / "grafana/password", password, GRAFANA, 0o400)
    _write(volumes / "alertmanager/relay-token", token + "\n", NOBODY, 0o400)
    _write(volumes / "alertmanager/alertmanager.yml", _alertmanager(shipped), NOBODY, 0o444)
    _write(volumes / "relay/relay-token", token + "\n", HOSTWATCH, 0o400)
    _write(volumes / "relay/heartbeat-url", heartbeat, HOSTWATCH, 0o400)
    _write(volumes / "relay/relay.yml", _relay(environ, live=bool(slack), beats=bool(heartbeat)), HOSTWATCH, 0o444)
    _write(volumes / "vault-seed/slack-token", slack, VAULT, 0o400)
    _own(volumes / "vault", VAULT, 0o700)
    _own(volumes / "approle", VAULT, 0o750)
    _own(volumes / "drills", HOSTWATCH, 0o700)
    _write_targets(volumes / "targets")
    return None if (volumes / SHOWN).exists() else password


def _secret(path: Path) -> str:
    """Return the secret that a file holds; make one of 192 bits where there is none."""
    if path.exists() and (text := path.read_text().strip()):
        return text
    text = secrets.token_urlsafe(24)
    _write(path, text + "\n", ROOT, 0o600)
    return text


def _given(path: Path) -> str:
    """Return a secret of the user's, "" where there is none."""
    return path.read_text().strip() if path.exists() else ""


def _write(path: Path, text: str, owner: Owner, mode: int) -> None:
    """Put a file in place, whole, its owner and mode right from the first moment."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        os.fchmod(file.fileno(), mode)
        os.fchown(file.fileno(), *owner)
    new.replace(path)


def _own(folder: Path, owner: Owner, mode: int) -> None:
    folder.mkdir(exist_ok=True)
    folder.chmod(mode)
    os.chown(folder, *owner)


def _alertmanager(shipped: Path) -> str:
    """Return the shipped configuration with its webhooks sent to the relay's container."""
    config = yaml.safe_load(shipped.read_text())
    for receiver in config["receivers"]:
        for webhook in receiver.get("webhook_configs", []):
            webhook["url"] = f"http://relay:10102{urlsplit(webhook['url']).path}"
            webhook["http_config"]["authorization"]["credentials_file"] = "relay-token"
    return _dump(config)


def _relay(environ: Mapping[str, str], *, live: bool, beats: bool) -> str:
    """Return the relay's settings: with Vault where there is a Slack token, else it shows what it would send."""
    config: dict[str, Any] = {
        "listen": "0.0.0.0:10102",
        "token_file": "/etc/hostwatch/relay-token",
        "database": "/var/lib/hostwatch/relay.db",
        "external_url": f"http://127.0.0.1:{environ.get('RELAY_PORT') or '10102'}/",
        "evidence": {"prometheus_url": "http://prometheus:9090"},
        "alertmanager_urls": ["http://alertmanager:9093"],
        "log": {"format": "json"},
    }
    if beats:
        config["watchdog"] = {"heartbeat_url_file": "/etc/hostwatch/heartbeat-url"}
    if live:
        config["vault"] = {
            "address": "http://vault:8200",
            "allow_http": True,  # within the stack's own network; a real Vault has TLS
            "role_id_file": "/run/approle/role-id",
            "secret_id_file": "/run/approle/secret-id",
        }
        api_url = environ.get("SLACK_API_URL") or "https://slack.com/api/"
        # the Slack of a test, on a network of this machine
        config["slack"] = {"api_url": api_url, "allow_http": api_url.startswith("http://")}
    return _dump(config)


def _write_targets(folder: Path) -> None:
    """Write whom Prometheus scrapes; those of the demo come and go with its own service."""
    for job, (instance, address) in TARGETS.items():
        (folder / job).mkdir(exist_ok=True)
        target = {"targets": [address], "labels": {"instance": instance}}
        _write(folder / job / "localhost.yml", _dump([target]), ROOT, 0o444)
        # demo and drills add targets of their own
        _own(folder / job, HOSTWATCH, 0o755)
    (folder / "node/demo.yml").unlink(missing_ok=True)


def _dump(content: Any) -> str:  # noqa: ANN401 -- YAML of any shape
    return _HEAD + yaml.safe_dump(content, sort_keys=False)


def main() -> int:
    """Prepare the volumes of this container. Returns the exit code."""
    try:
        password = prepare(VOLUMES, SHIPPED, SECRETS, os.environ)
    except (OSError, yaml.YAMLError, KeyError) as err:
        print(f"cannot prepare the stack: {err}", file=sys.stderr)
        return 1
    if password:
        print(f"Grafana's user is admin, its password {password} -- this line is not shown again.", flush=True)
        (VOLUMES / SHOWN).touch()
    print("Ready.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
