"""What is asked of the system before the daemon starts."""

import resource

import pytest

from exporter.start import allow_more_files

INFINITE = resource.RLIM_INFINITY


class Limits:
    """Stands in for the kernel's limits of open files."""

    def __init__(self, soft: int, hard: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = soft, hard
        self.error: Exception | None = None
        monkeypatch.setattr(resource, "getrlimit", lambda which: self._check(which) or self.now)
        monkeypatch.setattr(resource, "setrlimit", self._set)

    def _check(self, which: int) -> None:
        assert which == resource.RLIMIT_NOFILE
        if self.error is not None:
            raise self.error

    def _set(self, which: int, limits: tuple[int, int]) -> None:
        self._check(which)
        assert limits[0] > self.now[0], "only what changes is set"
        self.now = limits


@pytest.mark.parametrize(
    ("soft", "hard", "after"),
    [
        pytest.param(1024, 4096, 4096, id="up to the hard limit"),
        pytest.param(1024, 1_048_576, 65_536, id="no more than is of use"),
        pytest.param(1024, INFINITE, 65_536, id="without a hard limit"),
        pytest.param(4096, 4096, 4096, id="as high as it can be"),
        pytest.param(100_000, 524_288, 100_000, id="more than is of use stays"),
        pytest.param(INFINITE, INFINITE, INFINITE, id="without a limit"),
    ],
)
def test_soft_limit_of_open_files_is_raised(soft: int, hard: int, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits(soft, hard, monkeypatch)
    allow_more_files()
    assert limits.now == (after, hard)


@pytest.mark.parametrize("error", [OSError(1, "Operation not permitted"), ValueError("not allowed to raise")], ids=repr)
def test_limit_that_a_sandbox_keeps_stays(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits(1024, 4096, monkeypatch)
    limits.error = error
    allow_more_files()
    assert limits.now == (1024, 4096)
