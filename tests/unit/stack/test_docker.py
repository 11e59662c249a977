"""Whether the stack runs with Docker, and what is asked of Docker then."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stack import __main__ as command
from stack import docker
from stack.failures import StackError
from stack.settings import read_settings
from stack.signals import StopAsked

# a docker that notes what it is asked and answers from files beside it
FAKE = """#!/bin/sh
cd "$(dirname "$0")"
echo "$*" >>asked
case "$*" in
    "version "*) [ -e engine ] && cat engine ;;
    "compose version --short") [ -e compose ] && cat compose ;;
    *" config "*) echo '{"services": {"relay": {"ports": [{"published": "20102"}]}, "init": {}}}' ;;
    *" ps "*) [ -e running ] && cat running ;;
    *" up "*) [ ! -e fails ] ;;
    *" create "*) [ ! -e no_images ] ;;
    *) : ;;
esac
"""


class FakeDocker:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "docker").write_text(FAKE)
        (folder / "docker").chmod(0o755)

    def has(self, **files: str) -> None:
        for name, text in files.items():
            (self.folder / name).write_text(f"{text}\n")

    @property
    def asked(self) -> list[str]:
        path = self.folder / "asked"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    made = FakeDocker(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return made


class Pauses:
    """Signals that come when they are told to."""

    def __init__(self, *actions: Callable[[], None]) -> None:
        self._actions = list(actions)

    def pause(self, seconds: float) -> None:
        time.sleep(min(seconds, 0.005))
        if seconds == docker.LOOK_SECONDS and self._actions:
            self._actions.pop(0)()


def stop() -> None:
    raise StopAsked("Ctrl-C")


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"engine": "20.10.24", "compose": "2.26.1-4"}, ""),
        ({"engine": "28.0", "compose": "v2.39.1"}, ""),
        ({"engine": "28.0", "compose": "5.0.0"}, ""),
        ({"compose": "2.26.1"}, "no Docker engine answers"),
        ({"engine": "28.0"}, "Docker has no Compose (its package is docker-compose-plugin)"),
        ({"engine": "28.0", "compose": "2.19.1"}, "Compose is 2.19.1, and 2.20 or later is needed"),
        ({"engine": "28.0", "compose": "dev"}, "Docker has no Compose (its package is docker-compose-plugin)"),
    ],
    ids=["old engine", "v", "five", "no engine", "no Compose", "old Compose", "odd Compose"],
)
def test_docker_is_chosen_where_engine_and_compose_answer(fake: FakeDocker, files: dict[str, str], why: str) -> None:
    fake.has(**files)
    assert docker.choose({}) == why
    assert docker.choose({"STACK": ""}) == why


def test_without_docker_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert docker.choose({}) == "there is no Docker"


def test_native_asks_nobody(fake: FakeDocker) -> None:
    fake.has(engine="28.0", compose="2.39.1", running="x")
    assert docker.choose({"STACK": "native"}) == "STACK=native"
    assert docker.down({"STACK": "native"}) is False
    assert fake.asked == []


def test_docker_that_is_wanted_and_not_there_is_an_error(fake: FakeDocker) -> None:
    with pytest.raises(StackError, match=r"^STACK=docker, but no Docker engine answers$"):
        docker.choose({"STACK": "docker"})


def test_unknown_choice_names_the_choices(fake: FakeDocker) -> None:
    with pytest.raises(StackError, match=r"^STACK=podman: expected native or docker$"):
        docker.choose({"STACK": "podman"})


def test_table_shows_addresses_with_what_people_look_at_first_on_top() -> None:
    text = docker.table({"exporter": 10101, "grafana": 3000, "vault": 8200})
    lines = [line.split() for line in text.splitlines() if line]
    assert [line[0] for line in lines] == ["http://127.0.0.1:3000", "http://127.0.0.1:10101"]
    assert "docker compose logs init" in text


def test_ports_are_those_that_compose_makes_of_all_settings(fake: FakeDocker) -> None:
    assert docker.published() == {"relay": 20102}


def test_ctrl_c_stops_the_containers_and_keeps_them(fake: FakeDocker, capfd: pytest.CaptureFixture[str]) -> None:
    fake.has(running="0123")
    assert docker.run(Pauses(lambda: None, stop)) == 0  # type: ignore[arg-type]
    assert fake.asked[0].endswith("create --build")
    assert fake.asked[1].endswith("up --detach --wait --wait-timeout=180")
    assert fake.asked[-1].endswith("--profile * stop")
    out = capfd.readouterr().out
    assert "http://127.0.0.1:20102" in out
    assert out.index("Everything runs") < out.index("Stopping: Ctrl-C.") < out.index("Stopped; its data are kept.")


def test_end_from_elsewhere_ends_us_too(fake: FakeDocker, capfd: pytest.CaptureFixture[str]) -> None:
    fake.has(running="0123")
    assert docker.run(Pauses((fake.folder / "running").unlink)) == 0  # type: ignore[arg-type]
    assert "Stopped from elsewhere." in capfd.readouterr().out
    assert not any(asked.endswith("stop") for asked in fake.asked)


def test_start_that_fails_says_where_to_look_and_stops_the_rest(
    fake: FakeDocker, capfd: pytest.CaptureFixture[str]
) -> None:
    fake.has(fails="")
    assert docker.run(Pauses()) == 1  # type: ignore[arg-type]
    assert "docker compose up failed (exit code 1); see: make logs" in capfd.readouterr().out
    assert fake.asked[-1].endswith("stop")


def test_images_that_cannot_be_had_are_told_and_leave_nothing(fake: FakeDocker) -> None:
    fake.has(no_images="")
    with pytest.raises(docker.ImagesError, match="images cannot be fetched or built here, as Docker says above"):
        docker.run(Pauses())  # type: ignore[arg-type]
    assert fake.asked[-1].endswith("--profile * down")
    assert not any(" up " in asked for asked in fake.asked)


def test_without_images_it_goes_on_without_docker_unless_docker_is_wanted(
    fake: FakeDocker, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    fake.has(engine="28.0", compose="2.39.1", no_images="")
    monkeypatch.setattr(command, "_run_native", lambda settings, why: print(f"native: {why}") or 7)
    monkeypatch.setattr(command, "Signals", Pauses)
    monkeypatch.delenv("STACK", raising=False)
    assert command._up(read_settings()) == 7
    out = capfd.readouterr().out
    assert "Going on without Docker" in out
    assert "native: Docker's images cannot be had here" in out
    monkeypatch.setenv("STACK", "docker")
    with pytest.raises(docker.ImagesError):
        command._up(read_settings())


@pytest.mark.parametrize("running", [True, False], ids=["runs", "does not run"])
def test_down_removes_what_is_there(fake: FakeDocker, *, running: bool) -> None:
    fake.has(engine="28.0", compose="2.39.1", **({"running": "0123"} if running else {}))
    assert docker.down({}) is running
    assert any(asked.endswith("--profile * down") for asked in fake.asked) is running
