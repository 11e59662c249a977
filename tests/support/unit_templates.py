"""The units that the Ansible roles install, rendered from the roles' own templates with the roles' own defaults."""

from pathlib import Path
from typing import Final

import jinja2
import yaml

from tests.support import installed

ROLES: Final = Path(__file__).resolve().parents[2] / "ansible" / "roles"
# what says how a service starts and ends, not what it may do
_LIFE: Final = frozenset(
    {"Type", "NotifyAccess", "ExecStart", "ExecReload", "Restart", "RestartSec", "RestartPreventExitStatus"}
    | {"WatchdogSec", "TimeoutStartSec", "TimeoutStopSec", "TimeoutAbortSec", "LoadCredential"}
)
# what the roles work out from other variables: for a service that tests.support.installed put there
_PLACES: Final[dict[str, dict[str, object]]] = {
    "hostwatch_exporter": {
        "user": "hostwatch",
        "command": installed.COMMAND,
        "config_file": "/etc/hostwatch/exporter.yml",
        "web_config_file": "",
        "credentials": {},
    },
    "hostwatch_relay": {
        "user": "hostwatch-relay",
        "command": installed.COMMAND,
        "config_file": "/etc/hostwatch/relay.yml",
        "credentials": {},
        "state_directory": "hostwatch-relay",
    },
}


def render(role: str, unit: str, **variables: object) -> str:
    """Return a role's unit as Ansible writes it.

    A variable is named without the role's prefix; the role's defaults hold for those that are not given.
    """
    # trim_blocks is what ansible.builtin.template has
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True, autoescape=False
    )
    defaults: dict[str, object] = yaml.safe_load((ROLES / role / "defaults" / "main.yml").read_text())
    given = {f"{role}_{name}": value for name, value in {**_PLACES[role], **variables}.items()}
    text = (ROLES / role / "templates" / f"{unit}.j2").read_text()
    rendered: str = environment.from_string(text).render({**defaults, "ansible_managed": "Ansible managed", **given})
    if "{{" in rendered:
        raise ValueError(f"{role}: a variable of {unit} is made of others; it has to be given")
    return rendered


def exporter(**variables: object) -> str:
    """Return hostwatch-exporter.service."""
    return render("hostwatch_exporter", "hostwatch-exporter.service", **variables)


def relay(**variables: object) -> str:
    """Return hostwatch-relay.service."""
    return render("hostwatch_relay", "hostwatch-relay.service", **variables)


def directives(unit: str) -> list[tuple[str, str]]:
    """Return the directives of a unit's [Service] section, in order."""
    section = unit.partition("[Service]\n")[2].partition("\n[")[0]
    lines = [line for line in section.splitlines() if line and not line.startswith("#")]
    return [(name, value) for name, _, value in (line.partition("=") for line in lines)]


def confinement(unit: str) -> str:
    """Return what a unit lets its service do, and no more: for services of the tests that start in other ways."""
    return "".join(f"{name}={value}\n" for name, value in directives(unit) if name not in _LIFE)
