"""Which processes are meant: by name, command line, executable, user, unit or cgroup; and groups of them."""

from typing import Annotated

import msgspec

from exporter.settings.collector import Collector
from exporter.settings.values import Duration, Regex, default

MAX_GROUPS = 256


class Match(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which processes are meant: those that satisfy every expression that is given, at least one."""

    name: Regex | None = None
    """The whole name, as in /proc/PID/comm: at most 15 bytes, a kernel thread's up to 63."""
    command_line: Regex | None = None
    """Anywhere in the command line: its first 4096 bytes, arguments separated by blanks."""
    executable: Regex | None = None
    """The whole path of the program's file; of others' processes it is hidden without CAP_SYS_PTRACE."""
    user: Regex | None = None
    """The whole name of the effective user in /etc/passwd, or the whole number."""
    unit: Regex | None = None
    """The whole name of systemd's unit, such as nginx.service or session-2.scope."""
    cgroup: Regex | None = None
    """Anywhere in the path of a control group, of version 1 or 2."""

    def __post_init__(self) -> None:
        """Refuse a match without any expression: it would mean every process by oversight."""
        if not any(getattr(self, field) is not None for field in self.__struct_fields__):
            raise ValueError(f"expected one or more of {', '.join(self.__struct_fields__)}")


class GroupSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One group of processes; it has its rows whether one of them runs or not."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    """The value of the label `group`."""
    match: Match
    """Which processes belong to it."""


class ProcessGroupsSettings(Collector, forbid_unknown_fields=True, frozen=True):
    """Processes in named groups, and the names that use most CPU and memory."""

    interval: Duration = default(Duration(10))
    """From one look at all processes to the next, 1s to 60s."""
    top: Annotated[int, msgspec.Meta(ge=0, le=100)] = 10
    """How many names by CPU and how many by memory have rows of their own; the rest is summed up as `other`."""
    groups: Annotated[tuple[GroupSettings, ...], msgspec.Meta(max_length=MAX_GROUPS)] = ()
    """Groups by `name` and `match`, at most 256; a process belongs to the first one that it matches."""

    def __post_init__(self) -> None:
        """Refuse what would burn CPU or be stale, and two groups of one name."""
        if not 1 <= self.interval <= 60:
            raise ValueError(f"interval: expected 1s to 60s, got {self.interval}")
        names = [group.name for group in self.groups]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"groups: expected each name once, got {twice[0]!r} more than once")
