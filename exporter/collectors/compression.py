"""gzip of a page: by isal where it is installed (a quarter of zlib's CPU), else zlib at level 1."""

import zlib
from collections.abc import Callable


def _zlib_gzip(page: bytes) -> bytes:
    # memLevel 6 keeps the state small enough to be reused; the default is page-faulted in anew each time
    compressor = zlib.compressobj(1, zlib.DEFLATED, 16 + 13, 6)
    return compressor.compress(page) + compressor.flush()


def _choose() -> Callable[[bytes], bytes]:
    try:
        from isal import igzip_lib  # noqa: PLC0415 -- an optional wheel
    except ImportError:
        return _zlib_gzip

    def isal_gzip(page: bytes) -> bytes:
        return bytes(igzip_lib.compress(page, 1, igzip_lib.COMP_GZIP))

    return isal_gzip


compress: Callable[[bytes], bytes] = _choose()
"""Return `page` as one gzip member."""
