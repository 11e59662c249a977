"""Packets of ICMP: what is sent, and which of what comes back is an answer of ours."""

import errno
import socket
import struct

import pytest

from exporter.probes.attempt import Reason
from exporter.probes.icmp import Answer, Codec, Mode, Trouble, checksum

COOKIE = bytes(range(16))
STAMP = (socket.SOL_SOCKET, 35, struct.pack("@ll", 1700000000, 123456789))
IP_HEADER = b"\x45" + bytes(19)
LONG_IP_HEADER = b"\x4f" + bytes(59)


def codec(family: int = socket.AF_INET, mode: Mode = Mode.DATAGRAM) -> Codec:
    return Codec(family, mode, 0x1234, 56)


def simple_checksum(packet: bytes) -> int:
    """RFC 1071 word by word."""
    total = 0
    for high, low in zip(packet[::2], (packet + b"\0")[1::2], strict=False):
        total += high << 8 | low
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@pytest.mark.parametrize(
    "packet",
    [b"\x08\0\0\0\0\0\0\0", b"\xff\xff" * 4, bytes(64), b"\x08\0\0\0" + bytes(range(57)), b"\x01"],
    ids=["header", "ones", "zeros", "odd length", "one byte"],
)
def test_checksum_is_that_of_the_rfc(packet: bytes) -> None:
    # both are zero in ones' complement
    assert {checksum(packet), simple_checksum(packet)} in ({checksum(packet)}, {0, 0xFFFF})


def test_request_over_a_raw_socket_sums_up_to_nothing() -> None:
    packet = codec(mode=Mode.RAW).request(0x5678, COOKIE)
    assert len(packet) == 8 + 56
    assert packet[:2] == b"\x08\0"
    assert packet[4:8] == b"\x12\x34\x56\x78"
    assert packet[8:24] == COOKIE
    assert simple_checksum(packet) in (0, 0xFFFF)


@pytest.mark.parametrize(
    ("family", "mode", "kind"),
    [
        (socket.AF_INET, Mode.DATAGRAM, 8),
        (socket.AF_INET6, Mode.DATAGRAM, 128),
        (socket.AF_INET6, Mode.RAW, 128),
    ],
)
def test_request_whose_sum_the_kernel_makes_has_none(family: int, mode: Mode, kind: int) -> None:
    assert codec(family, mode).request(1, COOKIE)[:4] == bytes((kind, 0, 0, 0))


def reply(kind: int = 0, identifier: int = 0x1234, sequence: int = 7, cookie: bytes = COOKIE) -> bytes:
    return struct.pack("!BBHHH", kind, 0, 0, identifier, sequence) + cookie


ANSWER = Answer(7, COOKIE, "192.0.2.1", 1700000000123456789)


@pytest.mark.parametrize(
    ("wanted", "data"),
    [
        (codec(), reply() + bytes(40)),
        (codec(mode=Mode.RAW), IP_HEADER + reply()),
        (codec(mode=Mode.RAW), LONG_IP_HEADER + reply()),
        (codec(socket.AF_INET6), reply(129)),
        (codec(socket.AF_INET6, Mode.RAW), reply(129)),
    ],
    ids=["datagram", "raw", "raw with options", "datagram of IPv6", "raw of IPv6"],
)
def test_answer_is_read_with_the_kernels_stamp(wanted: Codec, data: bytes) -> None:
    assert wanted.answer(data, [STAMP], "192.0.2.1") == ANSWER


@pytest.mark.parametrize(
    "data",
    [b"", reply()[:-1], reply(8), reply(3), reply(identifier=0x4321)],
    ids=["empty", "cut short", "request", "unreachable", "other id"],
)
@pytest.mark.parametrize("mode", [Mode.DATAGRAM, Mode.RAW])
def test_what_is_no_answer_of_ours_is_none(data: bytes, mode: Mode) -> None:
    packet = IP_HEADER + data if mode is Mode.RAW and data else data
    assert codec(mode=mode).answer(packet, [STAMP], "192.0.2.1") is None


@pytest.mark.parametrize(
    "control",
    [[], [(socket.SOL_SOCKET, 35, b"short")], [(socket.SOL_SOCKET, 40, bytes(16))]],
    ids=["nothing", "cut short", "something else"],
)
def test_answer_without_the_kernels_stamp_has_none(control: list[tuple[int, int, bytes]]) -> None:
    assert codec().answer(reply(), control, "192.0.2.1") == ANSWER._replace(stamp=None)


def told(family: int, number: int, origin: int, kind: int, code: int) -> list[tuple[int, int, bytes]]:
    level, option = (socket.IPPROTO_IPV6, 25) if family == socket.AF_INET6 else (socket.IPPROTO_IP, 11)
    return [STAMP, (level, option, struct.pack("@IBBBBII", number, origin, kind, code, 0, 0, 0))]


@pytest.mark.parametrize(
    ("family", "number", "origin", "kind", "code", "reason"),
    [
        pytest.param(socket.AF_INET, errno.EHOSTUNREACH, 2, 3, 1, Reason.HOST_UNREACHABLE, id="host unreachable"),
        pytest.param(socket.AF_INET, errno.ENETUNREACH, 2, 3, 0, Reason.HOST_UNREACHABLE, id="net, says a router"),
        pytest.param(socket.AF_INET, errno.EHOSTUNREACH, 2, 11, 0, Reason.HOST_UNREACHABLE, id="time exceeded"),
        pytest.param(socket.AF_INET, errno.EHOSTUNREACH, 2, 3, 13, Reason.NO_PERMISSION, id="prohibited"),
        pytest.param(socket.AF_INET, errno.ENETUNREACH, 2, 3, 9, Reason.NO_PERMISSION, id="net prohibited"),
        pytest.param(socket.AF_INET, errno.EHOSTUNREACH, 2, 3, 10, Reason.NO_PERMISSION, id="host prohibited"),
        pytest.param(socket.AF_INET6, errno.EACCES, 3, 1, 1, Reason.NO_PERMISSION, id="IPv6 prohibited"),
        pytest.param(socket.AF_INET6, errno.EHOSTUNREACH, 3, 1, 3, Reason.HOST_UNREACHABLE, id="IPv6 unreachable"),
        pytest.param(socket.AF_INET, errno.EMSGSIZE, 1, 0, 0, Reason.INTERNAL_ERROR, id="our own kernel: too long"),
        pytest.param(socket.AF_INET, errno.EPERM, 1, 0, 0, Reason.NO_PERMISSION, id="our own kernel: not permitted"),
    ],
)
def test_error_that_comes_back_has_its_reason(
    family: int, number: int, origin: int, kind: int, code: int, reason: Reason
) -> None:
    request = reply(128 if family == socket.AF_INET6 else 8)
    trouble = codec(family).trouble(request, told(family, number, origin, kind, code), "192.0.2.1")
    assert trouble == Trouble(7, "192.0.2.1", reason)


@pytest.mark.parametrize(
    ("data", "control"),
    [
        pytest.param(reply(8)[:7], told(socket.AF_INET, 113, 2, 3, 1), id="too little quoted"),
        pytest.param(reply(8, identifier=1), told(socket.AF_INET, 113, 2, 3, 1), id="about somebody else's packet"),
        pytest.param(reply(0), told(socket.AF_INET, 113, 2, 3, 1), id="about a reply of this host"),
        pytest.param(reply(8), [STAMP], id="no error with it"),
    ],
)
def test_error_about_nothing_of_ours_is_none(data: bytes, control: list[tuple[int, int, bytes]]) -> None:
    assert codec().trouble(data, control, "192.0.2.1") is None


def test_error_that_quotes_only_the_header_is_enough() -> None:
    trouble = codec().trouble(reply(8)[:8], told(socket.AF_INET, 113, 2, 3, 1), "192.0.2.1")
    assert trouble is not None
