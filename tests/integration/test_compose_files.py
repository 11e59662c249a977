"""docker-compose.yml and Dockerfile as files: every checker is content, and what keeps a container in is there."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.engine_remains import PATH
from tests.support.stand_ins import PLUGINS

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
BIN = Path(sys.executable).parent
ONE_SHOT = "init"
# for `docker compose run`: it ends by itself
COMMAND = "drill"
DEMO = {name for name in SERVICES if name.startswith("demo-")}
# the engine's socket and the files of others belong to root; neither has a network
AS_ROOT = {"init", "docker-proxy"}


def checked(*command: str | Path) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": PATH, "HOME": "/nonexistent"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_hadolint_finds_nothing() -> None:
    assert checked(BIN / "hadolint", "Dockerfile") == ""


@pytest.mark.slow
def test_schema_of_compose_finds_nothing() -> None:
    checked(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")


@pytest.mark.slow
@pytest.mark.needs("compose")
@pytest.mark.parametrize(
    "profiles", [(), ("--profile", "demo"), ("--profile", "drill")], ids=["plain", "demo", "drill"]
)
def test_compose_reads_it_without_a_word(profiles: tuple[str, ...]) -> None:
    assert checked(PLUGINS / "docker-compose", "-f", "docker-compose.yml", *profiles, "config", "--quiet") == ""


def test_images_are_the_tags_that_were_agreed_on_and_each_can_be_replaced() -> None:
    images = {name: service["image"] for name, service in SERVICES.items()}
    wanted = {
        "prometheus": "${PROMETHEUS_IMAGE:-prom/prometheus:v3.5.0}",
        "alertmanager": "${ALERTMANAGER_IMAGE:-prom/alertmanager:v0.28.1}",
        "grafana": "${GRAFANA_IMAGE:-grafana/grafana:12.3.1}",
        "vault": "${VAULT_IMAGE:-hashicorp/vault:1.20.0}",
    }
    ours = "${HOSTWATCH_IMAGE:-hostwatch:local}"
    assert images == {name: wanted.get(name, ours) for name in SERVICES}
    assert SERVICES["init"]["build"]["args"]["PYTHON_IMAGE"] == "${PYTHON_IMAGE:-python:3.13-slim}"


def test_env_example_names_every_variable_with_its_default() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    used = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", text))
    told = dict(re.findall(r"^#([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    # these are for tests: a Slack of their own, and a snapshot sooner
    assert told == {name: value for name, value in used.items() if name not in FOR_TESTS}


FOR_TESTS = {"SLACK_API_URL", "ALERTMANAGER_MAINTENANCE"}


@pytest.mark.parametrize("name", SERVICES)
def test_container_is_kept_in(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert (service.get("user", "10101:10101").startswith("0:")) is (name in AS_ROOT)
    assert ("cap_add" in service) is (name == ONE_SHOT)
    assert (service.get("network_mode") == "none") or name not in AS_ROOT


@pytest.mark.parametrize("name", SERVICES)
def test_container_takes_no_more_than_its_share(name: str) -> None:
    service = SERVICES[name]
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
    assert service.get("restart", "no") == ("unless-stopped" if name in LASTING else "no")


LASTING = set(SERVICES) - {ONE_SHOT, COMMAND, "demo-exits", "demo-victim"}


@pytest.mark.parametrize("name", [name for name in SERVICES if name not in DEMO | {ONE_SHOT, COMMAND}])
def test_service_says_whether_it_is_healthy_and_starts_after_what_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"]
    conditions = {other: how["condition"] for other, how in service["depends_on"].items()}
    assert conditions.pop("init", "service_completed_successfully") == "service_completed_successfully"


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_open_to_this_machine_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:${") for port in SERVICES[name].get("ports", []))


def test_only_the_proxy_has_the_engine_s_socket() -> None:
    holders = {
        name
        for name, service in SERVICES.items()
        if any("DOCKER_SOCKET" in str(volume) for volume in service.get("volumes", []))
    }
    assert holders == {"docker-proxy"}


def test_host_is_seen_read_only_and_later_mounts_too() -> None:
    volumes = SERVICES["exporter"]["volumes"]
    assert {"/proc:/host/proc:ro", "/sys:/host/sys:ro", "/:/host/root:ro,rslave"} <= set(volumes)
    assert all(":ro" in volume for volume in volumes)
    assert {SERVICES["exporter"][key] for key in ("pid", "cgroup", "uts")} == {"host"}
