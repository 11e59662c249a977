"""POST /alertmanager on a real server: answers, durability, limits."""

import json
import os
import socket
import sqlite3
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from tests.support.relay import RelayProcess, alert, payload, resolved, until


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with RelayProcess(tmp_path_factory.mktemp("relay"), limits={"body_bytes": 100_000, "intake_bytes": 400_000}) as one:
        yield one


def named(relay: RelayProcess, group: Any) -> Any:
    return [row for row in relay.messages() if row["group_key"] == group]


def test_a_firing_alert_is_shown_and_turns_resolved_in_place(relay: RelayProcess) -> None:
    assert relay.post(payload(groupKey="turns")).status == 200
    (row,) = until(lambda: named(relay, "turns"))
    assert (row["status"], row["alert_names"], row["text"]) == (
        "firing", ["HostCpuHigh"], ":red_circle: *CRITICAL*  HostCpuHigh on web-01",
    )  # fmt: skip
    assert relay.post(payload(resolved(alert()), groupKey="turns")).json == {"status": "stored"}
    (row,) = until(lambda: [r for r in named(relay, "turns") if r["status"] == "resolved"])
    assert (row["episode"], row["updates"]) == (1, 2)


def test_two_alertmanagers_that_deliver_twice_make_one_message_and_no_update(relay: RelayProcess) -> None:
    for peer in ("http://a:9093", "http://b:9093"):
        assert relay.post(payload(groupKey="peers", externalURL=peer)).status == 200
    until(lambda: relay.metric("relay_queue_depth") == 0)
    (row,) = named(relay, "peers")
    assert row["updates"] == 1


REFUSED = {
    "no json": (b"{nope", 400, "not_json"),
    "no payload": (b"{}", 400, "payload"),
    "too large": (b"x" * 100_001, 413, "too_large"),
}


@pytest.mark.parametrize(("body", "code", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_taken_is_told_and_counted(relay: RelayProcess, body: bytes, code: int, reason: str) -> None:
    before = relay.metric(f'relay_webhook_rejected_total{{reason="{reason}"}}')
    answer = relay.post(body)
    assert (answer.status, answer.json["reason"]) == (code, reason)
    assert relay.metric(f'relay_webhook_rejected_total{{reason="{reason}"}}') == before + 1


def test_what_nobody_can_read_is_kept_as_a_dead_letter_once(relay: RelayProcess) -> None:
    body = b"unreadable " + os.urandom(8).hex().encode()
    before = relay.metric("relay_dead_letters")
    for _ in range(2):
        assert relay.post(body).status == 400
    assert relay.metric("relay_dead_letters") == before + 1


def test_a_wrong_token_is_refused_before_the_body_is_looked_at(relay: RelayProcess) -> None:
    letters = relay.metric("relay_dead_letters")
    answer = relay.post(b"{nope", token="wrong")
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert relay.request("POST", "/alertmanager", b"{}").status == 401
    assert relay.metric("relay_dead_letters") == letters


def test_a_body_of_unknown_length_has_the_same_limit(relay: RelayProcess) -> None:
    connection = relay.connect()
    chunks = (b"x" * 10_000 for _ in range(11))
    headers = {"Authorization": f"Bearer {relay.token}"}
    connection.request("POST", "/alertmanager", chunks, headers, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_an_unknown_version_of_the_known_shape_is_taken_and_counted(relay: RelayProcess) -> None:
    before = relay.metric("relay_webhook_other_versions_total")
    assert relay.post(payload(version="5", groupKey="v5")).status == 200
    assert relay.metric("relay_webhook_other_versions_total") == before + 1


def test_any_unicode_reaches_the_page_as_text(relay: RelayProcess) -> None:
    nasty = "<script>alert(1)</script> \u202e \U0001f525 ümläut & \x00 日本"
    assert relay.post(payload(alert(nasty, nasty, labels={"team": nasty}), groupKey=nasty)).status == 200
    until(lambda: named(relay, nasty))
    page = relay.get("/").text
    assert "<script" not in page
    assert "\U0001f525 ümläut" in page


def test_many_senders_at_once_are_all_stored(relay: RelayProcess) -> None:
    before = relay.metric("relay_snapshots_stored_total")
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: relay.post(payload(groupKey=f"many-{n}")).status, range(64)))
    assert answers == [200] * 64
    assert relay.metric("relay_snapshots_stored_total") == before + 64
    until(
        lambda: (
            len([r for r in relay.get("/api/v1/messages?limit=500").json["messages"] if "many" in r["group_key"]]) == 64
        )
    )


def test_kill_9_right_after_the_200_loses_nothing(tmp_path: Path) -> None:
    for number in range(3):
        with RelayProcess(tmp_path) as relay:
            assert relay.post(payload(groupKey=f"killed-{number}")).status == 200
            relay.kill()
    with RelayProcess(tmp_path) as relay:
        until(lambda: {row["group_key"] for row in relay.messages()} == {"killed-0", "killed-1", "killed-2"})


def test_kill_9_while_webhooks_come_keeps_all_that_were_answered(tmp_path: Path) -> None:
    relay = RelayProcess(tmp_path)
    relay.start()
    kept, enough = set(), threading.Event()

    def send(worker: Any) -> None:
        for number in range(10_000):
            try:
                if relay.post(payload(groupKey=f"{worker}-{number}")).status != 200:
                    return
            except (OSError, HTTPException):
                return
            kept.add(f"{worker}-{number}")
            if len(kept) >= 100:
                enough.set()

    threads = [threading.Thread(target=send, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    assert enough.wait(30)
    relay.kill()
    for thread in threads:
        thread.join(30)
    db = sqlite3.connect(relay.database)
    waiting = {json.loads(body)["groupKey"] for (body,) in db.execute("SELECT body FROM snapshots")}
    told = {key for (key,) in db.execute("SELECT key FROM groups JOIN episodes ON group_id = groups.id")}
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
    assert kept <= waiting | told


def test_a_database_that_reached_its_bound_answers_503_and_is_not_ready(tmp_path: Path) -> None:
    with RelayProcess(tmp_path, limits={"database_bytes": 1024 * 1024}) as relay:
        big = {"x": "y" * 200_000}
        for number in range(20):
            answer = relay.post(payload(alert(annotations=big), groupKey=str(number)))
            if answer.status != 200:
                break
        assert (answer.status, answer.json["reason"]) == (503, "store")
        assert int(answer.headers["retry-after"]) > 0
        ready = relay.get("/-/ready")
        assert (ready.status, ready.text) == (503, "the database cannot be written\n")
        assert relay.metric("relay_store_failures_total") > 0
        assert "database cannot be written" in relay.get("/").text
        assert relay.get("/-/healthy").status == 200


@pytest.mark.needs("root")
def test_a_disk_that_is_full_answers_503_and_takes_again_when_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=False)
    if mounted.returncode:
        pytest.skip("this machine mounts no tmpfs")
    try:
        with RelayProcess(tmp_path, database=str(disk / "relay.db")) as relay:
            assert relay.post(payload(groupKey="before")).status == 200
            until(lambda: relay.metric("relay_queue_depth") == 0)
            fill_up(disk / "other")
            answer = relay.post(payload(alert(annotations={"x": "y" * 300_000}), groupKey="full"))
            assert answer.status == 503
            (disk / "other").unlink()
            assert relay.post(payload(groupKey="after")).status == 200
            until(lambda: {row["group_key"] for row in relay.messages()} == {"before", "after"})
            assert relay.stop() == 0
    finally:
        subprocess.run(["umount", disk], check=True)


def fill_up(path: Any) -> None:
    with open(path, "wb", buffering=0) as file:
        while True:
            try:
                file.write(b"x" * 4096)
            except OSError:  # no space left
                return


def test_a_full_queue_answers_503(tmp_path: Path) -> None:
    # a body that cannot be told would do too; a queue of one, filled between two looks of the worker, is enough
    with RelayProcess(tmp_path, limits={"queue_snapshots": 1}) as relay:
        with ThreadPoolExecutor(8) as pool:
            answers = [
                one for _ in range(10) for one in pool.map(lambda n: relay.post(payload(groupKey=f"q{n}")), range(8))
            ]
        assert {one.status for one in answers} == {200, 503}
        assert {one.json["reason"] for one in answers if one.status == 503} == {"queue_full"}
        until(lambda: relay.post(payload(groupKey="later")).status == 200)


def test_a_body_that_does_not_come_ends_with_408(tmp_path: Path) -> None:
    with RelayProcess(tmp_path, http={"body_timeout": 0.2}) as relay:
        connection = relay.connect()
        connection.putrequest("POST", "/alertmanager")
        connection.putheader("Authorization", f"Bearer {relay.token}")
        connection.putheader("Content-Length", "10")
        connection.endheaders(b"12345")
        assert connection.getresponse().status == 408
        connection.close()


def test_a_changed_token_is_in_force_without_a_restart(tmp_path: Path) -> None:
    with RelayProcess(tmp_path) as relay:
        relay.token_file.write_text("another-one")
        assert relay.post(payload()).status == 401
        assert relay.post(payload(), token="another-one").status == 200
        relay.token_file.chmod(0o644)
        assert relay.post(payload(), token="another-one").status == 200
        assert relay.metric("relay_webhook_token_last_read_successful") == 0


CANARY = "tok-canary-9d3e5b7f1a"


def test_the_token_is_shown_nowhere(tmp_path: Path) -> None:
    with RelayProcess(tmp_path, token=CANARY, limits={"body_bytes": 50_000, "database_bytes": 1024 * 1024}) as relay:
        answers = [
            relay.post(payload()),
            relay.post(b"{nope"),
            relay.post(b"{}"),
            relay.post(b"x" * 60_000),
            relay.post(payload(), token=CANARY + "x"),
            relay.request("POST", "/alertmanager", b"{}", Authorization=f"Basic {CANARY}"),
            relay.request("PUT", "/alertmanager", b"{}", Authorization=f"Bearer {CANARY}"),
            relay.request("GET", "/nope", Authorization=f"Bearer {CANARY}"),
        ]
        raw = socket.create_connection(("127.0.0.1", relay.port))
        raw.sendall(f"NOT HTTP {CANARY}\r\nAuthorization: Bearer {CANARY}\r\n\r\n".encode())
        answers_raw = raw.recv(4096)
        raw.close()
        large = alert(annotations={"x": "y" * 40_000})  # forty of them: until the database is full
        answers += [relay.post(payload(large, groupKey=str(number))) for number in range(40)]
        assert answers[-1].status == 503
        relay.token_file.write_text(f"{CANARY} {CANARY}")
        answers += [relay.post(payload()), *map(relay.get, ("/", "/metrics", "/api/v1/messages", "/-/ready"))]
        files = {path: path.read_bytes() for path in tmp_path.glob("relay*")}
        process = Path(f"/proc/{relay.process.pid}")
        outside = [(process / name).read_bytes() for name in ("environ", "cmdline")]
        assert relay.stop() == 0
    files |= {path: path.read_bytes() for path in tmp_path.glob("relay*")}
    shown = [a.body + repr(a.headers).encode() for a in answers] + [answers_raw, *outside, *files.values()]
    assert len(files) >= 3
    assert not [text for text in shown if CANARY.encode() in text]


@pytest.mark.slow
def test_a_storm_of_groups_is_told_in_full_while_the_pages_answer(tmp_path: Path) -> None:
    with RelayProcess(tmp_path, limits={"history": 5000}) as relay:
        with ThreadPoolExecutor(8) as pool:
            answers = pool.map(
                lambda n: relay.post(payload(groupKey=f"storm-{n % 500}", receiver=str(n))).status, range(1000)
            )
            until(lambda: relay.get("/").status == relay.get("/metrics").status == 200)
            assert set(answers) == {200}
        until(lambda: relay.metric("relay_queue_depth") == 0, 60)
        assert relay.metric("relay_episodes_firing") == 1000
        began = time.monotonic()
        assert relay.stop() == 0
        assert time.monotonic() - began < 2
