"""What several of these modules need."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.delivery_bench import Bench
from tests.support.fake_slack import FakeSlack


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A delivery to a Slack of three channels; its queue closes well."""
    with FakeSlack(("#alerts", "#fallback", "#team")) as slack:
        one = Bench(tmp_path, slack)
        yield one
        assert one.queue.close(30)
