"""Whether the ports are free, before anything is started."""

import errno
import socket

from stack.failures import StackError
from stack.settings import HOST, PORTS, Settings


def check_ports(settings: Settings) -> None:
    """Try each port. Raises StackError naming every taken one and the variable that moves it."""
    faults = [fault for part in settings.ports if (fault := _fault(part, settings.ports[part]))]
    if faults:
        raise StackError("\n".join(faults))


def _fault(part: str, port: int) -> str | None:
    variable = PORTS[part][0]
    with socket.socket() as probe:
        # as the parts themselves do: what is left of closed connections is no obstacle, a listener is
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as err:
            if err.errno == errno.EADDRINUSE:
                other = port + 100 if port + 100 <= 65535 else port - 100
                return f"port {port} for {part} is taken; {variable} moves it: {variable}={other} make up"
            return f"port {port} for {part} cannot be had: {err.strerror}; {variable} moves it"
    return None
