from pathlib import Path

import pytest

from bench import peers
from bench.access import Access
from bench.failures import BenchError
from bench.locks import Lock
from bench.peers import Contestant, Sides
from bench.sets import SIX, TEN, TEN_NETCLASS, Collectors
from bench.watching import settings
from exporter.settings import load, parse, schema
from exporter.settings.exporter import Exporter


@pytest.fixture
def sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sides:
    monkeypatch.setattr(peers, "read_schema", lambda _: schema(Exporter))
    return Sides(Path("/bin/hostwatch"), Path("/bin/node_exporter"), tmp_path)


def enabled(contestant: Contestant) -> set[str]:
    """Return the collectors that the settings file in a command of ours leaves on."""
    settings = load(Path(contestant.argv[contestant.argv.index("--config") + 1]), Exporter)
    return {key for key in peers.collector_keys(schema(Exporter)) if getattr(settings.collectors, key).enabled}


def test_the_keys_come_from_our_real_schema() -> None:
    keys = peers.collector_keys(schema(Exporter))
    assert set(TEN_NETCLASS) < set(keys)


def test_a_schema_of_another_shape_is_told() -> None:
    with pytest.raises(BenchError, match="no way to choose collectors"):
        peers.collector_keys({"$defs": {}})


@pytest.mark.parametrize("collectors", [SIX, TEN, TEN_NETCLASS], ids=["six", "ten", "netclass too"])
def test_both_sides_run_the_same_set(sides: Sides, collectors: Collectors) -> None:
    ours, theirs = sides.ours("ours", "a set", collectors), sides.theirs("theirs", "a set", collectors)
    assert enabled(ours) == set(collectors)
    assert {arg.removeprefix("--collector.") for arg in theirs.argv if arg.startswith("--collector.")} == {
        "disable-defaults",
        *collectors,
    }
    assert ours.collectors == theirs.collectors == collectors


def test_defaults_are_left_alone(sides: Sides) -> None:
    assert "--config" not in sides.ours("ours", "defaults", None).argv
    assert not [arg for arg in sides.theirs("theirs", "defaults", None).argv if arg.startswith("--collector.")]


def test_the_quiet_one_lacks_what_has_a_timer_of_its_own(sides: Sides) -> None:
    keys = set(peers.collector_keys(schema(Exporter)))
    assert keys - enabled(sides.quiet()) == {"usage", "process_groups"}
    assert keys - enabled(sides.sampled()) == {"process_groups"}
    for contestant in (sides.quiet(), sides.sampled(), sides.ours("ours", "a set", SIX)):
        assert not load(Path(contestant.argv[-1]), Exporter).probes.ping.enabled


def test_the_watching_one_has_twenty_probes_and_its_defaults(sides: Sides) -> None:
    watching = sides.watching(settings(10101))
    probes = load(Path(watching.argv[-1]), Exporter).probes
    assert len(probes.ping.hosts) + len(probes.http) + len(probes.tcp) == 20
    assert {probes.ping.interval, *(check.interval for check in (*probes.http, *probes.tcp))} == {15}
    assert enabled(watching) == set(peers.collector_keys(schema(Exporter)))


def test_the_locked_ones_differ_from_the_open_ones_by_the_lock_alone(sides: Sides, tmp_path: Path) -> None:
    lock = Lock(tmp_path / "web.yml", Access("Basic x"))
    found = {contestant.key: contestant for contestant in peers.contestants(sides, lock)}
    locked, open_ = found[peers.OURS_D_LOCKED], found[peers.OURS_D]
    assert locked.argv == (*open_.argv, "--web-config", str(tmp_path / "web.yml"))
    assert locked.access is lock.access
    assert enabled(found[peers.OURS_T_LOCKED]) == set(SIX)


def test_without_a_lock_all_are_open(sides: Sides) -> None:
    assert not {c.key for c in peers.contestants(sides, None)} & {peers.OURS_D_LOCKED, peers.OURS_T_LOCKED}


def test_nothing_to_switch_off_is_an_empty_file() -> None:
    assert peers.settings_without([]) == ""
    assert parse(peers.settings_without(["usage"]).encode(), Exporter, "quiet.yml").collectors.usage.enabled is False


def test_a_missing_peer_is_told_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(BenchError, match=r"apt-get install .*prometheus-node-exporter"):
        peers.find_peer()
