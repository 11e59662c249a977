"""Resident memory with everything on: ours beside the three daemons that together do the same."""

import contextlib
import gzip
import http.client
import json
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlencode

from bench.access import HOST, TIMEOUT_SECONDS
from bench.failures import BenchError
from bench.measure import Step
from bench.peers import OURS_EVERYTHING, THREE, Sides
from bench.plan import Plan
from bench.process_scan import PEER as PROCESS_EXPORTER
from bench.processes import ADDRESS, Server
from bench.servers import start
from bench.summary import Record
from bench.watching import CHECKS, PINGED, PROCESSES, settings, sleepers

BLACKBOX: Final = "prometheus-blackbox-exporter"
MODULES: Final = {
    "http": {"prober": "http", "http": {"preferred_ip_protocol": "ip4"}},
    "tcp": {"prober": "tcp", "tcp": {"preferred_ip_protocol": "ip4"}},
    "ping": {"prober": "icmp", "icmp": {"preferred_ip_protocol": "ip4"}},
}
# of the processes that fill the machine; the peer has a group per name
_GROUPS: Final = "collectors:\n  process_groups:\n    groups: [{name: sleep, match: {name: sleep}}]\n"
_READY_SECONDS: Final = 30.0


class Question(NamedTuple):
    """What is asked of a server, and a line that its answer must hold."""

    port: int
    path: str
    line: bytes

    def ask(self) -> bytes:
        """Return the page. Raises BenchError when it lacks the line."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request("GET", self.path, headers={"Accept-Encoding": "gzip"})
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as err:
            raise BenchError(f"{self.path}: {err}") from err
        finally:
            connection.close()
        text = gzip.decompress(body) if answer.headers.get("Content-Encoding") == "gzip" else body
        if b"\n" + self.line not in text:
            raise BenchError(f"{self.path}: no line {self.line.decode()}: {text[-200:]!r}")
        return text


def missing() -> str:
    """Return why this machine cannot compare; empty where it can."""
    if os.geteuid() != 0:
        return "needs root"
    lacking = [program for program in (BLACKBOX, PROCESS_EXPORTER) if shutil.which(program) is None]
    return f"needs {' and '.join(lacking)}" if lacking else ""


def probes(port: int, asked: int) -> list[Question]:
    """Return the probes of `watching.settings(asked)` as blackbox_exporter at `port` is asked for them."""
    targets = [("http", f"http://{HOST}:{asked}/-/healthy")] * CHECKS
    targets += [("tcp", f"{HOST}:{asked}")] * CHECKS
    targets += [("ping", address) for address in PINGED]
    queries = [urlencode({"module": module, "target": target}) for module, target in targets]
    return [Question(port, f"/probe?{query}", b"probe_success 1\n") for query in queries]


def measure_everything(sides: Sides, folder: Path, plan: Plan, record: Record, step: Step) -> None:
    """Scrape all four, probes included, and read their memory; or keep the reason why that cannot be done here.

    Raises BenchError when one does not start or does not do its part.
    """
    if reason := missing():
        record.excuse(OURS_EVERYTHING, reason)
        return
    with contextlib.ExitStack() as stack:
        asked = start(stack, sides.quiet(), folder).server.port
        stack.enter_context(sleepers(PROCESSES))
        ours = start(stack, sides.watching(settings(asked) + _GROUPS, OURS_EVERYTHING), folder)
        node = start(stack, sides.theirs("three-node", "defaults", None), folder)
        blackbox, processes = _start_blackbox(stack, folder), _start_process_exporter(stack, folder)
        peers = (node.server, blackbox, processes)
        group = Question(processes.port, "/metrics", b'namedprocess_namegroup_num_procs{groupname="sleep"} ')
        questions = [*probes(blackbox.port, asked), group]
        _wait_for_probes(ours.server.port)
        for _ in range(plan.process_blocks):
            step("everything on")
            _scrape(
                [*questions, *(Question(one.server.port, "/metrics", b"node_load1 ") for one in (ours, node))], plan
            )
            record.add(OURS_EVERYTHING, "rss_everything", ours.server.memory()["rss"])
            record.add(THREE, "rss_everything", sum(server.memory()["rss"] for server in peers))


def _scrape(questions: Sequence[Question], plan: Plan) -> None:
    for _ in range(plan.everything_scrapes):
        for question in questions:
            question.ask()


def _wait_for_probes(port: int) -> None:
    """Return once ours has made every probe and looked at the processes. Raises BenchError when that takes too long."""
    deadline = time.monotonic() + _READY_SECONDS
    page = Question(port, "/metrics", b"node_load1 ")
    while True:
        text = page.ask()
        up = text.count(b"\nhost_service_up{") + text.count(b"\nhost_ping_latency_seconds{")
        if up == 2 * CHECKS + len(PINGED) and b'group="sleep"' in text:
            return
        if time.monotonic() > deadline:
            raise BenchError(f"hostwatch, everything: {up} of its probes are made after {_READY_SECONDS:g} s")
        time.sleep(0.5)


def _start_blackbox(stack: contextlib.ExitStack, folder: Path) -> Server:
    config = folder / "blackbox.yml"
    config.write_text(json.dumps({"modules": MODULES}))
    return _start(stack, folder, BLACKBOX, f"--config.file={config}")


def _start_process_exporter(stack: contextlib.ExitStack, folder: Path) -> Server:
    config = folder / "process-groups.yml"
    config.write_text("process_names:\n  - name: '{{.Comm}}'\n    cmdline: ['.+']\n")
    return _start(stack, folder, PROCESS_EXPORTER, f"--config.path={config}")


def _start(stack: contextlib.ExitStack, folder: Path, program: str, config: str) -> Server:
    argv = [program, config, f"--web.listen-address={ADDRESS}"]
    server = stack.enter_context(Server(program, argv, folder / f"{program}.log"))
    server.connect().close()
    return server
