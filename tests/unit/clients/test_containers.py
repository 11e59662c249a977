"""Containers of an engine: few questions, right answers, one that the engine hangs on costs no other."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.clients.containers import NO_NAME, Container, Containers, is_image_id, parse_image
from exporter.clients.docker import EngineError
from tests.support.client import until
from tests.support.clock import Clock
from tests.support.fake_engine import (
    FakeContainer,
    FakeEngine,
    closing,
    every_state,
    failure,
    later,
    recorded,
    saying,
    silent,
    whole,
)


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeEngine]:
    with FakeEngine(tmp_path / "docker.sock", every_state()) as fake:
        yield fake


@pytest.fixture
def clock() -> Clock:
    return Clock(0.0)


@pytest.fixture
def containers(fake: FakeEngine, clock: Clock) -> Iterator[Containers]:
    containers = Containers(str(fake.path), clock=clock)
    yield containers
    containers.close()


def read(containers: Containers) -> dict[str, Container]:
    return {one.name: one for one in containers.read(5)}


def inspects(fake: FakeEngine) -> list[str]:
    """Return the names inspected since the last call."""
    asked, fake.asked[:] = list(fake.asked), []
    return [one.name for path in asked for one in fake.containers if path == f"/containers/{one.id}/json"]


def settle(fake: FakeEngine, containers: Containers) -> None:
    """Read until all is known and events come."""
    read(containers)
    until(lambda: fake._streams, "the stream")
    read(containers)
    assert len(set(inspects(fake))) == len(fake.containers)


def test_all_is_inspected_once_and_then_nothing_without_a_reason(fake: FakeEngine, containers: Containers) -> None:
    settle(fake, containers)
    first = containers.read(5)
    assert containers.read(5) is first, "nothing changed: the same object"
    assert inspects(fake) == []
    assert fake.count("stats") == 0


def test_event_has_that_container_inspected(fake: FakeEngine, containers: Containers) -> None:
    settle(fake, containers)
    fake.container("sick").restarts = 5  # state, exit code and health are as before
    fake.emit("start", "sick")
    detail = read(containers)["sick"].detail
    assert detail is not None
    assert detail.restarts == 5
    assert inspects(fake) == ["sick"]


def test_what_the_list_shows_needs_no_event(fake: FakeEngine, containers: Containers) -> None:
    settle(fake, containers)
    web = fake.container("web")
    web.state, web.status, web.exit_code = "exited", "Exited (9) Less than a second ago", 9
    detail = read(containers)["web"].detail
    assert detail is not None
    assert detail.state.exit_code == 9
    web.status, web.exit_code = "Exited (7) Less than a second ago", 7
    detail = read(containers)["web"].detail
    assert detail is not None
    assert detail.state.exit_code == 7


def test_time_that_passes_is_no_change(fake: FakeEngine, containers: Containers) -> None:
    settle(fake, containers)
    for status in ("Up 3 hours (healthy)", "Up 2 days (healthy)"):
        fake.container("web").status = status
        read(containers)
    assert inspects(fake) == []


def test_restarted_engine_has_all_inspected_again(fake: FakeEngine, containers: Containers) -> None:
    settle(fake, containers)
    fake.drop_all()
    fake.container("loop").restarts = 0
    read(containers)
    detail = read(containers)["loop"].detail
    assert detail is not None
    assert detail.restarts == 0
    assert len(inspects(fake)) == len(fake.containers)


def test_old_knowledge_is_refreshed_one_at_a_time(fake: FakeEngine, containers: Containers, clock: Clock) -> None:
    settle(fake, containers)
    clock.now += Containers.REFRESH_SECONDS + 1
    seen = []
    for _ in fake.containers:
        read(containers)
        seen += (once := inspects(fake))
        assert len(once) == 1
    assert sorted(seen) == sorted(one.name for one in fake.containers)


def test_removed_container_is_gone_at_once(fake: FakeEngine, containers: Containers) -> None:
    settle(fake, containers)
    fake.containers.remove(fake.container("web"))
    assert "web" not in read(containers)


def test_container_that_goes_between_list_and_inspect_has_no_rows(fake: FakeEngine, containers: Containers) -> None:
    fake.ill[f"/containers/{fake.container('web').id}"] = saying(failure("404 Not Found", "No such container"))
    found = read(containers)
    assert "web" not in found
    assert len(found) == len(fake.containers) - 1


def test_state_is_the_newer_one_of_list_and_inspect(fake: FakeEngine, containers: Containers) -> None:
    ended = FakeContainer("web", state="exited", exit_code=5)
    body = json.dumps(ended.inspected()).encode()
    fake.ill[f"/containers/{ended.id}"] = saying(whole(body))  # the list still says running
    assert read(containers)["web"].state == "exited"


def test_bad_answer_costs_that_container_its_details_only(
    fake: FakeEngine, containers: Containers, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    fake.ill[f"/containers/{fake.container('web').id}"] = saying(failure("500 Internal Server Error", "layer lost"))
    fake.ill[f"/containers/{fake.container('sick').id}"] = saying(whole(b'{"State":"running"}'))
    for _ in range(3):
        found = read(containers)
        assert {name for name, one in found.items() if one.detail is None} == {"web", "sick"}
        assert found["web"].state == "running"
    assert len(caplog.records) == 2, "each trouble is told once"
    fake.ill.clear()
    clock.now += Containers.RETRY_SECONDS
    assert read(containers)["web"].detail is not None


def test_container_that_the_engine_hangs_on_costs_no_other(
    fake: FakeEngine, containers: Containers, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Containers, "INSPECT_SECONDS", 0.15)
    fake.ill[f"/containers/{fake.container('quiet').id}"] = silent
    found = read(containers)
    assert set(found) == {one.name for one in fake.containers}, "the list is there"
    assert found["quiet"].detail is None
    found = read(containers)
    assert {name for name, one in found.items() if one.detail is None} == {"quiet"}
    start = time.monotonic()
    read(containers)
    assert time.monotonic() - start < 0.1, "not asked again at each scrape"
    fake.ill.clear()
    clock.now += Containers.RETRY_SECONDS
    assert read(containers)["quiet"].detail is not None


def test_question_that_comes_late_has_time_for_its_answer(
    fake: FakeEngine, containers: Containers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An engine that answers each question in time has none marked as hanging because the scrape's time was over."""
    monkeypatch.setattr(Containers, "INSPECT_SECONDS", 0.05)
    for one in fake.containers:
        fake.ill[f"/containers/{one.id}"] = later(0.04, whole(json.dumps(one.inspected()).encode()))
    for _ in fake.containers:
        found = read(containers)
    assert all(one.detail is not None for one in found.values())
    assert not caplog.records


def test_engine_that_ends_between_two_questions_leaves_the_list(fake: FakeEngine, containers: Containers) -> None:
    fake.ill["/containers/" + fake.container("web").id[:3]] = closing()
    found = read(containers)
    assert set(found) == {one.name for one in fake.containers}


def test_inspects_of_one_scrape_are_bounded_and_changes_go_first(fake: FakeEngine, containers: Containers) -> None:
    fake.containers = recorded(Containers.MAX_INSPECTS + 20)
    known = read(containers)
    assert sum(one.detail is not None for one in known.values()) == Containers.MAX_INSPECTS
    inspects(fake)
    fake.container("service-0003-replica").status = "Up 1 second (unhealthy)"
    assert all(one.detail is not None for one in read(containers).values())
    assert inspects(fake)[0] == "service-0003-replica"


def test_memory_of_removed_containers_is_forgotten(fake: FakeEngine, containers: Containers) -> None:
    for batch in range(5):
        fake.containers = [FakeContainer(f"job-{batch}-{number}") for number in range(30)]
        read(containers)
    assert len(containers._entries) == 30


def test_no_list_is_an_error(fake: FakeEngine, containers: Containers) -> None:
    fake.ill["/containers/json"] = saying(failure("500 Internal Server Error", "x"))
    with pytest.raises(EngineError, match="HTTP 500"):
        read(containers)


def test_events_that_are_forbidden_leave_what_the_list_shows(fake: FakeEngine, containers: Containers) -> None:
    fake.ill["/events"] = saying(failure("403 Forbidden", "x"))
    read(containers)
    until(lambda: read(containers) and containers._watch.trouble, "the refusal")
    fake.container("web").state, fake.container("web").status = "exited", "Exited (1) 1 second ago"
    found = read(containers)
    assert found["web"].state == "exited"
    assert found["web"].detail is not None


@pytest.mark.parametrize("state", ["configured", "initialized", "stopped", "stopping"])
def test_podmans_states_have_dockers_names(fake: FakeEngine, containers: Containers, state: str) -> None:
    fake.containers = [FakeContainer("pod", state=state)]
    wanted = {"configured": "created", "initialized": "created", "stopped": "exited", "stopping": "running"}
    assert read(containers)["pod"].state == wanted[state]


DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("nginx", ("nginx", "latest")),
        ("nginx:1.25.3", ("nginx", "1.25.3")),
        ("team/app:v2", ("team/app", "v2")),
        ("registry:5000/name", ("registry:5000/name", "latest")),
        ("registry:5000/team/name:tag", ("registry:5000/team/name", "tag")),
        ("localhost/app:latest", ("localhost/app", "latest")),
        (f"nginx@{DIGEST}", ("nginx", "sha256:0123456789ab")),
        (f"nginx:1.25@{DIGEST}", ("nginx", "1.25")),
        (f"registry:5000/team/name@{DIGEST}", ("registry:5000/team/name", "sha256:0123456789ab")),
    ],
)
def test_image_reference(reference: str, expected: tuple[str, str]) -> None:
    assert parse_image(reference) == expected


@pytest.mark.parametrize(
    ("reference", "is_id"),
    [
        (DIGEST, True),
        (DIGEST.removeprefix("sha256:"), True),
        ("0123456789ab", True),
        ("deadbeef0000", False),  # somebody's name
        ("0123", False),
        ("nginx", False),
    ],
)
def test_image_named_by_its_id(reference: str, is_id: bool) -> None:
    assert is_image_id(reference, DIGEST) is is_id


def test_image_whose_tag_went_to_a_newer_one_keeps_its_name(fake: FakeEngine, containers: Containers) -> None:
    moved = FakeContainer("old", image=DIGEST, asked_image="team/app:1.2")
    by_id = FakeContainer("by-id", image=DIGEST)
    fake.containers = [moved, by_id]
    found = read(containers)
    assert found["old"][2:4] == ("team/app", "1.2")
    assert found["by-id"][2:4] == (NO_NAME, by_id.image_id[:19])


def test_image_keeps_its_name_when_the_tag_moves_while_we_look(fake: FakeEngine, containers: Containers) -> None:
    assert read(containers)["web"][2:4] == ("registry:5000/team/app", "1.2")
    fake.container("web").image = DIGEST
    assert read(containers)["web"][2:4] == ("registry:5000/team/app", "1.2")


def test_container_without_a_name_has_no_rows(fake: FakeEngine, containers: Containers) -> None:
    body = [one.listed() for one in fake.containers]
    body[0]["Names"], body[1]["Names"], body[2]["Names"] = None, [], ["/another/alias"]
    import json

    fake.ill["/containers/json"] = saying(whole(json.dumps(body).encode()))
    assert set(read(containers)) == {one.name for one in fake.containers[3:]}
