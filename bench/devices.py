"""What a further sample costs: the same servers in two networks, one with many more devices than the other."""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from bench import network, peers
from bench.access import Access
from bench.measure import Step, Target, measure_hot
from bench.network import Network
from bench.peers import Contestant, Sides
from bench.plan import Plan
from bench.servers import start
from bench.summary import Record

FEW: Final = 2  # beside lo, which node_exporter leaves out: without any its page would be no whole one
MORE: Final = 60
_BARE: Final = f" with {FEW} devices"
_FULL: Final = f" with {MORE} devices more"


def measure_devices(sides: Sides, folder: Path, plan: Plan, record: Record, step: Step) -> None:
    """Measure CPU per further sample, or keep the reason why it cannot be measured here."""
    contestants = peers.with_more_devices(sides)
    if reason := network.missing():
        for contestant in contestants:
            record.excuse(contestant.key, reason)
        return
    found = Record()
    with contextlib.ExitStack() as stack:
        targets = _start_all(stack, contestants, folder)
        time.sleep(plan.settle_seconds)
        hot = replace(
            plan,
            warm_up_scrapes=plan.device_scrapes // 5,
            hot_blocks=plan.device_blocks,
            hot_scrapes=plan.device_scrapes,
        )
        measure_hot(targets, hot, found, lambda _: step(f"{MORE} more network devices"))
    for contestant in contestants:
        compare(contestant.key, found, record)


def _start_all(stack: contextlib.ExitStack, contestants: Sequence[Contestant], folder: Path) -> list[Target]:
    bare, full = stack.enter_context(Network()), stack.enter_context(Network())
    bare.add_devices(FEW)
    full.add_devices(FEW + MORE)
    return [
        start(
            stack,
            replace(
                contestant,
                key=contestant.key + suffix,
                label=contestant.label + suffix,
                access=Access(network=place),
            ),
            folder,
        )
        for contestant in contestants
        for place, suffix in ((bare, _BARE), (full, _FULL))
    ]


def compare(key: str, found: Record, record: Record) -> None:
    """Record, block by block, how much more CPU a server took for how many more samples."""
    cpu = zip(found.blocks(key + _BARE, "hot_cpu"), found.blocks(key + _FULL, "hot_cpu"), strict=True)
    samples = zip(found.blocks(key + _BARE, "samples"), found.blocks(key + _FULL, "samples"), strict=True)
    for (little, much), (few, many) in zip(cpu, samples, strict=True):
        record.add(key, "more_samples", many - few)
        record.add(key, "more_cpu", (much - little) / max(many - few, 1))
