"""What a value looks like: words and colours. A colour is never the only sign: each state has a word, too."""

from collections.abc import Mapping
from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models.dashboard import (
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)

# Grafana's names of colours that people who see red and green alike can tell apart
GOOD: Final = "blue"
BAD: Final = "dark-orange"
WARN: Final = "yellow"
OFF: Final = "text"

UP_DOWN: Final = {"1": ("▲ up", GOOD), "0": ("▼ DOWN", BAD)}
YES_NO: Final = {"1": ("✓ yes", GOOD), "0": ("✗ NO", BAD)}
OK_FAILED: Final = {"1": ("✓ ok", GOOD), "0": ("✗ FAILED", BAD)}
FAILS: Final = {"0": ("✓ none", GOOD)}


def words(table: Mapping[str, tuple[str, str]]) -> list[ValueMapping]:
    """Return value mappings: text and colour by value."""
    results = {
        value: ValueMappingResult(text=text, color=color, index=place)
        for place, (value, (text, color)) in enumerate(table.items())
    }
    return [ValueMap(options=results)]


def steps(*pairs: tuple[float, str], base: str = GOOD) -> build.ThresholdsConfig:
    """Return colours from values on; below the first one `base`."""
    rows = [Threshold(color=base), *(Threshold(value=value, color=color) for value, color in pairs)]
    return build.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(rows)
