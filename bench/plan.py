"""How much is measured: the counts of a full run and of a quick one. Times are in seconds."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Plan:
    """Blocks are interleaved over all servers; every figure is the median of its blocks."""

    name: str
    # what starting costs goes on a while after the first answer
    settle_seconds: float
    warm_up_scrapes: int
    hot_blocks: int
    hot_scrapes: int
    paced_blocks: int
    paced_scrapes: int
    paced_interval: float
    idle_blocks: int
    # a multiple of the sampler's default interval, so that every block holds as many samples
    idle_seconds: float
    cold_starts: int
    load_blocks: int
    load_seconds: float
    device_blocks: int
    device_scrapes: int
    process_blocks: int
    process_scans: int
    everything_scrapes: int
    load_connections: int = 64


FULL: Final = Plan(
    name="full",
    settle_seconds=2.0,
    warm_up_scrapes=200,
    hot_blocks=7,
    hot_scrapes=400,
    paced_blocks=5,
    paced_scrapes=30,
    paced_interval=1.0,
    idle_blocks=4,
    idle_seconds=15.0,
    cold_starts=25,
    load_blocks=5,
    load_seconds=12.0,
    device_blocks=5,
    device_scrapes=100,
    process_blocks=5,
    process_scans=5,
    everything_scrapes=20,
)
QUICK: Final = Plan(
    name="quick",
    settle_seconds=0.5,
    warm_up_scrapes=20,
    hot_blocks=5,
    hot_scrapes=40,
    paced_blocks=2,
    paced_scrapes=3,
    paced_interval=0.5,
    idle_blocks=1,
    idle_seconds=5.0,
    cold_starts=2,
    load_blocks=1,
    load_seconds=1.0,
    device_blocks=3,
    device_scrapes=15,
    process_blocks=1,
    process_scans=1,
    everything_scrapes=2,
)
