"""The daemon for real: signals, settings read again, addresses that cannot be, and its end."""

import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from exporter.collectors import COLLECTORS
from tests.support.client import ask, connect, request, rows, scrape, until
from tests.support.exporter import COMMAND, ROOT, TERMINATIONS, Child, exporter_running

GOOD_FAMILY = "host_exporter_settings_reload_successful"
TIME_FAMILY = "host_exporter_settings_reload_success_timestamp_seconds"


# what a machine may be without, by hardware, modules of its kernel or the way it was started
MAY_BE_WITHOUT = {
    *("arp", "bonding", "conntrack", "containers", "dmi", "diskstats", "hwmon", "mdadm", "nvme", "os"),
    *("powersupplyclass", "pressure", "rapl", "schedstat", "systemd", "timex", "watchdog"),
}


def test_zero_settings_give_a_complete_page() -> None:
    with exporter_running() as child:
        page = scrape(child.port)
        told = set(re.findall(r'^node_scrape_collector_success\{collector="(\w+)"\}', page, re.MULTILINE))
        assert told == {*(row.kind.name for row in COLLECTORS), "ping"}

        def failed() -> set[str]:
            rows = re.findall(
                r'^node_scrape_collector_success\{collector="(\w+)"\} 0$', scrape(child.port), re.MULTILINE
            )
            return set(rows) - MAY_BE_WITHOUT

        # samples and scans are made on timers of their own: the first ones come soon
        until(lambda: not failed(), "the first sample and the first scan")
        page = scrape(child.port)
        assert not child.events("collector failed"), "what is not there is no failure"
        assert ask(child.port, request("/-/healthy")).body == b"healthy\n"
        assert ask(child.port, request("/-/ready")).body == b"ready\n"
        landing = ask(child.port, request("/about"))
        assert landing.headers["content-type"] == "text/html; charset=utf-8"
        assert b'href="/metrics"' in landing.body


@pytest.mark.needs("linux")
def test_it_may_open_as_many_files_as_it_is_allowed_to() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with exporter_running(command=("prlimit", "--nofile=512:", *COMMAND)) as child:
        allowed = resource.prlimit(child.process.pid, resource.RLIMIT_NOFILE)
    assert allowed == (65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536), hard)


@pytest.mark.parametrize("number", TERMINATIONS, ids=lambda n: n.name)
def test_it_ends_within_two_seconds_with_code_0(number: signal.Signals) -> None:
    with exporter_running() as child:
        idle, slow, half = connect(child.port), connect(child.port), connect(child.port)
        idle.sendall(request("/"))
        slow.sendall(b"GET / HT")
        start = time.monotonic()
        child.signal(number)
        assert child.wait(2) == 0
        assert time.monotonic() - start < 2
        assert child.events("exporter ends")
        assert "Traceback" not in child.text
        for sock in (idle, slow, half):
            sock.close()


def test_it_ends_in_time_though_a_client_never_reads() -> None:
    with exporter_running() as child:
        sock = connect(child.port, receive_buffer=4096)
        sock.setblocking(False)
        sent = 0
        try:
            while sent < 50_000_000:
                sent += sock.send(request() * 16)
        except (BlockingIOError, ConnectionError):
            pass  # it is full, or was dropped for sending without end
        child.signal(signal.SIGTERM)
        assert child.wait(2) == 0
        sock.close()


def write(file: Path, text: str) -> None:
    """Replace a file's text as an editor does: at once."""
    fresh = file.with_suffix(".new")
    fresh.write_text(text)
    fresh.rename(file)


def reloaded(child: Child, event: str, times: int) -> dict[str, float]:
    child.signal(signal.SIGHUP)
    until(lambda: len(child.events(event)) >= times, f"{times} times: {event}")
    return rows(scrape(child.port))


def test_settings_are_read_again_and_bad_ones_change_nothing(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text("collectors: {loadavg: {enabled: true}}\n")
    bad = "settings not usable, the last good ones stay"
    with exporter_running("--config", str(file)) as child:
        first = rows(scrape(child.port))
        assert first[GOOD_FAMILY] == 1
        assert "node_load1" in first

        write(file, "collectors: {loadavg: {enabled: false}}\n")
        after = reloaded(child, "settings read again", 1)
        assert after[GOOD_FAMILY] == 1
        assert after[TIME_FAMILY] > first[TIME_FAMILY]
        assert "node_load1" not in after
        assert ask(child.port, request("/metrics?collect[]=loadavg")).status == 400

        for times, text in enumerate(("collectors: {loadavg: 5}\n", "{", "[" * 100_000, "\xff\n", "listen: x\n"), 1):
            write(file, text)
            broken = reloaded(child, bad, times)
            assert broken[GOOD_FAMILY] == 0
            assert broken[TIME_FAMILY] == after[TIME_FAMILY]
            assert "node_load1" not in broken
            assert child.events(bad)[-1]["problems"][0].startswith(str(file))

        file.unlink()
        assert reloaded(child, bad, 6)[GOOD_FAMILY] == 0
        assert "No such file" in child.events(bad)[-1]["problems"][0]

        write(file, "collectors: {meminfo: {enabled: false}}\n")
        mended = reloaded(child, "settings read again", 2)
        assert mended[GOOD_FAMILY] == 1
        assert "node_load1" in mended
        assert "node_memory_MemTotal_bytes" not in mended
        assert "Traceback" not in child.text


def test_what_the_command_line_said_survives_a_reload(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text("log: {format: text}\nlisten: 127.0.0.1:1\n")
    with exporter_running("--config", str(file), "--log-format", "json") as child:
        reloaded(child, "settings read again", 1)
        assert not child.events("a new listen address needs a restart")


def test_without_a_file_a_hangup_changes_nothing() -> None:
    with exporter_running() as child:
        assert reloaded(child, "no settings file to read again", 1)[GOOD_FAMILY] == 1


def test_reloads_leave_no_threads_and_no_files_behind(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text(
        "sampler: {interval: 1s}\ncollectors: {filesystem: {mount_points_exclude: '^$', fs_types_exclude: '^$'}}\n"
    )
    with exporter_running("--config", str(file)) as child:
        for times in range(1, 6):
            reloaded(child, "settings read again", times)
        threads, files = child.threads, child.open_files
        for times in range(6, 26):
            reloaded(child, "settings read again", times)
        until(lambda: child.threads <= threads + 2, f"threads are {threads} again", seconds=15)
        until(lambda: child.open_files <= files + 3, f"open files are {files} again", seconds=15)


def test_scrapes_go_on_while_settings_are_read_again(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text("")
    with exporter_running("--config", str(file)) as child:
        until(lambda: "host_memory_usage_ratio" in scrape(child.port), "the first sample")
        for _ in range(10):
            child.signal(signal.SIGHUP)
            for _ in range(10):
                page = scrape(child.port)
                assert "node_load1 " in page
                assert "node_cpu_seconds_total{" in page


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_a_port_that_is_taken_is_named_with_the_way_out(host: str) -> None:
    family = socket.AF_INET6 if "[" in host else socket.AF_INET
    with socket.socket(family) as sock:
        sock.bind((host.strip("[]"), 0))
        sock.listen()
        port = sock.getsockname()[1]
        done = _serve("--listen", f"{host}:{port}")
    assert done.returncode == 1
    assert f":{port}: " in done.stderr
    assert "address already in use" in done.stderr
    assert "--listen" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("address", ["192.0.2.1:0", "no.such.host.invalid:0", "a..b:0"])
def test_an_address_that_is_not_ours_is_named(address: str) -> None:
    done = _serve("--listen", address)
    assert done.returncode == 1
    assert f"cannot listen on {address}: " in done.stderr
    assert "Traceback" not in done.stderr


def _serve(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "exporter", "serve", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)


def test_text_logs_are_for_people(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "--log-format", "text"], cwd=ROOT, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert " info    exporter listens address=127.0.0.1 port=" in line
    finally:
        process.terminate()
        assert process.wait(5) == 0
        process.stderr.close()  # type: ignore[union-attr]


def test_whoever_reads_its_log_may_leave() -> None:
    process = subprocess.Popen(COMMAND, cwd=ROOT, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
    assert process.stderr is not None
    line = process.stderr.readline()
    process.stderr.close()
    port = int(line.partition('"port": ')[2].partition(",")[0])
    try:
        assert "node_load1 " in scrape(port)
        os.kill(process.pid, signal.SIGHUP)
        assert "node_load1 " in scrape(port)
    finally:
        process.terminate()
    assert process.wait(3) == 0
