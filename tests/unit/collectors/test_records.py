"""The longest record that a collector claims for a file: no line of a recorded machine, or of this one, is longer."""

from pathlib import Path
from types import ModuleType

import pytest

from exporter.collectors import arp, conntrack, netdev, softnet, udp_queues, vmstat

HOSTS = Path(__file__).parents[2] / "fixtures/hosts"


@pytest.mark.parametrize(
    ("module", "file"),
    [
        (arp, "net/arp"),
        (conntrack, "net/stat/nf_conntrack"),
        (netdev, "net/dev"),
        (softnet, "net/softnet_stat"),
        (udp_queues, "net/udp"),
        (udp_queues, "net/udp6"),
        (vmstat, "vmstat"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_no_line_is_longer_than_the_longest_record(module: ModuleType, file: str) -> None:
    recorded = [path for host in sorted(HOSTS.iterdir()) if (path := host / "proc" / file).exists()]
    assert recorded
    here = Path("/proc") / file
    for path in [*recorded, here] if here.exists() else recorded:
        assert max(map(len, path.read_bytes().splitlines(keepends=True)), default=0) <= module._RECORD, path
