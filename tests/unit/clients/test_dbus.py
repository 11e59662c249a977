"""The D-Bus client against peers that behave and that do not."""

import os
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.clients import dbus
from exporter.clients.dbus import Body, BusError, Call, Connection, decode, encode, encode_call, marshal, message_size
from tests.support.fake_systemd import FakeBus, log_in, read_message, variant

GET = encode_call(Call("a.b", "/a", "a.b", "Get", ("x", "y")))


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=40), max_size=5))
def test_strings_come_back_as_they_went(values: list[str]) -> None:
    message = decode(encode_call(Call("a.b", "/a", "a.b", "M", tuple(values)), 7))
    assert message.serial == 7
    assert message.fields.get(dbus.SIGNATURE, "") == "s" * len(values)
    assert [message.body.string() for _ in values] == values
    assert message.body.data == marshal(values)


@pytest.mark.parametrize(
    ("signature", "value"),
    [("s", "text"), ("u", 2**32 - 1), ("t", 2**64 - 1), ("i", -5), ("x", -(2**63)), ("b", 1)],
)
def test_variant(signature: str, value: str | int) -> None:
    assert Body(variant(signature, value)).variant() == value


def test_variant_of_another_byte_order() -> None:
    assert Body(b"\x01u\0\0" + struct.pack(">I", 7), ">").variant() == 7


@given(st.binary(max_size=200))
def test_garbage_is_no_message_and_nothing_worse(data: bytes) -> None:
    for take in (lambda: message_size(data), lambda: decode(data), lambda: Body(data).variant()):
        try:
            take()
        except struct.error:
            continue


@given(st.integers(0, len(GET) - 1), st.integers(0, 255))
def test_message_with_a_wrong_byte_is_read_or_refused(at: int, byte: int) -> None:
    try:
        decode(GET[:at] + bytes([byte]) + GET[at + 1 :])
    except struct.error:
        return


def behave_badly(send: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
    """Return a peer that says hello as it should and answers the next call with what `send` sends."""

    def speak(peer: socket.socket) -> None:
        log_in(peer)
        hello = read_message(peer)
        fields: list[tuple[int, str, str | int]] = [(dbus.REPLY_SERIAL, "u", hello.serial)]
        peer.sendall(encode(dbus.METHOD_RETURN, 1, [*fields, (dbus.SIGNATURE, "g", "s")], marshal([":1.1"])))
        read_message(peer)
        send(peer)

    return speak


def tiny(body: bytes, kind: int = dbus.METHOD_RETURN, serial: int = 2) -> bytes:
    return encode(kind, 9, [(dbus.REPLY_SERIAL, "u", serial)], body)


@pytest.mark.parametrize(
    ("send", "text"),
    [
        (lambda peer: peer.shutdown(socket.SHUT_RDWR), "closed the connection"),
        (lambda peer: (peer.sendall(tiny(b"")[:20]), peer.shutdown(socket.SHUT_WR)), "closed the connection"),
        (lambda peer: peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n"), "byte order"),
        (lambda peer: peer.sendall(b"l\2\0\2" + bytes(12)), "version 2"),
        (lambda peer: peer.sendall(struct.pack("<BBBBIII", 108, 2, 0, 1, 2**31, 1, 0)), "version 1, 2147483664 bytes"),
        (lambda peer: peer.sendall(tiny(b"", serial=77)), "no answer within 0.2 s"),
        (lambda peer: None, "no answer within 0.2 s"),
    ],
    ids=["closed", "closed in a message", "http", "version", "too large", "for somebody else", "silent"],
)
def test_peer_that_misbehaves_is_an_error_that_names_the_socket(
    tmp_path: Path, send: Callable[[socket.socket], None], text: str
) -> None:
    with FakeBus(tmp_path / "bus", handler=behave_badly(send)):
        connection = Connection(str(tmp_path / "bus"), 0.2)
        with pytest.raises(BusError, match=f"{tmp_path}/bus: .*({text})"):
            connection.call([GET])
        connection.close()


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (b"REJECTED EXTERNAL\r\n", "log-in refused"),
        (b"x" * 5000, "no end of line"),
        (b"", "closed the connection"),
    ],
)
def test_log_in_that_fails_is_an_error(tmp_path: Path, reply: bytes, text: str) -> None:
    def speak(peer: socket.socket) -> None:
        peer.sendall(reply)
        peer.shutdown(socket.SHUT_WR)

    with FakeBus(tmp_path / "bus", handler=speak), pytest.raises(BusError, match=text):
        Connection(str(tmp_path / "bus"), 5)


def test_bus_that_drops_a_user_after_the_log_in_is_an_error_that_names_the_user_and_the_way_out(tmp_path: Path) -> None:
    def speak(peer: socket.socket) -> None:
        log_in(peer)
        peer.shutdown(socket.SHUT_RDWR)

    text = f"{tmp_path}/bus: the bus dropped user {os.geteuid()} .* /etc/passwd: .* DynamicUser="
    with FakeBus(tmp_path / "bus", handler=speak), pytest.raises(BusError, match=text):
        Connection(str(tmp_path / "bus"), 5)


def test_socket_that_nobody_listens_on_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BusError, match="No such file"):
        Connection(str(tmp_path / "bus"), 5)


def test_replies_in_any_order_and_with_signals_between_belong_to_their_calls(tmp_path: Path) -> None:
    def speak(peer: socket.socket) -> None:
        log_in(peer)
        hello = read_message(peer)
        signal = encode(4, 1, [(dbus.PATH, "o", "/x"), (dbus.INTERFACE, "s", "i"), (dbus.MEMBER, "s", "M")])
        peer.sendall(signal + encode(dbus.METHOD_RETURN, 2, [(dbus.REPLY_SERIAL, "u", hello.serial)]))
        calls = [read_message(peer) for _ in range(3)]
        for call in reversed(calls):
            error = [(dbus.ERROR_NAME, "s", "x.Bad")] if call is calls[1] else []
            kind = dbus.ERROR if error else dbus.METHOD_RETURN
            fields: list[tuple[int, str, str | int]] = [(dbus.REPLY_SERIAL, "u", call.serial), *error]
            data = signal + encode(kind, 5, fields, variant("u", call.serial))
            for start in range(0, len(data), 5):  # in small pieces
                peer.sendall(data[start : start + 5])

    with FakeBus(tmp_path / "bus", handler=speak):
        connection = Connection(str(tmp_path / "bus"), 10)
        first, second, third = connection.call([GET] * 3)
        assert (first.error, second.error, third.error) == (None, "x.Bad", None)
        assert int(third.body.variant()) - int(first.body.variant()) == 2
        connection.close()


def test_no_more_calls_are_open_than_a_bus_allows(tmp_path: Path) -> None:
    most = 0

    def speak(peer: socket.socket) -> None:
        nonlocal most
        log_in(peer)
        peer.sendall(encode(dbus.METHOD_RETURN, 1, [(dbus.REPLY_SERIAL, "u", read_message(peer).serial)]))
        left = 300
        while left:
            calls = [read_message(peer)]
            peer.settimeout(0.05)
            try:
                while True:
                    calls.append(read_message(peer))
            except TimeoutError:
                peer.settimeout(None)
            most = max(most, len(calls))
            left -= len(calls)
            for call in calls:
                peer.sendall(tiny(variant("u", call.serial), serial=call.serial))

    with FakeBus(tmp_path / "bus", handler=speak):
        connection = Connection(str(tmp_path / "bus"), 20)
        assert [reply.body.variant() for reply in connection.call([GET] * 300)] == list(range(2, 302))
        connection.close()
    assert most <= dbus.MAX_OPEN


def test_slow_peer_cannot_stretch_the_deadline(tmp_path: Path) -> None:
    stop = threading.Event()

    def drip(peer: socket.socket) -> None:
        data = tiny(b"\0" * 4000)
        for start in range(len(data)):
            if stop.wait(0.02):
                return
            peer.sendall(data[start : start + 1])

    with FakeBus(tmp_path / "bus", handler=behave_badly(drip)):
        connection = Connection(str(tmp_path / "bus"), 0.3)
        with pytest.raises(BusError, match=r"no answer within 0\.3 s"):
            connection.call([GET])
        stop.set()
        connection.close()
