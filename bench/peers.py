"""Who runs against whom: ours and node_exporter with equal sets of collectors, and each with its defaults."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.failures import BenchError
from bench.page import COLLECTORS
from bench.processes import ADDRESS, plain_environment

PEER: Final = "prometheus-node-exporter"


@dataclass(frozen=True)
class Contestant:
    """One server to measure; `argv` holds "{address}" where the address to listen on belongs."""

    key: str
    label: str
    argv: tuple[str, ...]


OURS_T: Final = "ours_t"
PEER_T: Final = "peer_t"
PEER_STRICT: Final = "peer_strict"
OURS_D: Final = "ours_d"
PEER_D: Final = "peer_d"
OURS_QUIET: Final = "ours_quiet"


def find_peer() -> Path:
    """Return node_exporter's path. Raises BenchError with the way to install it."""
    if found := shutil.which(PEER):
        return Path(found)
    raise BenchError(f"{PEER} is not installed. Install it: sudo apt-get install --no-install-recommends {PEER}")


def peer_version(peer: Path) -> str:
    """Return node_exporter's version, such as "1.5.0". Runs it."""
    done = subprocess.run([peer, "--version"], capture_output=True, text=True, check=True, timeout=10)
    words = (done.stdout or done.stderr).split()
    return words[words.index("version") + 1].rstrip(",") if "version" in words else "unknown"


def read_schema(hostwatch: Path) -> dict[str, Any]:
    """Return the JSON Schema of our settings, as the command prints it."""
    command = [str(hostwatch), "config", "schema"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30, env=plain_environment())
        schema: dict[str, Any] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as err:
        raise BenchError(f"{' '.join(command)}: {err}") from err
    return schema


def collector_keys(schema: Mapping[str, Any]) -> list[str]:
    """Return the keys below `collectors` of a settings file's schema. Raises BenchError when there are none."""
    try:
        return list(schema["$defs"]["Collectors"]["properties"])
    except KeyError as err:
        raise BenchError(f"the settings' schema has no {err}: no way to choose collectors") from err


def settings_without(names: list[str]) -> str:
    """Return a settings file that switches the named collectors off."""
    lines = [f"  {name}: {{enabled: false}}" for name in sorted(names)]
    return "\n".join(["collectors:", *lines, ""]) if lines else ""


def contestants(hostwatch: Path, peer: Path, folder: Path) -> tuple[Contestant, ...]:
    """Return all servers of a run; writes our settings files into `folder`."""
    keys = collector_keys(read_schema(hostwatch))
    equal = folder / "equal.yml"
    equal.write_text(settings_without([key for key in keys if key not in COLLECTORS]))
    quiet = folder / "quiet.yml"
    quiet.write_text(settings_without(["usage"]))
    ours = (str(hostwatch), "serve", "--listen", ADDRESS)
    # no limit of parallel requests, which would answer the 64 scrapers with 503
    theirs = (str(peer), f"--web.listen-address={ADDRESS}", "--web.max-requests=0")
    chosen = ("--collector.disable-defaults", *(f"--collector.{name}" for name in COLLECTORS))
    return (
        Contestant(OURS_T, "hostwatch, equal set", (*ours, "--config", str(equal))),
        Contestant(PEER_T, "node_exporter, equal set", (*theirs, *chosen)),
        Contestant(PEER_STRICT, "node_exporter, no self-metrics", (*theirs, *chosen, "--web.disable-exporter-metrics")),
        Contestant(OURS_D, "hostwatch, defaults", ours),
        Contestant(PEER_D, "node_exporter, defaults", theirs),
        Contestant(OURS_QUIET, "hostwatch, defaults but no sampler", (*ours, "--config", str(quiet))),
    )
