"""What must be reached, and how far a figure is from it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """A limit on a row's ratio, or on our own figure; `aim` is the better figure that is hoped for."""

    limit: float
    aim: float | None = None
    at_least: bool = False
    absolute: bool = False
    """True when it limits our own figure, in the row's unit."""
    subject: str = ""
    """What was promised to reach it."""

    def meets(self, value: float, limit: float) -> bool:
        """Return whether `value` is on the good side of `limit`."""
        return value >= limit if self.at_least else value <= limit

    def is_met(self, value: float | None) -> bool:
        """Return whether the goal is met; what was not measured meets none."""
        return value is not None and self.meets(value, self.limit)

    def verdict(self, value: float | None) -> str:
        """Return "met", or by how much it is missed."""
        if value is None:
            return "not measured"
        if not self.meets(value, self.limit):
            if not self.limit:
                return f"missed by {value:.4g}"
            return f"missed by {abs(value / self.limit - 1):.1%}"
        if self.aim is None:
            return "met"
        if self.meets(value, self.aim):
            return "met, aim too"
        return f"met, {abs(value / self.aim - 1):.0%} off the aim"

    def text(self) -> str:
        """Return the goal as a reader sees it."""
        sign = ">=" if self.at_least else "<="
        return f"{sign} {self.limit:g}" + ("" if self.aim is None else f", aim {self.aim:g}")
