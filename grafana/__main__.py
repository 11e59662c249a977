"""`python -m grafana` writes grafana/dashboards/; with --check it only says which file is out of step."""

import json
import sys
from pathlib import Path
from typing import Final

from grafana.boards import BOARDS

FOLDER: Final = Path(__file__).parent / "dashboards"


def texts() -> dict[str, str]:
    """Return each dashboard's file by its name."""
    return {
        f"{board.uid}.json": json.dumps(board.json(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        for board in BOARDS
    }


def main(arguments: list[str]) -> int:
    """Write what differs and remove what is no dashboard any more; with --check return 1 where there is such a file."""
    made, there = texts(), {file.name: file.read_text() for file in FOLDER.glob("*.json")}
    stale = sorted(name for name in {*made, *there} if made.get(name) != there.get(name))
    if "--check" in arguments:
        for name in stale:
            print(f"grafana/dashboards/{name} is out of step: run python -m grafana", file=sys.stderr)
        return int(bool(stale))
    FOLDER.mkdir(exist_ok=True)
    for name in stale:
        if name in made:
            (FOLDER / name).write_text(made[name])
        else:
            (FOLDER / name).unlink()
        print(f"wrote grafana/dashboards/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
