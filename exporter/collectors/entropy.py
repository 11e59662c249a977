"""The kernel's entropy pool (/proc/sys/kernel/random)."""

from typing import ClassVar, Final

from exporter.exposition import Block, Family, Layout
from exporter.kernel import KernelError, KernelFiles

_FOLDER: Final = "proc/sys/kernel/random"
AVAILABLE: Final = Family(
    "node_entropy_available_bits", "gauge", f"Bits of entropy in the pool (/{_FOLDER}/entropy_avail)."
)
POOL_SIZE: Final = Family(
    "node_entropy_pool_size_bits", "gauge", f"Bits of entropy that the pool holds at most (/{_FOLDER}/poolsize)."
)


class Entropy:
    """Entropy available and the size of its pool, in bits: the kernel's own digits."""

    name: ClassVar[str] = "entropy"
    families: ClassVar[tuple[Family, ...]] = (AVAILABLE, POOL_SIZE)
    blocking: ClassVar[bool] = False

    def __init__(self, files: KernelFiles) -> None:
        self._available = files.open(f"{_FOLDER}/entropy_avail", whole=True)
        self._size = files.open(f"{_FOLDER}/poolsize", whole=True)
        self._layout = Layout((family, [()]) for family in self.families)

    def collect(self) -> Block:
        """Return the two rows. Raises KernelError when a file holds something else than a number."""
        return self._layout.fill(
            (parse_bits("entropy_avail", self._available.read()), parse_bits("poolsize", self._size.read()))
        )


def parse_bits(file: str, text: bytes) -> bytes:
    """Return the digits of a file of random(4). Raises KernelError when it is no whole line with a number."""
    digits = text[:-1]
    if not (text.endswith(b"\n") and digits.isdigit()):
        raise KernelError(f"{_FOLDER}/{file}: expected a number, got {text[:80]!r}")
    return digits
