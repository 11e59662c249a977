"""A pipeline as a drill knows it, with nothing behind it."""

from pathlib import Path
from typing import Any

from exporter.clients.prometheus import Rule
from exporter.drills.faults import FAULTS
from exporter.drills.site import Options, Site

ROUTE = "route: {receiver: relay, group_wait: 1s, group_interval: 1s}\nreceivers: [{name: relay}]\n"


def site_of(state: Path, **options: Any) -> Site:
    """Return a site whose rules are those that drills know, scraped and evaluated every second."""
    alerts = sorted({alert for fault in FAULTS for alert in fault.alerts})
    targets = state / "targets"
    for job in ("node", "prometheus", "alertmanager", "relay"):
        (targets / job).mkdir(parents=True, exist_ok=True)
    return Site(
        options=Options(state=state, targets=targets, **options),
        mode="preview",
        rules={alert: Rule(alert, "alerting", "up == 0") for alert in alerts},
        intervals=dict.fromkeys(alerts, 1.0),
        records={},
        scrape=dict.fromkeys(("node", "prometheus", "alertmanager", "relay"), 1.0),
        folders={},
        configuration=ROUTE,
        local_instances=("localhost",),
        prometheus_instances=(),
        labels=(),
    )
