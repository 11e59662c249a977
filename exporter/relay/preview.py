"""What the log tells of a message when there is no Slack to send it to."""

from collections.abc import Callable

from exporter.logs import Log
from exporter.relay.message import render
from exporter.relay.storage import Told, Work

_log = Log("exporter.relay.preview")


class Preview:
    """Logs each message as it would be sent; `on_message` counts them."""

    def __init__(self, relay_url: str | None, on_message: Callable[[], None]) -> None:
        self._relay_url, self._on_message = relay_url, on_message

    def __call__(self, work: Work, told: Told) -> None:
        """Log what a piece of work comes to."""
        for telling in told.tellings:
            message = render(telling.episode, self._relay_url)
            self._on_message()
            _log.info(
                "message previewed",
                group=telling.episode.group_key,
                receiver=telling.episode.receiver,
                episode=telling.episode.number,
                status=telling.episode.status,
                alerts=sorted({alert.name for alert in telling.episode.alerts}),
                text=message.text,
                thread=[change.line.text for change, _ in telling.changes if not change.held],
                snapshots=len(work.snapshots),
            )
