"""Asking the parts over HTTP: whether they are ready, and what Prometheus sees."""

import http.client
import json
import urllib.parse

from stack.settings import HOST

SECONDS = 1.0
JOBS = frozenset({"node", "relay", "alertmanager", "prometheus"})


def is_ready(port: int, path: str) -> bool:
    """Say whether a GET is answered with 200 within a second."""
    return _get(port, path) is not None


def jobs_up(port: int) -> dict[str, bool]:
    """Return what the last scrapes say: job, and whether all its targets answered. Empty without an answer."""
    body = _get(port, "/api/v1/query?" + urllib.parse.urlencode({"query": "min by (job) (up)"}))
    if body is None:
        return {}
    rows = json.loads(body)["data"]["result"]
    return {row["metric"]["job"]: float(row["value"][1]) == 1 for row in rows}


def missing_jobs(port: int) -> list[str]:
    """Return the jobs that are not up, sorted."""
    up = jobs_up(port)
    return sorted(job for job in JOBS if not up.get(job, False))


def _get(port: int, path: str) -> bytes | None:
    """Return the body of a 200, else None. Blocks for a second at most per read."""
    connection = http.client.HTTPConnection(HOST, port, timeout=SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return body if answer.status == 200 else None
