"""Sends webhooks as Alertmanager does: the newest state of a group, again and again until somebody says 200.

What it does by its source (retry_stage.go, dispatch.go): 5xx and broken connections are tried again after a pause that
grows, 4xx not before the next flush; a resolved alert leaves the group once its end was delivered; a group without
firing alerts that was never delivered is never told.
"""

import http.client
import json
import threading
import time
from typing import Any

from tests.support.relay import ZERO


class Group:
    """One alert group and the thread that delivers it, like one of Alertmanager's dispatcher groups."""

    def __init__(self, key: str, receiver: str = "slack", peers: int = 1) -> None:
        self.key, self.receiver, self.peers = key, receiver, peers
        self.alerts: dict[str, dict[str, Any]] = {}
        self.lock = threading.Lock()
        self.dirty = threading.Event()
        self.delivered = True
        self.history: list[str] = []
        self._clock = 0

    def fire(self, instance: str, severity: str = "warning") -> None:
        """Let an alert fire; one that fired and was resolved begins anew."""
        with self.lock:
            self._clock += 1
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

    def add(self, group: Group) -> Group:
        thread = threading.Thread(target=self._deliver, args=(group,), daemon=True)
        self._groups.append((group, thread))
        thread.start()
        return group

    def __enter__(self) -> "Dispatcher":
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for group, thread in self._groups:
            group.dirty.set()
            thread.join(20)

    def settled(self) -> bool:
        """Whether every group has delivered its newest state."""
        return all(not group.dirty.is_set() and group.delivered for group, _ in self._groups)

    def _deliver(self, group: Group) -> None:
        while not self._ended.is_set():
            group.dirty.wait()
            group.dirty.clear()
            group.delivered = False
            pause, alerts = self._interval, dict[str, dict[str, Any]]()
            while not self._ended.is_set():
                body, alerts = group.body()
                if not alerts or self._post(group, body):
                    break
                self._ended.wait(pause)
                pause = min(pause * 1.5, 1.0)
            with group.lock:
                for instance, alert in alerts.items():
                    # only what has not changed since it was told may go
                    if alert["status"] == "resolved" and group.alerts.get(instance) == alert:
                        del group.alerts[instance]
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
