"""A Vault with a secret in it, the files that open it, and a source that reads it, on clocks that stand still."""

from pathlib import Path
from typing import Any

from exporter.logs import Secret
from exporter.relay.credentials import Credentials
from exporter.relay.slack import ErrorKind, SlackError
from exporter.relay.vault import VaultApi
from exporter.relay.vault_settings import Vault
from exporter.relay.vault_source import VaultSource
from exporter.settings import Duration
from tests.support.fake_vault import FakeVault

TOKEN = "xoxb-111-first"


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class SlackAnswers:
    """What auth.test says of each token, and which tokens it was asked about."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.errors: dict[str, SlackError] = {}

    def __call__(self, token: Secret) -> object:
        self.asked.append(token.reveal())
        if error := self.errors.get(token.reveal()):
            raise error
        return None

    def refuses(self, token: str, code: str = "invalid_auth") -> None:
        self.errors[token] = SlackError(ErrorKind.TOKEN, code)

    def is_away(self, token: str, retry_after: float | None = None) -> None:
        self.errors[token] = SlackError(ErrorKind.TRANSIENT, "timeout", retry_after=retry_after)


def write_secret(path: Path, text: str) -> Path:
    """Write a file that only its owner may read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o600)
    path.write_text(text + "\n")
    return path


def vault_settings(vault: FakeVault, folder: Path, **more: Any) -> dict[str, Any]:
    """Return settings that open this Vault; writes the files with its ids."""
    return {
        "address": vault.address,
        "role_id_file": str(write_secret(folder / "role-id", vault.role.role_id)),
        "secret_id_file": str(write_secret(folder / "secret-id", vault.new_secret_id())),
        **more,
    }


class World:
    """A Vault, a Slack that judges tokens, and a source between them that looks when it is told to."""

    def __init__(self, vault: FakeVault, clock: Clock, folder: Path) -> None:
        self.vault, self.clock, self.folder = vault, clock, folder
        self.slack = SlackAnswers()
        self.changes: list[Credentials | None] = []
        self.settings = vault_settings(vault, folder)
        self.source = self.make()

    def make(self, credentials: Path | None = None, **more: Any) -> VaultSource:
        durations = {name: Duration(value) for name, value in more.items() if isinstance(value, int | float)}
        settings = Vault(**{**self.settings, **more, **durations})
        self.source = VaultSource(
            settings,
            self.slack,
            VaultApi(settings),
            credentials=credentials,
            clock=self.clock,
            monotonic=self.clock,
            dice=lambda low, high: (low + high) / 2,
        )
        self.source.on_change = lambda: self.changes.append(self.source.current())
        return self.source

    def look(self, after: float = 0.0) -> float:
        """Let so many seconds pass, then look; returns the seconds until the next look."""
        self.clock.now += after
        return self.source.look()

    @property
    def token(self) -> str | None:
        current = self.source.current()
        return current.token.reveal() if current else None

    @property
    def channels(self) -> dict[str, str]:
        current = self.source.current()
        return dict(current.channels) if current else {}
