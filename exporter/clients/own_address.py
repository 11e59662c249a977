"""Whether a host's name or address is this machine's, as far as the machine itself knows: no name server is asked."""

import ipaddress
import socket
from pathlib import Path
from typing import Final

HOSTS: Final = Path("/etc/hosts")
RESOLVER: Final = Path("/etc/resolv.conf")
_DISCARD: Final = 9  # any port: no packet is sent


def is_loopback(host: str) -> bool:
    """Whether a host is whoever asks: on another machine it means that one."""
    name = host.lower().rstrip(".")
    address = _address(name)
    return name == "localhost" or name.endswith(".localhost") or (address is not None and address.is_loopback)


def is_ours(host: str) -> bool:
    """Whether a host is this machine: a loopback address, one that it has, its name, or another of /etc/hosts for it.

    A name that only a name server knows as ours is not ours, unless it is our name and a domain of /etc/resolv.conf.
    """
    name = host.lower().rstrip(".")
    if not name:
        return False
    address = _address(name)
    if address is not None:
        return address.is_loopback or _has(str(address))
    return is_loopback(name) or name in _names() or any(_is_own(one) for one in _listed(name))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_own(text: str) -> bool:
    address = _address(text)
    return address is not None and (address.is_loopback or _has(str(address)))


def _has(address: str) -> bool:
    """Whether an address is one of this machine's: only then a packet to it has it as its sender, too.

    Binding would do, but where net.ipv4.ip_nonlocal_bind lets one listen at any address.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((address, _DISCARD))
            return str(sock.getsockname()[0]) == address
    except OSError:
        return False


def _names() -> frozenset[str]:
    """Return this machine's name, and it with each domain that the resolver adds (resolv.conf(5))."""
    own = socket.gethostname().lower()
    rows = [line.split() for line in _lines(RESOLVER)]
    domains = [domain for row in rows if row and row[0] in {"search", "domain"} for domain in row[1:]]
    return frozenset({own, *(f"{own}.{domain.strip('.').lower()}" for domain in domains if domain != ".")})


def _listed(name: str) -> list[str]:
    """Return the addresses of a name in /etc/hosts (hosts(5))."""
    rows = [line.partition("#")[0].lower().split() for line in _lines(HOSTS)]
    return [row[0] for row in rows if name in row[1:]]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:  # not every system has it
        return []
