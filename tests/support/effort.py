"""How much a test tries: all of it in `make test`, a part of it in `make check`.

Hypothesis' profile says which: `--hypothesis-profile=fast` or `thorough`, which is what there is without it.
"""

from typing import Final

from hypothesis import settings

# what hypothesis tries by itself
_ALL: Final = 100
_FAST: Final = 12


def register_profiles() -> None:
    """Make the two profiles known, for the command line."""
    settings.register_profile("thorough", max_examples=_ALL, deadline=None)
    settings.register_profile("fast", max_examples=_FAST, deadline=None)


def tries(count: int) -> int:
    """Return how often to try what is tried `count` times by a thorough run."""
    return max(count * settings().max_examples // _ALL, 3)
