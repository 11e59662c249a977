"""The settings of the collectors; field by field they are documented in docs/settings.md."""

from typing import Annotated

import msgspec

from exporter.settings.collector import Collector
from exporter.settings.containers import ContainersSettings
from exporter.settings.processes import ProcessGroupsSettings
from exporter.settings.values import Duration, Regex, above_zero, default


class ArpSettings(Collector, forbid_unknown_fields=True, frozen=True):
    """Neighbours by network device; the expressions must match a device's whole name."""

    device_include: Regex | None = None
    """Only devices of these names, whatever device_exclude says."""
    device_exclude: Regex | None = None
    """All devices but those of these names."""


class DiskstatsSettings(Collector, forbid_unknown_fields=True, frozen=True):
    """Block devices; the expressions must match a device's whole name, the default is Debian's node_exporter's."""

    device_include: Regex | None = None
    """Only devices of these names, whatever device_exclude says."""
    device_exclude: Regex | None = default(Regex(r"^(ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$"))
    """All devices but those of these names."""


class HwmonSettings(Collector, forbid_unknown_fields=True, frozen=True):
    """Sensors of the hardware; the expressions find anywhere, a sensor's in CHIP;SENSOR."""

    chip_include: Regex | None = None
    """Only these chips; not together with chip_exclude."""
    chip_exclude: Regex | None = None
    """All chips but these."""
    sensor_include: Regex | None = None
    """Only these sensors; not together with sensor_exclude."""
    sensor_exclude: Regex | None = None
    """All sensors but these."""

    def __post_init__(self) -> None:
        """Refuse both expressions of a pair, as node_exporter does."""
        for what in ("chip", "sensor"):
            if getattr(self, f"{what}_include") is not None and getattr(self, f"{what}_exclude") is not None:
                raise ValueError(f"expected {what}_include or {what}_exclude, not both")


class NetclassSettings(Collector, forbid_unknown_fields=True, frozen=True):
    """What network devices are, beside their counters."""

    ignored_devices: Regex = default(Regex("^$"))
    """Devices to leave out; finds anywhere in the name."""


class NetdevSettings(Collector, forbid_unknown_fields=True, frozen=True):
    """Network device counters; the expressions must match a device's whole name."""

    device_include: Regex | None = None
    """Only devices of these names, whatever device_exclude says."""
    device_exclude: Regex | None = None
    """All devices but those of these names."""


class NetstatSettings(Collector, forbid_unknown_fields=True, frozen=True):
    """Counters of the network protocols."""

    fields: Regex = default(
        Regex(
            r"^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)"
            r"|TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop)"
            r"|Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)"
            r"|Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$"
        )
    )
    """Counters to expose, as PROTOCOL_FIELD; finds anywhere in the name."""


class PowerSupplySettings(Collector, forbid_unknown_fields=True, frozen=True):
    """Batteries and mains adapters."""

    ignored: Regex = default(Regex("^$"))
    """Supplies to leave out; finds anywhere in the name."""


class SystemdSettings(Collector, forbid_unknown_fields=True, frozen=True):
    """Units of systemd, where there is a system bus; the expressions must match a unit's whole name."""

    unit_include: Regex = default(Regex(".+"))
    """Units to expose."""
    unit_exclude: Regex = default(Regex(r".+\.(automount|device|mount|scope|slice|target)"))
    """Units to leave out, whatever unit_include says."""
    start_times: bool = False
    """Also when each unit was started: one more question for each."""
    tasks: bool = False
    """Also how many tasks each unit has and may have: one more question for each."""
    restarts: bool = False
    """Also how often each service was restarted: one more question for each."""
    bus: str = "/run/dbus/system_bus_socket"
    """The socket of the system bus."""


class TextfileSettings(Collector, forbid_unknown_fields=True, frozen=True):
    """Rows that others leave in *.prom files."""

    directories: tuple[str, ...] | None = None
    """Folders, or patterns of folders; without it /var/lib/hostwatch/textfile and Debian's, where they exist."""
    max_file_bytes: Annotated[int, msgspec.Meta(ge=1024, le=16777216)] = 4194304
    """The largest file that is read."""


class VmstatSettings(Collector, forbid_unknown_fields=True, frozen=True):
    """Counters of virtual memory."""

    fields: Regex = default(Regex(r"^(oom_kill|pgpg|pswp|pg.*fault).*"))
    """Counters to expose; finds anywhere in the name."""


class FilesystemSettings(Collector, forbid_unknown_fields=True, frozen=True):
    """File systems; the default exclusions are those of Debian's node_exporter."""

    mount_points_exclude: Regex = default(
        Regex(r"^/(dev|proc|run|sys|mnt|media|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)")
    )
    """Mount points to leave out; finds anywhere in the path."""
    fs_types_exclude: Regex = default(
        Regex(
            r"^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs"
            r"|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|sysfs|tracefs)$"
        )
    )
    """Types of file system to leave out; finds anywhere in the type."""
    mount_timeout: Duration = default(Duration(2))
    """A dead mount costs a scrape this much once; after that it is skipped until it answers again."""

    def __post_init__(self) -> None:
        """Refuse no time at all: no mount would answer."""
        above_zero(self, "mount_timeout")


class Collectors(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One key per collector, by the name in its `collector` label."""

    arp: ArpSettings = default(ArpSettings())
    bcache: Collector = Collector()
    bonding: Collector = Collector()
    btrfs: Collector = Collector()
    conntrack: Collector = Collector()
    containers: ContainersSettings = default(ContainersSettings())
    cpu: Collector = Collector()
    cpufreq: Collector = Collector()
    diskstats: DiskstatsSettings = default(DiskstatsSettings())
    dmi: Collector = Collector()
    edac: Collector = Collector()
    entropy: Collector = Collector()
    exporter: Collector = Collector()
    filefd: Collector = Collector()
    filesystem: FilesystemSettings = default(FilesystemSettings())
    hwmon: HwmonSettings = default(HwmonSettings())
    loadavg: Collector = Collector()
    mdadm: Collector = Collector()
    meminfo: Collector = Collector()
    netclass: NetclassSettings = default(NetclassSettings())
    netdev: NetdevSettings = default(NetdevSettings())
    netstat: NetstatSettings = default(NetstatSettings())
    nvme: Collector = Collector()
    os: Collector = Collector()
    powersupplyclass: PowerSupplySettings = default(PowerSupplySettings())
    pressure: Collector = Collector()
    process: Collector = Collector()
    process_groups: ProcessGroupsSettings = default(ProcessGroupsSettings())
    rapl: Collector = Collector()
    schedstat: Collector = Collector()
    selinux: Collector = Collector()
    sockstat: Collector = Collector()
    softnet: Collector = Collector()
    stat: Collector = Collector()
    systemd: SystemdSettings = default(SystemdSettings())
    textfile: TextfileSettings = default(TextfileSettings())
    thermal_zone: Collector = Collector()
    time: Collector = Collector()
    timex: Collector = Collector()
    udp_queues: Collector = Collector()
    uname: Collector = Collector()
    usage: Collector = Collector()
    vmstat: VmstatSettings = default(VmstatSettings())
    watchdog: Collector = Collector()
    xfs: Collector = Collector()
