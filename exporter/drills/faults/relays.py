"""Faults of the relay: Slack down, Vault sealed, webhooks that nobody can read; of a relay of the drill's own."""

import http.client
import json
import sys
from importlib.util import find_spec
from typing import Any, ClassVar

from exporter.drills.fault import Fault
from exporter.drills.scene import Scene, SceneError, free_port
from exporter.drills.site import Site


class _Relay(Fault):
    """A relay of the drill's own, with a Slack and a Vault of the drill's own; nothing of it reaches the real ones."""

    job: ClassVar[str] = "relay"
    cap: ClassVar[str] = "a relay of the drill's own, and servers that stand for Slack and Vault"
    lag: ClassVar[float] = 10.0
    may_end: ClassVar[frozenset[str]] = frozenset({"relay"})

    def missing(self, site: Site) -> list[str]:  # noqa: ARG002 -- the same everywhere
        """Return what this machine lacks for it."""
        gone = [name for name in ("starlette", "uvicorn", "slack_sdk", "hvac") if find_spec(name) is None]
        return [f"the relay needs {', '.join(gone)}: pip install 'hostwatch[relay]'"] if gone else []

    def stage(self, scene: Scene) -> None:
        """Start it and have it scraped, with a threshold that is reached soon."""
        folder = scene.folder
        scene.facts["port"], scene.facts["slack"] = free_port(), free_port()
        (folder / "token").touch(0o600)
        (folder / "token").write_text(f"drill-{scene.token}\n")
        (folder / "slack-token").touch(0o600)
        (folder / "slack-token").write_text("drill\n")
        settings = {
            "listen": scene.site.options.at(scene.facts["port"]),
            "token_file": str(folder / "token"),
            "database": str(folder / "relay.db"),
            **self.source(scene),
        }
        (folder / "relay.yml").write_text(json.dumps(settings))
        self.start_relay(scene)
        scene.register("relay", scene.facts["port"])

    def start_relay(self, scene: Scene) -> None:
        """Start the relay."""
        folder = scene.folder
        scene.start("relay", [sys.executable, "-m", "exporter", "relay", "--config", str(folder / "relay.yml")])

    def source(self, scene: Scene) -> dict[str, Any]:
        """Return where its token comes from."""
        api = f"http://127.0.0.1:{scene.facts['slack']}/api/"
        return {
            "slack": {
                "token_file": str(scene.folder / "slack-token"),
                "channel": "#drill",
                "api_url": api,
                "retry_after": "1s",
            }
        }

    def post(self, scene: Scene, body: bytes) -> None:
        """Send a webhook to it. Raises SceneError when nobody answers."""
        connection = http.client.HTTPConnection(scene.site.options.address, scene.facts["port"], timeout=10)
        try:
            token = (scene.folder / "token").read_text().strip()
            connection.request("POST", "/alertmanager", body, {"Authorization": f"Bearer {token}"})
            connection.getresponse().read()
        except OSError as err:
            raise SceneError(f"the drill's own relay: {err}") from err
        finally:
            connection.close()


class SlackDown(_Relay):
    """Slack takes nothing."""

    name: ClassVar[str] = "slack-down"
    summary: ClassVar[str] = "What stands for Slack answers each call of a relay of the drill's own with 500."
    alerts: ClassVar[tuple[str, ...]] = ("RelaySlackFailing",)

    def stage(self, scene: Scene) -> None:
        """Start a Slack that works."""
        (scene.folder / "works").write_text("1")
        super().stage(scene)
        scene.victim("slack", "slack", str(scene.facts["slack"]), str(scene.folder / "works"))

    def inject(self, scene: Scene, strength: float) -> None:  # noqa: ARG002 -- it is so or not
        """Let Slack fail, and give the relay something to tell."""
        (scene.folder / "works").write_text("0")
        alert = {"status": "firing", "labels": {"alertname": "Drill"}, "startsAt": "2026-01-01T00:00:00Z"}
        body = {"version": "4", "groupKey": "drill", "receiver": "relay", "status": "firing", "alerts": [alert]}
        self.post(scene, json.dumps(body).encode())

    def crossed(self, scene: Scene) -> str:
        """Ask since when it fails."""
        return f'relay_slack_failing_since_timestamp_seconds{{instance="{scene.instance}"}}'

    def recover(self, scene: Scene) -> None:
        """Let Slack work."""
        (scene.folder / "works").write_text("1")


class QueueOld(SlackDown):
    """What should be in Slack waits."""

    name: ClassVar[str] = "queue-old"
    summary: ClassVar[str] = "A relay of the drill's own cannot get rid of a message for more than five seconds."
    alerts: ClassVar[tuple[str, ...]] = ("RelayQueueOld",)

    def stage(self, scene: Scene) -> None:
        """Lower the threshold of the queue's age: with the usual one Slack's alert would come first."""
        scene.rows(f'host_threshold_override{{threshold="relay_queue_age_seconds",instance="{scene.instance}"}} 5')
        scene.register("node", scene.exporter(), f"{scene.instance}-exporter")
        super().stage(scene)

    def ready(self, scene: Scene) -> str:
        """Ask for the relay, with its threshold."""
        own = f'instance="{scene.instance}"'
        return f"up{{{own}}} == 1 and on (instance) host:threshold:relay_queue_age_seconds{{{own}}} == 5"

    def crossed(self, scene: Scene) -> str:
        """Ask for the queue's age."""
        return f'time() - relay_queue_oldest_timestamp_seconds{{instance="{scene.instance}"}} > 5'


class VaultSealed(_Relay):
    """Vault gives nothing away."""

    name: ClassVar[str] = "vault-sealed"
    summary: ClassVar[str] = "What stands for Vault says to a relay of the drill's own that it is sealed."
    alerts: ClassVar[tuple[str, ...]] = ("RelayVaultFailing",)

    def source(self, scene: Scene) -> dict[str, Any]:
        """Return the Vault of the drill's own, which works so far."""
        port = free_port()
        for name in ("role", "secret"):
            (scene.folder / name).touch(0o400)
            (scene.folder / name).chmod(0o600)
            (scene.folder / name).write_text(f"drill-{name}\n")
            (scene.folder / name).chmod(0o400)
        (scene.folder / "works").write_text("1")
        scene.victim("vault", "vault", str(port), str(scene.folder / "works"))
        # the relay shows each new token to Slack
        (scene.folder / "slack-works").write_text("1")
        scene.victim("slack", "slack", str(scene.facts["slack"]), str(scene.folder / "slack-works"))
        vault = {
            "address": f"http://127.0.0.1:{port}",
            "role_id_file": str(scene.folder / "role"),
            "secret_id_file": str(scene.folder / "secret"),
            "poll_interval": "1s",
            "retry_after": "1s",
        }
        return {"vault": vault, "slack": {"api_url": f"http://127.0.0.1:{scene.facts['slack']}/api/"}}

    def ready(self, scene: Scene) -> str:
        """Ask for a token that is there."""
        return f'relay_token_source_ok{{instance="{scene.instance}"}} == 1'

    def inject(self, scene: Scene, strength: float) -> None:  # noqa: ARG002 -- it is so or not
        """Seal it."""
        (scene.folder / "works").write_text("0")

    def crossed(self, scene: Scene) -> str:
        """Ask for a token that is not."""
        return f'relay_token_source_ok{{instance="{scene.instance}"}} == 0'

    def recover(self, scene: Scene) -> None:
        """Unseal it."""
        (scene.folder / "works").write_text("1")


class WebhookUnreadable(_Relay):
    """Something came that is no alert."""

    name: ClassVar[str] = "webhook-unreadable"
    summary: ClassVar[str] = "A relay of the drill's own gets a webhook that is no JSON."
    alerts: ClassVar[tuple[str, ...]] = ("RelayDeadLetters",)

    def inject(self, scene: Scene, strength: float) -> None:  # noqa: ARG002 -- it is so or not
        """Send it."""
        self.post(scene, b"this is a drill")

    def crossed(self, scene: Scene) -> str:
        """Ask for a dead letter."""
        return f'relay_dead_letters{{instance="{scene.instance}"}} > 0'

    def recover(self, scene: Scene) -> None:
        """Begin with a new database: a letter that nobody can read stays dead."""
        scene.kill("relay")
        for path in scene.folder.glob("relay.db*"):
            path.unlink()
        self.start_relay(scene)
