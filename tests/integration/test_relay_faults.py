"""Nothing is lost: alerts come and go while the relay, Slack, the disk or the clock fails at a random instant."""

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.alertmanager_like import Dispatcher, Group
from tests.support.client import until
from tests.support.disks import tmpfs
from tests.support.fake_slack import TOKEN, FakeSlack, Fault, SlackMessage
from tests.support.relay import RelayProcess

pytestmark = pytest.mark.slow

GROUPS = 4
STEPS = 12
COPY = "Sent again"


@contextmanager
def slack_fails(slack: FakeSlack, dice: random.Random, fault: Fault) -> Iterator[None]:
    """Let a random share of the calls fail for a while."""
    share = dice.choice((0.3, 1.0))
    slack.fault = lambda _method, _arguments: fault if dice.random() < share else None
    yield
    slack.fault = lambda _method, _arguments: None
    slack.released.set()


@contextmanager
def relay_dies(relay: RelayProcess, dice: random.Random) -> Iterator[None]:
    """Kill -9, once or twice, with a pause in which Alertmanager finds nobody."""
    for _ in range(dice.choice((1, 2))):
        relay.kill()
        time.sleep(dice.uniform(0, 0.2))
        relay.start()
        time.sleep(dice.uniform(0, 0.1))
    yield


@contextmanager
def disk_is_full(relay: RelayProcess, _dice: random.Random) -> Iterator[None]:
    """Fill the file system of the queue; what is taken is on disk, what does not fit is refused."""
    ballast = relay.database.parent / "ballast"
    with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):  # what is buffered fails at the end
        while True:
            file.write(b"\0" * 65536)
    yield
    ballast.unlink()


@contextmanager
def clock_jumps(relay: RelayProcess, dice: random.Random) -> Iterator[None]:
    """Move the relay's wall clock by hours, there and back."""
    relay.set_clock(dice.choice((-1, 1)) * dice.uniform(60, 40_000))
    yield
    relay.set_clock(0)


@contextmanager
def token_is_refused(slack: FakeSlack, _dice: random.Random) -> Iterator[None]:
    """Revoke the token for a while."""
    slack.tokens.clear()
    yield
    slack.tokens.add(TOKEN)


FAULTS: dict[str, Callable[[RelayProcess, FakeSlack, random.Random], object]] = {
    "relay killed": lambda relay, _slack, dice: relay_dies(relay, dice),
    "429": lambda _relay, slack, dice: slack_fails(slack, dice, Fault(status=429, retry_after=1, error="ratelimited")),
    "500": lambda _relay, slack, dice: slack_fails(slack, dice, Fault(status=500, html=True)),
    "internal_error": lambda _relay, slack, dice: slack_fails(slack, dice, Fault(error="internal_error")),
    "reset before": lambda _relay, slack, dice: slack_fails(slack, dice, Fault(cut="before")),
    "reset after": lambda _relay, slack, dice: slack_fails(slack, dice, Fault(cut="after")),
    "hang": lambda _relay, slack, dice: slack_fails(slack, dice, Fault(hang=1.5)),
    "disk full": lambda relay, _slack, dice: disk_is_full(relay, dice),
    "clock": lambda relay, _slack, dice: clock_jumps(relay, dice),
    "token refused": lambda _relay, slack, dice: token_is_refused(slack, dice),
}
# where Slack may have taken a call of which the relay does not know: only there may copies be
UNCLEAR = {"relay killed", "500", "internal_error", "reset before", "reset after", "hang"}


def settings(slack: FakeSlack, token_file: Path) -> dict[str, object]:
    return {
        "token_file": str(token_file),
        "channel": "#alerts",
        "api_url": slack.url,
        "timeout": 1,
        "retry_after": 0.02,
        "posts_per_second": 500,
        "burst": 50,
        "updates_per_minute": 30_000,
    }


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
    token = folder / "slack-token"
    token.touch(0o600)
    token.write_text(TOKEN)
    with (
        FakeSlack() as slack,
        RelayProcess(folder, slack=settings(slack, token)) as relay,
        Dispatcher(lambda: relay.port, relay.token) as alertmanager,
    ):
        groups = [alertmanager.add(Group(f"Trouble{number}", peers=dice.choice((1, 2)))) for number in range(GROUPS)]
        at = dice.randrange(STEPS)
        steps = happenings(groups, dice)
        for _ in range(at):
            next(steps)
            time.sleep(dice.uniform(0, 0.03))
        with FAULTS[name](relay, slack, dice):  # type: ignore[attr-defined]
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
