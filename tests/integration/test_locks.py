"""The exporter behind TLS and passwords: who comes in, what a change of the files does, and what attackers cost."""

import base64
import json
import os
import re
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import bcrypt
import pytest

from tests.support import lock_attackers
from tests.support.certificates import Authority, Pair
from tests.support.client import Answer, Reader, connect, request, rows, until
from tests.support.exporter import Child, exporter_running

pytestmark = pytest.mark.needs("openssl")

MB = 1024 * 1024
TLS = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"
MUTUAL = f"{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n"
RELOADED = "host_exporter_web_config_reload_successful"
PATHS = ("/metrics", "/", "/-/healthy", "/-/ready", "/nothing/here")


def users(password: str = "secret", cost: int = 4) -> str:
    return f"basic_auth_users:\n  prometheus: {bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()}\n"


def basic(password: str = "secret") -> str:
    return "Authorization: Basic " + base64.b64encode(f"prometheus:{password}".encode()).decode()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.issue("server")


@pytest.fixture
def folder(tmp_path: Path, pair: Pair, authority: Authority) -> Path:
    pair.copy_to(tmp_path)
    shutil.copy(authority.certificate, tmp_path / "ca.crt")
    return tmp_path


@contextmanager
def locked(folder: Path, text: str) -> Iterator[Child]:
    (folder / "web.yml").write_text(text)
    with exporter_running("--web-config", str(folder / "web.yml")) as child:
        yield child
        assert "Traceback" not in child.text
        assert not child.events("request failed")


def secure(port: int, context: ssl.SSLContext, *, timeout: float = 10.0) -> ssl.SSLSocket:
    """Return a connection whose handshake is done."""
    sock = connect(port, timeout=timeout)
    try:
        return context.wrap_socket(sock, server_hostname="localhost")
    except BaseException:
        sock.close()
        raise


def ask(port: int, context: ssl.SSLContext | None, *headers: str, target: str = "/metrics") -> Answer:
    with connect(port) if context is None else secure(port, context) as sock:
        sock.sendall(request(target, *headers))
        return Reader(sock).answer()


def is_let_in(port: int, context: ssl.SSLContext, *headers: str) -> bool:
    """Whether a scrape succeeds; not when the server ends the handshake, or the connection after it."""
    try:
        return ask(port, context, *headers).status == 200
    except (ssl.SSLError, ConnectionError, EOFError):
        return False


@pytest.mark.parametrize("version", [None, ssl.TLSVersion.TLSv1_2], ids=["newest", "1.2"])
def test_who_has_the_password_comes_in_on_every_path(
    folder: Path, authority: Authority, version: ssl.TLSVersion | None
) -> None:
    client = authority.client(version=version)
    with locked(folder, TLS + users()) as child:
        for path in PATHS:
            answer = ask(child.port, client, target=path)
            assert answer.status == 401, path
            assert answer.headers["www-authenticate"].startswith("Basic ")
            assert ask(child.port, client, basic("wrong"), target=path).status == 401, path
            assert ask(child.port, client, basic(), target=path).status == (404 if path == PATHS[-1] else 200), path
        assert rows(ask(child.port, client, basic()).body.decode())[RELOADED] == 1
        with secure(child.port, client) as sock:
            sock.sendall(request("/metrics", basic(), method="HEAD"))
            answer = Reader(sock).answer(head_only=True)
            assert (answer.status, answer.body) == (200, b"")
            sock.sendall(request("/metrics", method="HEAD"))
            assert Reader(sock).answer(head_only=True).status == 401


def test_answers_keep_their_order_while_a_password_is_checked(folder: Path, authority: Authority) -> None:
    with locked(folder, TLS + users(cost=10)) as child, secure(child.port, authority.client()) as sock:
        asked = [basic(), basic("wrong"), "X: y", basic()]
        sock.sendall(b"".join(request("/-/healthy", header) for header in asked))
        reader = Reader(sock)
        assert [reader.answer().status for _ in asked] == [200, 401, 401, 200]


def test_a_client_that_leaves_while_its_password_is_checked_does_no_harm(folder: Path, authority: Authority) -> None:
    with locked(folder, TLS + users(cost=10)) as child:
        before = child.connections
        assert ask(child.port, authority.client(), basic()).status == 200
        for n in range(5):
            with secure(child.port, authority.client()) as sock:
                sock.sendall(request("/metrics", basic(f"wrong {n}")))
        assert ask(child.port, authority.client(), basic()).status == 200
        until(lambda: child.connections <= before, "their connections are gone", seconds=30)


def test_a_client_that_has_said_all_gets_its_answer(folder: Path, authority: Authority) -> None:
    with locked(folder, TLS + users(cost=10)) as child, secure(child.port, authority.client()) as sock:
        sock.sendall(request("/metrics", basic()))
        with socket.socket(fileno=os.dup(sock.fileno())) as bare:
            bare.shutdown(socket.SHUT_WR)
        reader = Reader(sock)
        assert reader.answer().status == 200
        with pytest.raises(EOFError):
            reader.answer()


def test_sigterm_does_not_wait_for_a_check(folder: Path, authority: Authority) -> None:
    slow = f"basic_auth_users: {{prometheus: $2b$15${'.' * 53}}}\n"
    with locked(folder, TLS + slow) as child, secure(child.port, authority.client()) as sock:
        sock.sendall(request("/metrics", basic()))
        until(lambda: child.threads >= 3, "the check began")
        start = time.monotonic()
        child.signal(signal.SIGTERM)
        assert child.wait(5) == 0
        assert time.monotonic() - start < 2


def test_a_client_that_ends_tls_is_answered_in_kind(folder: Path, authority: Authority) -> None:
    with locked(folder, TLS) as child, secure(child.port, authority.client()) as sock:
        sock.sendall(request("/-/healthy"))
        assert Reader(sock).answer().status == 200
        with sock.unwrap() as bare:
            assert bare.recv(1) == b""


def test_plain_http_is_told_of_tls(folder: Path) -> None:
    with locked(folder, TLS) as child:
        answer = ask(child.port, None)
        assert (answer.status, answer.body) == (400, b"400: this port speaks TLS: https\n")


def test_tls_spoken_to_a_port_without_it_is_no_request(authority: Authority) -> None:
    with exporter_running() as child:
        with pytest.raises(ssl.SSLError):
            secure(child.port, authority.client())
        assert ask(child.port, None).status == 200


@pytest.mark.parametrize("data", [b"\0" * 70_000, b"\x16\x03\x01" + b"\xff" * 5000, b"\x80\x2e\x01\x00\x02" * 99])
def test_garbage_for_a_handshake_ends_the_connection(folder: Path, authority: Authority, data: bytes) -> None:
    with locked(folder, TLS) as child:
        with connect(child.port) as sock:
            try:
                sock.sendall(data)
                while sock.recv(4096):
                    pass
            except ConnectionError:
                pass
        assert is_let_in(child.port, authority.client())


def test_a_large_head_is_refused_within_tls(folder: Path, authority: Authority) -> None:
    with locked(folder, TLS) as child, secure(child.port, authority.client()) as sock:
        sock.sendall(request("/metrics", *(f"X-{n}: {'y' * 90}" for n in range(5000))))
        reader = Reader(sock)
        assert reader.answer().status == 431
        with pytest.raises(EOFError):
            reader.answer()


@pytest.mark.slow
def test_a_handshake_has_five_seconds_in_all(folder: Path, authority: Authority) -> None:
    """Nothing at all, and byte by byte: each byte is no new deadline."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        authority.client().wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    hello = outgoing.read()
    with locked(folder, TLS) as child, connect(child.port) as silent, connect(child.port) as slow:
        start, ends = time.monotonic(), {}
        for byte in hello:
            for name, sock in (("silent", silent), ("slow", slow)):
                sock.settimeout(0.05)
                if name not in ends and _has_ended(sock):
                    ends[name] = time.monotonic() - start
            if len(ends) == 2:
                break
            if "slow" not in ends:
                slow.send(bytes([byte]))
        assert sorted(ends) == ["silent", "slow"]
        assert all(4.5 < seconds < 7 for seconds in ends.values()), ends
        assert is_let_in(child.port, authority.client())


def _has_ended(sock: socket.socket) -> bool:
    try:
        return sock.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def test_nobody_renegotiates(folder: Path, authority: Authority) -> None:
    with locked(folder, TLS) as child:
        command = ["openssl", "s_client", "-tls1_2", "-connect", f"127.0.0.1:{child.port}"]
        with subprocess.Popen(command, stdin=-1, stdout=-1, stderr=subprocess.STDOUT, text=True) as process:
            assert process.stdin is not None
            process.stdin.write("R\n")  # s_client's command for it
            process.stdin.flush()
            output, _ = process.communicate(timeout=30)
        assert "no renegotiation" in output or "No renegotiation" in output, output[-500:]
        assert is_let_in(child.port, authority.client())


def test_client_certificates(folder: Path, authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> None:
    stranger = Authority(tmp_path_factory.mktemp("stranger"))
    allowed = authority.issue("allowed", ["DNS:prometheus.example"])
    text = f"{MUTUAL}  client_allowed_sans: [prometheus.example]\n"
    with locked(folder, text) as child:
        assert is_let_in(child.port, authority.client(allowed))
        for name, client in {
            "none": authority.client(),
            "expired": authority.client(authority.issue("expired", ["DNS:prometheus.example"], days=-1)),
            "another name": authority.client(authority.issue("another", ["DNS:grafana.example"])),
            "no name": authority.client(authority.issue("bare", [])),
        }.items():
            assert not is_let_in(child.port, client), name
        shown = authority.client()
        shown.load_cert_chain(*stranger.issue("client", ["DNS:prometheus.example"]))
        assert not is_let_in(child.port, shown), "another authority's"
        assert is_let_in(child.port, authority.client(allowed))


@pytest.mark.slow
def test_what_changes_on_disk_holds_without_a_restart(
    folder: Path, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> None:
    client, other = authority.client(), authority.issue("other")
    file = folder / "web.yml"

    def serial() -> object:
        with secure(child.port, client) as sock:
            return (sock.getpeercert() or {})["serialNumber"]

    def good() -> float:
        return rows(ask(child.port, client, basic("secret")).body.decode())[RELOADED]

    with locked(folder, TLS + users()) as child, secure(child.port, client) as kept:
        reader = Reader(kept)
        first = serial()
        assert good() == 1
        shutil.copy(other.certificate, folder / "server.crt")
        until(lambda: good() == 0, "half a new pair is no good", seconds=5)
        assert serial() == first
        shutil.copy(other.key, folder / "server.key")
        until(lambda: serial() != first, "the new pair", seconds=5)
        until(lambda: good() == 1, "all is well again", seconds=5)

        file.write_text(TLS + users() + "http_server_config: {headers: {X-Frame-Options: deny}}\n")
        until(lambda: "x-frame-options" in ask(child.port, client, basic()).headers, "a new header", seconds=5)
        assert ask(child.port, client).headers["x-frame-options"] == "deny", "with a 401 too"

        file.write_text("tls_server_config: [")
        until(lambda: good() == 0, "a file of garbage", seconds=5)
        file.write_text(TLS + users("another"))
        until(lambda: ask(child.port, client, basic("another")).status == 200, "the new password", seconds=5)
        kept.sendall(request("/metrics", basic("secret")))
        assert reader.answer().status == 401, "the old password, on a connection that was there before"

        stranger = Authority(tmp_path_factory.mktemp("stranger"))
        mine, theirs = authority.client(authority.issue("mine")), authority.client(stranger.issue("theirs"))
        file.write_text(MUTUAL)
        until(lambda: good_after_all(child), "passwords are not dropped without a restart", seconds=5)
        file.write_text(MUTUAL + users())
        until(lambda: is_let_in(child.port, mine, basic()), "client certificates", seconds=5)
        assert not is_let_in(child.port, client, basic())
        shutil.copy(stranger.certificate, folder / "ca.crt")
        until(lambda: is_let_in(child.port, theirs, basic()), "the new authority", seconds=5)
        assert not is_let_in(child.port, mine, basic())


def good_after_all(child: Child) -> bool:
    told = "basic_auth_users: to ask for passwords no longer needs a restart"
    with connect(child.port) as sock:  # a handshake that begins makes it look
        sock.sendall(b"\x16\x03\x01")
    return any(told in line for line in child.lines)


def test_no_secret_is_logged(folder: Path, authority: Authority) -> None:
    with locked(folder, TLS + users("hunter2")) as child:
        ask(child.port, authority.client(), basic("hunter2"))
        ask(child.port, authority.client(), basic("hunter3"))
        (folder / "web.yml").write_text(TLS + "basic_auth_users: {prometheus: hunter4}\n")
        until(
            lambda: (
                ask(child.port, authority.client(), basic("hunter2"))
                and child.events("web configuration not usable, the last good one stays")
            ),
            "it is told",
        )
        for secret in ("hunter", "$2b$", "PRIVATE"):
            assert secret not in child.text


BAD_START = {
    "a file that is missing": ("tls_server_config: {cert_file: a, key_file: b}", "web.yml:1: tls_server_config.cert_f"),
    "a password": ("basic_auth_users:\n  alice: secret", "web.yml:2: basic_auth_users.alice: expected a bcrypt hash"),
}


@pytest.mark.parametrize("command", [("serve", "--listen", "127.0.0.1:0", "--web-config"), ("config", "check")])
@pytest.mark.parametrize(("text", "problem"), BAD_START.values(), ids=BAD_START)
def test_what_cannot_be_used_is_told_before_anything_starts(
    tmp_path: Path, command: tuple[str, ...], text: str, problem: str
) -> None:
    (tmp_path / "web.yml").write_text(text)
    arguments = [sys.executable, "-m", "exporter", *command, str(tmp_path / "web.yml")]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr
    assert "Traceback" not in done.stderr


def test_config_check_takes_what_serve_takes(folder: Path) -> None:
    (folder / "web.yml").write_text(MUTUAL + users())
    arguments = [sys.executable, "-m", "exporter", "config", "check", str(folder / "web.yml")]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == f"{folder / 'web.yml'}: good settings for web\n"


# -- attackers --------------------------------------------------------------------------------------------------

SCRAPE = request("/metrics", "Accept-Encoding: gzip", "X-Prometheus-Scrape-Timeout-Seconds: 10", basic())
SCRAPES, PHASES, TRIES = 200, 5, 3


@contextmanager
def attack(kind: str, port: int, ca: Path) -> Iterator[None]:
    command = [sys.executable, str(Path(lock_attackers.__file__)), kind, str(port), str(ca)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        yield
        process.stdin.close()
        assert process.wait(10) == 0


def scrape(*socks: socket.socket) -> list[list[float]]:
    """Return the times in seconds: scraped in turn on connections that are kept, every few milliseconds."""
    times: list[list[float]] = [[] for _ in socks]
    scrapers = list(zip(socks, map(Reader, socks), times, strict=True))
    for turn in range(SCRAPES):
        for sock, reader, took in scrapers if turn % 2 else reversed(scrapers):
            start = time.perf_counter()
            sock.sendall(SCRAPE)
            assert reader.answer().status == 200
            took.append(time.perf_counter() - start)
            time.sleep(0.002)  # the pace, not a wait: attackers get their turns
    return times


@pytest.mark.measured
@pytest.mark.slow
def test_scrapes_beside_idle_handshakes_and_guesses_take_at_most_twice_as_long(
    folder: Path, authority: Authority
) -> None:
    """As long as those of a server that is spared, which are taken in the same moments on the same machine.

    Others share the two cores, and a p99 is noise now and then: then more scrapes are added, which tell.
    """
    text = TLS + users(cost=10)
    with ExitStack() as stack:
        child, spared = stack.enter_context(locked(folder, text)), stack.enter_context(locked(folder, text))
        socks = [stack.enter_context(secure(one.port, authority.client())) for one in (child, spared)]
        scrape(*socks)
        quiet, resident, found = child.connections, child.resident, []
        times: tuple[list[float], list[float]] = ([], [])
        while len(found) < TRIES and (not found or found[-1] > 2):
            for _ in range(PHASES):
                until(lambda: child.connections <= quiet, "the last attack is over", seconds=15)
                with ExitStack() as attacks:
                    for kind in lock_attackers.KINDS:
                        attacks.enter_context(attack(kind, child.port, authority.certificate))
                    until(lambda: child.connections >= quiet + 190, "they are accepted")
                    for all_of_it, these in zip(times, scrape(*socks), strict=True):
                        all_of_it.extend(these)
                    assert is_let_in(child.port, authority.client(), basic()), "known, on a new connection"
            attacked, undisturbed = (statistics.quantiles(seconds, n=100)[98] for seconds in times)
            found.append(attacked / undisturbed)
        print(f"p99 beside both / without: {', '.join(f'{r:.2f}' for r in found)}")
        assert found[-1] <= 2
        assert child.resident - resident < 16 * MB


@pytest.mark.slow
def test_a_new_scraper_gets_through_guesses_from_its_own_address(folder: Path, authority: Authority) -> None:
    """As after a restart amid an attack: at its second or third try, a second and more apart."""
    with locked(folder, TLS + users(cost=10)) as child:
        with attack("1,000 passwords a second", child.port, authority.certificate):
            found: list[int] = []

            def tried() -> bool:
                found.append(ask(child.port, authority.client(), basic()).status)
                return found[-1] == 200

            until(tried, "it is let in", seconds=15, every=1.5)
        print(f"answers to the new scraper: {found}")
        assert len(found) <= 4
        assert set(found[:-1]) <= {429}


@pytest.mark.measured
@pytest.mark.slow
def test_handshakes_in_number_keep_memory_and_files_bounded(folder: Path, authority: Authority) -> None:
    with locked(folder, TLS) as child, secure(child.port, authority.client()) as sock:
        sock.sendall(SCRAPE)
        Reader(sock).answer()
        before, resident, held = child.connections, child.resident, []
        try:
            for _ in range(700):
                held.append(connect(child.port))
                held[-1].sendall(b"\x16\x03\x01\x02\x00\x01")  # a handshake begins: the server makes its objects
            scrape(sock)
            assert child.connections <= before + 256 + 40, "half of max_connections"
            assert child.resident - resident < 24 * MB
        finally:
            for one in held:
                one.close()
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            client = authority.client(version=version)
            for _ in range(200):
                secure(child.port, client).close()
        resident = child.resident
        for _ in range(500):
            secure(child.port, client).close()
        assert child.resident - resident < 4 * MB
        until(lambda: child.connections <= before + 1, "nothing is left of them")


def test_a_client_that_never_reads_is_dropped(folder: Path, authority: Authority) -> None:
    (folder / "exporter.yml").write_text("http: {request_timeout: 1s}\n")
    (folder / "web.yml").write_text(TLS)
    arguments = ("--web-config", str(folder / "web.yml"), "--config", str(folder / "exporter.yml"))
    with exporter_running(*arguments) as child:
        before = child.connections
        assert is_let_in(child.port, authority.client())
        bare = connect(child.port, receive_buffer=4096)
        with authority.client().wrap_socket(bare, server_hostname="localhost") as sock:
            sock.settimeout(1)
            try:
                for _ in range(3000):
                    sock.sendall(request("/metrics"))
            except (TimeoutError, ConnectionError, ssl.SSLError):
                pass
            until(lambda: child.connections <= before, "its connection is gone")
        assert is_let_in(child.port, authority.client())


# -- cost -------------------------------------------------------------------------------------------------------


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of all threads of a process (its CPU clock, as clock_getcpuclockid(3) numbers it)."""
    return time.clock_gettime(~pid << 3 | 2)


@pytest.mark.measured
@pytest.mark.slow
@pytest.mark.needs("linux")
def test_locks_cost_less_than_a_third_of_a_scrape(folder: Path, authority: Authority) -> None:
    """CPU by the process clock, in interleaved blocks, two kept connections each; one try of three within the goal."""
    found: list[float] = []
    with locked(folder, TLS + users()) as child, exporter_running() as plain, ExitStack() as stack:
        socks = {
            child.pid: [stack.enter_context(secure(child.port, authority.client())) for _ in range(2)],
            plain.pid: [stack.enter_context(connect(plain.port)) for _ in range(2)],
        }
        while len(found) < TRIES and (not found or found[-1] > 1.3):
            costs: dict[int, list[float]] = {pid: [] for pid in socks}
            for _ in range(10):
                for pid, pair in socks.items():
                    start = cpu_seconds(pid)
                    for n in range(100):
                        pair[n % 2].sendall(SCRAPE)
                        assert Reader(pair[n % 2]).answer().status == 200
                    costs[pid].append(cpu_seconds(pid) - start)
            found.append(statistics.median(costs[child.pid]) / statistics.median(costs[plain.pid]))
    print(f"CPU per scrape with TLS and a password / without: {', '.join(f'{r:.2f}' for r in found)}")
    assert found[-1] <= 1.3


# -- Prometheus -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.needs("prometheus")
def test_prometheus_scrapes_through_the_locks(folder: Path, authority: Authority) -> None:
    """What docs/locks.md says for prometheus.yml, letter by letter but for the target."""
    document = (Path(__file__).parents[2] / "docs" / "locks.md").read_text()
    example = re.search(r"```yaml\n(scrape_configs:.*?)```", document, re.DOTALL)
    assert example is not None
    client = authority.issue("client", ["DNS:prometheus.example"])
    shutil.copy(client.certificate, folder / "client.crt")
    shutil.copy(client.key, folder / "client.key")
    (folder / "password").write_text("secret")
    with locked(folder, f"{MUTUAL}  client_allowed_sans: [prometheus.example]\n{users(cost=10)}") as child:
        text = example[1].replace("host.example:10101", f"127.0.0.1:{child.port}").replace("host.example", "localhost")
        for name in ("ca.crt", "client.crt", "client.key", "password"):
            text = re.sub(rf"\S*/{re.escape(name)}", name, text)
        (folder / "prometheus.yml").write_text("global: {scrape_interval: 1s, scrape_timeout: 1s}\n" + text)
        with connect_free() as port, prometheus(folder, port):
            until(lambda: up(port) == [1.0], "Prometheus says that the target is up", seconds=30, every=0.2)


@contextmanager
def connect_free() -> Iterator[int]:
    """Lend a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = int(sock.getsockname()[1])
    yield port


@contextmanager
def prometheus(folder: Path, port: int) -> Iterator[None]:
    with (
        (folder / "prometheus.log").open("w") as log,
        subprocess.Popen(
            [
                *("prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"),
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stderr=log,
        ) as process,
    ):
        try:
            yield
        finally:
            process.terminate()
            process.wait(20)


def up(port: int) -> list[float]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?query=up", timeout=5) as answer:
            found = json.load(answer)["data"]["result"]
    except OSError:
        return []
    return [float(series["value"][1]) for series in found]
