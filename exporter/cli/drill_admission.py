"""Whether drills may begin: the lock, what stands in their way, and consent; each ends the command with 3 where not."""

import sys
from typing import TYPE_CHECKING, NoReturn

import click

from exporter.cli.common import fail

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporter.drills.fault import Fault
    from exporter.drills.site import Options, Site, View

REFUSED = 3


def take_lock(options: "Options") -> int:
    """Return the lock that keeps other drills out; ends with 3 where there is none to have."""
    from exporter.drills import ledger

    try:
        ledger.open_state(options.state)
        return ledger.take_lock(options.state)
    except (ledger.LedgerError, ledger.BusyError) as err:
        fail(f"refused: {err}", REFUSED)


def admitted(site: "Site") -> "View":
    """Return what the pipeline says now; ends with 3 where no drill may begin on top of that."""
    from exporter.drills import preflight
    from exporter.drills.site import SiteError, see

    try:
        view = see(site.options)
    except SiteError as err:
        fail(f"refused: {err}", REFUSED)
    if reasons := preflight.refusals(site, view):
        _refuse(reasons)
    return view


def possible(faults: "Sequence[Fault]", site: "Site", at_once: int, *, below: bool, everything: bool) -> "list[Fault]":
    """Return the drills that this machine can run; ends with 3 where one was named that it cannot, or time is short."""
    from exporter.drills import plans

    good, left_out = plans.possible(faults, site, below=below)
    if left_out and not everything:
        _refuse(left_out)
    for reason in left_out:
        click.echo(f"left out: {reason}", err=True)
    if reasons := plans.too_long(good, site, at_once):
        _refuse(reasons)
    return good


def _refuse(reasons: "Sequence[str]") -> NoReturn:
    for reason in reasons:
        click.echo(f"refused: {reason}", err=True)
    sys.exit(REFUSED)


def ask(faults: "Sequence[Fault]", site: "Site") -> None:
    """Show what will happen and get consent; ends with 3 without it."""
    from exporter.drills import plans

    if not sys.stdin.isatty():
        _refuse(["nobody to ask: --yes says that it is wanted"])
    for fault in faults:
        click.echo(plans.text(fault, site))
    if not click.confirm(f"Run {len(faults)} drill{'s' if len(faults) > 1 else ''}?"):
        _refuse(["not wanted"])
