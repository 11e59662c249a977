"""Where the control groups of containers are: by what others taught, by their processes, by a walk through all."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from exporter.kernel import KernelError, KernelFiles

MAX_TEMPLATES: Final = 32
MAX_FOLDERS: Final = 10_000
MAX_DEPTH: Final = 8

# where engines put containers: Docker and Podman, under systemd and without
_TEMPLATES: Final = (
    "docker/{}",
    "system.slice/docker-{}.scope",
    "machine.slice/libpod-{}.scope",
    "libpod_parent/libpod-{}",
)
_ID: Final = re.compile(r"[0-9a-f]{64}")


class Finder:
    """Finds the folder of a container's group: the one with its id in the name. For one thread."""

    def __init__(self, files: KernelFiles, root: Path, hierarchies: tuple[str, ...]) -> None:
        """Take the kernel's trees and the folders of the controllers below `root`: of version 2 one without a name."""
        self._files = files
        self._root = root
        self._hierarchies = hierarchies
        self._templates = list(_TEMPLATES)

    def find(self, containers: Iterable[tuple[str, int]]) -> dict[str, str | None]:
        """Return the path of each container's group below its hierarchy, None where there is none to be found.

        Containers are given by id and process id (0 where that is not known). All groups are walked through only for
        one that neither stands where others do nor lets its process be asked, and once for all such.
        """
        found: dict[str, str | None] = {}
        index: dict[str, str] | None = None
        for container, pid in containers:
            path = self._known_path(container) or self._path_of(pid, container)
            if path is None:
                index = self._walk() if index is None else index
                path = index.get(container)
            if path is not None:
                self._learn(path.replace(container, "{}"))
            found[container] = path
        return found

    def _exists(self, path: str) -> bool:
        return any((self._root / hierarchy / path).is_dir() for hierarchy in self._hierarchies)

    def _known_path(self, container: str) -> str | None:
        """Return where others were found already, or usually are, if it is there."""
        paths = (template.format(container) for template in self._templates)
        return next((path for path in paths if self._exists(path)), None)

    def _learn(self, template: str) -> None:
        if template in self._templates:
            return
        self._templates.insert(0, template)
        del self._templates[MAX_TEMPLATES:]

    def _path_of(self, pid: int, container: str) -> str | None:
        """Return where the container's process is, up to the folder with the container's id: below are its own.

        From within another cgroup namespace the path begins with /.. and leads nowhere.
        """
        if pid <= 0:
            return None
        try:
            text = self._files.open_own(f"proc/{pid}/cgroup").read()
        except KernelError:  # it ended meanwhile
            return None
        for line in text.decode("utf-8", "replace").splitlines():
            _, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if controllers and not self._hierarchies[0]:  # what is left of version 1 beside version 2
                continue
            if self._hierarchies[0] and not set(controllers.split(",")) & set(self._hierarchies):
                continue
            before, found, after = path.partition(container)
            cut = (before + found + after.partition("/")[0]).lstrip("/")
            if found and ".." not in cut.split("/") and "{" not in cut and self._exists(cut):
                return cut
        return None

    def _walk(self) -> dict[str, str]:
        """Return the paths of all groups that have a container's id in their name, as far as the limits reach."""
        found: dict[str, str] = {}
        for hierarchy in self._hierarchies:
            top = self._root / hierarchy
            waiting = [("", 0)]
            for _ in range(MAX_FOLDERS):
                if not waiting:
                    break
                path, depth = waiting.pop()
                for name in _folders(top / path):
                    below = f"{path}/{name}".lstrip("/")
                    match = _ID.search(name)
                    if match is not None and "conmon" not in name:  # Podman's monitor has a group of its own
                        found.setdefault(match[0], below)
                    if depth < MAX_DEPTH and "{" not in name:  # a container may hold an engine with containers
                        waiting.append((below, depth + 1))
            if found:
                break
        return found


def _folders(path: Path) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:  # it went meanwhile, or is closed to us
        return []
