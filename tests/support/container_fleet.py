"""What Prometheus tells of containers: ten environments of five hosts, and what is wrong with some of them."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from exporter.clients.prometheus import Sample

NOW: Final = 1_795_276_800.0
ENVIRONMENTS: Final = (*(f"env{number:02}" for number in range(1, 9)), "production", "staging")
HOSTS: Final = ("app", "api", "auth", "search", "runner")
IMAGES: Final = (("example.com/shop/web", "4.2.1"), ("postgres", "15.6"), ("redis", "7"), ("worker", "latest"))


def labels(environment: str, host: str, **more: str) -> dict[str, str]:
    return {"job": "node", "instance": f"{host}.{environment}", "environment": environment, "role": host, **more}


def sample(fields: Mapping[str, str], value: float = 1.0) -> Sample:
    return Sample(dict(fields), (NOW, str(value)))


def containers() -> Iterator[dict[str, Any]]:
    """Yield every container: where, name, image, version, state, and what more there is of it."""
    for e, environment in enumerate(ENVIRONMENTS):
        for h, host in enumerate(HOSTS):
            for c, (image, version) in enumerate(IMAGES):
                one = {"environment": environment, "host": host, "name": f"{image.rpartition('/')[2]}-{c}"}
                state, code, health = "running", None, "healthy" if c == 0 else None
                if (e, h, c) == (8, 1, 0):
                    state, code, health = "exited", 137, None
                elif (e, h, c) == (8, 4, 3):
                    state, code = "exited", 0
                elif (e, h, c) == (2, 0, 0):
                    health = "unhealthy"
                elif (e, h, c) == (3, 3, 1):
                    state = "restarting"
                yield {**one, "image": image, "version": version, "state": state, "code": code, "health": health}


def answers() -> dict[str, list[Sample]]:
    """Return what the queries for containers answer; a host of staging is down."""
    found: dict[str, list[Sample]] = {
        name: []
        for name in (
            "state", "info", "health", "exit_code", "created", "started", "finished", "down", "silent", "scraped",
        )
    }  # fmt: skip
    for one in containers():
        own = labels(one["environment"], one["host"])
        if own["instance"] == "search.staging":
            continue
        mine = {**own, "name": one["name"]}
        found["state"].append(sample({**mine, "image": one["image"], "state": one["state"]}))
        found["info"].append(sample({**mine, "image": one["image"], "version": one["version"]}))
        found["started"].append(sample(mine, NOW - 86400 * 3))
        found["created"].append(sample(mine, NOW - 86400 * 4))
        if one["health"] is not None:
            found["health"].append(sample({**mine, "status": one["health"]}))
        if one["code"] is not None:
            found["exit_code"].append(sample(mine, one["code"]))
            found["finished"].append(sample(mine, NOW - 750 - one["code"]))
    found["down"].append(sample({"__name__": "up", **labels("staging", "search")}, 0))
    found["scraped"].append(sample(labels("production", "app"), NOW - 8))
    return found
