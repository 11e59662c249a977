"""A certificate's own time, read from its DER, beside the program openssl; damaged ones end with an error."""

import ssl
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.probes.certificates import parse_validity
from tests.support.effort import tries
from tests.support.odd_certificates import OddAuthority

DATES = [
    ("20200101000000Z", "20291231235959Z"),
    ("19500101000000Z", "20491231235959Z"),  # the ends of UTCTime
    ("20500101000000Z", "99991231235959Z"),  # GeneralizedTime; the last means for ever
    ("20240229120000Z", "20500101000000Z"),
]


@pytest.mark.needs("openssl")
def test_times_are_those_that_openssl_wrote(tmp_path: Path) -> None:
    authority = OddAuthority(tmp_path / "ca")
    for number, dates in enumerate(DATES):
        pem = authority.issue_between(f"c{number}", *dates).certificate.read_text()
        shown = ssl._ssl._test_decode_cert(str(tmp_path / f"ca/c{number}.crt"))  # type: ignore[attr-defined]
        validity = parse_validity(ssl.PEM_cert_to_DER_cert(pem))
        assert validity == (
            ssl.cert_time_to_seconds(shown["notBefore"]),
            ssl.cert_time_to_seconds(shown["notAfter"]),
        )


def element(tag: int, *contents: bytes) -> bytes:
    data = b"".join(contents)
    size = bytes([len(data)]) if len(data) < 128 else b"\x82" + len(data).to_bytes(2, "big")
    return bytes([tag]) + size + data


def certificate(not_before: bytes, not_after: bytes, version: bytes = b"") -> bytes:
    head = version + element(2, b"\1") + element(0x30) + element(0x30)
    return element(0x30, element(0x30, head, element(0x30, not_before, not_after)))


START = element(0x17, b"200101000000Z")


@pytest.mark.parametrize("version", [b"", element(0xA0, element(2, b"\2"))], ids=["version 1", "version 3"])
def test_a_version_may_be_left_out(version: bytes) -> None:
    assert parse_validity(certificate(START, element(0x17, b"491231235959Z"), version)) == (1577836800, 2524607999)


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"\x30",
        b"\x30\x85",
        certificate(START, b""),
        certificate(START, element(0x17, b"2001010000Z")),
        certificate(START, element(0x17, b"200101000000+0100")),
        certificate(START, element(0x18, b"2050010100000\xffZ")),
        certificate(START, element(0x0C, b"200101000000Z")),
        certificate(START, element(0x17, b"209901000000Z")),
        certificate(START, START)[:-1],
        element(0x31, certificate(START, START)),
    ],
)
def test_what_is_no_certificate_is_an_error(der: bytes) -> None:
    with pytest.raises(ValueError, match="not a certificate"):
        parse_validity(der)


@settings(max_examples=tries(300), deadline=None)
@given(at=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_certificate_is_read_or_refused(at: list[tuple[int, int]]) -> None:
    der = bytearray(certificate(START, START))
    for place, value in at:
        if place < len(der):
            der[place] = value
    try:
        parse_validity(bytes(der))
    except ValueError:
        return
