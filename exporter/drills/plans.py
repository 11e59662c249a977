"""What a drill would do, and what stands in its way."""

import heapq
from collections.abc import Sequence
from typing import Final

from exporter.drills import preflight
from exporter.drills.drill import MAX_SECONDS, longest
from exporter.drills.durations import text_of
from exporter.drills.fault import Fault
from exporter.drills.site import Site, SiteError, View

MAX_AT_ONCE: Final = 64


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
            budget = site.budget(alert, {}, fault.job, fault.delay(site))
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


def too_long(faults: Sequence[Fault], site: Site, at_once: int) -> list[str]:
    """Return why drills would be cut off before their end, at their latest; empty when they have the time."""
    try:
        lengths = [(longest(fault, site), fault.alone) for fault in faults]
    except SiteError as err:
        return [str(err)]
    needed = duration(lengths, at_once)
    if needed <= MAX_SECONDS:
        return []
    fits = (number for number in range(at_once + 1, MAX_AT_ONCE + 1) if duration(lengths, number) <= MAX_SECONDS)
    number = next(fits, None)
    fix = "run fewer of them" if number is None else f"--at-once {number}, or fewer of them"
    return [f"together they may take {text_of(needed)}, and {text_of(MAX_SECONDS)} is the time limit of a run; {fix}"]


def duration(lengths: Sequence[tuple[float, bool]], at_once: int) -> float:
    """Return how many seconds drills take in this order, so many beside each other; of each: how long, and if alone."""
    now, running = 0.0, list[tuple[float, bool]]()
    for length, alone in lengths:
        while running and (len(running) >= at_once or alone or running[0][1]):
            now, _ = heapq.heappop(running)
        heapq.heappush(running, (now + length, alone))
    return max((end for end, _ in running), default=0.0)


def _lacks(fault: Fault, site: Site) -> list[str]:
    out = fault.missing(site)
    if fault.whole_host and not site.local_instances:
        out.append(
            f"no target of job node in {site.options.prometheus} is this machine: its own alerts could not be switched "
            "off for the time; let Prometheus scrape its exporter by this machine's address or name"
        )
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
