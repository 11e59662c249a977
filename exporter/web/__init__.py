"""The exporter's face: /metrics, the landing page, health."""
