"""The table of probes: each kind has its settings, and what no setting asks for is not there."""

import asyncio
import os
import subprocess
import sys
from typing import ClassVar

import pytest

from exporter import collectors, probes
from exporter.collectors import COLLECTORS
from exporter.exposition import Family
from exporter.probes import PROBES, Parts, Probes, make_checks
from exporter.probes.attempt import Attempt, Outcome, Reason
from exporter.probes.check import Schedule
from exporter.probes.ping import Ping
from exporter.probes.rounds import Round
from exporter.probes.services import Services
from exporter.settings import probes as settings
from exporter.settings.schedule import CheckSettings


class NamedCheck:
    kind: ClassVar[str] = "tcp"
    target = "192.0.2.1:80"
    schedule = Schedule(15, 5, 0, 1)

    def __init__(self, made_of: CheckSettings) -> None:
        self.name = made_of.name

    async def attempt(self, deadline: float) -> Attempt:
        return Attempt(Outcome.OK)


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> settings.Probes:
    """Settings with two checks, whose kind is ours."""
    row = probes.Row("tcp", CheckSettings, lambda made_of, _: NamedCheck(made_of))
    monkeypatch.setattr(probes, "PROBES", (row,))
    return settings.Probes(tcp=(CheckSettings(name="a"), CheckSettings(name="b")))  # type: ignore[arg-type]


def test_every_kind_has_its_key_in_the_settings() -> None:
    known = set(settings.Probes.__struct_fields__)
    assert {row.kind for row in PROBES} == known - {"ping", "services_api"}


def test_without_settings_there_is_ping_alone() -> None:
    assert [collector.name for collector in Probes(settings.Probes()).collectors] == ["ping"]


def test_what_is_switched_off_is_not_there() -> None:
    off = settings.PingSettings(enabled=False)
    nobody = settings.PingSettings(targets=())
    assert Probes(settings.Probes(ping=off)).collectors == ()
    assert Probes(settings.Probes(ping=nobody)).collectors == ()


def test_checks_have_one_collector_together(checked: settings.Probes) -> None:
    assert [collector.name for collector in Probes(checked).collectors] == ["ping", "services"]
    assert [check.name for check in make_checks(checked, Parts())] == ["a", "b"]


def test_no_collector_of_this_machine_has_a_name_or_family_of_a_probe() -> None:
    ours = {Ping.name, Services.name, "services_api"}
    assert ours.isdisjoint(row.kind.name for row in COLLECTORS)
    families = {family.name for row in COLLECTORS for family in row.kind.families}
    assert not {name for name in families if name.startswith(probes.PREFIXES)}


@pytest.mark.parametrize("family", [*Ping.families, *Services.families], ids=lambda family: family.name)
def test_textfiles_may_bring_no_family_of_a_probe(family: Family) -> None:
    assert family.name.startswith(probes.PREFIXES)
    assert collectors.is_own_name(family.name)


def test_readings_tell_what_is_known_and_nothing_else(checked: settings.Probes) -> None:
    made = Probes(checked)
    assert made.readings() == {}
    (target,) = made._pinger.targets  # type: ignore[union-attr]
    target.last = Round(4, 3, (0.1, 0.3, 0.2), None)
    first, second = made._states
    first.last, second.last = Attempt.of(None), Attempt.of(Reason.REFUSED)
    assert made.readings() == {
        ("latency", "127.0.0.1"): 0.2,
        ("loss", "127.0.0.1"): 0.25,
        ("service", "tcp", "a"): 1.0,
        ("service", "tcp", "b"): 0.0,
    }
    target.last = Round(0, 0, (), Reason.NO_ROUTE)
    second.last = Attempt.of(Reason.NO_ROUTE)
    assert made.readings() == {("service", "tcp", "a"): 1.0}


def test_probes_start_and_stop_on_the_loop(checked: settings.Probes) -> None:
    async def main() -> None:
        made = Probes(settings.Probes(ping=settings.PingSettings(enabled=False), tcp=checked.tcp))
        made.start()
        made.stop()
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_default_probes_bring_no_tls_no_resolver_library_and_no_other_kind() -> None:
    code = "import sys, exporter.probes as p, exporter.settings.probes as s; p.Probes(s.Probes()); print(*sys.modules)"
    plain = {key: value for key, value in os.environ.items() if not key.startswith("COV")}  # coverage imports much
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=plain, capture_output=True, text=True, check=True, timeout=30)
    loaded = set(done.stdout.split())
    assert "exporter.probes.ping" in loaded
    # asyncio brings ssl itself; the daemon keeps it out
    wanted = ("dns", "email", "http", "icmplib", "httptools", "hashlib", "random", "statistics")
    kinds = tuple(f"exporter.probes.{row.kind}" for row in PROBES)
    assert not loaded & {*wanted, *kinds, "exporter.probes.engine", "exporter.probes.services"}
