"""The collector seam: what the runner asks of each, the two ways to have nothing to say, and names that are taken."""

from collections.abc import Iterable, Sequence
from typing import ClassVar, Protocol

from exporter.exposition import Block, Family


class NoData(Exception):  # noqa: N818 -- no error: normal on many hosts
    """This host has nothing of the kind (no swap, PSI off): normal, not a fault."""


class Collector(Protocol):
    """One subject of this machine, read once per scrape."""

    name: ClassVar[str]
    """Key in the settings and value of the `collector` label."""

    families: ClassVar[tuple[Family, ...]]
    """All it may ever emit: feeds docs/metrics.md and the check that no two collectors share a name."""

    @property
    def blocking(self) -> bool:
        """Whether the next `collect` may block: then it runs on a thread of its own, else on the event loop.

        Asked on the event loop right before each `collect`, never while one runs, and maybe twice: what the kernel
        tells of once only has to be kept until `collect` has read it. What it raises is a failure too.
        """
        ...

    def collect(self) -> Block:
        """Return this moment's values as text.

        Raises NoData when this host has nothing of the kind; anything else that it raises is a failure.
        """
        ...


class DuplicateFamilyError(Exception):
    """Two collectors declare one metric name."""


def refuse_duplicates(collectors: Sequence[Collector], runners: Iterable[Family] = ()) -> None:
    """Raise DuplicateFamilyError naming both when two collectors, or one and the runner, declare one metric name."""
    owner: dict[str, str] = {family.name: "runner" for family in runners}
    for collector in collectors:
        for family in collector.families:
            if owner.setdefault(family.name, collector.name) != collector.name:
                raise DuplicateFamilyError(
                    f"{family.name} is declared by the collectors {owner[family.name]} and {collector.name}"
                )
