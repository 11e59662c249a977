"""What a drill would do, and what stands in its way."""

from collections.abc import Sequence

from exporter.drills import preflight
from exporter.drills.durations import text_of
from exporter.drills.fault import Fault
from exporter.drills.site import Site, SiteError, View


def text(fault: Fault, site: Site) -> str:
    """Return what a drill does, its cap, its undo and how long it may take, for somebody who has to agree."""
    lines = [
        f"{fault.name}: {fault.summary}",
        f"  cap      {fault.cap}",
        "  undo     processes killed, mounts, containers, target files and the drill's folder removed;",
        "           within a second after the drill ends, however it ends",
    ]
    for alert in fault.alerts:
        try:
            budget = site.budget(alert, {}, fault.job, fault.lag)
        except SiteError as err:
            lines.append(f"  alert    {alert}: {err}")
            continue
        told, resolved = text_of(budget.of("told")), text_of(budget.of("resolution told"))
        lines.append(f"  alert    {alert}: told within {told}, its end told within {resolved}")
    if fault.whole_host and site.local_instances:
        names = ", ".join(site.local_instances)
        lines.append(f"  off      {', '.join(fault.alerts)} of {names} for the time: the drill's own instance is told")
    if fault.prometheus_feels and site.prometheus_instances:
        names = ", ".join(site.prometheus_instances)
        lines.append(f"  off      {', '.join(fault.prometheus_feels)} of {names} for the time: it would fire beside it")
    lines.append(f"  shown    with DRILL in Slack ({site.mode})")
    return "\n".join(lines)


def obstacles(fault: Fault, site: Site, view: View) -> list[str]:
    """Return why a drill could not run now."""
    return [*preflight.refusals(site, view), *_lacks(fault, site)]


def possible(faults: Sequence[Fault], site: Site, *, below: bool) -> tuple[list[Fault], list[str]]:
    """Return the drills that this machine can run, and why not the others."""
    good, reasons = [], []
    for fault in faults:
        lacks = _lacks(fault, site)
        if below and not fault.has_threshold:
            lacks.append("it has no threshold to stay below")
        reasons += [f"{fault.name}: {lack}" for lack in lacks]
        if not lacks:
            good.append(fault)
    return good, reasons


def _lacks(fault: Fault, site: Site) -> list[str]:
    out = fault.missing(site)
    for job in {fault.job, "node"}:
        try:
            site.target_file(job, "hostwatch-drill")
        except SiteError as err:
            out.append(str(err))
    for alert in fault.alerts:
        try:
            site.rule(alert)
        except SiteError as err:
            out.append(str(err))
    return out
