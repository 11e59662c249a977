"""What one version of the settings hands on to the next."""

import pytest

from exporter.collectors.exporter import SettingsState
from exporter.collectors.filesystem import FileSystem
from exporter.collectors.kernel_usage import KernelUsage
from exporter.collectors.mounts import Askers
from exporter.daemon import Machine
from exporter.settings.exporter import Exporter


@pytest.mark.needs("linux")
def test_settings_read_again_take_over_the_threads_that_mounts_hold() -> None:
    """Else each SIGHUP leaves some behind while a mount is dead."""
    first = Machine(Exporter(), SettingsState(0))
    second = Machine(Exporter(), SettingsState(0), before=first)
    mine, theirs = askers_of(second), askers_of(first)
    assert mine == theirs
    assert len(set(mine)) == 2
    assert second.history is first.history
    for machine in (first, second):
        machine.stop()


def askers_of(machine: Machine) -> tuple[Askers, ...]:
    """Return those of the page and those of the sampler."""
    assert machine.sampler is not None
    usage = machine.sampler._read
    assert isinstance(usage, KernelUsage)
    file_system = next(one for one in machine.collectors if isinstance(one, FileSystem))
    return file_system._reader.askers, usage._file_systems._reader.askers
