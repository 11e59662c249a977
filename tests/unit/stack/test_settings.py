"""Ports and folders of the stack come from the environment."""

from pathlib import Path

import pytest

from stack.failures import StackError
from stack.settings import ROOT, read_settings


def test_without_variables_the_fixed_ports_and_the_ignored_folder_hold() -> None:
    settings = read_settings({})
    assert settings.ports == {"exporter": 10101, "relay": 10102, "prometheus": 9090, "alertmanager": 9093}
    assert settings.state == ROOT / ".local"
    assert ".local/" in (ROOT / ".gitignore").read_text().split()


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    assert read_settings({"RELAY_PORT": "", "HOSTWATCH_STATE": ""}) == read_settings({})


def test_variables_move_ports_and_state(tmp_path: Path) -> None:
    settings = read_settings({"PROMETHEUS_PORT": "9190", "HOSTWATCH_STATE": str(tmp_path)})
    assert settings.url("prometheus") == "http://127.0.0.1:9190"
    assert settings.log("relay") == tmp_path / "logs" / "relay.log"


@pytest.mark.parametrize("text", ["0", "65536", "-1", "http", "9090.5", "²"])
def test_a_port_that_is_none_is_named_with_its_variable(text: str) -> None:
    with pytest.raises(StackError, match=f"^RELAY_PORT={text}: expected a port from 1 to 65535$"):
        read_settings({"RELAY_PORT": text})


def test_one_port_for_two_parts_names_both_variables() -> None:
    with pytest.raises(StackError, match="PROMETHEUS_PORT and ALERTMANAGER_PORT are both 9093"):
        read_settings({"PROMETHEUS_PORT": "9093"})
