"""Who runs against whom: ours and node_exporter with equal sets of collectors, and each with its defaults."""

import json
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.access import OPEN, Access
from bench.failures import BenchError
from bench.locks import Lock
from bench.processes import ADDRESS, plain_environment
from bench.sets import SIX, TEN, TEN_NETCLASS, Collectors

PEER: Final = "prometheus-node-exporter"


@dataclass(frozen=True)
class Contestant:
    """One server to measure; `argv` holds "{address}" where the address to listen on belongs."""

    key: str
    label: str
    argv: tuple[str, ...]
    collectors: Collectors
    """What its page must hold."""
    access: Access = OPEN


OURS_T: Final = "ours_t"
PEER_T: Final = "peer_t"
PEER_STRICT: Final = "peer_strict"
OURS_T10: Final = "ours_t10"
PEER_T10: Final = "peer_t10"
PEER_T10_STRICT: Final = "peer_t10_strict"
OURS_D: Final = "ours_d"
PEER_D: Final = "peer_d"
OURS_QUIET: Final = "ours_quiet"
OURS_SAMPLED: Final = "ours_sampled"
OURS_WATCHING: Final = "ours_watching"
# everything on, and the three daemons that together do the same: see bench/everything.py
OURS_EVERYTHING: Final = "ours_everything"
THREE: Final = "three"
OURS_T_LOCKED: Final = "ours_t_locked"
OURS_D_LOCKED: Final = "ours_d_locked"
# the cost of further samples: a difference between two networks, see bench/devices.py
OURS_MORE: Final = "ours_more"
PEER_MORE: Final = "peer_more"
OURS_MORE_NETCLASS: Final = "ours_more_netclass"
PEER_MORE_NETCLASS: Final = "peer_more_netclass"


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


def settings_without(names: Iterable[str]) -> str:
    """Return a settings file that switches the named collectors off, and then the pings too: no peer sends any."""
    lines = [f"  {name}: {{enabled: false}}" for name in sorted(names)]
    return "\n".join(["collectors:", *lines, "probes:", "  ping: {enabled: false}", ""]) if lines else ""


class Sides:
    """Both commands, and how each is told which collectors to run."""

    def __init__(self, hostwatch: Path, peer: Path, folder: Path) -> None:
        """Our settings files go into `folder`. Runs our command for its schema."""
        self._folder = folder
        self._keys = collector_keys(read_schema(hostwatch))
        self._ours = (str(hostwatch), "serve", "--listen", ADDRESS)
        # no limit of parallel requests, which would answer the 64 scrapers with 503
        self._theirs = (str(peer), f"--web.listen-address={ADDRESS}", "--web.max-requests=0")

    def ours(self, key: str, what: str, collectors: Collectors | None, lock: Lock | None = None) -> Contestant:
        """Return ours with a set of collectors, or with its defaults; `what` goes into its label."""
        argv: tuple[str, ...] = self._ours
        if collectors is not None:
            argv = (*argv, "--config", str(self._settings(key, set(self._keys).difference(collectors))))
        if lock is not None:
            argv = (*argv, "--web-config", str(lock.web_config))
        access = OPEN if lock is None else lock.access
        return Contestant(key, f"hostwatch, {what}", argv, TEN if collectors is None else collectors, access)

    def quiet(self) -> Contestant:
        """Return ours with its defaults but what has a timer of its own."""
        argv = (*self._ours, "--config", str(self._settings(OURS_QUIET, ["usage", "process_groups"])))
        return Contestant(OURS_QUIET, "hostwatch, defaults but no sampler", argv, TEN)

    def sampled(self) -> Contestant:
        """Return the quiet one with the sampler."""
        argv = (*self._ours, "--config", str(self._settings(OURS_SAMPLED, ["process_groups"])))
        return Contestant(OURS_SAMPLED, "hostwatch, of timers only the sampler", argv, TEN)

    def watching(self, settings: str, key: str = OURS_WATCHING) -> Contestant:
        """Return ours with its defaults and these settings."""
        path = self._folder / f"{key}.yml"
        path.write_text(settings)
        return Contestant(key, "hostwatch, watching", (*self._ours, "--config", str(path)), TEN)

    def theirs(self, key: str, what: str, collectors: Collectors | None, *flags: str) -> Contestant:
        """Return node_exporter with a set of collectors, or with its defaults."""
        argv: tuple[str, ...] = self._theirs
        if collectors is not None:
            argv = (*argv, "--collector.disable-defaults", *(f"--collector.{name}" for name in collectors))
        label = f"node_exporter, {what}"
        return Contestant(key, label, (*argv, *flags), TEN if collectors is None else collectors)

    def _settings(self, key: str, without: Iterable[str]) -> Path:
        path = self._folder / f"{key}.yml"
        path.write_text(settings_without(without))
        return path


def contestants(sides: Sides, lock: Lock | None) -> tuple[Contestant, ...]:
    """Return the servers that run side by side from the first scrape to the last; without a lock all are open."""
    no_self = "--web.disable-exporter-metrics"
    always = (
        sides.ours(OURS_T, "six collectors", SIX),
        sides.theirs(PEER_T, "six collectors", SIX),
        sides.theirs(PEER_STRICT, "six collectors, no self-metrics", SIX, no_self),
        sides.ours(OURS_T10, "ten collectors", TEN),
        sides.theirs(PEER_T10, "ten collectors", TEN),
        sides.theirs(PEER_T10_STRICT, "ten collectors, no self-metrics", TEN, no_self),
        sides.ours(OURS_D, "defaults", None),
        sides.theirs(PEER_D, "defaults", None),
    )
    if lock is None:
        return always
    return (
        *always,
        sides.ours(OURS_T_LOCKED, "six collectors, TLS and password", SIX, lock),
        sides.ours(OURS_D_LOCKED, "defaults, TLS and password", None, lock),
    )


def with_more_devices(sides: Sides) -> tuple[Contestant, ...]:
    """Return the servers whose cost per further sample is wanted."""
    return (
        sides.ours(OURS_MORE, "ten collectors", TEN),
        sides.theirs(PEER_MORE, "ten collectors", TEN),
        sides.ours(OURS_MORE_NETCLASS, "ten collectors and netclass", TEN_NETCLASS),
        sides.theirs(PEER_MORE_NETCLASS, "ten collectors and netclass", TEN_NETCLASS),
    )
