"""`docker compose run --rm drill ...`: hostwatch drill, told where this stack's parts are. Becomes that command."""

import os
import socket
import sys
from collections.abc import Sequence
from typing import Final

# the parts' names in the stack's network, which is another machine to what looks at names alone
WHERE: Final = (
    "--prometheus=http://prometheus:9090",
    "--alertmanager=http://alertmanager:9093",
    "--relay=http://relay:10102",
    "--targets=/targets",
    "--state=/var/lib/hostwatch/drills",
    "--allow-remote-observe",
)


def command(arguments: Sequence[str], address: str) -> list[str]:
    """Return the command line; what the user says comes later and wins. `address` is this container's."""
    return ["hostwatch", "drill", *WHERE, f"--address={address}", *arguments]


def main() -> None:
    """Become `hostwatch drill`. Raises OSError when this container has no name or no address."""
    whole = command(sys.argv[1:], socket.gethostbyname(socket.gethostname()))
    os.execvp(whole[0], whole)  # noqa: S606 -- no shell is wanted


if __name__ == "__main__":
    main()
