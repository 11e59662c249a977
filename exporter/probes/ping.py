"""The collector `ping`: latency and loss of hosts, as the rounds of the pinger found them."""

from itertools import accumulate
from typing import ClassVar, Final

from exporter.exposition import Block, Family, number
from exporter.probes.pinger import Pinger
from exporter.probes.rounds import EDGES, Target
from exporter.probes.rows import Lines, Subject, assemble

_BY_TARGET: Final = ("target",)
ROUND_TRIP: Final = Family(
    "host_ping_rtt_seconds",
    "histogram",
    "Round trips of the echo requests that were answered in time, from sending to the kernel's receipt.",
    _BY_TARGET,
)
# the samples of that histogram
_BUCKET: Final = ROUND_TRIP._replace(name=f"{ROUND_TRIP.name}_bucket", labels=("target", "le"))
_SUM: Final = ROUND_TRIP._replace(name=f"{ROUND_TRIP.name}_sum")
_COUNT: Final = ROUND_TRIP._replace(name=f"{ROUND_TRIP.name}_count")
_EDGE_LABELS: Final = (*(number(edge).decode() for edge in EDGES), "+Inf")
SENT: Final = Family(
    "host_ping_sent_total",
    "counter",
    "Echo requests sent whose round is over: what is not among host_ping_received_total is lost.",
    _BY_TARGET,
)
RECEIVED: Final = Family(
    "host_ping_received_total", "counter", "Echo requests that were answered within probes.ping.timeout.", _BY_TARGET
)
LATENCY: Final = Family(
    "host_ping_latency_seconds",
    "gauge",
    "Median round trip of the last round; absent while nothing answers.",
    _BY_TARGET,
)
JITTER: Final = Family(
    "host_ping_jitter_seconds",
    "gauge",
    "Mean difference between one round trip and the next in the last round; absent with fewer than two answers.",
    _BY_TARGET,
)
POSSIBLE: Final = Family(
    "host_ping_possible",
    "gauge",
    "1 where packets of the last round could be sent; 0 where this machine could not, which is no news of the target.",
    _BY_TARGET,
)
FAILURE: Final = Family(
    "host_ping_failure_info",
    "gauge",
    "1 for the reason why no packet of the last round was answered; absent while one is.",
    ("target", "reason"),
)
MODE: Final = Family(
    "host_ping_mode_info",
    "gauge",
    "1 for the kind of socket: datagram (net.ipv4.ping_group_range), raw (CAP_NET_RAW) or none: neither is allowed.",
    ("mode",),
)
LAST_ATTEMPT: Final = Family(
    "host_ping_last_attempt_timestamp_seconds",
    "gauge",
    "When the last round ended, seconds since the epoch.",
    _BY_TARGET,
)
IGNORED: Final = Family(
    "host_ping_ignored_replies_total",
    "counter",
    "Echo replies to our id that counted for nothing: duplicate, late or foreign (not from, or not what was asked).",
    ("reason",),
)


class Ping:
    """Latency and loss of hosts, by ICMP echo on a timer of its own: what has been counted up to the last round."""

    name: ClassVar[str] = "ping"
    families: ClassVar[tuple[Family, ...]] = (
        ROUND_TRIP,
        SENT,
        RECEIVED,
        LATENCY,
        JITTER,
        POSSIBLE,
        FAILURE,
        LAST_ATTEMPT,
        MODE,
        IGNORED,
    )
    blocking: ClassVar[bool] = False

    def __init__(self, pinger: Pinger) -> None:
        self._pinger = pinger
        self._targets = [_Rows(target) for target in pinger.targets]
        self._state: tuple[object, ...] = ()
        self._page: Block = b""

    def collect(self) -> Block:
        """Return the rows of every target that has had a round, and the mode."""
        pinger = self._pinger
        state = (sum(target.version for target in pinger.targets), pinger.mode, *pinger.ignored.values())
        if state != self._state:
            self._state, self._page = state, self._make()
        return self._page

    def _make(self) -> Block:
        mode = MODE.prefix((self._pinger.mode.value,)) + b"1\n"
        ignored = b"".join(IGNORED.prefix((why,)) + b"%d\n" % n for why, n in self._pinger.ignored.items())
        nothing = (b"",) * (len(self.families) - 2)
        return assemble(self.families, [*(target.lines() for target in self._targets), (*nothing, mode, ignored)])


class _Rows:
    """The rows of one target; made anew only when it has had another round."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._line = Subject(target.name).line
        self._version = -1
        self._lines: Lines = ()

    def lines(self) -> Lines:
        """Return the lines, in the order of the collector's families."""
        if self._version != self._target.version:
            self._version = self._target.version
            self._lines = self._make()
        return self._lines

    def _make(self) -> Lines:
        target, last, line = self._target, self._target.last, self._line
        if last is None:
            return (b"",) * len(Ping.families)
        was_sent = target.sent > 0
        return (
            self._histogram() if was_sent else b"",
            line(SENT, target.sent if was_sent else None),
            line(RECEIVED, target.received if was_sent else None),
            line(LATENCY, last.latency),
            line(JITTER, last.jitter),
            line(POSSIBLE, int(last.sent > 0)),
            b"" if last.reason is None else line(FAILURE, 1, last.reason.value),
            line(LAST_ATTEMPT, target.last_attempt),
            b"",  # the mode and what was ignored are nobody's
            b"",
        )

    def _histogram(self) -> bytes:
        target, line = self._target, self._line
        counts = zip(_EDGE_LABELS, (*accumulate(target.buckets), target.timed), strict=True)
        lines = [line(_BUCKET, count, edge) for edge, count in counts]
        return b"".join((*lines, line(_SUM, target.seconds), line(_COUNT, target.timed)))
