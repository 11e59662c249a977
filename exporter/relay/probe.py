"""`hostwatch relay test`: one marked message all the way to Slack and resolved there, each step with its time."""

import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from exporter.logs import Secret
from exporter.relay.client import AnswerError, NotRunningError, RelayClient, wait_for
from exporter.relay.settings import Relay
from exporter.relay.token import TokenError, read_token

ALERT: Final = "HostwatchTest"
START_SECONDS: Final = 15.0
# so long a relay of the test's own is left to resolve a message whose test failed or was interrupted
END_SECONDS: Final = 5.0


class StepError(Exception):
    """A step failed; the text says how. `code` is the command's exit code."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


class Probe:
    """One test. `arguments` are those that give `hostwatch relay` the same settings, `say` prints a line."""

    def __init__(
        self, settings: Relay, arguments: Sequence[str], say: Callable[[str], None], *, receiver: str, seconds: float
    ) -> None:
        self._settings, self._arguments, self._say = settings, arguments, say
        self._receiver, self._seconds = receiver, seconds
        self._id = secrets.token_hex(4)
        self._group = f'hostwatch-test:{{id="{self._id}"}}'
        self._began = datetime.now(UTC)

    def run(self) -> int:
        """Go all steps; return 0 if all went well, 1 for a step that failed, 2 for settings that cannot be used."""
        try:
            token = self._step("token file", self._token)
            with _ended_in_order(), self._relay(token) as (relay, own):
                self._way(relay, own=own)
        except StepError as err:
            return err.code
        return 0

    def _way(self, relay: RelayClient, *, own: bool) -> None:
        self._step("Alertmanager's POST accepted", lambda: self._post(relay, resolved=False))
        try:
            self._step("stored and read", lambda: self._read(relay))
            self._step("token source", lambda: self._source(relay))
            self._step("Slack's auth.test", lambda: _auth_test(relay))
            self._step("posted", lambda: self._shown(relay, "firing"))
        except BaseException:
            # Slack may show it all the same, or later: whatever ends the test, it must not stay red
            self._resolve(relay)
            if own:
                self._wait_for_end(relay)
            raise
        self._resolve(relay)
        self._step("updated", lambda: self._shown(relay, "resolved"))

    def _resolve(self, relay: RelayClient) -> None:
        self._step("resolved sent", lambda: self._post(relay, resolved=True))

    def _wait_for_end(self, relay: RelayClient) -> None:
        """Give a relay that ends with the test a moment to tell Slack that all is over."""
        with suppress(StepError, AnswerError, NotRunningError):
            self._shown(relay, "resolved", END_SECONDS)

    def _step(self, name: str, do: Callable[[], Any]) -> Any:  # noqa: ANN401 -- what the step gives
        began = time.monotonic()
        try:
            result, words = do()
        except (StepError, TokenError, AnswerError, NotRunningError) as err:
            self._tell("FAILED", name, began, str(err))
            if isinstance(err, StepError):
                raise
            raise StepError(str(err), 2 if isinstance(err, TokenError) else 1) from err
        self._tell("ok", name, began, words)
        return result

    def _tell(self, mark: str, name: str, began: float, words: str) -> None:
        self._say(f"{mark:6}  {name:28}  {(time.monotonic() - began) * 1000:7.0f} ms  {words}".rstrip())

    def _token(self) -> tuple[Secret, str]:
        path = self._settings.token_file
        if path is None:
            raise StepError("token_file: not set; name the file that holds the webhook's token", 2)
        return read_token(Path(path)), path

    @contextmanager
    def _relay(self, token: Secret) -> Iterator[tuple[RelayClient, bool]]:
        """Yield the relay that runs; where none does, one of our own for the time of the test, and True."""
        relay = RelayClient(self._settings.listen, token)
        if self._step("relay", lambda: self._running(relay)):
            yield relay, False
            return
        with tempfile.TemporaryDirectory(prefix="hostwatch-relay-test-") as name:
            folder = Path(name)
            with _started(self._arguments, folder) as address:
                own = RelayClient(address, token)
                self._step("started for this test", lambda: _healthy(own, address, folder / "log"))
                yield own, True

    def _running(self, relay: RelayClient) -> tuple[bool, str]:
        if relay.is_running():
            return True, f"runs on {self._settings.listen}"
        return False, "none runs: this command starts one with a queue of its own"

    def _post(self, relay: RelayClient, *, resolved: bool) -> tuple[None, str]:
        relay.post("/alertmanager", self._payload(resolved=resolved))
        return None, f"receiver {self._receiver!r}"

    def _payload(self, *, resolved: bool) -> dict[str, Any]:
        now = datetime.now(UTC).isoformat()
        status = "resolved" if resolved else "firing"
        labels = {"alertname": ALERT, "instance": socket.gethostname(), "severity": "info"}
        alert = {
            "status": status,
            "labels": labels,
            "annotations": {
                "summary": "This is a test of the way from Alertmanager to Slack. Nothing is wrong.",
                "description": f"Sent by `hostwatch relay test`, number {self._id}; it resolves by itself.",
            },
            "startsAt": self._began.isoformat(),
            "endsAt": now if resolved else "0001-01-01T00:00:00Z",
            "fingerprint": self._id,
        }
        return {
            "version": "4",
            "groupKey": self._group,
            "receiver": self._receiver,
            "status": status,
            "alerts": [alert],
            "groupLabels": {"alertname": ALERT},
        }

    def _message(self, relay: RelayClient) -> dict[str, Any] | None:
        found = relay.get(f"/api/v1/messages?limit=500&group={quote(self._group)}")["messages"]
        return found[0] if found else None

    def _read(self, relay: RelayClient) -> tuple[None, str]:
        if wait_for(lambda: self._message(relay), self._seconds) is None:
            raise StepError("it is on disk, and was not read in time: see /-/ready and the relay's log")
        return None, ""

    def _source(self, relay: RelayClient) -> tuple[None, str]:
        def found() -> dict[str, Any] | None:
            status = relay.get("/api/v1/status")
            if status["mode"] == "preview":
                raise StepError(
                    "preview: no slack.token_file and no vault is set; the message is on the relay's page only"
                )
            token: dict[str, Any] = status["token"]
            return token if token["present"] else None

        token = wait_for(found, self._seconds)
        if token is None:
            raise StepError(f"no token: {relay.get('/api/v1/status')['token']['text']}")
        return None, token["text"]

    def _shown(self, relay: RelayClient, status: str, seconds: float | None = None) -> tuple[None, str]:
        """Wait until Slack shows the message in this state."""
        seconds = self._seconds if seconds is None else seconds

        def delivered() -> dict[str, Any] | None:
            message = self._message(relay)
            return message if message and message["delivered"] and message["status"] == status else None

        message = wait_for(delivered, seconds)
        if message is None:
            slack = relay.get("/api/v1/status").get("slack", {})
            raise StepError(f"not within {seconds:g} s; Slack's last error: {slack.get('last_error', 'none')}")
        return None, f"in {message['channel']}"


def _auth_test(relay: RelayClient) -> tuple[None, str]:
    answer = relay.post("/api/v1/auth-test", {})
    if not answer["ok"]:
        raise StepError(f"Slack says {answer['error']}")
    return None, f"{answer['user']} in {answer['team']}, {answer['url']}"


def _healthy(relay: RelayClient, address: str, log: Path) -> tuple[None, str]:
    if not wait_for(relay.is_running, START_SECONDS):
        raise StepError(f"it does not answer: {_last_line(log)}")
    return None, address


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a test as Ctrl-C does: its message is resolved, and no relay of its own stays."""

    def end(number: int, _: object) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _started(arguments: Sequence[str], folder: Path) -> Iterator[str]:
    """Run `hostwatch relay` on a free port, its queue in `folder`; yields its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "exporter", "relay", *arguments, "--listen", address]
    command += ["--database", str(folder / "relay.db")]
    with (
        (folder / "log").open("wb") as log,
        # in a group of its own: Ctrl-C at a terminal ends the test, which resolves its message through this relay
        subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL, process_group=0) as child,  # noqa: S603 -- ourselves
    ):
        try:
            yield address
        finally:
            child.terminate()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return lines[-1][:500] if lines else "its log is empty"
