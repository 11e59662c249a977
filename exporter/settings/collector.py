"""What every collector can be told; each one's own settings stand on it."""

import msgspec


class Collector(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What every collector can be told."""

    enabled: bool = True
    """Whether this collector runs at all."""
