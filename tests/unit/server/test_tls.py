"""TLS: which files make a context, whom it lets in, and how a connection behaves in its handshake and after."""

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exporter.server import locks as locks_module
from exporter.server import tls
from exporter.server.locks import Locks
from exporter.server.secure import Handshakes, Secure
from exporter.server.web_config import ConfigFile
from exporter.settings import SettingsError
from tests.support.certificates import Authority, Pair

pytestmark = pytest.mark.needs("openssl")

PAIR = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"
REQUIRED = f"{PAIR}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def server(authority: Authority) -> Pair:
    return authority.issue("server")


@pytest.fixture(scope="module")
def rsa(authority: Authority) -> Pair:
    return authority.issue("rsa", key="rsa")


@pytest.fixture
def folder(tmp_path: Path, server: Pair, authority: Authority) -> Path:
    server.copy_to(tmp_path)
    shutil.copy(authority.certificate, tmp_path / "ca.crt")
    return tmp_path


def context(folder: Path, text: str) -> ssl.SSLContext:
    (folder / "web.yml").write_text(text)
    file = ConfigFile(folder / "web.yml")
    assert file.config.tls_server_config is not None
    return tls.build(file.config.tls_server_config, file)


def shake(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Let client and server shake hands in memory; returns both sides. Raises what either says against it."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    there = server.wrap_bio(to_server, to_client, server_side=True)
    here = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    open_ends = [here, there]
    for _ in range(10):
        for end in tuple(open_ends):
            try:
                end.do_handshake()
                open_ends.remove(end)
            except ssl.SSLWantReadError:
                continue
        if not open_ends:
            return here, there
    raise AssertionError("no end")


GOOD = {
    "plain": PAIR,
    "old versions by name": f"{PAIR}  min_version: TLS10\n",
    "a suite": f"{PAIR}  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]\n  max_version: TLS12\n",
    "every suite": f"{PAIR}  cipher_suites: [{', '.join([*tls._SUITES, *tls._SUITES_13])}]\n",
    "suites of TLS 1.3 alone": f"{PAIR}  cipher_suites: [TLS_AES_128_GCM_SHA256]\n",
    **{f"curve {curve}": f"{PAIR}  curve_preferences: [{curve}]\n" for curve in tls._CURVES},
    "asks": f"{PAIR}  client_auth_type: RequestClientCert\n  client_ca_file: ca.crt\n",
    "verifies if given": f"{PAIR}  client_auth_type: VerifyClientCertIfGiven\n",
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_what_can_be_set_lets_a_usual_client_in(folder: Path, authority: Authority, text: str) -> None:
    here, _ = shake(context(folder, text), authority.client())
    assert here.version() in {"TLSv1.2", "TLSv1.3"}


def test_a_pair_may_stand_in_the_file_itself(folder: Path, server: Pair, authority: Authority) -> None:
    texts = {"cert": server.certificate, "key": server.key, "client_ca": authority.certificate}
    lines = ["tls_server_config:", "  client_auth_type: VerifyClientCertIfGiven"]
    for key, path in texts.items():
        lines += [f"  {key}: |", *(f"    {line}" for line in path.read_text().splitlines())]
    shake(context(folder, "\n".join(lines)), authority.client(authority.issue("me", ["DNS:me"])))
    assert sorted(path.name for path in folder.iterdir()) == ["ca.crt", "server.crt", "server.key", "web.yml"]


def _encrypt(path: Path) -> None:
    command = ["openssl", "ec", "-aes256", "-passout", "pass:x", "-in", str(path), "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)


BAD: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "no certificate": (lambda d: (d / "server.crt").unlink(), PAIR, "2: tls_server_config.cert_file: {}/server.crt "),
    "no key": (lambda d: (d / "server.key").unlink(), PAIR, "3: tls_server_config.key_file: {}/server.key cannot be"),
    "a folder": (lambda d: ((d / "server.key").unlink(), (d / "server.key").mkdir()), PAIR, "Is a directory"),
    "garbage": (lambda d: (d / "server.crt").write_bytes(b"\xff" * 99), PAIR, "2: tls_server_config.cert_file: expec"),
    "empty": (lambda d: (d / "server.key").write_text(""), PAIR, "server.crt and server.key"),
    "half a key": (
        lambda d: (d / "server.key").write_text((d / "server.key").read_text()[:99]),
        PAIR,
        "expected a certificate and its key in PEM",
    ),
    "another key": (lambda d: shutil.copy(d / "other.key", d / "server.key"), PAIR, "server.key: key values mismatch"),
    "a key with a password": (lambda d: _encrypt(d / "server.key"), PAIR, "in PEM, without a password"),
    "no authority": (lambda d: (d / "ca.crt").unlink(), REQUIRED, "5: tls_server_config.client_ca_file: {}/ca.crt "),
    "an authority of garbage": (
        lambda d: (d / "ca.crt").write_text("x"),
        REQUIRED,
        "5: tls_server_config.client_ca_file: expected certificates in PEM",
    ),
    "an invented suite": (lambda d: None, f"{PAIR}  cipher_suites: [TLS_X]\n", "4: tls_server_config.cipher_suites: "),
    "a name with a NUL": (lambda d: None, PAIR.replace("server.crt", '"a\\0b"'), "tls_server_config.cert_file: "),
}


@pytest.mark.parametrize(("spoil", "text", "problem"), BAD.values(), ids=BAD)
def test_what_cannot_be_used_is_refused_with_its_place(
    folder: Path, authority: Authority, spoil: Callable[[Path], object], text: str, problem: str
) -> None:
    shutil.copy(authority.issue("other").key, folder / "other.key")
    spoil(folder)
    (folder / "web.yml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        Locks(folder / "web.yml")
    assert problem.format(folder) in str(caught.value)
    assert "_ssl.c" not in str(caught.value)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_versions_are_refused(folder: Path, authority: Authority, version: ssl.TLSVersion) -> None:
    client = authority.client(version=version)
    client.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match=r"(?i)protocol|version"):
        shake(context(folder, PAIR), client)


def test_no_suite_in_common_is_refused(folder: Path, authority: Authority, rsa: Pair) -> None:
    rsa.copy_to(folder)
    server = context(folder, f"{PAIR}  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]\n")
    client = authority.client(version=ssl.TLSVersion.TLSv1_2)
    client.set_ciphers("ECDHE-RSA-AES256-SHA")
    with pytest.raises(ssl.SSLError, match=r"(?i)no.shared.cipher"):
        shake(server, client)
    client.set_ciphers("ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256")
    assert shake(server, client)[0].cipher()[0] == "ECDHE-RSA-AES128-GCM-SHA256"


def test_no_curve_in_common_is_refused(folder: Path, authority: Authority) -> None:
    client = authority.client()
    client.set_ecdh_curve("secp384r1")
    with pytest.raises(ssl.SSLError):
        shake(context(folder, f"{PAIR}  min_version: TLS13\n  curve_preferences: [CurveP521]\n"), client)
    shake(context(folder, f"{PAIR}  min_version: TLS13\n  curve_preferences: [CurveP384]\n"), client)


CLIENTS = {
    "none": (None, False),
    "its own": (("authority", 9), True),
    "expired": (("authority", -1), False),
    "another authority's": (("stranger", 9), False),
}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
@pytest.mark.parametrize(("given", "let_in"), CLIENTS.values(), ids=CLIENTS)
def test_only_good_client_certificates_are_let_in(
    folder: Path,
    request: pytest.FixtureRequest,
    authority: Authority,
    given: tuple[str, int] | None,
    let_in: bool,
    version: ssl.TLSVersion,
) -> None:
    pair = None
    if given is not None:
        issuer: Authority = request.getfixturevalue(given[0])
        pair = issuer.issue("client", ["DNS:client"], days=given[1])
    server, client = context(folder, REQUIRED), authority.client(pair, version)
    if let_in:
        assert shake(server, client)[1].getpeercert()
    else:
        with pytest.raises(ssl.SSLError, match=r"(?i)certificate"):
            shake(server, client)


def test_a_certificate_that_is_not_asked_for_is_verified_if_given(
    folder: Path, authority: Authority, stranger: Authority
) -> None:
    server = context(folder, REQUIRED.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven"))
    shake(server, authority.client())
    with pytest.raises(ssl.SSLError, match=r"(?i)certificate"):
        shake(server, authority.client(stranger.issue("client")))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_no_session_is_resumed_past_a_certificates_end(
    folder: Path, authority: Authority, version: ssl.TLSVersion
) -> None:
    here, _ = shake(context(folder, REQUIRED), authority.client(authority.issue("client"), version))
    assert here.session is None or not here.session.has_ticket


SANS: dict[str, tuple[list[tuple[str, Any]], str, bool]] = {
    "DNS": ([("DNS", "a.example")], "a.example", True),
    "another DNS": ([("DNS", "a.example")], "b.example", False),
    "no wildcard": ([("DNS", "*.example")], "a.example", False),
    "second of two": ([("DNS", "a.example"), ("DNS", "b.example")], "b.example", True),
    "e-mail": ([("email", "a@example")], "a@example", True),
    "URI": ([("URI", "spiffe://example/a")], "spiffe://example/a", True),
    "IPv4": ([("IP Address", "192.0.2.1")], "192.0.2.1", True),
    "IPv6, as ssl writes it": ([("IP Address", "2001:DB8:0:0:0:0:0:1")], "2001:db8::1", True),
    "IPv6 with ssl's line end": ([("IP Address", "2001:DB8:0:0:0:0:0:1\n")], "2001:db8::1", True),
    "an address as DNS name": ([("DNS", "192.0.2.1")], "192.0.2.1", True),
    "a kind that ssl does not read": ([("othername", "<unsupported>")], "<unsupported>", False),
    "a directory name": ([("DirName", ((("commonName", "a"),),))], "a", False),
    "an address that is none": ([("IP Address", "<invalid>")], "<invalid>", False),
    "none at all": ([], "a.example", False),
}


@pytest.mark.parametrize(("names", "allowed", "expected"), SANS.values(), ids=SANS)
def test_allowed_names(names: list[tuple[str, Any]], allowed: str, expected: bool) -> None:
    certificate = {"subject": ((("commonName", allowed),),), "subjectAltName": tuple(names)}
    assert tls.has_allowed_san(certificate, ["x", allowed]) is expected


def test_no_certificate_has_no_allowed_name() -> None:
    assert not tls.has_allowed_san(None, ["a"])
    assert not tls.has_allowed_san({}, ["a"])


def test_allowed_names_as_openssl_reads_them(folder: Path, authority: Authority) -> None:
    names = ["DNS:a.example", "IP:2001:db8::1", "email:a@example", "URI:spiffe://example/a"]
    _, there = shake(context(folder, REQUIRED), authority.client(authority.issue("client", names)))
    certificate = there.getpeercert()
    for name in ("a.example", "2001:db8:0::1", "a@example", "spiffe://example/a"):
        assert tls.has_allowed_san(certificate, [name]), name


# -- re-reading -------------------------------------------------------------------------------------------------


class Clock:
    now = 0.0

    def __call__(self) -> float:
        self.now += locks_module.LOOK_SECONDS
        return self.now


def serial(locks: Locks, authority: Authority) -> str:
    here, _ = shake(locks.newest_context(), authority.client())
    certificate = here.getpeercert()
    assert certificate is not None
    return str(certificate["serialNumber"])


def test_a_new_pair_is_taken_and_a_bad_one_keeps_the_old(folder: Path, authority: Authority) -> None:
    (folder / "web.yml").write_text(PAIR)
    locks = Locks(folder / "web.yml", Clock())
    first, other = serial(locks, authority), authority.issue("other")
    shutil.copy(other.certificate, folder / "server.crt")
    assert serial(locks, authority) == first, "the key is still the old one"
    assert not locks.good
    shutil.copy(other.key, folder / "server.key")
    second = serial(locks, authority)
    assert second != first
    assert locks.good
    (folder / "server.crt").unlink()
    assert (serial(locks, authority), locks.good) == (second, False)
    (folder / "server.crt").write_text("half")
    assert (serial(locks, authority), locks.good) == (second, False)
    other.copy_to(folder)
    assert (serial(locks, authority), locks.good) == (second, True)


def test_a_new_authority_ends_the_old_one(folder: Path, authority: Authority, stranger: Authority) -> None:
    (folder / "web.yml").write_text(REQUIRED)
    locks = Locks(folder / "web.yml", Clock())
    old, new = authority.client(authority.issue("client")), authority.client(stranger.issue("client"))
    shake(locks.newest_context(), old)
    shutil.copy(stranger.certificate, folder / "ca.crt")
    with pytest.raises(ssl.SSLError, match=r"(?i)certificate"):
        shake(locks.newest_context(), old)
    shake(locks.newest_context(), new)


HASH = "$2b$04$" + "." * 53
OPENED = {
    "an empty file": ("", "tls_server_config: adding or removing TLS needs a restart"),
    "no passwords": (REQUIRED, "basic_auth_users: to ask for passwords no longer needs a restart"),
    "no client certificates": (f"{PAIR}basic_auth_users: {{a: {HASH}}}\n", "to verify clients no longer needs a resta"),
}


@pytest.mark.parametrize(("text", "problem"), OPENED.values(), ids=OPENED)
def test_a_file_that_ends_early_opens_no_lock(
    folder: Path, text: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[list[str]] = []
    monkeypatch.setattr(locks_module.log, "error", lambda _, problems: logged.append(problems))
    whole = f"{REQUIRED}basic_auth_users: {{a: {HASH}}}\n"
    (folder / "web.yml").write_text(whole)
    locks = Locks(folder / "web.yml", Clock())
    (folder / "web.yml").write_text(text)
    locks.look()
    locks.look()
    assert not locks.good
    assert [problem in lines[0] for lines in logged] == [True], "told once"
    (folder / "web.yml").write_text(whole + "\n")
    locks.look()
    assert locks.good


# -- handshakes -------------------------------------------------------------------------------------------------


class Wire:
    """What a connection does to its socket."""

    def __init__(self) -> None:
        self.sent = b""
        self.closed = self.aborted = False

    def write(self, data: bytes) -> None:
        self.sent += data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True


def receive(connection: Secure, data: bytes) -> None:
    connection.get_buffer(-1)[: len(data)] = data
    connection.buffer_updated(len(data))


def hello(authority: Authority) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        authority.client().wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


def test_one_handshake_in_a_turn_of_the_loop(folder: Path, authority: Authority) -> None:
    async def scenario() -> list[int]:
        handshakes = Handshakes(lambda: server, asyncio.BufferedProtocol, lambda: 99)
        wires = [Wire() for _ in range(8)]
        for wire in wires:
            connection = Secure(handshakes)
            connection.connection_made(wire)  # type: ignore[arg-type]
            receive(connection, hello(authority))
        found = []
        for _ in range(10):
            found.append(sum(bool(wire.sent) for wire in wires))
            await asyncio.sleep(0)
        handshakes.stop()
        return found

    server = context(folder, PAIR)
    assert asyncio.run(scenario()) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 8]


def test_over_the_limit_the_longest_handshake_makes_room(folder: Path) -> None:
    async def scenario() -> list[bool]:
        handshakes = Handshakes(lambda: server, asyncio.BufferedProtocol, lambda: 3)
        wires = [Wire() for _ in range(5)]
        for wire in wires:
            connection = Secure(handshakes)
            connection.connection_made(wire)  # type: ignore[arg-type]
        return [wire.aborted for wire in wires]

    server = context(folder, PAIR)
    assert asyncio.run(scenario()) == [True, True, False, False, False]


def test_a_client_who_says_much_before_it_is_known_is_dropped(folder: Path) -> None:
    async def scenario() -> bool:
        handshakes = Handshakes(lambda: server, asyncio.BufferedProtocol, lambda: 3)
        connection, wire = Secure(handshakes), Wire()
        connection.connection_made(wire)  # type: ignore[arg-type]
        for _ in range(4):
            receive(connection, b"\x16\x03\x01\x40\x00" + bytes(60_000))
        return wire.aborted

    server = context(folder, PAIR)
    assert asyncio.run(scenario())
