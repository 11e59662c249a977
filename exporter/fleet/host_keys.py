"""Which host a sample is of, by all labels of its target: ten environments may each have a host `app`. Pure."""

from collections.abc import Collection, Iterable, Mapping

from exporter.clients.prometheus import Sample

Key = tuple[str, ...]


def label_names(samples: Iterable[Sample], without: Collection[str] = ()) -> tuple[str, ...]:
    """Return the names of all labels of some samples, sorted, but the metric's name and those to do `without`."""
    return tuple(sorted({name for sample in samples for name in sample.labels} - {"__name__", *without}))


def key_of(labels: Mapping[str, str], names: Iterable[str]) -> Key:
    """Return what those labels say; one that is missing is empty, as Prometheus has it."""
    return tuple(labels.get(name, "") for name in names)
