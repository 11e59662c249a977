"""Write files of Prometheus' machine, each whole or not at all; standard input is a JSON object of texts by path.

A text of null removes the file. Prints what changed and the difference; with --check nothing is written.
"""

import difflib
import json
import os
import sys
import tempfile
from pathlib import Path


def main() -> None:
    """Write what differs."""
    # a stricter one of the machine would keep Prometheus out of the folders that are made here
    os.umask(0o022)
    wanted = {Path(name): text for name, text in json.load(sys.stdin).items()}
    changed, lines = [], []
    for path, text in wanted.items():
        there = path.read_text() if path.exists() else None
        if there == text:
            continue
        changed.append(str(path))
        before, after = (there or "").splitlines(), (text or "").splitlines()
        lines += difflib.unified_diff(before, after, f"before: {path}", f"after: {path}", lineterm="")
        if "--check" not in sys.argv:
            write(path, text)
    print(json.dumps({"changed": changed, "diff": lines}))


def write(path: Path, text: "str | None") -> None:
    """Replace a file, or remove it. Its folder is made where it is missing."""
    if text is None:
        path.unlink()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # neither *.yml nor *.prom: nobody reads it before it is whole
    handle, new = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with open(handle, "w") as file:
        file.write(text)
        os.fchmod(handle, 0o644)
        file.flush()
        os.fsync(handle)
    Path(new).replace(path)


if __name__ == "__main__":
    main()
