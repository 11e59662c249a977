"""What a piece of work comes to: snapshots folded into episodes, and each change in words. Pure."""

from collections.abc import Callable
from typing import Final

from exporter.relay.episodes import Episode, apply
from exporter.relay.intake import ENDED_UNSAID, REPLAYED, Snapshot, parse_snapshot
from exporter.relay.lines import Change, changes, ended_unsaid, repeated
from exporter.relay.storage import Telling, Told, Waiting, Work

# notification_reason of Alertmanager 0.32 and later
_REPEAT: Final = "repeat interval elapsed"
# copies of one reminder come from a cluster's peers within this time (--cluster.peer-timeout is 15 s a peer)
COPIES_SECONDS: Final = 120.0


class Fold:
    """Folds pieces of work; `route` gives an episode's channel, None while nobody knows one."""

    def __init__(self, repeat_after: float, route: Callable[[Episode], str | None] = lambda _: None) -> None:
        self._repeat_after = repeat_after
        self._route = route

    def __call__(self, work: Work) -> Told:
        """Return the group after its snapshots, and each episode that changed or was told to go on."""
        group, told, tellings = work.group, work.told, dict[int, Telling]()
        for waiting in work.snapshots:
            snapshot = parse_snapshot(waiting.body)
            # what somebody replays is old, whenever that is: it undoes no end
            received = None if snapshot.notification_reason == REPLAYED else waiting.received
            after = apply(group, snapshot, received)
            episode = after.episode
            if episode is None:
                continue
            news = _news(group.episode, episode, snapshot, waiting) if after != group else []
            if not news and self._is_reminder(snapshot, episode, waiting.received, told):
                news = [repeated(episode, int(waiting.received * 1e9))]
            if news or after != group:
                tellings[episode.number] = self._telling(
                    tellings.get(episode.number), episode, waiting, news, changed=after != group
                )
            # other words alone are no line: nobody was told anything
            told = waiting.received if news else told
            group = after
        return Told(group=group, tellings=tuple(tellings.values()))

    def _telling(
        self, before: Telling | None, episode: Episode, waiting: Waiting, news: list[Change], *, changed: bool
    ) -> Telling:
        earlier = before.changes if before else ()
        return Telling(
            episode=episode,
            snapshot_id=waiting.id,
            received=waiting.received,
            changes=(*earlier, *((change, waiting.received) for change in news)),
            changed=changed or (before is not None and before.changed),
            destination=self._route(episode),
        )

    def _is_reminder(self, snapshot: Snapshot, episode: Episode, received: float, told: float | None) -> bool:
        """Say whether a snapshot without news is a repetition for people, and not a copy from a cluster's peer."""
        if episode.status != "firing" or snapshot.status != "firing" or told is None:
            return False
        if not any(alert.status == "firing" for alert in snapshot.alerts):
            return False
        if snapshot.notification_reason:
            return snapshot.notification_reason == _REPEAT and received - told >= COPIES_SECONDS
        return received - told >= self._repeat_after


def _news(before: Episode | None, after: Episode, snapshot: Snapshot, waiting: Waiting) -> list[Change]:
    """Return what a snapshot changed in words, and how it comes that nobody else said so."""
    news = changes(before, after)
    if news and snapshot.notification_reason == ENDED_UNSAID:
        news.append(ended_unsaid(after, int(waiting.received * 1e9)))
    return news
