"""What the answers are made of: rows of metrics in, shapes with units out; what is not known is left out."""

import json
from typing import Any

import msgspec
import pytest

from exporter.history import ContainerRow, FileSystemUse, Usage
from exporter.web.answers import devices, machine, watched
from exporter.web.rows import Rows

USAGE = Usage(0.5, (0.4, 0.6), 0.25, None, (FileSystemUse("/dev/vda", "ext4", "/", 0.75),), ("0", "10"))
EMPTY = Rows(b"")


def told(answer: msgspec.Struct) -> Any:
    return json.loads(msgspec.json.encode(answer))


def rows(*lines: str) -> Rows:
    return Rows("".join(line + "\n" for line in lines).encode())


@pytest.mark.parametrize(
    "answer",
    [
        machine.cpu(EMPTY, None),
        machine.memory(EMPTY, None),
        machine.machine(EMPTY),
        devices.disks(EMPTY, None, {}),
        devices.network(EMPTY, {}),
        watched.latency(EMPTY),
        watched.services(EMPTY),
        watched.containers(EMPTY, None),
    ],
    ids=lambda answer: type(answer).__name__,
)
def test_nothing_known_is_nothing_told(answer: msgspec.Struct) -> None:
    assert told(answer) == {}


def test_cores_have_usage_and_seconds_in_the_order_of_their_numbers() -> None:
    found = rows(
        *(f'node_cpu_seconds_total{{cpu="{core}",mode="user"}} {core}.5' for core in (10, 1, 0)), "node_load1 2"
    )
    answer = told(machine.cpu(found, USAGE))
    assert answer["cores"] == [
        {"core": "0", "usage_ratio": 0.4, "mode_seconds_total": {"user": 0.5}},
        {"core": "1", "mode_seconds_total": {"user": 1.5}},
        {"core": "10", "usage_ratio": 0.6, "mode_seconds_total": {"user": 10.5}},
    ]
    assert (answer["usage_ratio"], answer["load_1_minute"]) == (0.5, 2)


def test_memory_has_bytes_and_pressure() -> None:
    found = rows("node_memory_MemTotal_bytes 1024", "node_pressure_memory_waiting_seconds_total 1.5")
    assert told(machine.memory(found, USAGE)) == {
        "usage_ratio": 0.25,
        "total_bytes": 1024,
        "pressure": {"waiting_seconds_total": 1.5},
    }


def test_file_system_that_tells_nothing_stands_there_by_name() -> None:
    labels = 'device="/dev/{0}",fstype="ext4",mountpoint="{1}"'
    good, sick = labels.format("vda", "/"), labels.format("vdb", "/srv")
    found = rows(
        f"node_filesystem_device_error{{{sick}}} 1",
        f"node_filesystem_device_error{{{good}}} 0",
        f"node_filesystem_size_bytes{{{good}}} 4096",
        f"node_filesystem_readonly{{{good}}} 0",
    )
    root = {"mountpoint": "/", "device": "/dev/vda", "fstype": "ext4"}
    assert told(devices.disks(found, USAGE, {}))["filesystems"] == [
        {**root, "usage_ratio": 0.75, "size_bytes": 4096, "read_only": False},
        {"mountpoint": "/srv", "device": "/dev/vdb", "fstype": "ext4"},
    ]


def test_devices_have_totals_and_the_newest_rates() -> None:
    found = rows(
        'node_network_receive_bytes_total{device="eth0"} 7',
        'node_network_up{device="eth0"} 1',
        'node_disk_read_bytes_total{device="vda"} 512',
    )
    rates = {("receive", "eth0"): 1.25, ("written", "vda"): 3.0}
    assert told(devices.network(found, rates))["interfaces"] == [
        {"interface": "eth0", "up": True, "receive_bytes_total": 7, "receive_bytes_per_second": 1.25}
    ]
    assert told(devices.disks(found, None, rates))["disks"] == [
        {"device": "vda", "read_bytes_total": 512, "written_bytes_per_second": 3}
    ]


def test_target_that_does_not_answer_has_a_reason_and_no_latency() -> None:
    found = rows(
        'host_ping_sent_total{target="a"} 5',
        'host_ping_received_total{target="a"} 0',
        'host_ping_failure_info{target="a",reason="timeout"} 1',
    )
    assert told(watched.latency(found))["targets"] == [
        {"target": "a", "sent_total": 5, "received_total": 0, "failure": "timeout"}
    ]


def test_check_that_could_not_ask_is_neither_up_nor_down() -> None:
    labels = 'check="web",kind="http"'
    found = rows(
        f"host_service_last_attempt_timestamp_seconds{{{labels}}} 5",
        f'host_service_failure_info{{{labels},reason="no_permission"}} 1',
        f'host_service_duration_seconds{{{labels},phase="connect"}} 0.25',
        f'host_service_duration_seconds{{{labels},phase="first_byte"}} 0.5',
    )
    assert told(watched.services(found))["services"] == [
        {
            "check": "web",
            "kind": "http",
            "failure": "no_permission",
            "duration_seconds": 0.75,
            "last_attempt_timestamp_seconds": 5,
        }
    ]


def test_containers_that_do_not_run_come_first_and_all_are_counted() -> None:
    states = [
        f'host_container_state{{name="c{n}",image="app",state="{state}"}} {value}'
        for n in range(watched.MAX_CONTAINERS + 5)
        for state, value in (("running", int(n != 7)), ("exited", int(n == 7)))
    ]
    found = rows(*states, 'host_container_exit_code{name="c7"} 137', 'host_container_memory_usage_bytes{name="c9"} 4')
    answer = told(watched.containers(found, [ContainerRow("c9", "app", 0.5, 4)]))
    assert answer["containers"][0] == {"name": "c7", "image": "app", "state": "exited", "exit_code": 137}
    assert answer["containers"][1]["name"] == "c9"
    assert answer["containers"][1]["cpu_cores"] == 0.5
    assert len(answer["containers"]) == watched.MAX_CONTAINERS
    assert answer["containers_by_state"] == {"exited": 1, "running": watched.MAX_CONTAINERS + 4}
