"""hostwatch: the exporter, the relay and their command line."""

__version__ = "0.1.0"
