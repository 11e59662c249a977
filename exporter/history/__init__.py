"""What this machine used of late: a short window behind the usage gauges, and an hour of it for whoever asks later."""

from exporter.history.keys import Key
from exporter.history.past import KEPT_SECONDS, MAX_COLUMNS, MAX_SOURCE_COLUMNS, Past
from exporter.history.recorder import Recorder
from exporter.history.sampler import Sampler, Source
from exporter.history.tops import ContainerRow, ProcessRow, Tops
from exporter.history.usage import (
    WINDOW_SECONDS,
    CpuTime,
    FileSystemUse,
    History,
    Moment,
    Reading,
    Sample,
    Usage,
    busy_ratios,
)

__all__ = [
    "KEPT_SECONDS",
    "MAX_COLUMNS",
    "MAX_SOURCE_COLUMNS",
    "WINDOW_SECONDS",
    "ContainerRow",
    "CpuTime",
    "FileSystemUse",
    "History",
    "Key",
    "Moment",
    "Past",
    "ProcessRow",
    "Reading",
    "Recorder",
    "Sample",
    "Sampler",
    "Source",
    "Tops",
    "Usage",
    "busy_ratios",
]
