"""Judging a page, so that no server wins by answering less, or what it answered before."""

import gzip
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from bench.answer import Answer
from bench.failures import BenchError
from bench.sets import SIX, Collectors

# the page's core 0 may differ from the kernel's by this, in seconds: ticks, and counters that are kept from falling
FRESH_SECONDS: Final = 1.0

_CORE_0: Final = re.compile(rb'^node_cpu_seconds_total\{cpu="0",mode="\w+"\} (\S+)$', re.MULTILINE)
_EMPTY_LABEL: Final = re.compile(rb',?\w+=""')
_SELF: Final = re.compile(rb"go_|process_|promhttp_|node_exporter_build_info|node_scrape_collector_|host_")


def text_of(answer: Answer) -> bytes:
    """Return the page of an answer, decompressed."""
    try:
        return gzip.decompress(answer.body) if answer.gzip else answer.body
    except (OSError, EOFError) as err:
        raise BenchError(f"the body is no gzip: {err}") from err


def sample_lines(text: bytes) -> list[bytes]:
    """Return the lines of a page that hold a sample."""
    return [line for line in text.split(b"\n") if line and not line.startswith(b"#")]


def host_series(text: bytes) -> set[bytes]:
    """Return the series about the machine, names with labels: without what an exporter tells of itself.

    An empty label is the same as none (Prometheus' data model), and left out.
    """
    series = (line.rpartition(b" ")[0] for line in sample_lines(text) if not _SELF.match(line))
    return {_EMPTY_LABEL.sub(b"", name).replace(b"{,", b"{") for name in series}


def read_core_seconds(path: Path = Path("/proc/stat")) -> float:
    """Return the seconds that core 0 spent in all modes, from the kernel itself."""
    line = next(line for line in path.read_text().splitlines() if line.startswith("cpu0 "))
    return sum(map(int, line.split()[1:9])) / 100  # USER_HZ


def problems(text: bytes, core_seconds: float, waited: float = 0.0, collectors: Collectors = SIX) -> Iterable[str]:
    """Yield what is wrong with a page: one of `collectors` that is missing or failed, old values.

    `core_seconds` is what `read_core_seconds` gave when the page came, `waited` how long ago it was asked for, in
    seconds: values read since then are not old.
    """
    for collector, sample in collectors.items():
        if b"\n" + sample not in text:
            yield f"no sample of {sample.decode()}"
        if b'\nnode_scrape_collector_success{collector="%s"} 1\n' % collector.encode() not in text:
            yield f"the collector {collector} did not succeed"
    shown = sum(map(float, _CORE_0.findall(text)))
    if not -FRESH_SECONDS - waited <= shown - core_seconds <= FRESH_SECONDS:
        yield f"old values: core 0 has {shown:.2f} s on the page, {core_seconds:.2f} s in the kernel"


def check(answer: Answer, waited: float = 0.0, collectors: Collectors = SIX) -> bytes:
    """Return the page of an answer that just came, `waited` seconds after its request.

    Raises BenchError naming what is wrong with it.
    """
    text = text_of(answer)
    if found := list(problems(text, read_core_seconds(), waited, collectors)):
        raise BenchError("the page is wrong: " + "; ".join(found))
    return text
