"""Judging a page, so that no server wins by answering less, or what it answered before."""

import gzip
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from bench.answer import Answer
from bench.failures import BenchError

# the equal set: a sample that each of its collectors must give, on every Linux machine
COLLECTORS: Final = {
    "cpu": b"node_cpu_seconds_total",
    "filesystem": b"node_filesystem_size_bytes",
    "loadavg": b"node_load1",
    "meminfo": b"node_memory_MemTotal_bytes",
    "netdev": b"node_network_receive_bytes_total",
    "stat": b"node_boot_time_seconds",
}
# the page's core 0 may differ from the kernel's by this, in seconds: ticks, and counters that are kept from falling
FRESH_SECONDS: Final = 1.0

_CORE_0: Final = re.compile(rb'^node_cpu_seconds_total\{cpu="0",mode="\w+"\} (\S+)$', re.MULTILINE)
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
    """Return the series about the machine, names with labels: without what an exporter tells of itself."""
    return {line.rpartition(b" ")[0] for line in sample_lines(text) if not _SELF.match(line)}


def read_core_seconds(path: Path = Path("/proc/stat")) -> float:
    """Return the seconds that core 0 spent in all modes, from the kernel itself."""
    line = next(line for line in path.read_text().splitlines() if line.startswith("cpu0 "))
    return sum(map(int, line.split()[1:9])) / 100  # USER_HZ


def problems(text: bytes, core_seconds: float, waited: float = 0.0) -> Iterable[str]:
    """Yield what is wrong with a page: a collector of the equal set that is missing or failed, old values.

    `core_seconds` is what `read_core_seconds` gave when the page came, `waited` how long ago it was asked for, in
    seconds: values read since then are not old.
    """
    for collector, sample in COLLECTORS.items():
        if b"\n" + sample not in text:
            yield f"no sample of {sample.decode()}"
        if b'\nnode_scrape_collector_success{collector="%s"} 1\n' % collector.encode() not in text:
            yield f"the collector {collector} did not succeed"
    shown = sum(map(float, _CORE_0.findall(text)))
    if not -FRESH_SECONDS - waited <= shown - core_seconds <= FRESH_SECONDS:
        yield f"old values: core 0 has {shown:.2f} s on the page, {core_seconds:.2f} s in the kernel"


def check(answer: Answer, waited: float = 0.0) -> bytes:
    """Return the page of an answer that just came, `waited` seconds after its request.

    Raises BenchError naming what is wrong with it.
    """
    text = text_of(answer)
    if found := list(problems(text, read_core_seconds(), waited)):
        raise BenchError("the page is wrong: " + "; ".join(found))
    return text
