"""What the settings of several checks share: where a target is, which of its addresses to ask, how TLS is checked."""

from typing import Annotated, Literal

import msgspec

from exporter.settings.values import parse_address, shown

Family = Literal["any", "ipv4_first", "ipv6_first", "ipv4", "ipv6"]

MAX_PATH = 4096


class TlsOptions(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """How a server's certificate is checked, and which one it is shown. Files are read again when they change."""

    ca_file: Annotated[str, msgspec.Meta(max_length=MAX_PATH)] | None = None
    """Certificates (PEM) that a chain may end in; without it those that this machine trusts."""
    server_name: Annotated[str, msgspec.Meta(min_length=1, max_length=253)] | None = None
    """The name to ask for and to find in the certificate; without it the target's own."""
    insecure: bool = False
    """Take any certificate, whoever made it out and to whom; when it expires is told all the same."""
    certificate_file: Annotated[str, msgspec.Meta(max_length=MAX_PATH)] | None = None
    """The certificate (PEM) to show to a server that wants one."""
    key_file: Annotated[str, msgspec.Meta(max_length=MAX_PATH)] | None = None
    """That certificate's key (PEM), not encrypted."""

    def __post_init__(self) -> None:
        """Refuse half a pair, and files whose meaning depends on the folder that the daemon was started in."""
        for key in ("ca_file", "certificate_file", "key_file"):
            absolute(key, getattr(self, key))
        if (self.certificate_file is None) is not (self.key_file is None):
            missing = "key_file" if self.key_file is None else "certificate_file"
            raise ValueError(f"expected certificate_file and key_file together, {missing} is missing")


def absolute(key: str, path: str | None) -> None:
    """Refuse a path that does not begin at the root."""
    if path is not None and not path.startswith("/"):
        raise ValueError(f"{key}: expected a path from the root such as /etc/hostwatch/{key}, got {shown(path)}")


def host_and_port(text: str, port: int | None = None) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`, or of `HOST` alone where a `port` is given; IPv6 with a port in brackets.

    Raises ValueError saying what was expected.
    """
    given = text
    expected = "HOST:PORT such as db.internal:5432, 192.0.2.7:22 or [2001:db8::7]:443"
    bracketed = text.startswith("[") and text.endswith("]")
    if port is not None and (bracketed or ":" not in text or (text.count(":") > 1 and "]" not in text)):
        text = f"{text}:{port}" if bracketed or ":" not in text else f"[{text}]:{port}"
        expected = f"HOST or {expected}"
    try:
        host, number = parse_address(text)
    except ValueError:
        host, number = "", 0
    if not host or not number or any(char.isspace() or char in "/@?#[]" for char in host):
        raise ValueError(f"expected {expected}, got {shown(given)}")
    return host, number
