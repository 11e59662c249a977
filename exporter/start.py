"""What `hostwatch serve` becomes once its arguments are read: the daemon, without the parser of the command line.

`python -m exporter.start serve NAME=VALUE...`; the names are `config`, `web-config` and paths of settings. For
`hostwatch serve` alone: what it is given was checked there.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NoReturn

USAGE_ERROR = 2
# 512 connections, 256 handshakes, 256 files of control groups and others kept open are over the usual 1,024; the hard
# limit may be a million or none, which nothing of ours is made for
MAX_OPEN_FILES = 65_536


def main(words: Sequence[str]) -> NoReturn:
    """Run the daemon until it is told to end; exit code 2 for bad settings, 1 for a port that is taken."""
    given = dict(word.split("=", 1) for word in words)
    config, web_config = given.pop("config", None), given.pop("web-config", None)
    if web_config is None:
        import_without("asyncio", "ssl")  # saves 4 MB where nothing needs TLS
    import_without("msgspec", "typing_extensions")  # saves 0.3 MB: typing has what it wants of that
    from exporter import daemon
    from exporter.server.listener import ListenError
    from exporter.settings import SettingsError, parse_address

    try:
        parse_address(given.get("listen", "localhost:0"))
    except ValueError as err:
        _fail(f"--listen: {err}", USAGE_ERROR)
    allow_more_files()
    try:
        daemon.run(Path(config) if config else None, given, Path(web_config) if web_config else None)
    except SettingsError as err:
        _fail(str(err), USAGE_ERROR)
    except ListenError as err:
        _fail(str(err), 1)
    leave(0)


def import_without(module: str, part: str) -> None:
    """Import a module as it comes up where a part that it can do without is not installed; others may import that."""
    if module in sys.modules or part in sys.modules:
        return
    sys.modules[part] = None  # type: ignore[assignment]
    import_module(module)
    del sys.modules[part]


def allow_more_files() -> None:
    """Raise the soft limit of open files to the hard one, MAX_OPEN_FILES at most (getrlimit(2)), where we may."""
    if sys.platform == "win32":
        return
    import resource  # not everywhere

    with suppress(OSError, ValueError):  # a sandbox forbids it: process_max_fds tells what holds
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
        if soft != resource.RLIM_INFINITY and soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def leave(code: int) -> NoReturn:
    """End at once: the interpreter's own end would wait for nothing of ours, but takes time to tidy up memory."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _fail(text: str, code: int) -> NoReturn:
    print(text, file=sys.stderr)
    leave(code)


if __name__ == "__main__":
    main(sys.argv[2:])
