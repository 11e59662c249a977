"""What has to be true before a drill may begin, and while it runs. Each reason names the fix."""

import os
import shutil
from collections.abc import Iterable
from typing import Final

from exporter.drills.faults.host import available, floor
from exporter.drills.ledger import NOBODY, LedgerError, is_running, ledgers, read_ledger
from exporter.drills.site import Site, View, is_local

_GB: Final = 1024**3
_PRODUCTION: Final = frozenset({"prod", "production", "live"})


def refusals(site: Site, view: View) -> list[str]:
    """Return why no drill may begin now; empty when one may."""
    return [*remote(site), *production(site), *unfinished(site), *not_green(site, view), *headroom(site)]


def remote(site: Site) -> list[str]:
    """Refuse a pipeline on other machines."""
    options = site.options
    urls = {"Prometheus": options.prometheus, "Alertmanager": options.alertmanager, "relay": options.relay}
    others = [f"{name} ({url})" for name, url in urls.items() if not is_local(url)]
    if not others or options.allow_remote_observe:
        return []
    return [f"{', '.join(others)}: not on this machine; --allow-remote-observe lets a drill watch it all the same"]


def production(site: Site) -> list[str]:
    """Refuse a machine, or a Prometheus, that is labelled as production."""
    found = {value for labels in site.labels for value in labels.values() if value.lower() in _PRODUCTION}
    if not found:
        return []
    labels = ", ".join(sorted(found))
    return [f"this machine's target, or its Prometheus, is labelled {labels}: no drills in production"]


def unfinished(site: Site) -> list[str]:
    """Refuse to begin on top of what an earlier drill left."""
    out = []
    try:
        found = ledgers(site.options.state)
    except LedgerError as err:
        return [str(err)]
    for path in found:
        try:
            head, _ = read_ledger(path)
        except FileNotFoundError:
            continue
        except LedgerError as err:
            out.append(str(err))
            continue
        if head != NOBODY and not is_running(head):
            out.append(f"{path}: an earlier drill is not undone; `hostwatch drill halt` does it")
    return out


def not_green(site: Site, view: View) -> list[str]:
    """Refuse while something else is wrong: whoever is on call has enough to look at."""
    names = sorted({name for name in firing(view) if name not in ("Watchdog", *site.options.ignored_alerts)})
    return [f"{', '.join(names)} fires; wait until it is over, or --ignore-alert {names[0]}"] if names else []


def headroom(site: Site) -> list[str]:
    """Refuse a machine that is short of memory, disk or CPU."""
    out = []
    free, total = available()
    if free < 2 * floor(total):
        out.append(f"{free >> 20} MB of memory are free, {2 * floor(total) >> 20} are wanted; end something")
    state = site.options.state
    disk = shutil.disk_usage(next(folder for folder in (state, *state.parents) if os.access(folder, os.F_OK)))
    wanted = max(disk.total // 20, _GB)
    if disk.free < wanted:
        out.append(f"{site.options.state}: {disk.free >> 20} MB are free, {wanted >> 20} are wanted; --state elsewhere")
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    limit = site.options.max_load * cores
    if load > limit:
        out.append(f"the load is {load:.0f} on {cores} cores; wait until it is below {limit:.0f}, or --max-load")
    return out


def aborts(site: Site, view: View, before: frozenset[str], tasks: int) -> list[str]:
    """Return why drills that run must end at once: another critical alert, a machine short of memory or of CPU.

    `tasks` are those that the drills themselves keep running; `before` are alerts that fired when they began.
    """
    ignored = {"Watchdog", *site.options.ignored_alerts, *before}
    critical = [one for one in view.alerts if one.labels.get("severity") == "critical" and one.state == "firing"]
    names = {one.labels.get("alertname", "") for one in critical if one.labels.get("drill") != "true"} - ignored
    out = [f"{', '.join(sorted(names))} fires, and is no drill"] if names else []
    # twice of what a drill may begin with: the load average remembers drills that have ended
    load, limit = os.getloadavg()[0], 2 * site.options.max_load * (os.cpu_count() or 1) + tasks
    if load > limit:
        out.append(f"the load is {load:.0f}, over {limit:.0f}; --max-load allows more")
    return [*out, *short_of_memory()]


def short_of_memory() -> list[str]:
    """Return why drills that run must end at once, as far as nobody has to be asked for it."""
    free, total = available()
    return [f"only {free >> 20} MB of memory are free"] if free < floor(total) * 3 // 4 else []


def firing(view: View) -> Iterable[str]:
    """Return the names of alerts that fire and are no drills."""
    return (
        one.labels.get("alertname", "")
        for one in view.alerts
        if one.state == "firing" and one.labels.get("drill") != "true"
    )
