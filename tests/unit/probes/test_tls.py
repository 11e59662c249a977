"""TLS checks: a reason for each way a certificate can be wrong, and its end in any case."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.probes import secure
from exporter.probes.attempt import Attempt, AttemptError, Outcome, Reason
from exporter.probes.certificates import parse_validity
from exporter.probes.tcp import TcpCheck
from exporter.probes.tls import TlsCheck
from exporter.settings.checks import TcpSettings, TlsSettings
from exporter.settings.targets import TlsOptions
from tests.support.certificates import Pair
from tests.support.checks import attempt, settings
from tests.support.odd_certificates import OddAuthority, self_signed, server
from tests.support.web_servers import Handler, mail, says, serving, silent, web

pytestmark = pytest.mark.needs("openssl")

LONG = "20200101000000Z", "20400101000000Z"
IN_2040, IN_2029, IN_2021 = 2208988800.0, 1861920000.0, 1609459200.0


class Case:
    """Certificates of one authority."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = OddAuthority(folder / "ca")
        self.pairs: dict[str, Pair] = {}

    def pair(self, which: str) -> Pair:
        """Return the pair of that name, made at first use."""
        if which not in self.pairs:
            self.pairs[which] = self._make(which)
        return self.pairs[which]

    def _make(self, which: str) -> Pair:
        if which == "self":
            return self_signed(self.folder)
        if which == "chain":
            between = self.authority.intermediate("between", "20290101000000Z")
            self.between = between.certificate
            return self.authority.chain(between.issue_between("leaf", *LONG), between.certificate)
        dates = {"expired": ("20200101000000Z", "20210101000000Z"), "early": ("20380101000000Z", LONG[1])}
        return self.authority.issue_between(which, *dates.get(which, LONG))


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(tmp_path_factory.mktemp("tls"))


@pytest.fixture(autouse=True)
def no_contexts_of_other_tests() -> Iterator[None]:
    secure._contexts.clear()
    yield
    secure._contexts.clear()


def look(case: Case, which: str, **options: Any) -> Attempt:
    options = {"ca_file": str(case.authority.certificate), **options}

    async def run() -> Attempt:
        async with serving(web, context=server(case.pair(which))) as port:
            return await attempt(TlsCheck(settings(TlsSettings, address=f"127.0.0.1:{port}", tls=options)))

    return asyncio.run(run())


VERDICTS: list[tuple[str, dict[str, Any], Reason | None]] = [
    ("good", {}, None),
    ("good", {"server_name": "web.test"}, None),
    ("good", {"server_name": "WEB.TEST"}, None),
    ("good", {"server_name": "else.test"}, Reason.CERTIFICATE_NAME),
    ("good", {"server_name": "192.0.2.1"}, Reason.CERTIFICATE_NAME),
    ("good", {"server_name": "else.test", "insecure": True}, None),
    ("good", {"ca_file": None}, Reason.CERTIFICATE_UNTRUSTED),
    ("expired", {}, Reason.CERTIFICATE_EXPIRED),
    ("expired", {"insecure": True}, None),
    ("early", {}, Reason.CERTIFICATE_NOT_YET_VALID),
    ("self", {}, Reason.CERTIFICATE_SELF_SIGNED),
    ("chain", {}, None),
]


@pytest.mark.parametrize(("which", "options", "reason"), VERDICTS)
def test_each_way_to_be_wrong_has_its_reason(
    case: Case, which: str, options: dict[str, Any], reason: Reason | None
) -> None:
    result = look(case, which, **options)
    assert result.reason is reason
    assert list(result.phases) == ["resolve", "connect", "tls"]
    assert result.certificates is not None, "when it expires is told all the same"


def test_the_earliest_end_of_what_was_seen_counts(case: Case) -> None:
    root = parse_validity(ssl.PEM_cert_to_DER_cert(case.authority.certificate.read_text())).not_after
    assert root < IN_2029
    ends = {
        ("good", False): root,  # the root that was found to it, 9 days
        ("good", True): IN_2040,
        ("chain", False): root,
        ("chain", True): IN_2029,  # the link that the server sent
        ("expired", False): IN_2021,
        ("expired", True): IN_2021,
    }
    for (which, insecure), end in ends.items():
        seen = look(case, which, insecure=insecure).certificates
        assert seen is not None
        assert (seen.not_after, seen.covers) == (end, "chain"), (which, insecure)


def test_an_authority_that_is_no_root_is_trusted_where_a_setting_names_it(case: Case) -> None:
    case.pair("chain")
    result = look(case, "chain", ca_file=str(case.between))
    assert (result.reason, result.certificates) == (None, (IN_2029, "chain"))


def test_a_server_that_is_refused_is_told_why(case: Case) -> None:
    told: list[str] = []

    def serve(listener: socket.socket) -> None:
        with listener.accept()[0] as peer, pytest.raises(ssl.SSLError) as caught:
            server(case.pair("expired")).wrap_socket(peer, server_side=True).recv(1)
        told.append(str(caught.value.reason))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        tls = {"ca_file": str(case.authority.certificate)}
        result = asyncio.run(attempt(TlsCheck(settings(TlsSettings, address=address, tls=tls))))
        thread.join(10)
    assert result.reason is Reason.CERTIFICATE_EXPIRED
    assert told in (["SSLV3_ALERT_CERTIFICATE_EXPIRED"], ["SSL/TLS_ALERT_CERTIFICATE_EXPIRED"])


@pytest.mark.parametrize("insecure", [True, False])
def test_a_python_that_hides_the_chain_shows_the_leaf(
    case: Case, monkeypatch: pytest.MonkeyPatch, *, insecure: bool
) -> None:
    monkeypatch.setattr(secure, "_CHAINS", ())
    assert look(case, "chain", insecure=insecure).certificates == (IN_2040, "leaf")


def test_a_server_without_tls_is_no_untrusted_one() -> None:
    async def run(handler: Handler, seconds: float = 5.0) -> Attempt:
        async with serving(handler) as port:
            return await attempt(TlsCheck(settings(TlsSettings, address=f"127.0.0.1:{port}")), seconds)

    plain = asyncio.run(run(says(b"220 hello\r\n")))
    assert (plain.reason, plain.detail, plain.certificates) == (Reason.TLS_FAILED, "TLS: wrong version number", None)
    closed = asyncio.run(run(says(b"")))
    assert closed.reason in (Reason.TLS_FAILED, Reason.RESET)
    assert asyncio.run(run(silent, 0.1)).reason is Reason.TIMEOUT


def test_a_client_shows_its_certificate(case: Case) -> None:
    pair = case.pair("good")

    async def run(**options: str) -> Attempt:
        async with serving(web, context=server(pair, case.authority.certificate)) as port:
            tls = {"ca_file": str(case.authority.certificate), **options}
            return await attempt(TlsCheck(settings(TlsSettings, address=f"127.0.0.1:{port}", tls=tls)))

    assert asyncio.run(run()).reason in (Reason.TLS_FAILED, Reason.RESET)
    own = {"certificate_file": str(pair.certificate), "key_file": str(pair.key)}
    assert asyncio.run(run(**own)).reason is None


@pytest.mark.parametrize("tls_first", [True, False])
def test_a_conversation_goes_on_in_tls(case: Case, *, tls_first: bool) -> None:
    context = server(case.pair("good"))
    begin = [{"expect": "^220 "}, {"send": "EHLO a"}, {"expect": "STARTTLS"}, {"send": "STARTTLS"}]
    turns = [*begin, {"expect": "^220 ", "starttls": True}, {"send": "EHLO a"}, {"expect": "^250 secure"}]
    if tls_first:
        turns = [{"expect": "^hello$"}]

    async def run() -> Attempt:
        handler = says(b"hello\n") if tls_first else mail(context)
        async with serving(handler, context=context if tls_first else None) as port:
            tls = {"ca_file": str(case.authority.certificate)}
            given = {"address": f"127.0.0.1:{port}", "tls": tls, "conversation": turns}
            return await attempt(TcpCheck(settings(TcpSettings, **given)))

    result = asyncio.run(run())
    assert (result.reason, result.detail) == (None, "")
    assert result.certificates is not None


def test_what_came_before_tls_does_not_count_as_said_in_it(case: Case) -> None:
    async def injected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 go\r\n250 secure\r\n")
        await writer.drain()
        await writer.start_tls(server(case.pair("good")))

    async def run() -> Attempt:
        async with serving(injected) as port:
            turns = [{"expect": "220", "starttls": True}, {"expect": "250"}]
            given = {"address": f"127.0.0.1:{port}", "tls": {"insecure": True}, "conversation": turns}
            return await attempt(TcpCheck(settings(TcpSettings, **given)))

    assert asyncio.run(run()).reason is Reason.BAD_REPLY


def test_checks_with_the_same_options_share_a_context_until_a_file_changes(case: Case, tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.write_bytes(case.authority.certificate.read_bytes())
    options = TlsOptions(ca_file=str(file))
    first = secure.context_for(options)
    assert secure.context_for(TlsOptions(ca_file=str(file), server_name="other")) is first
    file.write_bytes(file.read_bytes() + b"\n")
    assert secure.context_for(options) is not first


def unusable(folder: Path, case: Case) -> Iterator[tuple[str, TlsOptions]]:
    (folder / "text").write_text("no certificate")
    pair, other = case.pair("good"), case.pair("self")
    yield "missing: No such file", TlsOptions(ca_file=str(folder / "missing"))
    yield "text: ", TlsOptions(ca_file=str(folder / "text"))
    yield "text: ", TlsOptions(certificate_file=str(folder / "text"), key_file=str(pair.key))
    yield f"{pair.certificate.name}: ", TlsOptions(certificate_file=str(pair.certificate), key_file=str(other.key))


def test_a_file_that_cannot_be_used_is_no_news_of_the_server(case: Case, tmp_path: Path) -> None:
    for what, options in unusable(tmp_path, case):
        with pytest.raises(AttemptError) as caught:
            secure.context_for(options)
        assert caught.value.reason is Reason.UNREADABLE_FILE
        assert caught.value.reason.outcome is Outcome.NOT_ASKED
        assert what in caught.value.detail
    good = case.pair("good")
    options = TlsOptions(certificate_file=str(good.certificate), key_file=str(good.key), insecure=True)
    assert secure.context_for(options)


def test_a_machine_that_trusts_nobody_cannot_ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none.d"))
    with pytest.raises(AttemptError, match="trusts nobody: install ca-certificates") as caught:
        secure.context_for(TlsOptions())
    assert caught.value.reason is Reason.UNREADABLE_FILE


def test_contexts_are_bounded(monkeypatch: pytest.MonkeyPatch, case: Case, tmp_path: Path) -> None:
    monkeypatch.setattr(secure, "MAX_CONTEXTS", 3)
    for number in range(5):
        file = tmp_path / f"{number}.crt"
        file.write_bytes(case.authority.certificate.read_bytes())
        secure.context_for(TlsOptions(ca_file=str(file)))
    assert len(secure._contexts) == 3


def test_a_name_that_cannot_be_written_is_no_name() -> None:
    with pytest.raises(AttemptError) as caught:
        secure.Secure(TlsOptions(insecure=True), "ü" * 80)
    assert caught.value.reason is Reason.NO_SUCH_NAME
