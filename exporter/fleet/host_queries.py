"""What is asked of Prometheus about hosts: one query for each column. Pure text."""

from typing import Final

# file systems that live in memory or are always full, as the alerts have them
_NO_DISK: Final = 'fstype!~"tmpfs|ramfs|overlay|squashfs|iso9660|udf"'
_DISK_LABELS: Final = "device, fstype, mountpoint"


def quoted(text: str) -> str:
    """Return a text as PromQL writes it, whatever is in it."""
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n"}
    return '"' + "".join(escapes.get(char, char) for char in text) + '"'


def queries(job: str) -> dict[str, str]:
    """Return the query of every column by its name; `up` has a series for each host of the job, with its labels.

    Counters first, as the alerts count; the gauges serve hosts without a /proc. CPU is that between the last two
    scrapes: it is right for a host that is new, and needs two modes of eight.
    """
    job = f"job={quoted(job)}"
    used = (
        f"1 - node_filesystem_avail_bytes{{{job},{_NO_DISK}}} / (node_filesystem_size_bytes{{{job}}}"
        f" - node_filesystem_free_bytes{{{job}}} + node_filesystem_avail_bytes{{{job}}})"
    )
    return {
        "up": f"up{{{job}}}",
        # the kernel takes time of iowait back now and then; what is far below nothing is not known
        "cpu": (
            f"clamp_min(1 - avg without (cpu) (sum without (mode) ("
            f'irate(node_cpu_seconds_total{{{job},mode=~"idle|iowait"}}[5m]))) > -0.05, 0)'
            f" or host_cpu_usage_ratio{{{job}}}"
        ),
        "memory": (
            f"1 - node_memory_MemAvailable_bytes{{{job}}} / node_memory_MemTotal_bytes{{{job}}}"
            f" or host_memory_usage_ratio{{{job}}}"
        ),
        "disk": (
            f"max without ({_DISK_LABELS}) (({used})"
            f" unless node_filesystem_readonly{{{job}}} == 1)"
            f" or max without ({_DISK_LABELS}) (host_filesystem_usage_ratio{{{job},{_NO_DISK}}})"
        ),
        "alerts": 'count by (environment, instance) (ALERTS{alertstate="firing",severity!="none"})',
    }
