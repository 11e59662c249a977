"""`python -m bench`: measure, print the table, write docs/proof/bench.md and bench.json."""

import json
import signal
import sys
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console

from bench import table
from bench.failures import BenchError
from bench.machine import ROOT
from bench.plan import FULL, QUICK
from bench.progress import Steps
from bench.rows import make_rows
from bench.run import Outcome, run, steps_of

PROOF = ROOT / "docs" / "proof"
WIDE = 176


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="Few scrapes, for tests; writes files only with --out.")
@click.option("--check", is_flag=True, help="Exit with 1 when a goal is missed.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for bench.md and bench.json.")
@click.option(
    "--hostwatch",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=Path(sys.executable).parent / "hostwatch",
    help="The hostwatch command to measure; by default the one beside this Python.",
)
def main(*, quick: bool, check: bool, out: Path | None, hostwatch: Path) -> None:
    """Measure hostwatch and node_exporter side by side on this machine."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # SIGINT too: a shell's background job ignores it
        signal.signal(number, _stop)
    plan = QUICK if quick else FULL
    try:
        with Steps(Console(stderr=True), steps_of(plan)) as steps:
            outcome = run(hostwatch.absolute(), plan, steps.step)
    except BenchError as err:
        raise click.ClickException(str(err)) from err
    missed = _show(outcome, out if out or quick else PROOF)
    sys.exit(1 if check and missed else 0)


def _stop(signum: int, _frame: object) -> NoReturn:
    """Leave as by Ctrl-C, so that every server is stopped."""
    sys.exit(128 + signum)


def _show(outcome: Outcome, folder: Path | None) -> int:
    """Print and write the result; return how many goals are missed."""
    rows = make_rows(outcome.record)
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    console.print(table.terminal_table(rows))
    for text in (*table.LEGEND, *outcome.notes):
        console.print(text, highlight=False, markup=False)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "bench.md").write_text(table.markdown(outcome, rows))
        (folder / "bench.json").write_text(json.dumps(table.plain(outcome, rows), indent=1) + "\n")
        console.print(f"Written: {folder / 'bench.md'}, {folder / 'bench.json'}", highlight=False)
    missed = [row for row in rows if row.missed]
    for row in missed:
        console.print(f"MISSED: {row.title} ({row.pair}): {row.verdict}", style="bold red", markup=False)
    return len(missed)


if __name__ == "__main__":
    main(prog_name="python -m bench")
