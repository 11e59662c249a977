"""rtnetlink: what it tells of a device is what the files tell; strange messages are refused."""

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collectors.links import Links, before_counters, parse_attributes, parse_link, parse_messages
from exporter.collectors.netclass import read_files
from exporter.kernel import KernelError

U32 = struct.Struct("=I")


def attribute(kind: int, value: bytes) -> bytes:
    text = struct.pack("=HH", 4 + len(value), kind) + value
    return text + bytes(-len(text) % 4)


def u32(kind: int, value: int) -> bytes:
    return attribute(kind, U32.pack(value))


def body(*extra: bytes, flags: int = 0x11043, index: int = 7, kind: int = 1) -> bytes:
    """Return a message's body: a device that is up, broadcast, running, multicast, with carrier."""
    return b"".join(
        (
            struct.pack("=BxHiII", 0, kind, index, flags, 0),
            attribute(3, b"eth7\0"),
            u32(13, 1000),
            attribute(16, b"\6"),
            attribute(17, b"\0"),
            u32(4, 1500),
            u32(27, 0),
            attribute(33, b"\1"),
            u32(35, 4),
            u32(47, 2),
            u32(48, 2),
            attribute(1, bytes.fromhex("02fc00000001")),
            attribute(2, b"\xff" * 6),
            *extra,
        )
    )


NEW_KERNEL = (u32(30, 0), u32(61, 0))


def test_message_becomes_the_texts_of_the_files() -> None:
    link = parse_link(body(*NEW_KERNEL))
    assert link.name == "eth7"
    assert link.attributes == {
        "ifindex": b"7",
        "type": b"1",
        "iflink": b"7",
        "operstate": b"up",
        "link_mode": b"0",
        "address": b"02:fc:00:00:00:01",
        "broadcast": b"ff:ff:ff:ff:ff:ff",
        "ifalias": b"",
        "mtu": b"1500",
        "tx_queue_len": b"1000",
        "netdev_group": b"0",
        "carrier": b"1",
        "carrier_changes": b"4",
        "carrier_up_count": b"2",
        "carrier_down_count": b"2",
        "dormant": b"0",
        "flags": b"0x1003",
    }


@pytest.mark.parametrize(
    ("extra", "flags", "name", "text"),
    [
        (NEW_KERNEL, 0x31043, "dormant", b"1"),
        (NEW_KERNEL, 0x1002, "carrier", None),
        (NEW_KERNEL, 0x1002, "dormant", None),
        ((u32(30, 1), u32(61, 0)), 0x11043, "flags", b"0x1103"),
        ((u32(30, 0), u32(61, 2)), 0x11043, "flags", b"0x1203"),
        ((u32(30, 0), u32(61, 0)), 0x11343, "flags", b"0x1003"),
        ((u32(30, 0),), 0x11043, "flags", None),
        ((attribute(5, struct.pack("=i", 9)),), 0x11043, "iflink", b"9"),
        ((attribute(5, struct.pack("=i", 0)),), 0x11043, "iflink", b"0"),
        ((attribute(20, b"uplink \xff\0"),), 0x11043, "ifalias", b"uplink \xff"),
    ],
    ids=[
        "dormant",
        "down-no-carrier",
        "down-no-dormant",
        "promiscuous-by-a-bridge",
        "all-multicast",
        "the-users-bits-are-not-the-devices",
        "before-6.0-flags-are-left-to-the-file",
        "on-another-device",
        "tunnel-on-none",
        "alias",
    ],
)
def test_what_differs_from_the_message(extra: tuple[bytes, ...], flags: int, name: str, text: bytes | None) -> None:
    assert parse_link(body(*extra, flags=flags)).attributes.get(name) == text


def test_device_without_address_has_empty_ones() -> None:
    plain = struct.pack("=BxHiII", 0, 65534, 7, 0x1002, 0)
    link = parse_link(plain + attribute(3, b"tun0\0") + attribute(16, b"\2") + attribute(17, b"\0"))
    assert (link.attributes["address"], link.attributes["broadcast"]) == (b"", b"")


@pytest.mark.parametrize("cut", [0, 5, 16, 20])
def test_message_without_what_must_be_there_is_refused(cut: int) -> None:
    with pytest.raises(KernelError, match="rtnetlink"):
        parse_link(body()[:cut])


def test_counters_alone_do_not_make_a_message_new() -> None:
    one, other = (body(*NEW_KERNEL, attribute(23, bytes([count]) * 200), u32(6, count)) for count in (1, 2))
    assert before_counters(one) == before_counters(other)
    assert other.startswith(before_counters(one))


def test_message_with_ours_behind_the_counters_counts_whole() -> None:
    message = body(attribute(23, bytes(200)), u32(61, 1))
    assert before_counters(message) == message


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_parsed(data: bytes) -> None:
    for parse in (lambda: list(parse_messages(data)), lambda: parse_attributes(data, 0), lambda: parse_link(data)):
        try:
            parse()
        except KernelError:
            continue


@given(st.integers(0, 400), st.integers(0, 255))
def test_damaged_message_is_refused_or_parsed(place: int, byte: int) -> None:
    data = bytearray(body(*NEW_KERNEL))
    data[place % len(data)] = byte
    try:
        before_counters(bytes(data))
        parse_link(bytes(data))
    except KernelError:
        return


@pytest.mark.needs("linux")
def test_live_devices_are_told_as_their_files_tell_them() -> None:
    links = Links()
    told = {link.name: link.attributes for link in links.read()}
    again = {link.name: link.attributes for link in links.read()}
    links.close()
    assert told.keys() == {path.name for path in Path("/sys/class/net").iterdir() if path.is_dir()}
    assert again == told
    for name, attributes in told.items():
        assert read_files("/sys/class/net", name, attributes) | {"ifalias": attributes["ifalias"]} == attributes


@pytest.mark.needs("linux")
def test_quiet_kernel_tells_of_no_change_and_sockets_are_closed() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    links = Links()
    assert not links.changed()
    links.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
