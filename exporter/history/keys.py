"""What a value of the past tells of."""

Key = tuple[str, ...]
"""("cpu",), ("core", "0"), ("memory",), ("swap",), ("filesystem", "/"), ("latency", "192.0.2.1"), ..."""
