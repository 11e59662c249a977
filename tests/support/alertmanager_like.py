"""Sends webhooks as Alertmanager does: the newest state of a group, again and again until somebody says 200.

What it does by its source (retry_stage.go, dispatch.go): 5xx and broken connections are tried again after a pause that
grows, 4xx not before the next flush; a resolved alert leaves the group once its end was delivered; a group without
firing alerts that was never delivered is never told. One that was killed has lost its log of what it sent: it tells a
group in which something fires again, with what Prometheus repeats of its ends (for 15 minutes).
"""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.relay import ZERO


class Group:
    """One alert group and the thread that delivers it, like one of Alertmanager's dispatcher groups."""

    def __init__(self, key: str, receiver: str = "slack", peers: int = 1) -> None:
        self.key, self.receiver, self.peers = key, receiver, peers
        self.alerts: dict[str, dict[str, Any]] = {}
        self.ended: dict[str, dict[str, Any]] = {}
        """Resolved alerts whose end was delivered: Prometheus still tells of them."""
        self.lock = threading.Lock()
        self.dirty = threading.Event()
        self.delivered = True
        self.history: list[str] = []
        self._clock = 0

    def fire(self, instance: str, severity: str = "warning") -> None:
        """Let an alert fire; one that fired and was resolved begins anew."""
        with self.lock:
            self._clock += 1
            self.ended.pop(instance, None)
            old = self.alerts.get(instance)
            if old is None or old["status"] == "resolved":
                labels = {"alertname": self.key, "instance": instance, "severity": severity}
                self.alerts[instance] = {
                    "status": "firing",
                    "labels": labels,
                    "annotations": {"summary": f"{self.key} on {instance}"},
                    "startsAt": _moment(self._clock),
                    "endsAt": ZERO,
                    "generatorURL": "",
                    "fingerprint": f"{self.key}/{instance}",
                }
                self.history.append(f"fire {instance}")
        self.dirty.set()

    def resolve(self, instance: str) -> None:
        """Let an alert end."""
        with self.lock:
            self._clock += 1
            alert = self.alerts.get(instance)
            if alert is not None and alert["status"] == "firing":
                self.alerts[instance] = {**alert, "status": "resolved", "endsAt": _moment(self._clock)}
                self.history.append(f"resolve {instance}")
        self.dirty.set()

    def forget(self) -> None:
        """Be new to an Alertmanager. An end that it never learns of is for the relay to find (test_relay_reconcile)."""
        with self.lock:
            again = any(alert["status"] == "firing" for alert in self.alerts.values())
            if again:
                self.alerts, self.ended = {**self.ended, **self.alerts}, {}
        if again:
            self.dirty.set()

    def left(self, told: dict[str, dict[str, Any]]) -> None:
        """Let go what has ended, was told, and has not changed since."""
        with self.lock:
            for instance, alert in told.items():
                if alert["status"] == "resolved" and self.alerts.get(instance) == alert:
                    self.ended[instance] = self.alerts.pop(instance)

    def firing(self) -> set[str]:
        with self.lock:
            return {instance for instance, alert in self.alerts.items() if alert["status"] == "firing"}

    def body(self) -> tuple[bytes, dict[str, dict[str, Any]]]:
        with self.lock:
            alerts = dict(self.alerts)
        firing = any(alert["status"] == "firing" for alert in alerts.values())
        payload = {
            "receiver": self.receiver,
            "status": "firing" if firing else "resolved",
            "alerts": list(alerts.values()),
            "groupLabels": {"alertname": self.key},
            "commonLabels": {"alertname": self.key},
            "commonAnnotations": {},
            "externalURL": "http://alertmanager.example:9093",
            "version": "4",
            "groupKey": f'{{}}:{{alertname="{self.key}"}}',
            "truncatedAlerts": 0,
        }
        return json.dumps(payload).encode(), alerts


class Dispatcher:
    """Delivers groups, each on a thread of its own. Use as a context manager."""

    def __init__(self, port: Any, token: str, *, interval: float = 0.05) -> None:
        self._port, self._token, self._interval = port, token, interval
        self._groups: list[tuple[Group, threading.Thread]] = []
        self._ended = threading.Event()
        self._running = threading.Event()
        self._running.set()
        self._starts = 0

    def add(self, group: Group) -> Group:
        thread = threading.Thread(target=self._deliver, args=(group,), daemon=True)
        self._groups.append((group, thread))
        thread.start()
        return group

    def __enter__(self) -> "Dispatcher":
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._running.set()
        for group, thread in self._groups:
            group.dirty.set()
            thread.join(20)

    def settled(self) -> bool:
        """Whether every group has delivered its newest state."""
        return all(not group.dirty.is_set() and group.delivered for group, _ in self._groups)

    @contextmanager
    def killed(self) -> Iterator[None]:
        """Send nothing meanwhile, and not know afterwards what was sent before, what was under way included."""
        self._running.clear()
        yield
        self._starts += 1
        for group, _ in self._groups:
            group.forget()
        self._running.set()

    def _deliver(self, group: Group) -> None:
        while not self._ended.is_set():
            group.dirty.wait()
            group.delivered = False
            group.dirty.clear()
            pause, alerts = self._interval, dict[str, dict[str, Any]]()
            while not self._ended.is_set():
                self._running.wait()
                start = self._starts
                body, alerts = group.body()
                if not alerts or (self._post(group, body) and start == self._starts):
                    break
                self._ended.wait(pause)
                pause = min(pause * 1.5, 1.0)
            group.left(alerts)
            group.delivered = True
            self._ended.wait(self._interval)

    def _post(self, group: Group, body: bytes) -> bool:
        """Post from each peer; True if one was answered with 200, as peers tell each other."""
        answers = [self._post_once(body) for _ in range(group.peers)]
        return any(answers)

    def _post_once(self, body: bytes) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port(), timeout=10)
        try:
            headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
            connection.request("POST", "/alertmanager", body, headers)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def _moment(number: int) -> str:
    """Return a start or end that no other event of the group has, a while ago."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(1_790_000_000 + number)) + ".5Z"
