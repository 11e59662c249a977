"""Fleets of hosts and services: where they are read, and how they are shown."""
