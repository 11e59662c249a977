"""Seeds the stack's Vault, and again whenever it is empty: in dev mode it forgets everything when it restarts.

A policy, an AppRole, the secret with channel and Slack token, and the relay's two credentials in a volume that it
shares with the relay. `python -m compose.vault_seed`; what it waits for is in its log, once.
"""

import http.client
import json
import os
import signal
import threading
from pathlib import Path
from typing import Any, Final, NamedTuple

from exporter.logs import Log, setup

POLICY: Final = """
path "secret/data/hostwatch/slack"     { capabilities = ["read"] }
path "secret/metadata/hostwatch/slack" { capabilities = ["read"] }
"""
ROLE: Final = "auth/approle/role/hostwatch"
SECRET: Final = "secret/data/hostwatch/slack"  # noqa: S105 -- a path
EVERY_SECONDS: Final = 2.0
TIMEOUT_SECONDS: Final = 5.0
MAX_BYTES: Final = 1024 * 1024
_log = Log("compose.vault_seed")


class SeedError(Exception):
    """Vault cannot be seeded now; the text says why, without anything that it was sent."""


class Place(NamedTuple):
    """Where things are; the defaults are those of docker-compose.yml."""

    host: str = "vault"
    port: int = 8200
    # Vault's own command keeps the root token of a dev server there
    root_token: Path = Path("/run/vault/.vault-token")
    slack_token: Path = Path("/run/vault-seed/slack-token")
    approle: Path = Path("/run/approle")
    # there as long as all is well: the health check looks at it
    mark: Path = Path("/tmp/seeded")  # noqa: S108 -- a file system of this container alone


class Seeder:
    """Looks at Vault, and puts there what is missing."""

    def __init__(self, place: Place, channel: str) -> None:
        """Take where everything is and the channel for messages."""
        self._place = place
        self._channel = channel
        self._has_checked_token = False

    def look(self) -> bool:
        """Seed what is missing; return whether anything was. Blocks for some requests. Raises SeedError."""
        role_id = self._ask("GET", f"{ROLE}/role-id")
        known = _read(self._place.approle / "role-id")
        if role_id is not None and role_id["data"]["role_id"] == known and _read(self._place.approle / "secret-id"):
            return self._write_secret()
        if role_id is None:
            self._make_role()
        self._write_secret()
        self._write_credentials()
        return True

    def _make_role(self) -> None:
        if "approle/" not in (self._ask("GET", "sys/auth") or {}).get("data", {}):
            self._ask("POST", "sys/auth/approle", {"type": "approle"})
        self._ask("POST", "sys/policies/acl/hostwatch", {"policy": POLICY})
        times = {"token_ttl": "20m", "token_max_ttl": "24h"}
        self._ask("POST", ROLE, {"token_policies": "hostwatch", **times})

    def _write_secret(self) -> bool:
        """Write channel and token unless a version is there; a token of ours that is another one wins, once."""
        found = self._ask("GET", SECRET)
        token = _read(self._place.slack_token)
        if found is not None:
            data = found["data"]["data"] or {}
            if self._has_checked_token or not token or data.get("bot_token") == token:
                self._has_checked_token = True
                return False
        else:
            data = {"channel": self._channel}
        if token:
            data["bot_token"] = token
        self._ask("POST", SECRET, {"data": data})
        self._has_checked_token = True
        return True

    def _write_credentials(self) -> None:
        role = self._ask("GET", f"{ROLE}/role-id")
        secret = self._ask("POST", f"{ROLE}/secret-id", {})
        if role is None or secret is None:
            raise SeedError("the role went away while it was seeded")
        # the secret-id first: the relay tries again at once when either file changes
        _write(self._place.approle / "secret-id", secret["data"]["secret_id"])
        _write(self._place.approle / "role-id", role["data"]["role_id"])

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """Return Vault's answer, None for 404, {} for an empty one. Raises SeedError."""
        token = _read(self._place.root_token)
        if not token:
            raise SeedError("Vault has not started yet: there is no root token")
        connection = http.client.HTTPConnection(self._place.host, self._place.port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, f"/v1/{path}", json.dumps(body) if body is not None else None, _headers(token))
            answer = connection.getresponse()
            data = answer.read(MAX_BYTES)
        except (OSError, http.client.HTTPException) as err:
            raise SeedError(f"Vault cannot be reached: {err}") from err
        finally:
            connection.close()
        if answer.status == 404:
            return None
        if answer.status not in {200, 204}:
            raise SeedError(f"Vault answers {method} {path} with HTTP {answer.status}")
        return _decode(data, path)


def _headers(token: str) -> dict[str, str]:
    return {"X-Vault-Token": token, "Content-Type": "application/json"}


def _decode(data: bytes, path: str) -> dict[str, Any]:
    try:
        decoded = json.loads(data or b"{}")
    except ValueError as err:
        raise SeedError(f"Vault's answer to {path} is no JSON") from err
    if not isinstance(decoded, dict):
        raise SeedError(f"Vault's answer to {path} is no JSON object")
    return decoded


def _read(path: Path) -> str:
    """Return a file's text, "" where there is none."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""


def _write(path: Path, text: str) -> None:
    """Put a file in place, whole, readable by its group: the relay's."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o440), "w") as file:
        file.write(text)
    new.replace(path)


def run(seeder: Seeder, mark: Path, ended: threading.Event, every: float = EVERY_SECONDS) -> None:
    """Look every so many seconds until the end; the log has a line when something changes."""
    mark.unlink(missing_ok=True)
    trouble = ""
    while not ended.is_set():
        try:
            if seeder.look():
                _log.info("Vault seeded")
            mark.touch()
            trouble = ""
        except (SeedError, OSError, KeyError, TypeError) as err:
            mark.unlink(missing_ok=True)
            if str(err) != trouble:
                _log.info("Vault cannot be seeded yet", reason=str(err))
            trouble = str(err)
        ended.wait(every)


if __name__ == "__main__":
    setup()
    _ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: _ended.set())
    signal.signal(signal.SIGINT, lambda *_: _ended.set())
    run(Seeder(Place(), os.environ.get("SLACK_CHANNEL") or "#alerts"), Place().mark, _ended)
