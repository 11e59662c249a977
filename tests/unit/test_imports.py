"""Imports point one way, and `hostwatch serve` imports no more than it may: memory and start are decided there."""

import ast
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import exporter

ROOT = Path(exporter.__file__).parent

# the floors, from below; what stands on one floor does not import its neighbours, but where ALLOWED says so
FLOORS: tuple[tuple[str, ...], ...] = (
    ("exposition", "collector", "kernel", "logs", "settings", "clients"),
    ("history", "server", "processes"),
    ("collectors", "portable", "probes", "fleet", "drills"),
    ("web",),
    ("daemon", "relay", "doctor"),
    ("cli", "start"),
    ("__main__",),
)
FLOOR = {part: number for number, parts in enumerate(FLOORS) for part in parts}
# the ground floor's parts are small and know little of each other; probes use fleet's reader of the services API
ALLOWED = {("probes", "fleet"), ("clients", "logs"), ("clients", "settings"), ("collector", "exposition")}

# third-party packages that `hostwatch serve` may import, with zero settings
THIRD_PARTY = {"httptools", "isal", "msgspec"}
# parts of the standard library and of third parties that cost megabytes and that a daemon has no use for
NEVER = {
    "click",
    "yaml",
    "rich",
    "prometheus_client",
    "ssl",
    "email",
    "http.client",
    "http.server",
    "urllib.request",
    "unittest",
    "stringprep",  # what a name in letters beyond ASCII needs, with the tables of Unicode
    "multiprocessing",
    "sqlite3",
    "difflib",
    "pydoc",
    "starlette",
    "uvicorn",
    "jinja2",
    "exporter.relay",
    "exporter.web.api",  # what only people and programs ask for, not scrapers
    "exporter.web.stream",
    "exporter.web.dashboard",
    "exporter.web.answers",
}


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def part_of(module: str) -> str:
    """Return the part that a module name stands in; the package itself (its version) belongs to none."""
    return module.split(".")[1] if module.startswith("exporter.") else ""


def imported_by(path: Path) -> Iterator[str]:
    """Yield the names of all modules that a file imports, late and for types only too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def name_of(path: Path) -> str:
    return ".".join(("exporter", *path.relative_to(ROOT).with_suffix("").parts))


def test_every_part_has_its_floor() -> None:
    assert {part_of(name_of(path)) for path in modules()} - {"__init__"} <= FLOOR.keys()


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_point_down(path: Path) -> None:
    mine = part_of(name_of(path))
    if mine == "__init__":
        assert not [name for name in imported_by(path) if name.startswith("exporter")]
        return
    for name in imported_by(path):
        other = part_of(name)
        if not name.startswith("exporter") or other in {"", mine, "__version__"}:
            continue
        assert FLOOR[other] < FLOOR[mine] or (mine, other) in ALLOWED, f"{mine} imports {name}"


@pytest.mark.parametrize("path", [path for path in modules() if "collectors" in path.parts], ids=name_of)
def test_collectors_start_no_process_and_speak_no_protocol_of_the_web(path: Path) -> None:
    assert not {"subprocess", "requests", "httpx", "urllib", "http"} & {
        name.split(".")[0] for name in imported_by(path)
    }


@pytest.mark.parametrize(
    ("library", "module"),
    [
        ("psutil", "exporter.portable"),
        ("prometheus_client", "exporter.relay"),
        ("isal", "exporter.collectors.compression"),
        ("hvac", "exporter.relay.vault"),
        ("requests", "exporter.relay.vault_wire"),
        ("slack_sdk", "exporter.relay.slack"),
    ],
)
def test_library_sits_behind_its_one_module(library: str, module: str) -> None:
    users = {name_of(path) for path in modules() if library in {name.split(".")[0] for name in imported_by(path)}}
    assert {user for user in users if not user.startswith(module)} == set()


_CHILD = """
import os, sys
from exporter import start
leave = os._exit
def tell(code):
    print(*sys.modules, sep="\\n", flush=True)
    leave(code)
os._exit = tell
start.main(["listen=127.0.0.1:0"])
"""


@pytest.fixture(scope="module")
def imported() -> set[str]:
    """Every module of a `hostwatch serve` with zero settings, after a scrape."""
    command = [sys.executable, "-c", _CHILD]
    plain = {key: value for key, value in os.environ.items() if not key.startswith("COV")}  # coverage imports much
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT.parent, env=plain, stdout=pipe, stderr=pipe) as child:
        try:
            assert child.stderr is not None
            port = json.loads(child.stderr.readline())["port"]
            request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept-Encoding": "gzip"})
            urllib.request.urlopen(request, timeout=20).read()
            child.terminate()
            return set(child.communicate(timeout=20)[0].decode().split())
        finally:  # else whatever went wrong would wait for it for ever
            child.kill()


def test_serve_imports_only_the_third_party_packages_on_the_list(imported: set[str]) -> None:
    top = {name.split(".")[0] for name in imported}
    standard = sys.stdlib_module_names | {"__main__", "exporter"}
    # compiled parts of a wheel that stand beside its package, and what an editable install and coverage put there
    beside = {
        name for name in top if name.startswith(("_", "sitecustomize", "usercustomize", "cython_runtime", "coverage"))
    }
    assert top - standard - beside <= THIRD_PARTY


@pytest.mark.parametrize("module", sorted(NEVER))
def test_serve_does_not_import(imported: set[str], module: str) -> None:
    assert not {name for name in imported if name == module or name.startswith(module + ".")}
