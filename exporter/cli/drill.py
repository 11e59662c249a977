"""`hostwatch drill`: break something on purpose, and see whether the alert comes."""

import json
import os
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exporter.cli.common import fail
from exporter.cli.drill_admission import REFUSED, admitted, ask, possible, take_lock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from exporter.drills.drill import Show
    from exporter.drills.fault import Fault
    from exporter.drills.site import Options, Site, View
    from exporter.drills.timeline import Result

UNDO_FAILED = 4


class Drills(click.Group):
    """A group whose wrong calls end with 3, as whatever is refused: 2 says that an alert came late."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:  # noqa: ANN401 -- click's own
        """Read the options of the group."""
        with _refused():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 -- click's own
        """Read what the command gets, and run it."""
        with _refused():
            return super().invoke(ctx)


@contextmanager
def _refused() -> "Iterator[None]":
    try:
        yield
    except click.UsageError as err:
        err.exit_code = REFUSED  # type: ignore[misc]  # click reads it of the instance
        raise


@click.group(cls=Drills)
@click.option("--prometheus", metavar="URL", help="[default: http://127.0.0.1:9090]", envvar="HOSTWATCH_PROMETHEUS")
@click.option("--alertmanager", metavar="URL", help="[default: http://127.0.0.1:9093]")
@click.option("--relay", metavar="URL", help="[default: http://127.0.0.1:10102]")
@click.option("--targets", metavar="DIR", help="Has a folder per job that Prometheus reads targets from.")
@click.option("--address", metavar="ADDRESS", help="Where Prometheus reaches this machine  [default: 127.0.0.1].")
@click.option("--docker", metavar="SOCKET", help="[default: /var/run/docker.sock]")
@click.option("--state", metavar="DIR", help="Ledgers and results  [default: /var/lib/hostwatch/drills].")
@click.option("--ignore-alert", "ignored_alerts", metavar="NAME", multiple=True, help="May fire; may be repeated.")
@click.option("--allow-remote-observe", is_flag=True, help="Watch a pipeline on other machines.")
@click.option("--max-load", type=click.FloatRange(min=0), metavar="N", help="Tasks per core, at most  [default: 8].")
@click.option("--gentle", is_flag=True, help="Lower thresholds of the drill's own instance instead (memory, disk-io).")
@click.pass_context
def drill(context: click.Context, /, **given: Any) -> None:  # noqa: ANN401 -- one for each option
    """Break something on purpose, and see the alert go all the way to Slack and back.

    Each drill brings what it breaks: nothing that is in use is touched. Whatever happens to the drill, kill -9
    included, the fault is undone within a second.

    \b
    Exit code 0: proven. 1: an alert never came. 2: it came late. 3: refused, or
    a wrong call. 4: something could not be undone.

    \b
    Examples:
      hostwatch drill plan service-stopped
      hostwatch drill run service-stopped --yes
      hostwatch drill run --all --at-once 8 --yes
    """
    context.obj = given


@drill.command("list")
@click.pass_obj
def list_drills(given: dict[str, Any]) -> None:  # noqa: ARG001 -- the group's
    """List the drills and the alerts that each must fire.

    \b
    Example:
      hostwatch drill list
    """
    from exporter.drills.faults import FAULTS

    width = max(len(fault.name) for fault in FAULTS)
    for fault in FAULTS:
        click.echo(f"{fault.name:{width}}  {', '.join(fault.alerts)}")


@drill.command()
@click.argument("name")
@click.pass_obj
def plan(given: dict[str, Any], name: str) -> None:
    """Say what a drill would do, in how much time, and what stands in its way. Does nothing.

    Exit code 3: it could not run.

    \b
    Example:
      hostwatch drill plan disk-fill
    """
    from exporter.drills import plans
    from exporter.drills.site import SiteError, see

    (fault,) = _faults([name])
    options = _options(given)
    site = _site(options)
    try:
        reasons = plans.obstacles(fault, site, see(options))
    except SiteError as err:
        fail(f"refused: {err}", REFUSED)
    click.echo(plans.text(fault, site))
    for reason in reasons:
        click.echo(f"cannot run: {reason}")
    sys.exit(REFUSED if reasons else 0)


@drill.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every drill that this machine can run.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--at-once", type=click.IntRange(1, 64), default=1, show_default=True, help="Beside each other.")
@click.option("--below", is_flag=True, help="At 0.8 of the threshold: no alert may come.")
@click.option("--json", "as_json", is_flag=True, help="The results, for programs.")
@click.pass_obj
def run(
    given: dict[str, Any],
    names: tuple[str, ...],
    *,
    everything: bool,
    yes: bool,
    at_once: int,
    below: bool,
    as_json: bool,
) -> None:
    """Run drills, show each hop with its time and its budget, and undo them.

    Asks before it begins, unless --yes. Ctrl-C ends it: what was begun is undone.

    \b
    Examples:
      hostwatch drill run cpu
      hostwatch drill run disk-fill inode-fill --at-once 2 --yes
      hostwatch drill run --all --below --yes
    """
    if everything == bool(names):
        fail("expected either names, as `hostwatch drill list` shows them, or --all", REFUSED)
    from exporter.drills.faults import FAULTS
    from exporter.drills.timeline import exit_code

    options = _options(given)
    faults = [fault() for fault in FAULTS if fault.has_threshold or not below] if everything else _faults(names)
    site = _site(options)
    lock = take_lock(options)
    view = admitted(site)
    faults = possible(faults, site, at_once, below=below, everything=everything)
    if not yes:
        ask(faults, site)
        site = _site(options)  # much may have happened until somebody agreed
        view = admitted(site)
    results, left = _run(faults, site, view, at_once, 0.8 if below else 1.0, quiet=as_json)
    os.close(lock)
    _tell(results, as_json=as_json)
    for fault in left:
        click.echo(f"not undone: {fault}", err=True)
    sys.exit(UNDO_FAILED if left else exit_code(results))


@drill.command()
@click.pass_obj
def halt(given: dict[str, Any]) -> None:
    """End whatever drill runs here and undo it, also what a machine that lost power left.

    Exit code 0: nothing is left. 4: something is, and it says what.

    \b
    Example:
      hostwatch drill halt
    """
    from exporter.drills.engine import halt as halt_all
    from exporter.drills.ledger import LedgerError

    try:
        count, faults = halt_all(_options(given).state)
    except LedgerError as err:
        fail(f"{err}: nobody knows whether something is left to undo", UNDO_FAILED)
    for fault in faults:
        click.echo(fault, err=True)
    click.echo("nothing to undo" if not count else f"{count} undone" if not faults else "not all of it is undone")
    sys.exit(UNDO_FAILED if faults else 0)


@drill.command()
@click.option("--html", "html_file", metavar="FILE", help="Also write one page with timelines.")
@click.option("--json", "as_json", is_flag=True, help="For programs: the last proof of each alert.")
@click.pass_obj
def report(given: dict[str, Any], html_file: str | None, *, as_json: bool) -> None:
    """Show when each alert was last proven here, by which version, and which never were.

    \b
    Examples:
      hostwatch drill report
      hostwatch drill report --html drills.html
    """
    import msgspec

    from exporter.drills import report as reports
    from exporter.drills import results
    from exporter.drills.faults import FAULTS, OUT_OF_REACH
    from exporter.drills.ledger import LedgerError
    from exporter.drills.site import SiteError, look

    options = _options(given)
    try:
        found = results.read(options.state)
    except LedgerError as err:
        fail(f"refused: {err}", REFUSED)
    try:
        alerts = sorted(look(options).rules)
    except SiteError as err:
        click.echo(f"{err}: the alerts that drills know stand in for those that are loaded", err=True)
        alerts = sorted({alert for fault in FAULTS for alert in fault.alerts} | OUT_OF_REACH.keys())
    if html_file is not None:
        try:
            Path(html_file).write_text(reports.page(found, alerts, OUT_OF_REACH))
        except OSError as err:
            fail(f"{html_file}: {err.strerror}", REFUSED)
    if as_json:
        proven = results.proofs(found)
        missing = results.unproven(alerts, proven)
        click.echo(json.dumps({"proven": msgspec.to_builtins(proven), "unproven": missing}, indent=2))
    else:
        click.echo(reports.markdown(found, alerts, OUT_OF_REACH), nl=False)


def _options(given: dict[str, Any]) -> "Options":
    """Return what the user said of the pipeline; what was left out has its default."""
    from exporter.drills.site import Options

    said: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    said.update({key: Path(said[key]).absolute() for key in ("targets", "state") if key in said})
    return Options(**said)


def _site(options: "Options") -> "Site":
    from exporter.drills.site import SiteError, look

    try:
        return look(options)
    except SiteError as err:
        fail(f"refused: {err}", REFUSED)


def _faults(names: "Sequence[str]") -> "list[Fault]":
    from exporter.drills.faults import BY_NAME

    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        fail(f"{', '.join(unknown)}: no such drill; `hostwatch drill list` shows them", REFUSED)
    return [BY_NAME[name]() for name in dict.fromkeys(names)]


def _run(
    faults: "Sequence[Fault]", site: "Site", view: "View", at_once: int, strength: float, *, quiet: bool
) -> "tuple[list[Result], list[str]]":
    """Return what each drill proved, and what could not be undone; ends with 3 where none could begin."""
    from exporter.drills.engine import Run, StoppedError
    from exporter.drills.progress import Lines, bars
    from exporter.drills.scene import SceneError

    with ExitStack() as stack:
        show: Show = Lines(lambda text: click.echo(text, err=quiet)).show
        if sys.stdout.isatty() and not quiet:
            try:
                show = stack.enter_context(bars())
            except ImportError:
                click.echo("bars need rich: pip install 'hostwatch[fleet]'", err=True)
        run = Run(site, show, view, at_once=at_once, strength=strength)
        try:
            return run.run(faults), run.left
        except (SceneError, StoppedError) as err:
            fail(f"refused: {err}", REFUSED)


def _tell(results: "Sequence[Result]", *, as_json: bool) -> None:
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(results), indent=2).decode())
        return
    from exporter.drills.progress import told

    for line in told(results):
        click.echo(line)
