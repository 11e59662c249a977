"""Prometheus: whether it scrapes this machine, has the rules, and knows whom to tell."""

import socket
import time
from typing import Final
from urllib.parse import urlsplit

from exporter.clients.http_get import GetError
from exporter.clients.own_address import is_ours
from exporter.clients.prometheus import (
    RuleGroup,
    Target,
    fetch_alertmanagers,
    fetch_rules,
    fetch_targets,
    fetch_vector,
)
from exporter.doctor.finding import Finding, Found, Notes
from exporter.doctor.place import LOOPBACK, Place, is_absent

_NOTE: Final = Notes("prometheus")
SKEW_SECONDS: Final = 2.0
JOB: Final = "node"
# these two are in the set that is shipped: without them the others are hardly there
_SIGNS: Final = frozenset({"Watchdog", "HostDown"})
_RULES_FIX: Final = "copy prometheus/rules/*.yml to the folder of `rule_files`, then SIGHUP (docs/alerting.md)"


def examine(place: Place, exporter: Place) -> Found:
    """Ask its API; `exporter` is the one of this machine, which should be among the targets."""
    try:
        begun = time.time()
        now = fetch_vector(place.url, "vector(time())", place.deadline, place.access)
    except GetError as err:
        yield _unreachable(place, err)
        return
    yield _NOTE.ok("reachable", place.url)
    yield from _clock(now[0].number if now else 0.0, begun, time.time())
    for look in (_targets, _twice, _rules, _managers):
        try:
            yield from look(place, exporter)
        except GetError as err:
            yield _NOTE.problem("api", f"{place.url}: {err}", "see Prometheus' own log")


def _unreachable(place: Place, err: GetError) -> Finding:
    if is_absent(err) and not place.given:
        return _NOTE.skipped("reachable", f"nothing listens at {place.url}", "--prometheus URL, where it is elsewhere")
    return _NOTE.problem("reachable", f"{place.url}: {err}", "systemctl status prometheus; is the address right?")


def _clock(theirs: float, begun: float, ended: float) -> Found:
    skew = max(theirs - ended, begun - theirs)
    if skew > SKEW_SECONDS:
        text = f"its clock and ours are {skew:.0f} s apart: samples come too late or from the future"
        yield _NOTE.problem("clock", text, "let chrony or timedatectl set-ntp true keep both clocks")


def _targets(place: Place, exporter: Place) -> Found:
    targets = fetch_targets(place.url, place.deadline, place.access)
    mine = [target for target in targets if _is_at(target, exporter)]
    if not mine:
        host, port = exporter.host_and_port
        at = f"{socket.gethostname() if host in LOOPBACK and not _is_local(place) else host}:{port}"
        fix = f"a file in targets/{JOB}/*.yml with: - targets: ['{at}']"
        yield _NOTE.problem("target", f"no target is this machine's exporter ({exporter.url})", fix)
    for target in mine:
        yield from _target(target)


def _target(target: Target) -> Found:
    name, job = target.labels.get("instance", target.scrape_url), target.labels.get("job", "")
    if target.health != "up":
        fix = "is the exporter listening there, and does it let Prometheus in (authentication, firewall)?"
        yield _NOTE.problem("target", f"{name} is {target.health}: {target.last_error}", fix)
    elif job != JOB:
        text = f"{name} is scraped as job {job!r}: rules and dashboards select job={JOB!r}"
        yield _NOTE.problem("job", text, f"name the job {JOB} in prometheus.yml")
    else:
        yield _NOTE.ok("target", f"{name} is scraped and up")


def _is_at(target: Target, exporter: Place) -> bool:
    try:
        parts = urlsplit(target.scrape_url)
        there = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
    except ValueError:
        return False
    host, port = exporter.host_and_port
    ours = {host} | (LOOPBACK | {socket.gethostname()} if host in LOOPBACK else set())
    return there[1] == port and (there[0] in ours or is_ours(there[0]))


def _is_local(place: Place) -> bool:
    return place.host_and_port[0] in LOOPBACK


def _twice(place: Place, _: Place) -> Found:
    query = f'count by (nodename) (node_uname_info{{job="{JOB}"}}) > 1'
    for sample in fetch_vector(place.url, query, place.deadline, place.access):
        name = sample.labels.get("nodename", "?")
        text = f"{name} is scraped {sample.value[1]} times as job {JOB}, by node_exporter too? Each alert fires twice"
        fix = f"take one of {name}'s targets out: hostwatch tells all that node_exporter told"
        yield _NOTE.problem("twice", text, fix)


def _rules(place: Place, _: Place) -> Found:
    groups = fetch_rules(place.url, place.deadline, place.access)
    alerts = [rule for group in groups for rule in group.rules if rule.type == "alerting"]
    if missing := sorted(_SIGNS - {rule.name for rule in alerts}):
        yield _NOTE.problem("rules", f"hostwatch's rules are not loaded: no {' and no '.join(missing)}", _RULES_FIX)
        return
    bad = [rule for group in groups for rule in group.rules if rule.health == "err"]
    for rule in bad:
        fix = "promtool check rules; compare with the shipped file"
        yield _NOTE.problem("rule", f"{rule.name} fails: {rule.last_error}", fix)
    if not bad:
        yield _NOTE.ok("rules", f"{len(alerts)} alerts are loaded")
    yield from _watchdog(groups)


def _watchdog(groups: tuple[RuleGroup, ...]) -> Found:
    states = {rule.state for group in groups for rule in group.rules if rule.name == "Watchdog"}
    if "firing" not in states:
        fix = "just started? Then wait a minute. Else see Prometheus' log: rules are not evaluated"
        yield _NOTE.problem("watchdog", "the Watchdog does not fire, which always should", fix)


def _managers(place: Place, _: Place) -> Found:
    urls = fetch_alertmanagers(place.url, place.deadline, place.access)
    if not urls:
        fix = "`alerting: alertmanagers:` in prometheus.yml, and a file in targets/alertmanager/"
        yield _NOTE.problem("alertmanagers", "it sends alerts to nobody", fix)
    else:
        yield _NOTE.ok("alertmanagers", f"it sends alerts to {len(urls)} Alertmanager{'s' if len(urls) > 1 else ''}")
    query = "sum(increase(prometheus_notifications_errors_total[15m])) > 0"
    for sample in fetch_vector(place.url, query, place.deadline, place.access):
        text = f"{sample.number:.0f} alerts could not be sent in the last 15 minutes"
        yield _NOTE.warning("notifications", text, "is Alertmanager up at the address that Prometheus has?")
