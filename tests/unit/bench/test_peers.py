import pytest

from bench import peers
from bench.failures import BenchError
from exporter.settings import parse, schema
from exporter.settings.exporter import Exporter


def test_the_keys_come_from_our_real_schema() -> None:
    keys = peers.collector_keys(schema(Exporter))
    assert set(peers.COLLECTORS) < set(keys)


def test_a_schema_of_another_shape_is_told() -> None:
    with pytest.raises(BenchError, match="no way to choose collectors"):
        peers.collector_keys({"$defs": {}})


def test_the_settings_file_switches_off_all_but_the_equal_set() -> None:
    keys = peers.collector_keys(schema(Exporter))
    text = peers.settings_without([key for key in keys if key not in peers.COLLECTORS])
    settings = parse(text.encode(), Exporter, "equal.yml")
    assert {key for key in keys if getattr(settings.collectors, key).enabled} == set(peers.COLLECTORS)


def test_nothing_to_switch_off_is_an_empty_file() -> None:
    assert peers.settings_without([]) == ""


def test_a_missing_peer_is_told_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(BenchError, match=r"apt-get install .*prometheus-node-exporter"):
        peers.find_peer()
