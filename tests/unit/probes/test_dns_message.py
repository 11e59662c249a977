"""DNS messages beside a library of others': what it writes we read, what we write it reads; nothing hangs or breaks."""

import dns.flags
import dns.message
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.probes.dns_message import CODES, TYPES, Question, Reply, decode, encode
from tests.support.effort import tries

ASKED = Question(0x1234, "mail.Example.com", TYPES["MX"], recursion=True)


def answer(*records: str, code: str = "NOERROR", question: Question = ASKED) -> bytes:
    message = dns.message.make_response(dns.message.from_wire(encode(question)))
    message.set_rcode(dns.rcode.from_text(code))
    kind = dns.rdatatype.RdataType(question.kind)
    if records:
        message.answer.append(dns.rrset.from_text(message.question[0].name, 60, "IN", kind, *records))
    return message.to_wire()


@pytest.mark.parametrize("name", ["a", "example.com", "example.com.", "_sip._tcp.example.com", "a" * 63 + ".b", "."])
@pytest.mark.parametrize("kind", TYPES)
def test_a_query_is_read_as_it_is_meant(name: str, kind: str) -> None:
    query = dns.message.from_wire(encode(Question(7, name, TYPES[kind], recursion=False)))
    assert query.id == 7
    assert not query.flags & dns.flags.RD
    assert len(query.question) == 1
    assert query.question[0].name == dns.name.from_text(name)
    assert query.question[0].rdtype == dns.rdatatype.from_text(kind)
    assert query.question[0].rdclass == dns.rdataclass.IN


@pytest.mark.parametrize("name", ["", "a..b", ".a", "a" * 64, ".".join(["a" * 50] * 6)])
def test_what_is_no_name_is_not_sent(name: str) -> None:
    with pytest.raises(ValueError, match="octets"):
        encode(Question(7, name, 1, recursion=True))


@pytest.mark.parametrize("code", CODES)
def test_a_code_has_its_name(code: str) -> None:
    assert decode(answer(code=code), ASKED) == Reply(code, is_truncated=False, records=())


def test_a_code_without_a_name_is_a_number() -> None:
    wire = bytearray(answer())
    wire[3] |= 9
    assert decode(bytes(wire), ASKED) == Reply("9", is_truncated=False, records=())


def test_names_with_odd_characters_are_written_as_in_a_zone_file() -> None:
    question = ASKED._replace(kind=TYPES["NS"])
    reply = decode(answer(r"a\.b\032c.example.com.", question=question), question)
    assert reply is not None
    assert reply.records == (r"a\.b\032c.example.com.",)


@pytest.mark.parametrize(
    "change",
    [
        {"identifier": 0x1235},
        {"name": "other.example.com"},
        {"kind": TYPES["A"]},
    ],
)
def test_an_answer_to_another_question_is_none(change: dict[str, object]) -> None:
    assert decode(answer("10 a."), ASKED._replace(**change)) is None  # type: ignore[arg-type]


def test_a_query_is_no_answer() -> None:
    assert decode(encode(ASKED), ASKED) is None


def test_an_error_may_repeat_no_question() -> None:
    wire = answer(code="REFUSED")[:12]
    assert decode(wire[:4] + bytes(8), ASKED) == Reply("REFUSED", is_truncated=False, records=())


def test_a_pointer_to_itself_ends() -> None:
    wire = answer()
    for pointer in (len(wire), len(wire) + 2, 0x3FFF):
        loop = wire[:6] + b"\0\1" + wire[8:] + (0xC000 | pointer).to_bytes(2, "big") + bytes(10)
        with pytest.raises(ValueError, match="pointer"):
            decode(loop, ASKED)


def test_pointers_that_lead_back_and_forth_end() -> None:
    # a label before each pointer: every jump leads back, and all of them together are longer than a name may be
    wire = answer()
    base = len(wire)
    body = b"\x3f" + b"a" * 63 + b"\xc0\x0c"
    steps = b"".join(b"\x3f" + b"a" * 63 + (0xC000 | base + 66 * number).to_bytes(2, "big") for number in range(6))
    record = wire[:6] + b"\0\7" + wire[8:] + body + steps
    with pytest.raises(ValueError, match=r"."):
        decode(record, ASKED)


LABEL = st.text("abcXYZ019-_", min_size=1, max_size=63)
NAME = st.lists(LABEL, min_size=1, max_size=3).map(lambda labels: ".".join(labels) + ".")
RECORDS = {
    "A": st.ip_addresses(v=4).map(str),
    "AAAA": st.ip_addresses(v=6).map(str),
    "CNAME": NAME,
    "NS": NAME,
    "PTR": NAME,
    "MX": st.tuples(st.integers(0, 65535), NAME).map(lambda t: f"{t[0]} {t[1]}"),
    "SRV": st.tuples(*[st.integers(0, 65535)] * 3, NAME).map(lambda t: " ".join(map(str, t))),
    "SOA": st.tuples(NAME, NAME, *[st.integers(0, 2**31 - 1)] * 5).map(lambda t: " ".join(map(str, t))),
}


@settings(max_examples=tries(200), deadline=None)
@given(data=st.data(), kind=st.sampled_from(sorted(RECORDS)))
def test_records_read_as_they_were_written(data: st.DataObject, kind: str) -> None:
    question = ASKED._replace(kind=TYPES[kind])
    records = data.draw(st.lists(RECORDS[kind], min_size=1, max_size=4, unique=True))
    theirs = dns.rrset.from_text("a.", 60, "IN", kind, *records)
    reply = decode(answer(*records, question=question), question)
    assert reply is not None
    assert sorted(reply.records) == sorted(record.to_text() for record in theirs)


@settings(max_examples=tries(500), deadline=None)
@given(
    at=st.lists(st.tuples(st.integers(4, 200), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, 200),
    kind=st.sampled_from(sorted(TYPES)),
)
def test_a_damaged_answer_is_read_or_refused(at: list[tuple[int, int]], cut: int, kind: str) -> None:
    question = ASKED._replace(kind=TYPES[kind])
    texts = {"A": "1.2.3.4", "AAAA": "::1", "TXT": '"a" "b"', "MX": "1 a.b.", "SRV": "1 2 3 a.b."}
    wire = bytearray(answer(texts.get(kind, "a.b. c.d. 1 2 3 4 5" if kind == "SOA" else "a.b."), question=question))
    for place, value in at:
        if place < len(wire):
            wire[place] = value
    try:
        decode(bytes(wire[: len(wire) - cut] if cut < 60 else wire), question)
    except ValueError:
        return


@settings(max_examples=tries(300), deadline=None)
@given(st.binary(max_size=300))
def test_anything_is_read_or_refused(data: bytes) -> None:
    try:
        decode(ASKED.identifier.to_bytes(2, "big") + b"\x81\x80" + data, ASKED)
    except ValueError:
        return
