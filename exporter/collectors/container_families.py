"""The families of containers."""

from typing import Final

from exporter.exposition import Family

STATES: Final = ("created", "running", "paused", "restarting", "removing", "exited", "dead")
HEALTH_STATES: Final = ("starting", "healthy", "unhealthy")

STATE: Final = Family(
    "host_container_state",
    "gauge",
    "1 for the state that the container is in, 0 for the others; image: without its version (Docker API, State).",
    ("name", "image", "state"),
)
HEALTH: Final = Family(
    "host_container_health",
    "gauge",
    "1 for what the health check says, 0 else; running containers with a check only (Docker API, State.Health.Status).",
    ("name", "status"),
)
EXIT_CODE: Final = Family(
    "host_container_exit_code",
    "gauge",
    "Exit code of an exited or dead container, 128 + N for signal N (Docker API, State.ExitCode).",
    ("name",),
)
OOM_KILLED: Final = Family(
    "host_container_oom_killed",
    "gauge",
    "1 if the container's last run met the end of its memory (Docker API, State.OOMKilled).",
    ("name",),
)
RESTARTS: Final = Family(
    "host_container_restarts_total",
    "counter",
    "Times the engine restarted the container by itself, since it was started by hand (Docker API, RestartCount).",
    ("name",),
)
CREATED: Final = Family(
    "host_container_created_timestamp_seconds",
    "gauge",
    "When the container was created, seconds since the epoch (Docker API, Created).",
    ("name",),
)
STARTED: Final = Family(
    "host_container_started_timestamp_seconds",
    "gauge",
    "When the container was started last, seconds since the epoch (Docker API, State.StartedAt).",
    ("name",),
)
FINISHED: Final = Family(
    "host_container_finished_timestamp_seconds",
    "gauge",
    "When the container ended last, seconds since the epoch (Docker API, State.FinishedAt).",
    ("name",),
)
INFO: Final = Family(
    "host_container_info",
    "gauge",
    "Image and version of the container: its tag, else its digest, always 1 (Docker API, Config.Image).",
    ("name", "image", "version"),
)
LIMIT: Final = Family(
    "host_container_memory_limit_bytes",
    "gauge",
    "Memory that the container may use, where there is a limit (Docker API, HostConfig.Memory).",
    ("name",),
)
CPU: Final = Family(
    "host_container_cpu_seconds_total",
    "counter",
    "CPU time of the running container by mode, user or system (cpu.stat of its control group, cpuacct.stat).",
    ("name", "mode"),
)
MEMORY: Final = Family(
    "host_container_memory_usage_bytes",
    "gauge",
    "Working set: memory in use but for inactive page cache (memory.current or usage_in_bytes of its control group).",
    ("name",),
)
OOM_KILLS: Final = Family(
    "host_container_oom_kills_total",
    "counter",
    "Processes killed in this run for want of memory (memory.events of its control group, memory.oom_control).",
    ("name",),
)
