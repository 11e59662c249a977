"""Every kind of service check against servers good and bad, beside blackbox_exporter asking the same."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from exporter.probes.attempt import PHASES, Reason
from tests.support.certificates import Authority
from tests.support.odd_certificates import server
from tests.support.service_cases import CASES
from tests.support.web_servers import serving, web

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.needs("linux", "root", "ip", "openssl", "blackbox_exporter")]

each = pytest.mark.parametrize("name", CASES)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What our checks and blackbox_exporter said of each case, in a network of its own."""
    command = [sys.executable, "-m", "tests.support.probe_world", str(tmp_path_factory.mktemp("world"))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 30
    assert {case.kind for case in CASES.values()} == {"http", "tcp", "tls", "dns"}


@each
def test_each_end_has_its_reason(world: dict[str, Any], name: str) -> None:
    ours = world["ours"][name]
    assert ours["reason"] == CASES[name].reason, ours
    assert (ours["outcome"] == "ok") is (CASES[name].reason is None)
    assert bool(ours["detail"]) is (ours["outcome"] != "ok"), "whoever reads the log learns what was wrong"


@each
def test_the_verdict_is_that_of_blackbox_exporter(world: dict[str, Any], name: str) -> None:
    theirs = "ok" if world["theirs"][name]["probe_success"] else "failed"
    if CASES[name].differs:  # the table in docs/service-checks.md says why; it must stay true
        assert world["ours"][name]["outcome"] != theirs
    else:
        assert world["ours"][name]["outcome"] == theirs


@each
def test_phases_add_up_to_the_whole(world: dict[str, Any], name: str) -> None:
    ours = world["ours"][name]
    assert list(ours["phases"]) == sorted(ours["phases"], key=PHASES.index) or CASES[name].kind != "http"
    assert 0 <= ours["seconds"] - sum(ours["phases"].values()) < 0.5


@each
def test_the_expiry_is_that_of_blackbox_exporter(world: dict[str, Any], name: str) -> None:
    ours, theirs = world["ours"][name], world["theirs"][name].get("probe_ssl_earliest_cert_expiry")
    if theirs is not None and ours["outcome"] == "ok":
        # ours counts the root too, where one was looked for: when it expires, all of it does
        assert ours["expiry"] in {theirs, min(theirs, world["root_expiry"])}


@pytest.mark.parametrize("name", ["expired", "an expired certificate", "starttls with an expired certificate"])
def test_a_certificate_that_is_refused_tells_when_it_expired(world: dict[str, Any], name: str) -> None:
    assert world["ours"][name]["expiry"] == 1609459200  # 2021-01-01, as the world makes it
    assert "probe_ssl_earliest_cert_expiry" not in world["theirs"][name]


def test_the_earliest_of_a_chain_counts(world: dict[str, Any]) -> None:
    ours = world["ours"]["a chain"]
    assert ours["covers"] == "chain"
    assert ours["expiry"] == min(world["root_expiry"], 1861920000)  # the root, or the link of 2029-01-01


def test_the_status_is_told_where_it_was_the_wrong_one(world: dict[str, Any]) -> None:
    assert world["ours"]["status 500"]["status"] == 500
    assert world["ours"]["redirect loop"]["status"] == 302
    assert world["ours"]["refused"]["status"] is None


_WITHOUT_SSL = """
from exporter.start import import_without
import_without("asyncio", "ssl")
import asyncio, sys
assert "ssl" not in sys.modules and asyncio.sslproto.ssl is None
from exporter.probes.tls import TlsCheck
from exporter.settings.checks import TlsSettings
from tests.support.checks import attempt, settings
check = TlsCheck(settings(TlsSettings, address=sys.argv[1], tls={"ca_file": sys.argv[2]}))
print(asyncio.run(attempt(check)).reason)
"""


def test_tls_is_checked_where_asyncio_knows_none(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")

    async def run() -> str:
        async with serving(web, context=server(authority.issue("good"))) as port:
            command = [sys.executable, "-c", _WITHOUT_SSL, f"localhost:{port}", str(authority.certificate)]
            child = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
            return (await asyncio.wait_for(child.communicate(), 20))[0].decode().strip()

    assert asyncio.run(run()) == "None"


def test_documents_list_every_difference() -> None:
    text = (ROOT / "docs/service-checks.md").read_text()
    rows = [
        line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ") and line.count("|") == 5
    ]
    listed = {row[0]: (row[1], row[2], row[3]) for row in rows[1:]}
    words = {"ok": "up", "failed": "down", "not_asked": "could not ask"}
    assert {name: (row[0], row[2]) for name, row in listed.items()} == {
        name: (words["ok" if case.reason is None else _outcome(case.reason)], case.differs)
        for name, case in CASES.items()
        if case.differs
    }


def _outcome(reason: str) -> str:
    return Reason(reason).outcome.value
