"""Generated files: the shipped ones, with this stack's ports and a secret of its own."""

import stat
from pathlib import Path

import pytest
import yaml

from exporter.relay.settings import Relay
from exporter.settings import load
from exporter.settings.exporter import Exporter
from stack.configs import write_configs
from stack.failures import StackError
from stack.settings import ROOT, Settings

PORTS = {"exporter": 1, "relay": 2, "prometheus": 3, "alertmanager": 4}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(PORTS, tmp_path / "state", ROOT)
    write_configs(made)
    return made


def test_targets_are_the_stack_s_own_and_called_localhost(settings: Settings) -> None:
    files = (settings.state / "prometheus" / "targets").glob("*/*.yml")
    targets = {file.parent.name: yaml.safe_load(file.read_text()) for file in files}
    ports = {"node": 1, "relay": 2, "prometheus": 3, "alertmanager": 4}
    assert targets == {
        job: [{"targets": [f"127.0.0.1:{port}"], "labels": {"instance": "localhost"}}] for job, port in ports.items()
    }


def test_rules_and_prometheus_yml_are_the_shipped_ones_byte_for_byte(settings: Settings) -> None:
    for name in ("prometheus.yml", "rules/cpu.yml"):
        assert (settings.state / "prometheus" / name).read_bytes() == (ROOT / "prometheus" / name).read_bytes()


def test_alertmanager_differs_from_the_shipped_one_in_address_and_token_only(settings: Settings) -> None:
    made, shipped = (
        yaml.safe_load((folder / "alertmanager" / "alertmanager.yml").read_text()) for folder in (settings.state, ROOT)
    )
    webhook = shipped["receivers"][0]["webhook_configs"][0]
    webhook["url"] = "http://127.0.0.1:2/alertmanager"
    webhook["http_config"]["authorization"]["credentials_file"] = str(settings.state / "relay-token")
    assert made == shipped


def test_the_token_is_long_random_private_and_kept(settings: Settings) -> None:
    path = settings.state / "relay-token"
    token = path.read_text()
    assert len(token) > 40
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    write_configs(settings)
    assert path.read_text() == token


def test_both_daemons_accept_their_settings(settings: Settings) -> None:
    assert load(settings.state / "exporter.yml", Exporter).listen == "127.0.0.1:1"
    relay = load(settings.state / "relay.yml", Relay)
    assert relay.listen == "127.0.0.1:2"
    assert relay.token_file == str(settings.state / "relay-token")
    assert relay.evidence.prometheus_url == "http://127.0.0.1:3"
    assert relay.alertmanager_urls == ("http://127.0.0.1:4",)


def test_a_state_folder_that_cannot_be_written_is_an_error_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match="cannot write the configurations"):
        write_configs(Settings(PORTS, tmp_path / "file", ROOT))
