"""What a scrape of ourselves has to show before systemd hears that the exporter works."""

import pytest

from exporter.web.proof import is_well

HEAD = b"# HELP node_scrape_collector_success 1 where...\n# TYPE node_scrape_collector_success gauge\n"
ROW = b'node_scrape_collector_success{collector="%b"} %b\n'


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (HEAD + ROW % (b"cpu", b"1"), True),
        (HEAD + ROW % (b"cpu", b"0") + ROW % (b"stat", b"1"), True),
        (b'node_network_up{device="lo"} 1\n' + HEAD + ROW % (b"cpu", b"0") + ROW % (b"stat", b"0"), False),
        (b"", True),
    ],
    ids=["one succeeds", "one of two", "none, whatever else is 1", "no collector is wanted"],
)
def test_well_is_where_not_every_collector_fails(page: bytes, *, expected: bool) -> None:
    assert is_well(page) is expected
