from dataclasses import replace

import pytest

from bench.answer import Answer
from bench.failures import BenchError
from bench.measure import Target, turns
from bench.plan import FULL, QUICK, Plan


class StubServer:
    name = "stub"


class StubScraper:
    def __init__(self, *sizes: int) -> None:
        self._sizes = list(sizes)

    def scrape(self) -> Answer:
        return Answer(200, b"", False, self._sizes.pop(0))


def test_every_block_begins_with_another_server() -> None:
    targets = [Target(key, StubServer(), StubScraper()) for key in "abc"]
    order = ["".join(target.key for target in block) for block in turns(targets, 4)]
    assert order == ["abc", "bca", "cab", "abc"]


def test_an_answer_that_lost_half_its_bytes_ends_the_benchmark() -> None:
    target = Target("ours", StubServer(), StubScraper(100, 49), least_bytes=50)
    assert target.scrape() >= 0
    with pytest.raises(BenchError, match="stub: 49 bytes, expected 50 or more"):
        target.scrape()


@pytest.mark.parametrize("plan", [FULL, QUICK], ids=["full", "quick"])
def test_medians_of_the_cpu_come_from_five_blocks_or_more(plan: Plan) -> None:
    assert plan.hot_blocks >= 5
    assert replace(plan).load_connections == 64


@pytest.mark.parametrize("plan", [FULL, QUICK], ids=["full", "quick"])
def test_a_difference_of_two_networks_is_taken_more_than_once(plan: Plan) -> None:
    assert plan.device_blocks >= 3


def test_an_idle_block_holds_whole_intervals_of_the_sampler() -> None:
    assert FULL.idle_seconds % 5 == 0
    assert FULL.idle_blocks * FULL.idle_seconds == 60
    assert FULL.load_blocks * FULL.load_seconds == 60
