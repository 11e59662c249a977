"""Software RAID arrays (/proc/mdstat)."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, Final, NamedTuple

from exporter.collector import NoData
from exporter.collectors.sysfs import Absence, Sample, Sheet
from exporter.exposition import Block, Family, text_of
from exporter.kernel import KernelError, KernelFiles

STATE: Final = Family(
    "node_md_state", "gauge", "1 for the state the array is in, 0 for the others (/proc/mdstat).", ("device", "state")
)
DISKS: Final = Family(
    "node_md_disks", "gauge", "Disks of the array that are active, failed, spare (/proc/mdstat).", ("device", "state")
)
DISKS_REQUIRED: Final = Family(
    "node_md_disks_required", "gauge", "Disks that the array has when it is whole (/proc/mdstat).", ("device",)
)
BLOCKS: Final = Family("node_md_blocks", "gauge", "Blocks of 1 KiB that the array holds (/proc/mdstat).", ("device",))
BLOCKS_SYNCED: Final = Family(
    "node_md_blocks_synced",
    "gauge",
    "Blocks of 1 KiB in sync; while syncing, those done so far (/proc/mdstat).",
    ("device",),
)

STATES: Final = ("active", "inactive", "recovering", "resync", "check")
_ACTIONS: Final = {b"recovery": "recovering", b"check": "check", b"resync": "resync"}

_FIRST: Final = b"Personalities : "
_LAST: Final = b"unused devices: "
_DEVICE: Final = re.compile(rb"(\S+) : (\S+)(?: \([a-z-]+\))*(?: (\S+))?.*")
_SIZE: Final = re.compile(rb" +(\d+) blocks( .*)?")
_MEMBERS: Final = re.compile(rb"\[(\d+)/(\d+)\] \[[U_]+\]")
_PROGRESS: Final = re.compile(rb"(recovery|check|resync) *= *[0-9.]+% \((\d+)/\d+\)")
_WAITING: Final = re.compile(rb"(recovery|check|resync) *= *(?:PENDING|DELAYED)")


class Array(NamedTuple):
    """One array; counts as the kernel's digits."""

    name: str
    state: str
    active: bytes
    failed: int
    spare: int
    required: bytes
    blocks: bytes
    synced: bytes


class MdAdm:
    """State, disks and progress of each software RAID array."""

    name: ClassVar[str] = "mdadm"
    families: ClassVar[tuple[Family, ...]] = (STATE, DISKS, DISKS_REQUIRED, BLOCKS, BLOCKS_SYNCED)

    def __init__(self, files: KernelFiles) -> None:
        self._source = files.open_own("proc/mdstat")
        self._text = b""
        self._block: Block = b""
        self._sheet = Sheet()
        self._absence = Absence()

    @property
    def blocking(self) -> bool:
        """Whether there was an array at the last look: up to Linux 3.19 reading waits for whoever changes one."""
        return bool(self._block)

    def collect(self) -> Block:
        """Return the arrays' rows, none on a machine that could have arrays but has not.

        Raises NoData where the kernel knows no software RAID, KernelError for what is no mdstat.
        """
        if self._absence.holds():
            raise NoData
        try:
            text = self._source.read()
        except KernelError as err:
            self._text = self._block = b""
            if isinstance(err.__cause__, FileNotFoundError):
                self._absence.note()
                raise NoData from err
            raise
        if text != self._text:
            arrays = parse_mdstat(text)
            self._block = self._sheet.render(_samples(arrays)) if arrays else b""
            self._text = text
        return self._block


def _samples(arrays: Iterable[Array]) -> Iterator[Sample]:
    for array in arrays:
        device = (array.name,)
        for state in STATES:
            yield STATE, (array.name, state), b"1" if state == array.state else b"0"
        yield DISKS, (array.name, "active"), array.active
        yield DISKS, (array.name, "failed"), b"%d" % array.failed
        yield DISKS, (array.name, "spare"), b"%d" % array.spare
        yield DISKS_REQUIRED, device, array.required
        yield BLOCKS, device, array.blocks
        yield BLOCKS_SYNCED, device, array.synced


def parse_mdstat(text: bytes) -> list[Array]:
    """Return the arrays of /proc/mdstat (drivers/md/md.c, md_seq_show).

    Raises KernelError naming the first line that is not the kernel's, or the end when it was cut short.
    """
    lines = text.split(b"\n")
    if not (
        lines[0].startswith(b"Personalities : ") and lines[-2:][0].startswith(b"unused devices: ") and not lines[-1]
    ):
        raise KernelError(f"proc/mdstat: expected personalities, arrays and unused devices, got {text[-80:]!r}")
    starts = [i for i, line in enumerate(lines[:-2]) if i and line and not line[:1].isspace()]
    starts = [i for i in starts if not lines[i].startswith(b"read_ahead ")]  # a line of its own in some old kernels
    ends = [*starts[1:], len(lines) - 2][: len(starts)]
    return [_parse_array(lines[i:end]) for i, end in zip(starts, ends, strict=True)]


def _parse_array(lines: Sequence[bytes]) -> Array:
    device = _DEVICE.fullmatch(lines[0])
    size = _SIZE.fullmatch(lines[1]) if len(lines) > 1 else None
    if device is None or size is None:
        raise KernelError(f"proc/mdstat: expected an array and its blocks, got {b' '.join(lines[:2])[:160]!r}")
    state, blocks = text_of(device[2]), size[1]
    active, required = _count_disks(lines[0], device, size[2] or b"")
    synced = blocks
    for line in lines[2:]:
        progress, waiting = _PROGRESS.search(line), _WAITING.search(line)
        if progress is not None:
            state, synced = _ACTIONS[progress[1]], progress[2]
        elif waiting is not None:
            state, synced = _ACTIONS[waiting[1]], b"0"
    failed, spare = lines[0].count(b"(F)"), lines[0].count(b"(S)")
    return Array(text_of(device[1]), state, active, failed, spare, required, blocks, synced)


def _count_disks(line: bytes, device: "re.Match[bytes]", status: bytes) -> tuple[bytes, bytes]:
    """Return how many disks are active and how many it takes, as digits."""
    if device[2] == b"inactive":
        return b"0", b"0"
    if device[3] in (b"raid0", b"linear"):  # these work with all their disks or not at all, and say no more
        disks = b"%d" % line.count(b"[")
        return disks, disks
    members = _MEMBERS.search(status)
    if members is None:
        raise KernelError(f"proc/mdstat: expected [disks/active] [UU_], got {status[:80]!r}")
    return members[2], members[1]
