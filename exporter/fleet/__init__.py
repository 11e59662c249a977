"""Fleets of hosts and services: where they are read, how they are judged, and how they are shown.

    from exporter.fleet.api_source import ApiSource
    from exporter.fleet.views import health

    snapshot = ApiSource("api.internal:80").fetch()      # or PrometheusSource("http://localhost:9090")
    for service in health(snapshot.rows, healthy_instances=2): ...

docs/fleet-command.md tells of all of it.
"""
