"""No secret leaves the relay's memory on any path of errors: not into logs, pages or files, not into /proc."""

import base64
import os
import time
from collections.abc import Callable, Iterator, Sized
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.client import until
from tests.support.fake_slack import FakeSlack, Fault
from tests.support.fake_vault import FakeVault, VaultFault
from tests.support.relay import RelayProcess, alert, payload
from tests.support.vault_world import vault_settings, write_secret

pytestmark = pytest.mark.slow

BOT = "xoxb-1111-CANARY-bot-Jt5nWc8Rk2"
NEXT_BOT = "xoxb-2222-CANARY-next-Hq3mZb7Xv4"
BAD_BOT = "xoxb-3333-CANARY-bad-Yd6pLs9Gf1"
ROLE_ID = "CANARY-role-4c1d7f90b2e8"
SECRET_ID = "CANARY-secret-83b5e2a6f0d7"
DENIED_SECRET_ID = "CANARY-denied-61d9c4e7a2b3"
BEARER = "CANARY-bearer-f27a90c1d8e5"
STRAY_BEARER = "CANARY-stray-9e8d7c6b5a43"

PAGES = ("/", "/metrics", "/api/v1/messages", "/-/ready", "/-/healthy", "/nothing-here")


class Secrets:
    """What must not be found, and where it was looked for."""

    def __init__(self, *texts: str) -> None:
        self._texts = set(texts)

    def add(self, text: str) -> None:
        self._texts.add(text)

    def forms(self) -> set[bytes]:
        """Return every secret as it is, its second half, and as some encodings write it."""
        out: set[bytes] = set()
        for text in self._texts:
            data = text.encode()
            out |= {data, data[len(data) // 2 :], data[::-1], quote(text, safe="").encode(), data.hex().encode()}
            # base64 has three forms, by where the text begins; the ends depend on what stands around it
            out |= {base64.b64encode(b"\0" * shift + data)[8:-8] for shift in range(3)}
        return out

    def check(self, where: str, data: bytes | str) -> None:
        data = data.encode(errors="surrogateescape") if isinstance(data, str) else data
        for form in self.forms():
            at = data.find(form)
            assert at < 0, f"{where}: {data[max(0, at - 200) : at + 100]!r}"


def echo(status: int) -> VaultFault:
    return VaultFault(status, echo=True)


# each answers with what it was sent, or with a secret where none belongs
VAULT_FAULTS: dict[str, VaultFault] = {
    **{f"echo {status}": echo(status) for status in (400, 401, 403, 404, 405, 412, 429, 472, 473, 500, 501, 502, 503)},
    "redirect": VaultFault(307, location=f"http://127.0.0.1:9/{SECRET_ID}?t={BOT}"),
    "page": VaultFault(500, body=f"<html>{BOT} {SECRET_ID} {ROLE_ID}</html>".encode()),
    "page as success": VaultFault(body=f"<html>{BOT} {SECRET_ID}</html>".encode()),
    "other JSON": VaultFault(body=f'{{"auth": "{SECRET_ID}", "data": "{BOT}"}}'.encode()),
    "odd JSON": VaultFault(body=f'{{"auth": {{"client_token": ["{BOT}"]}}, "data": {{"data": ["{BOT}"]}}}}'.encode()),
    "errors of a kind": VaultFault(400, body=f'{{"errors": {{"{SECRET_ID}": "{BOT}"}}}}'.encode()),
    "reset": VaultFault(cut=True),
    "silent": VaultFault(hang=30),
    "dripping": VaultFault(drip=0.2),
}

SLACK_FAULTS: dict[str, Fault] = {
    "echo as code": Fault(error=BOT),
    "echo behind a word": Fault(error=f"invalid_auth:{BOT}"),
    "echo in a sentence": Fault(error=f"the token {BOT} is not good"),
    "echo cut": Fault(error="x" * 70 + BOT),
    "invalid_auth": Fault(error="invalid_auth"),
    "missing_scope": Fault(error="missing_scope"),
    "channel": Fault(error="channel_not_found"),
    "payload": Fault(error="invalid_blocks"),
    "internal": Fault(error="internal_error"),
    "429": Fault(status=429, retry_after=1, error="ratelimited"),
    "500": Fault(status=500, html=True),
    "503 with a code": Fault(status=503, error=BOT),
    "page": Fault(html=True),
    "reset before": Fault(cut="before"),
    "reset after": Fault(cut="after"),
    "silent": Fault(hang=3),
}


class Bench:
    """A relay at its most talkative, with everything around it that knows a secret."""

    def __init__(self, folder: Path, slack: FakeSlack, vault: FakeVault) -> None:
        self.folder, self.slack, self.vault = folder, slack, vault
        self.secrets = Secrets(BOT, NEXT_BOT, BAD_BOT, ROLE_ID, SECRET_ID, DENIED_SECRET_ID, BEARER, STRAY_BEARER)
        waits = {"poll_interval": 0.05, "timeout": 0.3, "retry_after": 0.005}
        self.relay = RelayProcess(
            folder / "state",
            token=BEARER,
            log={"level": "debug"},
            slack={
                "api_url": slack.url,
                "timeout": 1,
                "retry_after": 0.01,
                "posts_per_second": 500,
                "burst": 50,
                "posts_per_minute": 30_000,
                "updates_per_minute": 30_000,
            },
            vault=vault_settings(vault, folder / "secrets", **waits),
        )
        self._number = 0

    def post(self) -> None:
        self._number += 1
        assert self.relay.post(payload(alert(f"Trouble{self._number}"))).status == 200

    def settled(self) -> None:
        until(lambda: self.relay.metric("relay_queue_depth") == 0, "all is folded", seconds=20)
        until(lambda: self.relay.metric('relay_vault_state{state="ok"}') == 1, "Vault is well", seconds=20)

    def check_pages(self, when: str) -> None:
        for page in PAGES:
            self.secrets.check(f"{when}: {page}", self.relay.get(page).body)

    def check_all(self) -> None:
        """Look everywhere."""
        for token in list(self.vault.tokens):
            self.secrets.add(token)
        pid = self.relay.process.pid
        self.check_pages("at the end")
        for name in ("cmdline", "environ", "comm", "status", "maps"):
            self.secrets.check(f"/proc/{pid}/{name}", Path(f"/proc/{pid}/{name}").read_bytes())
        files = [path for path in self.folder.rglob("*") if path.is_file() and path.parent != self.folder / "secrets"]
        names = {path.name for path in files}
        assert {"relay.db", "relay.db-wal", "relay.log"} <= names, names
        for path in files:
            self.secrets.check(f"name of {path}", str(path))
            if path != self.relay.token_file:  # that is where it comes from
                self.secrets.check(str(path), path.read_bytes())


@pytest.fixture
def bench(tmp_path: Path, environment_kept: None) -> Iterator[Bench]:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    # whatever anybody puts aside is put there, and Python tells what it can
    os.environ.update({"TMPDIR": str(temporary), "PYTHONWARNINGS": "default", "PYTHONASYNCIODEBUG": "1"})
    with FakeSlack() as slack, FakeVault() as vault:
        slack.tokens = {BOT, NEXT_BOT}
        vault.role.role_id = ROLE_ID
        vault.new_secret_id = lambda uses=0, value="": FakeVault.new_secret_id(vault, uses, value or SECRET_ID)  # type: ignore[method-assign]
        vault.write(bot_token=BOT, channel="#alerts")
        yield Bench(tmp_path, slack, vault)


def more_than(count: int, calls: Sized) -> bool:
    return len(calls) > count


def vault_fails(bench: Bench) -> None:
    """Let Vault fail in every way, for a token that is in force and for one that has to be got anew."""
    for name, fault in VAULT_FAULTS.items():
        for lose_token in (False, True):
            bench.secrets.check(name, bench.relay.log())
            for token in list(bench.vault.tokens):
                bench.secrets.add(token)
            if lose_token:
                bench.vault.revoke_tokens()
            before = len(bench.vault.requests)
            bench.vault.fault = lambda _request, fault=fault: fault  # type: ignore[misc]
            until(partial(more_than, before + 1, bench.vault.requests), f"{name}: it tries", seconds=20)
            bench.check_pages(name)
            bench.vault.fault = lambda _request: None
            until(lambda: bench.relay.metric('relay_vault_state{state="ok"}') == 1, f"{name}: it recovers", seconds=20)


def slack_fails(bench: Bench) -> None:
    """Let Slack fail in every way: posts, updates, and auth.test of a new token."""
    for name, fault in SLACK_FAULTS.items():
        before = len(bench.slack.calls)
        bench.slack.fault = lambda _method, _arguments, fault=fault: fault  # type: ignore[misc]
        bench.post()
        bench.vault.write(bot_token=NEXT_BOT if name != "429" else BOT, channel="#alerts")
        until(partial(more_than, before + 1, bench.slack.calls), f"{name}: it calls", seconds=20)
        bench.check_pages(name)
        bench.slack.fault = lambda _method, _arguments: None
        bench.settled()


def secrets_stand_in_wrong_places(bench: Bench) -> None:
    """Write secrets where none belong, and tokens that are none."""
    for data in (
        {"bot_token": f"{BAD_BOT} {BOT}"},
        {"bot_token": BAD_BOT, "channel": "#alerts"},
        {"bot_token": BOT, "channel": NEXT_BOT},
        {"bot_token": BOT, "channels": f'{{"slack": "{NEXT_BOT}"}}'},
        {"bot_token": BOT, "channels": f'{{"slack": {NEXT_BOT}'},
        {"bot_token": [BOT]},
        {BOT: BOT},
    ):
        bench.vault.write(**data)
        until(lambda: bench.relay.metric('relay_vault_state{state="ok"}') == 0, "it is told", seconds=20)
        bench.check_pages(str(data))
        bench.post()
    bench.vault.write(bot_token=BOT, channel="#alerts")
    bench.settled()


def credentials_are_denied(bench: Bench) -> None:
    """Let a login be denied, and files be what they should not."""
    file = bench.folder / "secrets" / "secret-id"
    for text in (DENIED_SECRET_ID, f"{SECRET_ID} {SECRET_ID}", f"{SECRET_ID}\u00e9"):
        file.write_text(text)
        bench.vault.revoke_tokens()
        until(lambda: bench.relay.metric('relay_vault_state{state="ok"}') == 0, "it is denied", seconds=20)
        bench.check_pages("denied")
    file.write_text(SECRET_ID)
    bench.settled()


def webhooks_are_bad(bench: Bench) -> None:
    """Send webhooks with bearers of others, with bodies that are none, and none at all."""
    for token, body in ((STRAY_BEARER, b"{}"), (BEARER, b"{"), (BEARER, b"\xff"), (f"{BEARER} x", b"{}")):
        answer = bench.relay.post(body, token)
        bench.secrets.check("answer to a webhook", answer.body + str(answer.headers).encode())
    connection = bench.relay.connect()
    connection.putrequest("POST", "/alertmanager")
    connection.putheader("Authorization", f"Bearer {BEARER}")
    connection.putheader("Content-Length", "100")
    connection.endheaders(b"half")
    connection.close()
    bench.relay.request("GET", "/" + STRAY_BEARER, Authorization=f"Bearer {STRAY_BEARER}")
    bench.relay.token_file.chmod(0o644)
    bench.relay.post(payload())
    bench.relay.token_file.chmod(0o600)


ERRORS: dict[str, Callable[[Bench], None]] = {
    "Vault fails": vault_fails,
    "Slack fails": slack_fails,
    "secrets in wrong places": secrets_stand_in_wrong_places,
    "credentials are denied": credentials_are_denied,
    "webhooks are bad": webhooks_are_bad,
}


@pytest.mark.needs("linux")
@pytest.mark.parametrize("happens", ERRORS.values(), ids=ERRORS)
def test_no_secret_is_anywhere_but_in_memory(bench: Bench, happens: Callable[[Bench], None]) -> None:
    with bench.relay as relay:
        bench.post()
        bench.settled()
        happens(bench)
        bench.post()
        bench.settled()
        until(lambda: len(bench.slack.roots()) > 0, "it still works")
        bench.check_all()
        # an end that nobody asked for leaves no more than the others
        relay.kill()
        relay.start()
        bench.settled()
        bench.check_all()
        limits = Path(f"/proc/{relay.process.pid}/limits").read_text()
        core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
        assert core.split()[4:6] == ["0", "0"]
        assert relay.stop() == 0
    bench.secrets.check("the log", relay.log())
    # what libraries say at DEBUG was looked through, too
    assert '"logger": "urllib3.connectionpool"' in relay.log()


def test_the_check_itself_finds_what_is_there() -> None:
    secrets = Secrets(SECRET_ID, BOT)
    for data in (f"x{SECRET_ID}y", BOT[len(BOT) // 2 :], base64.b64encode(f"1{BOT}".encode()), BOT.encode().hex()):
        with pytest.raises(AssertionError):
            secrets.check("here", data)
    secrets.check("here", "nothing")


def test_a_token_file_is_as_safe(tmp_path: Path) -> None:
    """The other source of tokens, through the same faults of Slack."""
    with FakeSlack() as slack:
        slack.tokens = {BOT}
        token = write_secret(tmp_path / "secrets" / "slack-token", BOT)
        settings: dict[str, Any] = {"api_url": slack.url, "channel": "#alerts", "timeout": 1, "retry_after": 0.01}
        relay = RelayProcess(
            tmp_path / "state", token=BEARER, log={"level": "debug"}, slack={**settings, "token_file": str(token)}
        )
        secrets = Secrets(BOT, BEARER, BAD_BOT)
        with relay:
            for number, fault in enumerate(SLACK_FAULTS.values()):
                before = len(slack.calls)
                slack.fault = lambda _method, _arguments, fault=fault: fault  # type: ignore[misc]
                relay.post(payload(alert(f"Trouble{number}")))
                until(partial(more_than, before, slack.calls), "it calls", seconds=20)
                slack.fault = lambda _method, _arguments: None
            token.write_text(f"{BAD_BOT}\n")
            until(lambda: "was refused" in relay.log() or "Slack refuses the token" in relay.log(), "it is told")
            token.write_text(f"{BOT} {BAD_BOT}\n")
            until(lambda: "expected one token" in relay.log(), "it is told")
            for page in PAGES:
                secrets.check(page, relay.get(page).body)
            begun = time.monotonic()
        assert time.monotonic() - begun < 10
        for path in (tmp_path / "state").iterdir():
            if path != relay.token_file:
                secrets.check(str(path), path.read_bytes())
