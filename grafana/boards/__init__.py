"""The dashboards: one module each, and the table of them."""

from typing import Final

from grafana.board import Board
from grafana.boards import alerts, containers, fleet, host, hostwatch, network, processes, services

BOARDS: Final[tuple[Board, ...]] = (
    fleet.BOARD,
    host.BOARD,
    network.BOARD,
    services.BOARD,
    containers.BOARD,
    processes.BOARD,
    alerts.BOARD,
    hostwatch.BOARD,
)
