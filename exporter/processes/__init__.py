"""Processes of this machine: looked at by a thread of its own, in groups, and the names that use most."""

from exporter.processes.groups import GroupState
from exporter.processes.scan import Scan
from exporter.processes.scanner import Scanner
from exporter.processes.top import ProcessUse

__all__ = ["GroupState", "ProcessUse", "Scan", "Scanner"]
