"""Servers that are up and answer as they should, each with the connection that scrapes it."""

import contextlib
import time
from pathlib import Path
from typing import Final

from bench.failures import BenchError
from bench.measure import Target
from bench.peers import Contestant
from bench.processes import Server

_SECOND_CHANCE_SECONDS: Final = 2.0


def start(stack: contextlib.ExitStack, contestant: Contestant, folder: Path) -> Target:
    """Start a server, which `stack` stops again, and judge its first page. Raises BenchError naming it."""
    log = folder / f"{contestant.key}.log"
    server = stack.enter_context(Server(contestant.label, contestant.argv, log, contestant.access))
    scraper = server.connect()
    stack.callback(scraper.close)
    target = Target(contestant.key, server, scraper, contestant.collectors)
    _judge_first(target)
    return target


def _judge_first(target: Target) -> None:
    """Judge the first page; the collectors of a server that just started get a second chance."""
    try:
        target.judge()
    except BenchError:
        time.sleep(_SECOND_CHANCE_SECONDS)
        target.judge()
