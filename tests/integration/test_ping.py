"""ICMP against the kernel, beside iputils' ping, and over a path of our own with delay, loss and errors."""

import json
import math
import re
import resource
import signal
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import until
from tests.support.network import Network, network

pytestmark = [pytest.mark.slow, pytest.mark.needs("linux", "root", "ip", "tun")]

NOBODY = 65534
ROOT = Path(__file__).parents[2]

Hosts = dict[str, dict[str, Any]]


class LongPath:
    """A namespace with hosts behind a TUN device."""

    def __init__(self, inside: Network, hosts: Hosts) -> None:
        self.inside = inside
        self._hosts = inside.python("-m", "tests.support.tunhost", json.dumps(hosts))
        assert self._hosts.stdout is not None
        assert self._hosts.stdout.readline() == "ready\n"

    def counts(self) -> dict[str, dict[str, int]]:
        """Return what each host has seen and answered."""
        assert self._hosts.stdin is not None
        assert self._hosts.stdout is not None
        self._hosts.stdin.write("\n")
        self._hosts.stdin.flush()
        return dict(json.loads(self._hosts.stdout.readline()))

    def start(self, spec: dict[str, Any]) -> "subprocess.Popen[str]":
        pinger = self.inside.python(
            "-m", "tests.support.pinger", json.dumps(spec), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        assert pinger.stdout is not None
        assert pinger.stdout.readline() == "started\n"
        return pinger

    def ping(self, **spec: Any) -> dict[str, Any]:
        """Run our pinger to its end; return what it found."""
        return ended(self.start(spec))

    def close(self) -> None:
        self._hosts.communicate(timeout=20)


def ended(pinger: "subprocess.Popen[str]", seconds: float = 120) -> dict[str, Any]:
    """Return what a pinger found, once it is through; ends it by force when it hangs."""
    assert pinger.stdout is not None
    assert pinger.stderr is not None
    watchdog = threading.Timer(seconds, pinger.kill)
    watchdog.start()
    try:
        out, err = pinger.stdout.read(), pinger.stderr.read()
        assert pinger.wait() == 0, err
    finally:
        watchdog.cancel()
        pinger.stdout.close()
        pinger.stderr.close()
    return {**json.loads(out), "log": err}


@contextmanager
def path_to(hosts: Hosts) -> Iterator[LongPath]:
    with network() as inside:
        made = LongPath(inside, hosts)
        try:
            yield made
        finally:
            made.close()


def trips(found: dict[str, Any]) -> list[float]:
    return [trip for rounds in found["rounds"].values() for one in rounds for trip in one["trips"]]


def rows(page: str) -> dict[str, float]:
    lines = (line.rpartition(" ") for line in page.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def iputils(path: LongPath, address: str, count: int, interval: float) -> list[float]:
    """Return the round trips that iputils' ping reports, in seconds."""
    text = path.inside.run("ping", "-n", "-c", str(count), "-i", str(interval), address)
    return [float(found) / 1000 for found in re.findall(r"time=([0-9.]+) ms", text)]


def settings(*targets: str, count: int, packet_interval: float, timeout: float = 1.0) -> dict[str, Any]:
    interval = max((count - 1) * packet_interval + timeout, 1.0)
    return {
        "targets": targets,
        "count": count,
        "packet_interval": packet_interval,
        "timeout": timeout,
        "interval": interval,
    }


def agree(ours: float, theirs: float) -> bool:
    return abs(ours - theirs) <= 20e-6 + 0.01 * theirs


LOOPBACK_100 = tuple(f"127.0.0.{n}" for n in range(1, 101))


@pytest.mark.measured
@pytest.mark.needs("ping")
@pytest.mark.parametrize("targets", [LOOPBACK_100[:1], LOOPBACK_100], ids=["1 target", "100 targets"])
def test_loopback_round_trips_are_those_of_iputils(targets: tuple[str, ...]) -> None:
    """Interleaved, at one pace, and again while the machine is busy with something else."""
    seen = []
    with path_to({}) as path:

        def once() -> bool:
            count = 40 if len(targets) == 1 else 5
            ours = statistics.median(trips(path.ping(settings=settings(*targets, count=count, packet_interval=0.02))))
            asked = targets[:: max(len(targets) // 10, 1)]
            theirs = statistics.median(
                trip
                for address in asked
                for trip in iputils(path, address, 40 // len(asked), 0.002 if len(asked) > 1 else 0.02)
            )
            seen.append((ours, theirs))
            print(f"median: ours {ours * 1e6:.1f} us, iputils {theirs * 1e6:.1f} us")
            return agree(statistics.median(o for o, _ in seen), statistics.median(t for _, t in seen))

        until(once, "medians within 20 us and 1 %, see what is printed", seconds=60)


@pytest.mark.measured
@pytest.mark.needs("ping")
def test_packet_to_one_of_many_costs_less_than_half_of_one_by_iputils() -> None:
    """Measured in one go with its CPU, so that a busy machine slows both."""
    with path_to({}) as path:

        def once() -> bool:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            iputils(path, "127.0.0.1", 200, 0.01)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            theirs = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / 200
            ours = path.ping(settings=settings(*LOOPBACK_100, count=10, packet_interval=0.2))["cpu"] / 1000
            print(f"CPU of a packet: ours {ours * 1e6:.0f} us, iputils {theirs * 1e6:.0f} us")
            return ours < 0.5 * theirs

        until(once, "less than half of what iputils takes, see what is printed", seconds=60)


@pytest.mark.measured
@pytest.mark.needs("ping")
@pytest.mark.parametrize("address", ["10.99.0.20", "fd99::20"])
def test_round_trips_over_a_long_path_are_those_of_iputils(address: str) -> None:
    """By their means: of such a time iputils prints whole milliseconds, but for its summary."""
    with path_to({address: {"delay": 0.25}}) as path:
        ours = statistics.fmean(trips(path.ping(settings=settings(address, count=40, packet_interval=0.02))))
        text = path.inside.run("ping", "-q", "-n", "-c", "40", "-i", "0.02", address)
    summary = re.search(r"= [0-9.]+/([0-9.]+)/", text)
    assert summary, text
    theirs = float(summary[1]) / 1000
    print(f"mean to {address}: ours {ours * 1e3:.3f} ms, iputils {theirs * 1e3:.3f} ms")
    assert agree(ours, theirs)


@pytest.mark.soak(1000, 200)
def test_lost_packets_are_counted_exactly(count: int) -> None:
    with path_to({"10.99.0.30": {"delay": 0.25, "jitter": 0.02, "loss": 0.3}}) as path:
        found = path.ping(settings=settings("10.99.0.30", count=100, packet_interval=0.01), rounds=count // 100)
        told = path.counts()["10.99.0.30"]
    page = rows(found["page"])
    sent = page['host_ping_sent_total{target="10.99.0.30"}']
    received = page['host_ping_received_total{target="10.99.0.30"}']
    assert (sent, received) == (count, told["answered"])
    assert sent == told["seen"]
    assert page['host_ping_rtt_seconds_count{target="10.99.0.30"}'] == received
    # 99 of 100 such samples lie within 2.58 standard deviations; the hosts' dice are the same in every run
    assert abs((sent - received) / sent - 0.3) <= 2.58 * math.sqrt(0.3 * 0.7 / sent)


# what each host does, and what the page shall say: reason, sent, received, in a round of three packets
BEHAVIOUR: dict[str, tuple[dict[str, Any] | None, str | None, int, int]] = {
    "10.99.0.20": ({"delay": 0.05}, None, 3, 3),
    "fd99::20": ({"delay": 0.05}, None, 3, 3),
    "127.0.0.1": (None, None, 3, 3),
    "::1": (None, None, 3, 3),
    "10.99.0.21": (None, "timeout", 3, 0),
    "10.99.0.22": ({"error": [3, 1]}, "host_unreachable", 3, 0),
    "fd99::22": ({"error": [1, 3]}, "host_unreachable", 3, 0),
    "10.99.0.23": ({"error": [11, 0]}, "host_unreachable", 3, 0),
    "10.99.0.24": ({"error": [3, 13]}, "no_permission", 0, 0),
    "fd99::24": ({"error": [1, 1]}, "no_permission", 0, 0),
    "10.99.0.25": ({"twice": True}, None, 3, 3),
    "10.99.0.26": ({"stranger": True}, "timeout", 3, 0),
    "10.99.0.27": ({"garbled": True}, "timeout", 3, 0),
    "10.99.0.28": ({"delay": 1.2}, "timeout", 3, 0),
    "203.0.113.1": (None, "no_route", 0, 0),
    "2001:db8::1": (None, "no_route", 0, 0),
    "10.98.0.1": (None, "no_permission", 0, 0),
    "10.96.0.1": (None, "host_unreachable", 3, 0),
}


@pytest.mark.parametrize("mode", ["raw", "datagram"])
def test_each_end_of_a_packet_has_its_outcome(mode: str) -> None:
    with path_to({name: behaviour for name, (behaviour, *_) in BEHAVIOUR.items() if behaviour}) as path:
        path.inside.run("ip", "route", "add", "prohibit", "10.98.0.0/24")
        path.inside.run("ip", "route", "add", "unreachable", "10.96.0.0/24")
        if mode == "datagram":
            path.inside.set("ipv4/ping_group_range", "0 2147483647")
        plan = settings(*BEHAVIOUR, count=3, packet_interval=0.5, timeout=1.0)
        found = path.ping(settings=plan, linger=1.0, user=NOBODY if mode == "datagram" else 0)
    page = rows(found["page"])
    assert found["mode"] == mode
    for name, (_, reason, sent, received) in BEHAVIOUR.items():
        label = f'{{target="{name}"}}'
        reasons = re.findall(rf'host_ping_failure_info{{target="{re.escape(name)}",reason="(\w+)"}}', found["page"])
        assert reasons == ([reason] if reason else []), name
        assert page[f"host_ping_possible{label}"] == float(sent > 0), name
        assert page.get(f"host_ping_sent_total{label}", 0) == sent, name
        assert page.get(f"host_ping_received_total{label}", 0) == received, name
        assert (f"host_ping_latency_seconds{label}" in page) is bool(received), name
    ignored = {
        why: page[f'host_ping_ignored_replies_total{{reason="{why}"}}'] for why in ("duplicate", "foreign", "late")
    }
    assert ignored == {"duplicate": 3, "foreign": 6, "late": 3}


def test_neighbour_that_does_not_answer_is_unreachable_and_not_a_question_that_could_not_be_asked() -> None:
    with network() as inside:
        inside.run("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1")
        inside.run("ip", "addr", "add", "10.97.0.1/24", "dev", "v0")
        for device in ("v0", "v1"):
            inside.run("ip", "link", "set", device, "up")
        inside.set("ipv4/neigh/v0/retrans_time_ms", "100")
        path = LongPath(inside, {})
        try:
            found = path.ping(settings=settings("10.97.0.9", count=2, packet_interval=0.5, timeout=1.0))
        finally:
            path.close()
    assert 'host_ping_failure_info{target="10.97.0.9",reason="host_unreachable"} 1' in found["page"]
    assert rows(found["page"])['host_ping_sent_total{target="10.97.0.9"}'] == 2


@pytest.mark.parametrize("group_range", ["1 0", "100 200"], ids=["closed", "of other groups"])
def test_process_that_may_not_says_none_and_shows_nothing_as_down(group_range: str) -> None:
    with path_to({}) as path:
        path.inside.set("ipv4/ping_group_range", group_range)
        found = path.ping(settings=settings("127.0.0.1", "::1", count=3, packet_interval=0.1), user=NOBODY)
    assert found["mode"] == "none"
    names = {name for name in rows(found["page"]) if "ignored" not in name}
    assert names == {
        'host_ping_mode_info{mode="none"}',
        *(
            row
            for target in ("127.0.0.1", "::1")
            for row in (
                f'host_ping_possible{{target="{target}"}}',
                f'host_ping_failure_info{{target="{target}",reason="no_permission"}}',
                f'host_ping_last_attempt_timestamp_seconds{{target="{target}"}}',
            )
        ),
    }
    assert "net.ipv4.ping_group_range" in found["log"]


def test_stopped_process_counts_no_answered_packet_as_lost_and_tells_no_false_latency() -> None:
    with path_to({"10.99.0.20": {"delay": 0.25}}) as path:
        plan = settings("10.99.0.20", count=20, packet_interval=0.1)
        pinger = path.start({"settings": plan})
        until(lambda: path.counts()["10.99.0.20"]["seen"] >= 5, "five packets are out")
        pinger.send_signal(signal.SIGSTOP)  # nsenter executes: it is the pinger itself
        stopped_at = path.counts()["10.99.0.20"]["seen"]
        until(lambda: path.counts()["10.99.0.20"]["answered"] == stopped_at, "all is answered while it is stopped")
        with pytest.raises(subprocess.TimeoutExpired):
            pinger.wait(2.5)  # far beyond the time-out
        pinger.send_signal(signal.SIGCONT)
        found = ended(pinger)
    (first,) = found["rounds"]["10.99.0.20"]
    assert (first["sent"], first["received"]) == (20, 20)
    assert max(first["trips"]) < 0.3


def test_flood_of_another_ping_neither_counts_nor_confuses() -> None:
    with path_to({}) as path:
        other = subprocess.Popen(path.inside.command("ping", "-q", "-f", "127.0.0.1"), stdout=subprocess.DEVNULL)
        try:
            found = path.ping(settings=settings("127.0.0.1", count=20, packet_interval=0.02))
        finally:
            other.terminate()
            other.wait(10)
    page = rows(found["page"])
    assert page['host_ping_received_total{target="127.0.0.1"}'] == 20
    assert not any(
        page[f'host_ping_ignored_replies_total{{reason="{why}"}}'] for why in ("duplicate", "foreign", "late")
    )


def test_names_are_found_and_two_pingers_do_not_disturb_each_other() -> None:
    command = [sys.executable, "-m", "tests.support.pinger"]
    spec = json.dumps({"settings": settings("localhost", "127.0.0.1", count=10, packet_interval=0.02), "rounds": 2})
    pipe = subprocess.PIPE
    both = [subprocess.Popen([*command, spec], cwd=ROOT, stdout=pipe, stderr=pipe, text=True) for _ in range(2)]
    for pinger in both:
        assert pinger.stdout is not None
        assert pinger.stdout.readline() == "started\n"
        page = rows(ended(pinger)["page"])
        assert page['host_ping_received_total{target="127.0.0.1"}'] == page['host_ping_sent_total{target="127.0.0.1"}']
        assert page['host_ping_possible{target="localhost"}'] == 1
