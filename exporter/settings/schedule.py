"""What every check can be told: its name, and when it is tried."""

from typing import Annotated

import msgspec

from exporter.settings.values import Duration, above_zero, default

MAX_NAME = 200


class CheckSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A check's name and timer; each kind adds what it asks."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]
    """The label `check` of its rows; no two checks of a kind have the same."""
    interval: Duration = default(Duration(15))
    """From one attempt to the next, 1s to 1d."""
    timeout: Duration = default(Duration(5))
    """How long one attempt may take; not more than the interval."""
    retries: Annotated[int, msgspec.Meta(ge=0, le=10)] = 0
    """How often a failed attempt is tried again before the check counts as failed."""
    retry_delay: Duration = default(Duration(1))
    """How long to wait before such a try."""

    def __post_init__(self) -> None:
        """Refuse a timer that cannot be kept. A kind with checks of its own calls this one too."""
        if not 1 <= self.interval <= 86400:
            raise ValueError(f"interval: expected 1s to 1d, got {self.interval}")
        above_zero(self, "timeout")
        if self.timeout > self.interval:
            raise ValueError(f"timeout: expected at most the interval ({self.interval}), got {self.timeout}")
