"""Where the stack keeps its state and on which ports its parts listen."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from stack.failures import StackError

ROOT: Final = Path(__file__).resolve().parent.parent
HOST: Final = "127.0.0.1"

# part: the variable that moves its port, and where it listens without it
PORTS: Final = {
    "exporter": ("EXPORTER_PORT", 10101),
    "relay": ("RELAY_PORT", 10102),
    "prometheus": ("PROMETHEUS_PORT", 9090),
    "alertmanager": ("ALERTMANAGER_PORT", 9093),
}


class Settings(NamedTuple):
    """One stack: `ports` by part, `state` for all it writes, `configs` holds prometheus/ and alertmanager/."""

    ports: Mapping[str, int]
    state: Path
    configs: Path

    def address(self, part: str) -> str:
        """Return where a part listens, as host:port."""
        return f"{HOST}:{self.ports[part]}"

    def url(self, part: str) -> str:
        """Return a part's address for people, without a slash at its end."""
        return f"http://{self.address(part)}"

    def log(self, part: str) -> Path:
        """Return the file that holds what a part prints."""
        return self.state / "logs" / f"{part}.log"


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings that the environment holds: *_PORT, HOSTWATCH_STATE, HOSTWATCH_CONFIGS.

    Raises StackError naming each variable that cannot be used.
    """
    ports = {part: _port(environ, variable, usual) for part, (variable, usual) in PORTS.items()}
    for part, port in ports.items():
        others = [PORTS[other][0] for other in ports if other != part and ports[other] == port]
        if others:
            raise StackError(f"{PORTS[part][0]} and {others[0]} are both {port}: each part needs a port of its own")
    # an empty variable is one that is not set: that is how make hands them on
    state, configs = environ.get("HOSTWATCH_STATE") or ROOT / ".local", environ.get("HOSTWATCH_CONFIGS") or ROOT
    return Settings(ports, Path(state).absolute(), Path(configs).absolute())


def _port(environ: Mapping[str, str], variable: str, usual: int) -> int:
    text = environ.get(variable) or str(usual)
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise StackError(f"{variable}={text}: expected a port from 1 to 65535")
    return int(text)
