"""The table of faults: one row each, in the order of `hostwatch drill list`."""

from typing import Final

from exporter.drills.fault import Fault
from exporter.drills.faults import containers, disks, exporters, host, network, pipeline, relays, services

FAULTS: Final[tuple[type[Fault], ...]] = (
    host.Cpu,
    host.Memory,
    disks.DiskFill,
    disks.DiskFull,
    disks.InodeFill,
    disks.DiskReadOnly,
    disks.DiskIo,
    network.NetworkLatency,
    network.PacketLoss,
    network.HostUnreachable,
    network.PacketsDropped,
    network.LinkSaturated,
    network.PingImpossible,
    network.ApiUnroutable,
    services.ServiceStopped,
    services.ServiceHung,
    services.ServiceSlow,
    services.CheckImpossible,
    services.CertificateExpiring,
    services.CertificateAlmostExpired,
    services.ProcessGroupKilled,
    services.ApiDown,
    services.InstancesSick,
    containers.ContainerFailed,
    containers.ContainerExited,
    containers.ContainerGone,
    containers.ContainerRestarting,
    containers.ContainerOom,
    containers.ContainerUnhealthy,
    exporters.ExporterKilled,
    exporters.ExporterHung,
    exporters.TargetRemoved,
    exporters.SettingsBroken,
    exporters.SeriesFlood,
    exporters.TextfileRefused,
    exporters.CollectorFailing,
    pipeline.AlertmanagerStopped,
    pipeline.AlertmanagerMisconfigured,
    pipeline.NotificationsFailing,
    pipeline.PrometheusMisconfigured,
    pipeline.RuleFailing,
    pipeline.AlertmanagerUnreachable,
    pipeline.AlertmanagerForgotten,
    relays.SlackDown,
    relays.QueueOld,
    relays.VaultSealed,
    relays.WebhookUnreadable,
)
BY_NAME: Final = {fault.name: fault for fault in FAULTS}

# alerts that no drill can fire within minutes and without harm, each with what it would take
OUT_OF_REACH: Final = {
    "HostDiskFillsIn24Hours": "six hours of a file system that grows",
    "HostRebooted": "a reboot",
    "HostClockSkewed": "a clock that is wrong, for everything on the machine",
    "HostFileHandlesLow": "four fifths of all file handles of the kernel",
    "HostConntrackNearlyFull": "a connection table nearly full, for everything on the machine",
    "HostSwapHigh": "swap, and enough memory to push others into it",
    "HostNetworkErrors": "a network device that damages packets",
    "PipelinePartMissing": "a Prometheus, the one whose alerts arrive, without a target for a part of the pipeline",
    "HostTrafficUnusual": "two days of ordinary traffic before",
    "UnitFailed": "systemd as the machine's first process",
    "Watchdog": "it always fires; that it stays away is told by the relay (AlertPipelineSilent)",
}
