"""A small fleet for dashboards: three hosts, containers, services, a services API, and the whole way of an alert.

All of it is real but Slack, Vault and the services API. The shipped rules and configurations run, their times scaled.
Prometheus finds some history of traffic and disks: what the rules compare with yesterday would otherwise take two days.
"""

import contextlib
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.certificates import Authority
from tests.support.client import scrape, until
from tests.support.engine import Engine
from tests.support.exporter import exporter_running
from tests.support.fake_fleet import FakeFleet
from tests.support.fake_slack import TOKEN, FakeSlack
from tests.support.fake_vault import FakeVault
from tests.support.peer import free_port
from tests.support.reader import Reader
from tests.support.relay import RelayProcess
from tests.support.scaling import scale_tree
from tests.support.services_api import Fault, services_api
from tests.support.vault_world import vault_settings
from tests.support.web_server import WebServer, tls_of

ROOT: Final = Path(__file__).parents[2]
# 5 minutes are 10 s, a scrape is every 0.5 s
FACTOR: Final = 30
SCRAPE_SECONDS: Final = 15 / FACTOR
# the third has no exporter: it is down
HOSTS: Final = {
    "web-01": {"environment": "production", "role": "web"},
    "db-01": {"environment": "staging", "role": "database"},
    "gone-01": {"environment": "production", "role": "web"},
}
PROGRAMS: Final = ("prometheus", "prometheus-alertmanager")
CONTAINERS: Final = {
    "shop": (("--memory=64m", "--health-cmd=true", "--health-interval=1s"), "sleep 3600"),
    "search": (("--health-cmd=false", "--health-interval=1s", "--health-retries=1"), "sleep 3600"),
    "import": ((), "exit 3"),
    "migration": ((), "exit 0"),
    "crasher": (("--restart=always",), "sleep 0.2; exit 1"),
}


class Scene:
    """Prometheus, once everything runs; `exporters` gives a page to each host that is up."""

    def __init__(self, port: int, exporters: Mapping[str, int], parts: Mapping[str, int]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.exporters, self.parts = exporters, {"prometheus": port, **parts}

    @property
    def reader(self) -> Reader:
        """Somebody who looks at dashboards; of hosts, at the one with most to tell."""
        return Reader(self.url, SCRAPE_SECONDS, "web-01")

    def is_ready(self) -> bool:
        """Whether Prometheus has loaded what it finds and answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=10):
                return True
        except OSError:
            return False

    def page(self, part: str) -> str:
        """Return /metrics of a part of the way."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.parts[part]}/metrics", timeout=10) as answer:
            return str(answer.read().decode())


@contextlib.contextmanager
def scene(folder: Path, engine: Engine, programs: Sequence[str] = PROGRAMS) -> Iterator[Scene]:
    """Start everything and yield it; nothing of it is left afterwards. `programs`: Prometheus and Alertmanager."""
    with contextlib.ExitStack() as stack:
        enter = stack.enter_context
        stack.callback(_remove_containers, engine)
        _run_containers(engine)
        authority = Authority(folder / "authority")
        web = enter(_web_server(authority))
        api = enter(services_api())
        settings = _settings(web, api.url, authority, str(engine.socket))
        exporters = {}
        for host, more in settings.items():
            file = folder / f"{host}.yml"
            file.write_text(yaml.safe_dump(more))
            exporters[host] = enter(exporter_running("--config", str(file))).port
        page = _after_a_poll(exporters["web-01"])
        # was of a service when it answered, and does not answer now
        api.faults[f"/{next(iter(api.instances))}"] = Fault(status=500)
        relay = enter(_relay(folder / "relay", stack))
        scale_tree(ROOT, folder, FACTOR)
        alertmanager, prometheus = free_port(), free_port()
        _point(folder, relay, {"alertmanager": alertmanager, "prometheus": prometheus, "relay": relay.port}, exporters)
        _write_history(folder, page)
        enter(_running(folder / "alertmanager.log", programs[1], *_alertmanager(folder, alertmanager)))
        enter(_running(folder / "prometheus.log", programs[0], *_prometheus(folder, prometheus)))
        made = Scene(prometheus, exporters, {"alertmanager": alertmanager, "relay": relay.port})
        until(made.is_ready, "Prometheus answers", seconds=60, every=0.1)
        yield made


def _after_a_poll(exporter: int) -> str:
    """Return the exporter's page once it has polled the services API."""
    page = ""

    def is_polled() -> bool:
        nonlocal page
        page = scrape(exporter)
        return "\nhost_api_up{" in page

    until(is_polled, "the services API is polled", seconds=60, every=0.2)
    return page


def _run_containers(engine: Engine) -> None:
    image = engine.tiny_image()
    for name, (options, script) in CONTAINERS.items():
        engine.run("run", "--detach", "--name", name, *options, image, "/bin/sh", "-c", script)


def _remove_containers(engine: Engine) -> None:
    for name in CONTAINERS:
        engine.remove(name)


@contextlib.contextmanager
def _web_server(authority: Authority) -> Iterator[int]:
    """Run a web server with a certificate of nine days; yield its port."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with WebServer(Handler, tls=tls_of(*authority.issue("web"))) as server:
        yield server.port


def _settings(web: int, api: str, authority: Authority, socket: str) -> dict[str, dict[str, Any]]:
    timer = {"interval": "1s", "timeout": "1s"}
    shop = {"name": "shop", "url": f"https://127.0.0.1:{web}/", "tls": {"ca_file": str(authority.certificate)}, **timer}
    # nobody listens at port 1, and nobody gets it by chance
    ledger = {"name": "ledger", "address": "127.0.0.1:1", "retries": 1, "retry_delay": "100ms", **timer}
    ping = {
        "targets": ["127.0.0.1", "127.0.0.2"],
        "interval": "2s",
        "count": 3,
        "packet_interval": "200ms",
        "timeout": "1s",
    }
    groups = [
        {"name": "python", "match": {"name": "python.*"}},
        {"name": "billing", "match": {"command_line": "billing-that-is-gone"}},
    ]
    processes = {"interval": "1s", "groups": groups}
    polled = {"name": "cloud", "url": api, "interval": "5s", "timeout": "2s"}
    containers = {"containers": {"socket": socket}, "process_groups": processes}
    probes = {"ping": ping, "http": [shop], "tcp": [ledger], "services_api": [polled]}
    return {
        "web-01": {"collectors": containers, "probes": probes},
        "db-01": {
            "collectors": {"containers": {"socket": f"{socket}.none"}},
            "probes": {"ping": ping, "tcp": [ledger]},
        },
    }


def _relay(folder: Path, stack: contextlib.ExitStack) -> RelayProcess:
    """Return a relay that has its token from Vault, sends to Slack, and tells an address outside that all is well."""
    folder.mkdir()
    slack, vault = stack.enter_context(FakeSlack()), stack.enter_context(FakeVault())
    outside = folder / "outside"
    outside.touch(0o600)
    outside.write_text(stack.enter_context(FakeFleet()).url)
    vault.write(bot_token=TOKEN, channel="#alerts")
    return RelayProcess(
        folder,
        slack={"api_url": slack.url, "posts_per_second": 100, "burst": 50, "updates_per_minute": 6000},
        vault=vault_settings(vault, folder, poll_interval=1, timeout=2),
        watchdog={"heartbeat_url_file": str(outside), "heartbeat_interval": 1},
    )


def _point(folder: Path, relay: RelayProcess, ports: Mapping[str, int], exporters: Mapping[str, int]) -> None:
    """Write this scene's addresses into the configurations."""
    targets = folder / "prometheus" / "targets"
    shutil.rmtree(targets)
    nodes = [
        {"targets": [f"127.0.0.1:{exporters.get(host, 1)}"], "labels": {"instance": host, **labels}}
        for host, labels in HOSTS.items()
    ]
    jobs = {name: [{"targets": [f"127.0.0.1:{port}"], "labels": {"instance": "hub"}}] for name, port in ports.items()}
    for job, content in {"node": nodes, **jobs}.items():
        (targets / job).mkdir(parents=True)
        (targets / job / "all.yml").write_text(yaml.safe_dump(content))
    file = folder / "alertmanager" / "alertmanager.yml"
    config = yaml.safe_load(file.read_text())
    for receiver in config["receivers"]:
        for hook in receiver["webhook_configs"]:
            hook["url"] = f"http://127.0.0.1:{relay.port}{urllib.parse.urlsplit(hook['url']).path}"
            hook["http_config"]["authorization"]["credentials_file"] = str(relay.token_file)
    file.write_text(yaml.safe_dump(config))


def _write_history(folder: Path, page: str) -> None:
    """Write what Prometheus would know of web-01 had it run for two (scaled) days: traffic, and disks that fill."""
    now, text = time.time(), []
    labels = ",".join(
        f'{name}="{value}"' for name, value in {"job": "node", "instance": "web-01", **HOSTS["web-01"]}.items()
    )
    for days in (2, 1):
        for at in range(-150, 151, 15):
            moment = now - days * 86400 / FACTOR + at
            text.append(f'instance_device:network_bytes:rate30m{{device="lo",{labels}}} 1000 {moment:.3f}')
    sizes = _filesystems(page, "size")
    for name, values in (("avail", _filesystems(page, "avail")), ("size", sizes)):
        for row, value in values.items():
            for ago in range(900, 30, -10):
                # a tenth of it went within these 15 minutes; whatever else happens on this machine is less
                before = value + (sizes[row] * 0.1 * ago / 900 if name == "avail" else 0)
                text.append(f"node_filesystem_{name}_bytes{{{row},{labels}}} {before:.0f} {now - ago:.3f}")
    file, data = folder / "history.txt", folder / "data" / "prometheus"
    file.write_text("\n".join([*text, "# EOF\n"]))
    data.mkdir(parents=True)
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(file), str(data)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def _filesystems(page: str, quantity: str) -> dict[str, float]:
    rows = re.findall(rf"^node_filesystem_{quantity}_bytes{{(.*)}} (\S+)$", page, re.MULTILINE)
    return {labels: float(value) for labels, value in rows}


def _alertmanager(folder: Path, port: int) -> tuple[str, ...]:
    return (
        f"--config.file={folder / 'alertmanager' / 'alertmanager.yml'}",
        f"--storage.path={folder / 'data' / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    )


def _prometheus(folder: Path, port: int) -> tuple[str, ...]:
    return (
        f"--config.file={folder / 'prometheus' / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data' / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{port}",
        # what fires before Alertmanager is discovered would be sent again after a minute, unscaled
        f"--rules.alert.resend-delay={60 // FACTOR}s",
    )


@contextlib.contextmanager
def _running(log: Path, *command: str) -> Iterator[None]:
    with log.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=file) as process:
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
