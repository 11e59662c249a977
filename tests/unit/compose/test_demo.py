"""The demo's parts misbehave as they are told to, and its settings are good ones."""

import json
import threading
from pathlib import Path

import pytest
import yaml

import compose
from compose.demo.services_api import INSTANCES, SERVICES, instance
from compose.demo.targets import FLEET, render, run
from compose.demo.web import PERIOD_SECONDS, behaviour
from exporter.fleet.services_api import parse_percent
from exporter.settings import load
from exporter.settings.exporter import Exporter
from tests.support.client import until

FOLDER = Path(compose.__file__).parent


@pytest.mark.parametrize("name", ["exporter.yml", "demo/exporter.yml"])
def test_settings_are_valid(name: str) -> None:
    assert load(FOLDER / name, Exporter).listen == "0.0.0.0:10101"


@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [(0, (200, 0)), (119, (200, 0)), (120, (503, 0)), (209, (503, 0)), (210, (200, 0)), (260, (200, 0.7))],
)
def test_web_service_fails_now_and_then(seconds: float, wanted: tuple[int, float]) -> None:
    assert behaviour(seconds) == behaviour(seconds + PERIOD_SECONDS) == wanted


def test_services_api_is_read_by_our_reader_and_each_service_has_a_bad_minute() -> None:
    assert len(INSTANCES) == 150
    bad = set()
    for seconds in range(0, 600, 30):
        for place in range(len(INSTANCES)):
            found = instance(place, seconds)
            assert 0 < parse_percent(found["memory"]) < 0.75
            if parse_percent(found["cpu"]) >= 0.75:
                bad.add(found["service"])
    assert bad == set(SERVICES)


def test_targets_are_there_as_long_as_the_demo_runs(tmp_path: Path) -> None:
    file, ended = tmp_path / "demo.yml", threading.Event()
    thread = threading.Thread(target=run, args=(file, ended))
    thread.start()
    until(file.exists, "the file", seconds=30)
    rows = yaml.safe_load(file.read_text())
    ended.set()
    thread.join(30)
    assert not file.exists()
    assert render() == json.dumps(rows, indent=2) + "\n"
    assert {row["labels"]["environment"] for row in rows} == {environment for _, environment, _ in FLEET}


def test_every_target_is_a_service_of_the_demo() -> None:
    services = yaml.safe_load((FOLDER.parent / "docker-compose.yml").read_text())["services"]
    for row in json.loads(render()):
        (address,) = row["targets"]
        name, _, port = address.partition(":")
        assert services[name]["profiles"] == ["demo"]
        assert port == "10101"
