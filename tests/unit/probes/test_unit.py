"""Unit checks against a systemd of the tests' own on a bus of its own."""

import asyncio
import itertools
import socket
from pathlib import Path
from typing import Any

import pytest

from exporter.probes import unit
from exporter.probes.attempt import Attempt, Outcome, Reason
from exporter.probes.unit import Bus, UnitCheck
from exporter.settings.checks import UnitSettings
from tests.support.checks import attempt, settings
from tests.support.fake_systemd import FakeBus, FakeSystemd, FakeUnit, Value, log_in, path_of

_names = itertools.count()


def systemd(
    name: str = "web.service", active: str = "active", load: str = "loaded", restarts: int | None = 3
) -> FakeSystemd:
    properties: dict[tuple[str, str], Value] = {
        ("Unit", "ActiveState"): ("s", active),
        ("Unit", "LoadState"): ("s", load),
    }
    if restarts is not None:
        properties["Service", "NRestarts"] = ("u", restarts)
    return FakeSystemd([FakeUnit(name, active, load, properties)])


def check(path: str, name: str = "web.service", **given: Any) -> UnitCheck:
    return UnitCheck(settings(UnitSettings, unit=name, bus=path, **given), Bus)


def ask(folder: Path, spoken: FakeSystemd, name: str = "web.service", **given: Any) -> Attempt:
    with FakeBus(folder / f"bus{next(_names)}", spoken) as bus:
        return asyncio.run(attempt(check(bus.path, name, **given)))


CASES: list[tuple[dict[str, Any], dict[str, Any], Reason | None, str]] = [
    ({}, {}, None, ""),
    ({"active": "inactive"}, {"state": ["inactive"]}, None, ""),
    ({"active": "activating"}, {"state": ["active", "activating"]}, None, ""),
    ({"active": "failed"}, {}, Reason.UNIT_NOT_ACTIVE, "web.service: expected active, got failed (loaded)"),
    (
        {"active": "inactive", "load": "masked"},
        {"state": ["active", "reloading"]},
        Reason.UNIT_NOT_ACTIVE,
        "web.service: expected active or reloading, got inactive (masked)",
    ),
    (
        {"active": "inactive", "load": "not-found"},
        {"state": ["inactive"]},
        Reason.NO_SUCH_UNIT,
        "web.service: systemd knows no such unit",
    ),
]


@pytest.mark.parametrize(("unit_is", "given", "reason", "detail"), CASES)
def test_a_unit_is_in_a_state_that_is_good_or_not(
    tmp_path: Path, unit_is: dict[str, Any], given: dict[str, Any], reason: Reason | None, detail: str
) -> None:
    result = ask(tmp_path, systemd(**unit_is), **given)
    assert (result.reason, result.detail) == (reason, detail)
    assert result.facts == ({} if reason is Reason.NO_SUCH_UNIT else {"unit_restarts_total": 3.0})
    assert list(result.phases) == ["answer"]


def test_restarts_are_told_of_services_that_count_them(tmp_path: Path) -> None:
    assert ask(tmp_path, systemd(restarts=None)).facts == {}
    spoken = systemd("disk.timer", restarts=7)
    assert ask(tmp_path, spoken, "disk.timer").facts == {}
    assert ("Service", "NRestarts") not in spoken.asked


@pytest.mark.parametrize("name", ["web.service", "1st-try.service", r"dev-disk-by\x2dlabel.swap", "a@b:c_d.e.socket"])
def test_a_unit_is_found_where_systemd_has_it(name: str) -> None:
    assert unit.path_of(name) == path_of(name)


def test_no_bus_is_no_news_of_the_unit(tmp_path: Path) -> None:
    result = asyncio.run(attempt(check(str(tmp_path / "none"))))
    assert (result.outcome, result.reason) == (Outcome.NOT_ASKED, Reason.NO_BUS)
    assert str(tmp_path / "none") in result.detail


def test_a_bus_without_systemd_is_no_news_of_the_unit(tmp_path: Path) -> None:
    result = ask(tmp_path, FakeSystemd())
    assert (result.outcome, result.reason) == (Outcome.NOT_ASKED, Reason.NO_BUS)
    assert "no systemd" in result.detail


def test_a_bus_that_hangs_holds_up_nothing_but_its_own_units(tmp_path: Path) -> None:
    def hang(peer: socket.socket) -> None:
        with peer:
            log_in(peer)
            while peer.recv(65536):
                pass

    async def run(hung: str, good: str) -> list[Attempt]:
        return await asyncio.gather(*(attempt(check(path), 0.2) for path in (hung, good)))

    with FakeBus(tmp_path / "hung", handler=hang) as hung, FakeBus(tmp_path / "good", systemd()) as good:
        results = asyncio.run(run(hung.path, good.path))
        hung.drop_all()
    assert [result.reason for result in results] == [Reason.NO_BUS, None]
    assert results[0].outcome is Outcome.NOT_ASKED
    assert results[0].phases["answer"] > 0.15


def test_many_units_of_a_bus_share_a_connection(tmp_path: Path) -> None:
    with FakeBus(tmp_path / "bus", systemd()) as bus:
        shared = Bus(bus.path)

        async def run() -> list[Attempt]:
            given = settings(UnitSettings, unit="web.service", bus=bus.path)
            return await asyncio.gather(*(attempt(UnitCheck(given, lambda _: shared)) for _ in range(20)))

        assert {result.reason for result in asyncio.run(run())} == {None}
        assert bus.connections == 1


def test_a_bus_stays_the_same_when_settings_are_read_again() -> None:
    assert unit.bus_at("/nowhere") is unit.bus_at("/nowhere")
