"""Nothing is lost: alerts come and go while one of all that they pass fails at a random instant."""

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.alertmanager_like import Dispatcher, Group
from tests.support.client import until
from tests.support.disks import tmpfs
from tests.support.fake_slack import TOKEN, FakeSlack, Fault, SlackMessage
from tests.support.fake_vault import FakeVault
from tests.support.relay import RelayProcess
from tests.support.vault_world import vault_settings, write_secret

pytestmark = pytest.mark.slow

GROUPS = 4
STEPS = 12
COPY = "Sent again"
NEXT_TOKEN = "xoxb-2222222222-canary-next"


@dataclass
class Scene:
    """All that an alert passes on its way, and the dice of a run."""

    alertmanager: Dispatcher
    relay: RelayProcess
    slack: FakeSlack
    vault: FakeVault
    dice: random.Random


@contextmanager
def slack_fails(scene: Scene, fault: Fault) -> Iterator[None]:
    """Let a random share of the calls fail for a while."""
    slack, dice = scene.slack, scene.dice
    share = dice.choice((0.3, 1.0))
    slack.fault = lambda _method, _arguments: fault if dice.random() < share else None
    yield
    slack.fault = lambda _method, _arguments: None
    slack.released.set()


@contextmanager
def relay_dies(scene: Scene) -> Iterator[None]:
    """Kill -9, once or twice, with a pause in which Alertmanager finds nobody."""
    for _ in range(scene.dice.choice((1, 2))):
        scene.relay.kill()
        time.sleep(scene.dice.uniform(0, 0.2))
        scene.relay.start()
        time.sleep(scene.dice.uniform(0, 0.1))
    yield


@contextmanager
def alertmanager_dies(scene: Scene) -> Iterator[None]:
    """Kill it, once or twice: nothing comes for a while, and then all that fires, as nobody knows that it was told."""
    for _ in range(scene.dice.choice((1, 2))):
        with scene.alertmanager.killed():
            time.sleep(scene.dice.uniform(0, 0.2))
        time.sleep(scene.dice.uniform(0, 0.1))
    yield


@contextmanager
def vault_is_sealed(scene: Scene) -> Iterator[None]:
    """Seal it, while the token in memory stays good, or is replaced, or is gone since the relay starts anew."""
    scene.vault.sealed = True
    match scene.dice.choice(("stays", "is replaced", "is gone")):
        case "is replaced":
            scene.vault.write(bot_token=NEXT_TOKEN, channel="#alerts")
            scene.slack.tokens = {NEXT_TOKEN}
        case "is gone":
            assert scene.relay.stop() == 0
            scene.relay.start()
    yield
    scene.vault.sealed = False


@contextmanager
def disk_is_full(scene: Scene) -> Iterator[None]:
    """Fill the file system of the queue; what is taken is on disk, what does not fit is refused."""
    ballast = scene.relay.database.parent / "ballast"
    with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):  # what is buffered fails at the end
        while True:
            file.write(b"\0" * 65536)
    yield
    ballast.unlink()


@contextmanager
def clock_jumps(scene: Scene) -> Iterator[None]:
    """Move the relay's wall clock by hours, there and back."""
    scene.relay.set_clock(scene.dice.choice((-1, 1)) * scene.dice.uniform(60, 40_000))
    yield
    scene.relay.set_clock(0)


@contextmanager
def token_is_refused(scene: Scene) -> Iterator[None]:
    """Revoke the token for a while."""
    scene.slack.tokens.clear()
    yield
    scene.slack.tokens.add(TOKEN)


SEALED = "Vault sealed"
FAULTS: dict[str, Callable[[Scene], AbstractContextManager[None]]] = {
    "relay killed": relay_dies,
    "Alertmanager restart": alertmanager_dies,
    SEALED: vault_is_sealed,
    "429": lambda scene: slack_fails(scene, Fault(status=429, retry_after=1, error="ratelimited")),
    "500": lambda scene: slack_fails(scene, Fault(status=500, html=True)),
    "internal_error": lambda scene: slack_fails(scene, Fault(error="internal_error")),
    "reset before": lambda scene: slack_fails(scene, Fault(cut="before")),
    "reset after": lambda scene: slack_fails(scene, Fault(cut="after")),
    "hang": lambda scene: slack_fails(scene, Fault(hang=1.5)),
    "disk full": disk_is_full,
    "clock": clock_jumps,
    "token refused": token_is_refused,
}
# where Slack takes a call and its answer is lost: only there may copies be, one for each such answer. What Slack did
# not take is no copy when it comes again, whether or not the relay can know that
ANSWER_LOST = {"reset after", "hang"}
UNCLEAR = {"relay killed", *ANSWER_LOST}


def relay_with(folder: Path, slack: FakeSlack, vault: FakeVault | None) -> RelayProcess:
    """Return a relay that has its token from Vault, or from a file."""
    known: dict[str, object] = {
        "api_url": slack.url,
        "timeout": 1,
        "retry_after": 0.02,
        "posts_per_second": 500,
        "burst": 50,
        "posts_per_minute": 30_000,
        "updates_per_minute": 30_000,
    }
    if vault:
        vault.write(bot_token=TOKEN, channel="#alerts")
        waits = {"poll_interval": 0.2, "timeout": 0.5, "retry_after": 0.02}
        return RelayProcess(folder, slack=known, vault=vault_settings(vault, folder, **waits))
    token = write_secret(folder / "slack-token", TOKEN)
    return RelayProcess(folder, slack={**known, "token_file": str(token), "channel": "#alerts"})


def happenings(groups: list[Group], dice: random.Random) -> Iterator[None]:
    """Let alerts come and go."""
    for _ in range(STEPS):
        group = dice.choice(groups)
        firing = sorted(group.firing())
        if firing and dice.random() < 0.5:
            group.resolve(dice.choice(firing))
        else:
            group.fire(f"web-{dice.randrange(4)}", dice.choice(("warning", "critical")))
        yield


def newest_root(slack: FakeSlack, group: Group) -> SlackMessage | None:
    roots = [one for one in slack.roots() if group.key in one.text]
    return roots[-1] if roots else None


def equals(slack: FakeSlack, group: Group) -> bool:
    """Whether Slack shows for a group what Alertmanager knows."""
    root, firing = newest_root(slack, group), group.firing()
    if root is None:
        return not firing
    if not firing:
        return "RESOLVED" in root.text
    told = root.text + str(root.attachments)
    return "RESOLVED*" not in root.text and all(instance in told for instance in firing)


def run_once(seed: int, folder: Path) -> str:
    """One run with one fault, in a folder that can be filled; returns which."""
    dice = random.Random(seed)
    name = list(FAULTS)[seed % len(FAULTS)]
    with (
        FakeSlack() as slack,
        FakeVault() as vault,
        relay_with(folder, slack, vault if name == SEALED else None) as relay,
        Dispatcher(lambda: relay.port, relay.token) as alertmanager,
    ):
        groups = [alertmanager.add(Group(f"Trouble{number}", peers=dice.choice((1, 2)))) for number in range(GROUPS)]
        at = dice.randrange(STEPS)
        steps = happenings(groups, dice)
        for _ in range(at):
            next(steps)
            time.sleep(dice.uniform(0, 0.03))
        with FAULTS[name](Scene(alertmanager, relay, slack, vault, dice)):
            for _ in steps:
                time.sleep(dice.uniform(0, 0.03))
            time.sleep(dice.uniform(0, 0.3))
        until(alertmanager.settled, "Alertmanager has delivered everything", seconds=30, every=0.02)
        until(lambda: relay.metric("relay_queue_depth") == 0, f"{name}: the queue is empty", seconds=30, every=0.05)
        check(slack, groups, name, relay)
    return name


def check(slack: FakeSlack, groups: list[Group], name: str, relay: RelayProcess) -> None:
    for group in groups:
        assert equals(slack, group), (
            f"{name}, {group.key}: {group.history}, {group.firing()}, {newest_root(slack, group)}"
        )
    assert relay.metric("relay_dead_letters") == 0
    copies = slack.copies()
    if name not in UNCLEAR:
        assert not copies, f"{name}: {copies}"
    if name in ANSWER_LOST:
        assert not slack.unexplained(), f"{name}: {slack.unexplained()}"
    for copy in copies:
        assert COPY in copy.text + str(copy.attachments), copy
    # nothing but copies is there twice: each episode has one message
    deliveries = [one.delivery for one in slack.roots()]
    assert len(set(deliveries)) == len(deliveries) - len([one for one in copies if one.thread is None])


@pytest.mark.needs("root", "linux")
@pytest.mark.soak(200, 20)
def test_nothing_is_lost_whatever_fails(count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begun, runs = time.monotonic(), []
    for seed in range(count):
        with tmpfs(tmp_path / str(seed), "24m") as folder:
            runs.append(run_once(seed, folder))
    with capsys.disabled():
        print(f"\n{len(runs)} runs with a fault each, none lost, {time.monotonic() - begun:.0f} s: {sorted(set(runs))}")


def test_an_alertmanager_that_has_lost_its_log_changes_nothing_in_slack(tmp_path: Path) -> None:
    """It tells all that fires once more, and with it what has ended of late."""
    with (
        FakeSlack() as slack,
        relay_with(tmp_path, slack, None) as relay,
        Dispatcher(lambda: relay.port, relay.token) as alertmanager,
    ):

        def all_is_told() -> bool:
            return alertmanager.settled() and relay.metric("relay_queue_depth") == 0

        def received() -> float:
            return relay.metric("relay_webhook_requests_total")

        groups = [alertmanager.add(Group(f"Trouble{number}")) for number in range(GROUPS)]
        for group in groups:
            group.fire("web-1")
            group.fire("web-2")
        until(all_is_told, "both fire")
        for group in groups:
            group.resolve("web-1")
        groups[0].resolve("web-2")
        until(all_is_told, "one has ended, and a group")
        calls, before = len(slack.calls), received()
        with alertmanager.killed():
            pass
        until(lambda: received() >= before + GROUPS - 1, "what fires is told again")
        until(all_is_told, "the queue is empty")
        assert len(slack.calls) == calls
        assert all(equals(slack, group) for group in groups)
