"""A network of its own with servers, good and bad, a router and a name server, as a program that is given a folder.

Makes all of it in namespaces that end with this process, asks every case of service_cases.py by our checks and by
blackbox_exporter, and writes both verdicts to standard output as JSON. Needs root.
"""

import asyncio
import contextlib
import ctypes
import json
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from exporter.probes import Parts, make_checks
from exporter.probes.attempt import Attempt
from exporter.settings.probes import Probes
from exporter.settings.reading import parse
from tests.support import service_cases as world
from tests.support.certificates import Pair
from tests.support.odd_certificates import WEB, OddAuthority, self_signed, server
from tests.support.web_servers import PASSWORD, TOKEN, mail, says, serving, serving_names, silent, web

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 1 << 18
BLACKBOX = 9115
NAME_SERVER = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"

_libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), what)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def leave_the_host(folder: Path) -> None:
    """Go into namespaces of our own; names are looked up at the world's own server there."""
    check(_libc.unshare(CLONE_NEWNS | CLONE_NEWNET), "unshare")
    check(_libc.mount(b"none", b"/", b"none", ctypes.c_ulong(MS_REC | MS_PRIVATE), None), "mount /")
    for name, text in (("resolv.conf", NAME_SERVER), ("hosts", "127.0.0.1 localhost\n")):
        own = folder / name
        own.write_text(text)
        result = _libc.mount(bytes(own), f"/etc/{name}".encode(), b"none", ctypes.c_ulong(MS_BIND), None)
        check(result, f"mount /etc/{name}")


def lay_cables() -> subprocess.Popen[bytes]:
    """Make a router that rejects some networks and drops what is for another, and a neighbour that is not there."""
    ip("link", "set", "lo", "up")
    router = subprocess.Popen(["unshare", "--net", "sleep", "120"])
    mine = Path("/proc/self/ns/net").readlink()
    while Path(f"/proc/{router.pid}/ns/net").readlink() == mine:
        time.sleep(0.002)
    ip("link", "add", "near", "type", "veth", "peer", "name", "far", "netns", str(router.pid))
    ip("addr", "add", "10.97.0.1/24", "dev", "near")
    ip("link", "set", "near", "up")
    for network in ("10.96.0.0/24", "10.98.0.0/24"):
        ip("route", "add", network, "via", "10.97.0.2")
    neighbours = Path("/proc/sys/net/ipv4/neigh/near")
    (neighbours / "mcast_solicit").write_text("1")
    (neighbours / "retrans_time_ms").write_text("100")
    inside = ["nsenter", "-t", str(router.pid), "-n"]
    for command in (
        "ip addr add 10.97.0.2/24 dev far",
        "ip link set far up",
        "ip route add prohibit 10.96.0.0/25",
        "ip route add unreachable 10.96.0.128/25",
        "ip route add blackhole 10.98.0.0/24",
    ):
        subprocess.run([*inside, *command.split()], check=True)
    # forwards, and answers each packet: by default it says once a second that there is no way
    options = "cd /proc/sys/net/ipv4; echo 1 >ip_forward; echo 0 >icmp_ratelimit"
    subprocess.run([*inside, "sh", "-c", options], check=True)
    return router


def make_certificates(folder: Path) -> dict[str, Pair]:
    """Return the pairs by what is wrong with them."""
    folder.mkdir()
    ours, stranger = OddAuthority(folder / "ours"), OddAuthority(folder / "strangers")
    (folder / "ca.crt").write_bytes(ours.certificate.read_bytes())
    (folder / "password").write_text(f"{PASSWORD}\n")
    (folder / "wrong-password").write_text("guess")
    (folder / "token").write_text(TOKEN)
    good = ours.issue("good", WEB)
    for path in good:
        (folder / path.name).write_bytes(path.read_bytes())
    between = ours.intermediate("between", "20290101000000Z")
    dead = ours.intermediate("dead", "20210101000000Z")
    long = "20200101000000Z", "20400101000000Z"
    return {
        "good": good,
        "expired": ours.issue_between("expired", "20200101000000Z", "20210101000000Z"),
        "early": ours.issue_between("early", "20380101000000Z", "20400101000000Z"),
        "other-name": ours.issue("other", ("DNS:other.test",)),
        "self": self_signed(folder),
        "stranger": stranger.issue("stranger", WEB),
        "chain": ours.chain(between.issue_between("leaf", *long), between.certificate),
        "wants-client": good,
        "common-name": ours.issue("web.test", ()),
        "downgrade": good,
        "expired-above": ours.chain(dead.issue_between("below", *long), dead.certificate),
    }


@contextlib.asynccontextmanager
async def servers(pairs: dict[str, Pair], authority: Path) -> AsyncIterator[None]:
    """Run all servers."""
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        for host in ("127.0.0.1", "::1"):
            await enter(serving(web, host, world.HTTP))
        await enter(serving(web, port=world.HTTPS - 1))  # on IPv4 only
        for which, port in world.CERTIFICATES.items():
            wants = authority if which == "wants-client" else None
            await enter(serving(web, port=port, context=server(pairs[which], wants)))
        await enter(serving(silent, port=world.SILENT))
        await enter(serving(says(b"SSH-2.0-test\r\n\r\n"), port=world.BANNER))
        await enter(serving(mail(server(pairs["good"])), port=world.MAIL))
        await enter(serving(mail(server(pairs["expired"])), port=world.MAIL_EXPIRED))
        await enter(serving_names(port=world.NAMES))
        await enter(serving_names(port=world.SPOOFED, change=lambda reply: bytes([reply[0] ^ 1]) + reply[1:]))
        yield


def stop_a_process() -> subprocess.Popen[bytes]:
    """Return a process that listens and has been stopped: the kernel goes on taking connections for it."""
    with socket.create_server(("127.0.0.1", world.STOPPED)) as listener:
        process = subprocess.Popen(["sleep", "120"], pass_fds=[listener.fileno()])
    process.send_signal(signal.SIGSTOP)
    return process


def fill_a_backlog() -> list[socket.socket]:
    """Return what keeps a port's backlog full: the kernel drops who comes next."""
    listener = socket.create_server(("127.0.0.1", world.BACKLOG), backlog=0)
    first = socket.create_connection(listener.getsockname())
    return [listener, first]


def placed(value: Any, folder: Path) -> Any:
    """Return a value with the folder's path in place of its word."""
    return json.loads(json.dumps(value).replace("FOLDER", str(folder)))


async def ask_ours(folder: Path) -> dict[str, dict[str, Any]]:
    settings: dict[str, list[dict[str, Any]]] = {}
    for name, case in world.CASES.items():
        settings.setdefault(case.kind, []).append({"name": name, **placed(case.settings, folder)})
    probes = parse(json.dumps(settings).encode(), Probes, "cases")
    loop = asyncio.get_running_loop()

    async def ask(check: Any) -> tuple[str, dict[str, Any]]:
        begun = loop.time()
        attempt: Attempt = await check.attempt(begun + check.schedule.timeout)
        return check.name, {
            "outcome": attempt.outcome.value,
            "reason": attempt.reason,
            "detail": attempt.detail,
            "phases": dict(attempt.phases),
            "seconds": loop.time() - begun,
            "status": attempt.facts.get("http_status_code"),
            "expiry": attempt.certificates and attempt.certificates.not_after,
            "covers": attempt.certificates and attempt.certificates.covers,
        }

    return dict(await asyncio.gather(*(ask(check) for check in make_checks(probes, Parts()))))


def ask_blackbox(name: str, target: str) -> dict[str, float]:
    query = urllib.parse.urlencode({"module": name, "target": target})
    with urllib.request.urlopen(f"http://127.0.0.1:{BLACKBOX}/probe?{query}", timeout=20) as answer:
        rows = [line.rpartition(" ") for line in answer.read().decode().splitlines() if line and line[0] != "#"]
    return {row: float(value) for row, _, value in rows}


@contextlib.contextmanager
def blackbox(folder: Path) -> Any:
    config = folder / "blackbox.yml"
    modules = {name: placed(case.module, folder) for name, case in world.CASES.items()}
    config.write_text(json.dumps({"modules": modules}))
    log = folder / "blackbox.log"
    command = ["prometheus-blackbox-exporter", f"--config.file={config}", f"--web.listen-address=127.0.0.1:{BLACKBOX}"]
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", BLACKBOX)).close()
                    break
                except OSError:
                    if process.poll() is not None:
                        raise RuntimeError(log.read_text()) from None
                    time.sleep(0.01)
            yield
        finally:
            process.kill()


def read_expiry(certificate: Path) -> float:
    """Return when a certificate expires, as the program openssl reads it."""
    command = ["openssl", "x509", "-in", str(certificate), "-noout", "-enddate"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(ssl.cert_time_to_seconds(text.strip().partition("=")[2]))


async def run(folder: Path, pairs: dict[str, Pair]) -> dict[str, Any]:
    async with servers(pairs, folder / "ca.crt"):
        theirs = asyncio.gather(
            *(asyncio.to_thread(ask_blackbox, name, case.target) for name, case in world.CASES.items())
        )
        blackbox_said = dict(zip(world.CASES, await theirs, strict=True))
        return {"ours": await ask_ours(folder), "theirs": blackbox_said, "root_expiry": read_expiry(folder / "ca.crt")}


def main() -> None:
    folder = Path(sys.argv[1])
    leave_the_host(folder)
    router, stopped = lay_cables(), stop_a_process()
    held = fill_a_backlog()
    try:
        pairs = make_certificates(folder / "certificates")
        with blackbox(folder / "certificates"):
            print(json.dumps(asyncio.run(run(folder / "certificates", pairs))))
    finally:
        for process in (router, stopped):
            process.kill()
            process.wait()
        for one in held:
            one.close()


if __name__ == "__main__":
    main()
