"""What the variables of the roles do to the units."""

import pytest

from tests.support import unit_templates

DEFAULT = unit_templates.directives(unit_templates.exporter())


@pytest.mark.parametrize(
    ("variables", "more", "less"),
    [
        (
            {"raw_ping": True},
            {("CapabilityBoundingSet", "CAP_NET_RAW"), ("AmbientCapabilities", "CAP_NET_RAW")},
            {("CapabilityBoundingSet", ""), ("AmbientCapabilities", "")},
        ),
        (
            {"process_details": True},
            {("CapabilityBoundingSet", "CAP_SYS_PTRACE"), ("AmbientCapabilities", "CAP_SYS_PTRACE")},
            {("CapabilityBoundingSet", ""), ("AmbientCapabilities", "")},
        ),
        ({"docker": True}, {("SupplementaryGroups", "docker")}, set()),
        ({"docker": True, "docker_group": "whales"}, {("SupplementaryGroups", "whales")}, set()),
        ({"clock": True}, {("SystemCallFilter", "adjtimex clock_adjtime")}, {("ProtectClock", "yes")}),
        ({"watchdog_seconds": 7}, {("WatchdogSec", "7s")}, {("WatchdogSec", "30s")}),
        ({"memory_max": "1G"}, {("MemoryMax", "1G")}, {("MemoryMax", "256M")}),
        (
            {"credentials": {"server.key": "/etc/hostwatch/server.key"}},
            {("LoadCredential", "server.key:/etc/hostwatch/server.key")},
            set(),
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_variable_changes_its_own_directive_alone(
    variables: dict[str, object], more: set[tuple[str, str]], less: set[tuple[str, str]]
) -> None:
    found = unit_templates.directives(unit_templates.exporter(**variables))
    assert set(found) - set(DEFAULT) == more
    assert set(DEFAULT) - set(found) == less


def test_the_web_configuration_is_used_where_there_is_one() -> None:
    started = dict(
        unit_templates.directives(unit_templates.exporter(web_config_file="${CREDENTIALS_DIRECTORY}/web.yml"))
    )
    assert started["ExecStart"].endswith(" --web-config ${CREDENTIALS_DIRECTORY}/web.yml")
    assert "--web-config" not in dict(DEFAULT)["ExecStart"]


def test_confinement_is_all_but_how_a_service_lives() -> None:
    lines = unit_templates.confinement(unit_templates.exporter()).splitlines()
    assert "ProtectSystem=strict" in lines
    assert not [line for line in lines if line.startswith(("Exec", "Type", "Restart", "Watchdog", "#", "["))]


def test_a_variable_made_of_others_has_to_be_given() -> None:
    with pytest.raises(ValueError, match="is made of others"):
        unit_templates.exporter(user="{{ another }}")
