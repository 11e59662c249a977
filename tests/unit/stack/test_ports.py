"""A taken port is told before anything is started."""

import socket
from pathlib import Path

import pytest

from stack.failures import StackError
from stack.ports import check_ports
from stack.settings import Settings


def listener(address: str) -> socket.socket:
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind((address, 0))
    taken.listen()
    return taken


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_taken_port_is_named_with_the_variable_that_moves_it(address: str) -> None:
    with listener(address) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StackError) as told:
            check_ports(Settings({"prometheus": port}, Path("/nowhere"), Path("/nowhere")))
    assert f"port {port} for prometheus is taken; PROMETHEUS_PORT moves it" in str(told.value)


def test_every_taken_port_is_named_at_once() -> None:
    with listener("127.0.0.1") as one, listener("127.0.0.1") as two:
        ports = {"exporter": one.getsockname()[1], "relay": two.getsockname()[1]}
        with pytest.raises(StackError) as told:
            check_ports(Settings(ports, Path("/nowhere"), Path("/nowhere")))
    assert [line.partition(";")[2].split()[0] for line in str(told.value).splitlines()] == [
        "EXPORTER_PORT",
        "RELAY_PORT",
    ]


def test_what_closed_connections_leave_behind_is_no_obstacle() -> None:
    with listener("127.0.0.1") as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            accepted.close()  # the side that closes first keeps the port in TIME_WAIT
            assert client.recv(1) == b""
    check_ports(Settings({"relay": port}, Path("/nowhere"), Path("/nowhere")))
