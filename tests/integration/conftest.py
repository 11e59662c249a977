"""What several of these modules need, and takes long to make."""

import pytest

from tests.support.compose import build, prepare
from tests.support.engine import Engine


@pytest.fixture(scope="session")
def built(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> tuple[Engine, str]:
    """An engine with all images, ours built behind a package index with its own authority, and the build's output."""
    prepare(engine)
    return engine, build(engine, tmp_path_factory.mktemp("build"))
