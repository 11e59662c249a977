"""Kernel files that are not as the kernel wrote them, the numbers that stand in them, and long lives among them."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from exporter.collector import Collector, NoData
from exporter.kernel import KernelError, KernelFiles
from tests.support.effort import tries
from tests.support.kernel import MemoryFiles, collect

Contents = Mapping[str, bytes]
"""Files by their names (proc/...)."""

SENSELESS: Final = (b"", b"\n", b"\0", b"\n\n\n", b" ", b"0", b"\xff\xfe", b"a b\n", bytes(1000))


@st.composite
def damaged(draw: st.DrawFn, text: bytes) -> bytes:
    """A file of the kernel with a few bits flipped, pieces cut out, doubled, moved or put in."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(len(text) - 1, 0)))
        end = min(start + draw(st.integers(1, 120)), len(text))
        match draw(st.sampled_from(("flip", "cut", "end", "double", "move", "insert", "line"))):
            case "flip" if text:
                text = text[:start] + bytes([text[start] ^ 1 << draw(st.integers(0, 7))]) + text[start + 1 :]
            case "cut":
                text = text[:start] + text[end:]
            case "end":
                text = text[:start]
            case "double":
                text = text[:end] + text[start:]
            case "move":
                text = text[:start] + text[end:] + text[start:end]
            case "insert":
                text = text[:start] + draw(st.binary(max_size=8)) + text[start:]
            case "line":
                lines = text.split(b"\n")
                lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(lines)))
                text = b"\n".join(lines)
    return text


_WORD: Final = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?")
_HEXADECIMAL: Final = re.compile(rb"0x([0-9a-fA-F]+)|(?=([0-9a-f]{8}))")
_SIZE: Final = re.compile(rb"(?=(?<![0-9])(-?)([0-9]+)(?:\.(10|[0-9]))?([kMGTPEZY]))")
# sectors, kB, pages, kHz, Mbit/s
_FACTORS: Final = (512, 1000, 1024, 4096, 125000)
# ticks and tenths of a degree too
_DIVISORS: Final = (10, 100, 1e3, 1e6, 1e9)


def numbers_in(text: bytes) -> set[float]:
    """Return every number that a part of the text can stand for, in any unit of ours."""
    numbers = {float(word) for word in _WORD.findall(text)} | set(_digits_in(text))
    numbers |= {float(int(a or b, 16)) for a, b in _HEXADECIMAL.findall(text)}
    scaled = {number * factor for number in numbers for factor in _FACTORS}
    return {1.0, *numbers, *scaled, *(number / by for number in numbers for by in _DIVISORS)} | set(_sizes_in(text))


def _digits_in(text: bytes) -> Iterator[float]:
    """Yield whole numbers without a sign: `1-3` is a list in some files."""
    return map(float, re.findall(rb"[0-9]+", text))


def _sizes_in(text: bytes) -> Iterator[float]:
    """Yield sizes written for people, such as `1.5G`, as drivers/md/bcache/util.c writes them."""
    for minus, whole, tenth, unit in _SIZE.findall(text):
        power = b" kMGTPEZY".index(unit)
        size = float(int(whole) * 1024**power + int(tenth or 0) * 100 * 1024 ** (power - 1))
        for factor in (1, 512):
            yield -size * factor if minus else size * factor


class LongLife(RuleBasedStateMachine):
    """One collector that lives through a sequence of trees, beside a new one for each of them."""

    make: Callable[[KernelFiles], Collector]
    trees: Sequence[Contents]

    @initialize()
    def start(self) -> None:
        self.files = MemoryFiles({})
        self.collector = self.make(self.files)

    def scrape(self, contents: Contents) -> None:
        self.files.contents.clear()
        self.files.contents.update(contents)
        try:
            wanted = collect(self.make(MemoryFiles(dict(contents))))
        except (KernelError, NoData) as err:
            with pytest.raises(type(err)):
                collect(self.collector)
        else:
            assert collect(self.collector) == wanted

    def draw_file(self, data: st.DataObject) -> tuple[Contents, str]:
        """Return a good tree, and the name of one of its files."""
        contents = data.draw(st.sampled_from(self.trees))
        return contents, data.draw(st.sampled_from(sorted(contents)))

    @rule(data=st.data())
    def good_files(self, data: st.DataObject) -> None:
        self.scrape(data.draw(st.sampled_from(self.trees)))

    @rule(data=st.data())
    def file_missing(self, data: st.DataObject) -> None:
        contents, file = self.draw_file(data)
        self.scrape({name: text for name, text in contents.items() if name != file})

    @rule(data=st.data(), text=st.sampled_from(SENSELESS))
    def senseless_file(self, data: st.DataObject, text: bytes) -> None:
        contents, file = self.draw_file(data)
        self.scrape({**contents, file: text})

    @rule(data=st.data(), heading=st.integers(0, 2))
    def lines_come_go_and_move(self, data: st.DataObject, heading: int) -> None:
        contents, file = self.draw_file(data)
        lines = contents[file].splitlines(keepends=True)
        kept = data.draw(st.lists(st.sampled_from(lines[heading:]), unique=True)) if lines[heading:] else []
        self.scrape({**contents, file: b"".join(lines[:heading] + kept)})

    @rule(data=st.data())
    def damaged_file(self, data: st.DataObject) -> None:
        contents, file = self.draw_file(data)
        self.scrape({**contents, file: data.draw(damaged(contents[file]))})


def live_long(make: Callable[[KernelFiles], Collector], trees: Sequence[Contents]) -> None:
    """Run a collector through trees good and bad: after each its text is what a new collector's would be."""
    machine = type("LongLifeOfOne", (LongLife,), {"make": staticmethod(make), "trees": trees})
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=tries(40), stateful_step_count=15, deadline=None, suppress_health_check=checks),
    )
