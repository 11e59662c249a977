"""What several of these modules need."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture
def strict_umask() -> Iterator[None]:
    """Files of this process are for itself alone, as on a hardened machine."""
    before = os.umask(0o077)
    yield
    os.umask(before)
