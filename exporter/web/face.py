"""What is made when somebody asks for the first time: the pages for people and programs, beside /metrics."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from exporter.server.http import Handler, Reply, Request
from exporter.web.sources import Sources

if TYPE_CHECKING:
    from exporter.web.stream import Stream

API: Final = "/api"
STREAM: Final = "/api/v1/stream"
ASSETS: Final = "/dashboard"


class Face:
    """The REST API, the dashboard and its stream; imported when they are asked for, and not before."""

    def __init__(self, sources: Sources, landing: Handler) -> None:
        self._sources = sources
        self._landing = landing
        self._made: dict[str, Handler] = {}
        self._stream: Stream | None = None

    @property
    def handlers(self) -> dict[str, Handler]:
        """The handlers by path."""
        if not self._sources.dashboard.enabled:
            return {"/": self._landing, "/about": self._landing}
        return {"/": self._page, "/about": self._landing, STREAM: self._events}

    @property
    def below(self) -> dict[str, Handler]:
        """The handlers of all that stands below a path."""
        return {API: self._api, ASSETS: self._page} if self._sources.dashboard.enabled else {API: self._api}

    def close(self) -> None:
        """End what is open."""
        if self._stream is not None:
            self._stream.close()

    def _once(self, name: str, make: Callable[[], Handler]) -> Handler:
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    def _api(self, request: Request, reply: Reply) -> None:
        def make() -> Handler:
            from exporter.web.api import Api  # noqa: PLC0415 -- memory: for whoever asks only

            return Api(self._sources)

        self._once("api", make)(request, reply)

    def _page(self, request: Request, reply: Reply) -> None:
        from exporter.web import dashboard  # noqa: PLC0415 -- see above

        dashboard.serve(request, reply)

    def _events(self, request: Request, reply: Reply) -> None:
        def make() -> Handler:
            from exporter.web.stream import Stream  # noqa: PLC0415 -- see above

            self._stream = Stream(self._sources)
            return self._stream

        self._once("stream", make)(request, reply)
