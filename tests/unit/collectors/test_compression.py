"""gzip of a page, with and without the optional wheel."""

import builtins
import gzip

import pytest

from exporter.collectors import compression


@pytest.mark.parametrize("page", [b"", b"x", b"node_load1 0.5\n" * 10_000], ids=len)
@pytest.mark.parametrize("how", [compression.compress, compression._zlib_gzip], ids=["chosen", "zlib"])
def test_page_comes_back_as_it_was(page: bytes, how: object) -> None:
    packed = how(page)  # type: ignore[operator]
    assert gzip.decompress(packed) == page
    assert len(packed) < 100 + len(page) / 10


def test_zlib_serves_where_the_wheel_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def fail(name: str, *rest: object) -> object:
        if name.startswith("isal"):
            raise ImportError(name)
        return real(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", fail)
    assert compression._choose() is compression._zlib_gzip
