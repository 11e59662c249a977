"""A small fleet with real exporters, and its whole pipeline with time made faster: where real faults raise real alerts.

| host | exporter | what is the matter |
|---|---|---|
| web-01 | all of it: checks, containers, groups, textfiles | load, memory, disks, services, containers, processes |
| edge-01 | pings, in a namespace with a long path | latency, a dark target |
| web-02, web-03, web-04 | without settings | refused settings, killed, stopped |
| web-05 | none of its own: web-02 once more | its target is lost |
| prom-01 | none | Prometheus, two relays, Alertmanager |
"""

import contextlib
import json
import signal
from pathlib import Path
from typing import Any, Final

from tests.support.alert_watch import Seen, shown
from tests.support.certificates import Authority
from tests.support.engine import Engine
from tests.support.exporter import COMMAND, Child
from tests.support.faults import Container, Disk, FarHosts, Web
from tests.support.network import network
from tests.support.peer import free_port
from tests.support.pipeline import Configs, ShippedAlertmanager, ShippedPrometheus
from tests.support.portal import portal
from tests.support.relay import RelayProcess
from tests.support.services_api import instance, services_api

# 5 minutes are 20 s, a scrape is every second, and may take as long
FACTOR: Final = 15
SLOW, DARK = "10.99.0.20", "10.99.0.30"
WELL: Final[dict[str, dict[str, Any]]] = {SLOW: {"delay": 0.01}, DARK: {"delay": 0.01}}
PINNED: Final = "hostwatch-test-pinned"
# scrapes are a second apart: what is kept of it for the answer's way must not be half of it
_QUICK: Final = {"scrape": {"timeout_offset": "100ms"}}
_EACH_SECOND: Final = {"interval": "1s", "timeout": "900ms"}


class Scene(contextlib.ExitStack):
    """Everything of it, running; ended with the block."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        super().__init__()
        self._folder, self._engine, self._held = folder, engine, False

    def __enter__(self) -> "Scene":
        super().__enter__()
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def _build(self) -> None:
        self._watched()
        self._hosts()
        self._pipeline()
        self._list_targets()

    def _watched(self) -> None:
        """Make what the exporter of web-01 watches."""
        folder = self._folder
        authority = Authority(folder / "ca")
        self.authority = authority.certificate
        self.pairs = (authority.issue("expired", days=-1), authority.issue("good", days=90))
        self.shop, self.search, self.vault = Web(), Web(), Web(self.pairs[1])
        for web in (self.shop, self.search, self.vault):
            self.callback(web.stop)
        self.cloud = self.enter_context(services_api({f"10.58.1.{n}": instance() for n in (1, 2, 3)}))
        self.full, self.inodes, self.worn = (
            self._disk("full", 8),
            self._disk("inodes", 8, "-N", "64"),
            self._disk("worn", 8),
        )
        self.api, self.batch = (Container(self._engine, f"live-{name}") for name in ("api", "batch"))
        for container in (self.api, self.batch):
            self.callback(container.close)

    def _disk(self, name: str, *options: Any) -> Disk:
        disk = Disk(self._folder / name, *options)
        self.callback(disk.close)
        return disk

    def _hosts(self) -> None:
        self.textfiles = self._folder / "textfile"
        self.textfiles.mkdir()
        self.exporters = {"web-01": self._exporter("web-01", self._settings())}
        for name in ("web-02", "web-03", "web-04"):
            self.exporters[name] = self._exporter(name, {})
        self._edge()

    def _edge(self) -> None:
        inside = self.enter_context(network())
        self.far = FarHosts(inside, WELL)
        self.callback(self.far.close)
        targets = [{"address": SLOW, "name": "slow"}, {"address": DARK, "name": "dark"}]
        ping = {"targets": targets, "interval": "1s", "count": 2, "packet_interval": "300ms", "timeout": "600ms"}
        edge = self._exporter("edge-01", {"probes": {"ping": ping}}, inside.command())
        self.edge_port = self.enter_context(portal(inside, edge.port))

    def _exporter(self, name: str, settings: dict[str, Any], prefix: list[str] | None = None) -> Child:
        """Run an exporter; its settings are JSON, which is YAML."""
        self.settings_file(name).write_text(json.dumps({**_QUICK, **settings}))
        child = Child([*(prefix or []), *COMMAND, "--config", str(self.settings_file(name))])
        self.callback(child.end)
        return child

    def settings_file(self, name: str) -> Path:
        """Return what an exporter reads its settings from."""
        return self._folder / f"{name}.yml"

    def _settings(self) -> dict[str, Any]:
        tls = {"name": "vault", "address": f"127.0.0.1:{self.vault.port}", "tls": {"ca_file": str(self.authority)}}
        pages = [{"name": name, "url": f"http://127.0.0.1:{web.port}/", **_EACH_SECOND} for name, web in self._webs()]
        cloud = {"name": "cloud", "url": self.cloud.url, "interval": "5s", "timeout": "2s"}
        groups = [{"name": "pinned", "match": {"command_line": PINNED}}]
        return {
            "collectors": {
                "containers": {"socket": str(self._engine.socket)},
                "process_groups": {"interval": "1s", "groups": groups},
                "textfile": {"directories": [str(self.textfiles)]},
            },
            "probes": {"http": pages, "tls": [{**tls, **_EACH_SECOND}], "services_api": [cloud]},
        }

    def _webs(self) -> list[tuple[str, Web]]:
        return [("shop", self.shop), ("search", self.search)]

    def _pipeline(self) -> None:
        folder = self._folder
        self.configs = Configs(folder / "configs", FACTOR)
        self.relay = self.enter_context(RelayProcess(folder / "relay", watchdog={"silent_after": 300 / FACTOR}))
        spare = RelayProcess(folder / "spare", listen=f"127.0.0.1:{free_port()}")
        self.spare = self.enter_context(spare)
        self.configs.deliver_to(self.relay.port, self.relay.token_file)
        self.alertmanager = self.enter_context(ShippedAlertmanager(self.configs, folder / "alertmanager"))
        self.configs.add_target("alertmanager", "prom-01", self.alertmanager.port)
        self.prometheus = self.enter_context(ShippedPrometheus(self.configs, folder / "prometheus"))
        self.callback(self.release_prometheus)

    def _list_targets(self) -> None:
        self.configs.add_target("prometheus", "prom-01", self.prometheus.port)
        self.configs.add_target("relay", "prom-01", self.relay.port)
        self.configs.add_target("relay", "prom-02", self.spare.port)
        for name, exporter in self.exporters.items():
            self.configs.add_target("node", name, exporter.port)
        self.configs.add_target("node", "edge-01", self.edge_port)
        self.find_target()

    def look(self) -> Seen:
        """Return what fires in Prometheus, while it is not held, and what the relay shows. Raises OSError."""
        alerts = [] if self._held else self.prometheus.alerts()
        firing = frozenset((one["alertname"], one.get("instance", "")) for one in alerts)
        return Seen(firing, shown(self.relay.get("/api/v1/messages?limit=500").json["messages"]))

    def hold_prometheus(self) -> None:
        """Stop it as it stands."""
        self._held = True
        self.prometheus.process.send_signal(signal.SIGSTOP)

    def release_prometheus(self) -> None:
        """Let it go on."""
        self.prometheus.process.send_signal(signal.SIGCONT)
        self._held = False

    def lose_target(self) -> None:
        """Forget web-05, whose exporter goes on."""
        self.configs.remove_target("node", "web-05")

    def find_target(self) -> None:
        """List web-05."""
        self.configs.add_target("node", "web-05", self.exporters["web-02"].port)

    def revive(self, name: str) -> None:
        """Run an exporter that was killed again, at another port."""
        self.exporters[name] = self._exporter(name, {})
        self.configs.add_target("node", name, self.exporters[name].port)

    def write_textfile(self, name: str, text: str) -> None:
        """Put a file into the textfile folder of web-01, whole."""
        new = self._folder / name
        new.write_text(text)
        new.replace(self.textfiles / f"{name}.prom")
