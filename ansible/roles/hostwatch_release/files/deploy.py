"""What Ansible does on a machine in one go: begin a change, put it in force, keep it or undo it.

    deploy.py look JSON                          what is in force; changes nothing
    deploy.py begin JSON                         make folders, remember unit, files, links; undo all unless kept in time
    deploy.py activate UNIT RELEASE URL          links, restart, wait until systemd calls it ready
    deploy.py steady UNIT SECONDS                wait until it has run for so long without an end
    deploy.py keep UNIT [FILE...]                no undoing any more; old releases go; the command hostwatch leads there
    deploy.py undo UNIT                          back to what begin found, running as it was

JSON is an object with unit, user, folders, files, seconds. Each prints one JSON object. The undoing runs on this
machine, by a timer of systemd: a control machine that is cut off leaves nothing half done. Standard library only.
"""

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import platform
import pwd
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

# a first run comes through standard input, as TEXT; from then on this file stands in ROOT
TEXT = str(globals().get("TEXT") or Path(__file__).read_text())
ROOT = Path(os.environ.get("HOSTWATCH_DEPLOY_ROOT") or Path(__file__).resolve().parent)
# a change under way, and what it began with: in memory only, for it holds credentials
RUN = Path(os.environ.get("HOSTWATCH_DEPLOY_RUN", "/run/hostwatch-deploy"))
# what people and runbooks call
COMMAND = Path(os.environ.get("HOSTWATCH_DEPLOY_COMMAND", "/usr/local/bin/hostwatch"))
COMMAND_SECONDS = 120
# VERSION-DIGEST, as wheelhouse.py names a release: what has another name in ROOT is not ours to remove
_RELEASE = re.compile(r"[\w.+!-]+-[0-9a-f]{8}")
_OUR_LINK = re.compile(r"/(?:.+/)?hostwatch/(?:current|relay)/bin/hostwatch")


class DeployError(Exception):
    """What failed, for a person."""


def main() -> None:
    """Run the command that the arguments name."""
    # a session that is cut off ends us in order
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit("interrupted"))
    # a stricter one of the machine would keep the unit's user out of the folders that are made here
    os.umask(0o022)
    command, *arguments = sys.argv[1:]
    try:
        _refuse_shared_root()
        print(json.dumps(COMMANDS[command](*arguments)))
    except (DeployError, OSError, subprocess.SubprocessError) as err:
        sys.exit(str(err))


def _refuse_shared_root() -> None:
    if not ROOT.is_absolute() or ROOT.name != "hostwatch":
        raise DeployError(f"{ROOT}: expected a folder of its own whose name is hostwatch, such as /opt/hostwatch")


def look(given: str) -> dict[str, object]:
    """Return what runs, whether it is what was last put in force, and what `begin` would make; reads only."""
    wanted = json.loads(given)
    unit, files = str(wanted["unit"]), wanted["files"]
    force = _in_force(unit)
    settled = bool(force) and force.get("digest") == _digest(unit, files) and _show(unit, "ActiveState") == "active"
    whole = [path.name for path in ROOT.glob("*") if _is_release(path) and _is_whole(path)]
    return {
        "python": ".".join(platform.python_version_tuple()[:2]),
        "machine": platform.machine(),
        "release": _release(unit),
        "url": force.get("url", ""),
        "settled": settled,
        "installed": whole,
        "files": [name for name in files if Path(name).exists()],
        "made": _missing(wanted),
        "recovered": False,
        "failure": "",
    }


def begin(given: str) -> dict[str, object]:
    """Make user and folders, remember the state, arm the timer; return what look does.

    What an earlier run left under way is undone first; `failure` says what did not start after that.
    """
    wanted = json.loads(given)
    unit = str(wanted["unit"])
    with _locked():
        made = _make_missing(wanted)
        recovered, failure = _undo(unit) if _state(unit).exists() else (False, "")
        _remove_leftovers()
        found = look(given)
        saved = {
            "files": {name: _read(Path(name)) for name in wanted["files"]},
            "links": _links(unit),
            "active": _show(unit, "ActiveState") in {"active", "activating", "reloading"},
            "enabled": _show(unit, "UnitFileState") == "enabled",
            "activated": False,
        }
        _write_state(unit, saved)
        _write(RUN / "deploy.py", TEXT.encode(), 0o600)
        _arm(unit, wanted["seconds"])
    return {**found, "made": made, "recovered": recovered, "failure": failure}


def _missing(wanted: dict) -> list[str]:
    """Return the user, folders and program that are not there."""
    missing = [name for name in (str(ROOT), *wanted["folders"]) if not Path(name).is_dir()]
    program = ROOT / "deploy.py"
    if not program.exists() or program.read_text() != TEXT:
        missing.append(str(program))
    try:
        pwd.getpwnam(wanted["user"])
    except KeyError:
        missing.append(f"user {wanted['user']}")
    return missing


def _make_missing(wanted: dict) -> list[str]:
    missing = _missing(wanted)
    for name in missing:
        if name.startswith("user "):
            nowhere = ("--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin")
            _run("useradd", "--system", "--user-group", *nowhere, name.removeprefix("user "))
        elif name.endswith("/deploy.py"):
            _write(Path(name), TEXT.encode(), 0o755)
        else:
            Path(name).mkdir(mode=0o755, parents=True)
    return missing


def activate(unit: str, release: str, url: str) -> dict[str, object]:
    """Lead the unit's link to the release, and start the unit anew. Raises DeployError with what its journal says."""
    with _locked():
        _write_state(unit, {**_read_state(unit), "activated": True, "url": url})
        if not _is_whole(ROOT / release):
            raise DeployError(f"{ROOT / release} is not installed: run with the tag install")
        current, previous = _link_names(unit)
        old = _release(unit)
        if old != release:
            _link(ROOT / current, release)
            _link(ROOT / previous, old)
        _run("systemctl", "daemon-reload")
        _run("systemctl", "enable", "--quiet", unit)
        _start(unit)
    started = _run("date", "+%s", "--date", _show(unit, "ExecMainStartTimestamp"))
    return {"started": int(started), "release": release}


def steady(unit: str, seconds: str) -> dict[str, object]:
    """Wait until one process of the unit has run for so long. Raises DeployError when it ends, or is not well then."""
    began = _show(unit, "ExecMainStartTimestampMonotonic")
    while _show(unit, "ActiveState") == "active" and _show(unit, "ExecMainStartTimestampMonotonic") == began:
        age = time.clock_gettime(time.CLOCK_MONOTONIC) - int(began) / 1e6
        if age >= float(seconds):
            # it says so long before systemd loses its patience
            if (status := _show(unit, "StatusText")).startswith("Not well"):
                raise DeployError(f"{unit}: {status}")
            return {"seconds": round(age)}
        time.sleep(min(1.0, float(seconds) - age))
    raise DeployError(f"{unit} did not run for {seconds} s: {_last_words(unit)}")


def keep(unit: str, *files: str) -> dict[str, object]:
    """End the change: what is there now stays. Return whether something had been put in force, and of the command."""
    with _locked():
        state = _read_state(unit)
        _disarm(unit)
        if state["activated"]:
            force = {"digest": _digest(unit, files), "url": state["url"]}
            _write(ROOT / f".{_name(unit)}.json", json.dumps(force).encode(), 0o600)
        _end(unit, state)
        led, note = _lead_command()
    return {"activated": state["activated"], "led": led, "note": note}


def _lead_command() -> tuple[bool, str]:
    """Lead the command to the exporter's release, else to the relay's; return whether it changed, and why it did not.

    This comes last: no change that is undone has touched it. What is there and no link of ours stays.
    """
    links = [ROOT / name / "bin/hostwatch" for name in ("current", "relay") if (ROOT / name).is_symlink()]
    there = str(COMMAND.readlink()) if COMMAND.is_symlink() else ""
    if not links or there == str(links[0]):
        return False, ""
    if not _OUR_LINK.fullmatch(there) if there else COMMAND.exists():
        return False, f"{COMMAND} is not ours and stays as it is; the command is {links[0]}"
    try:
        COMMAND.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _link(COMMAND, str(links[0]))
    except OSError as err:  # such as a /usr that cannot be written: the service does without
        return False, f"{COMMAND} cannot be made ({err.strerror}); the command is {links[0]}"
    return True, ""


def undo(unit: str) -> dict[str, object]:
    """Restore what begin found; nothing to do where no change is under way.

    Raises DeployError where all is restored and what ran before does not start.
    """
    with _locked():
        if not _state(unit).exists():
            return {"changed": False, "release": _release(unit)}
        changed, failure = _undo(unit)
        _disarm(unit)
    if failure:
        raise DeployError(failure)
    return {"changed": changed, "release": _release(unit), "active": _show(unit, "ActiveState") == "active"}


def _undo(unit: str) -> tuple[bool, str]:
    """Restore, and forget the change; return whether anything differed, and why what ran before does not run."""
    saved = _read_state(unit)
    files = {Path(name): content for name, content in saved["files"].items()}
    different = [path for path, content in files.items() if _read(path) != content]
    # room first: a full disk must not keep the old state away
    for path in sorted(different, key=lambda path: files[path] is not None):
        if content := files[path]:
            _write(path, base64.b64decode(content["data"]), content["mode"], content["owner"])
        else:
            path.unlink()
    links = {name: target for name, target in saved["links"].items() if _links(unit)[name] != target}
    for name, target in links.items():
        _link(ROOT / name, target)
    changed = bool(different or links or saved["activated"])
    failure = ""
    try:
        if changed:
            _put_back(unit, saved)
    except (DeployError, subprocess.SubprocessError) as err:
        # a change that stayed remembered would be undone, and fail, before every later one: the way out is a new one
        failure = f"files and links are as before, but {err}"
    _end(unit, saved)
    return changed, failure


def _put_back(unit: str, saved: dict) -> None:
    if not saved["enabled"] and _show(unit, "UnitFileState") == "enabled":
        _run("systemctl", "disable", "--quiet", unit)
    _run("systemctl", "daemon-reload")
    if saved["active"]:
        _start(unit)
    elif _show(unit, "ActiveState") != "inactive":
        _try("systemctl", "stop", unit)
        _try("systemctl", "reset-failed", unit)


def _start(unit: str) -> None:
    """Restart a unit of Type=notify, and see that it stays: one that ends right after it was ready is not up."""
    _try("systemctl", "reset-failed", unit)
    # it returns once the unit is ready or has failed
    if _try("systemctl", "restart", unit).returncode:
        raise DeployError(f"{unit} does not start: {_last_words(unit)}")
    pid = _show(unit, "MainPID")
    time.sleep(1)
    if _show(unit, "ActiveState") != "active" or _show(unit, "MainPID") != pid:
        raise DeployError(f"{unit} starts and ends again: {_last_words(unit)}")


def _last_words(unit: str) -> str:
    wanted = ("--unit", unit, "--lines=5", "--no-pager", "--output=cat")
    return " | ".join(_run("journalctl", *wanted).split("\n"))[-600:].strip(" |")


def _arm(unit: str, seconds: str) -> None:
    _disarm(unit)
    timer = f"hostwatch-undo-{_name(unit)}"
    paths = (f"--setenv=HOSTWATCH_DEPLOY_ROOT={ROOT}", f"--setenv=HOSTWATCH_DEPLOY_RUN={RUN}")
    when = (f"--on-active={seconds}", "--timer-property=AccuracySec=1s")
    program = (sys.executable, str(RUN / "deploy.py"), "undo", unit)
    _run("systemd-run", "--quiet", "--collect", f"--unit={timer}", *when, *paths, *program)


def _disarm(unit: str) -> None:
    _try("systemctl", "stop", f"hostwatch-undo-{_name(unit)}.timer")


def _name(unit: str) -> str:
    return unit.removeprefix("hostwatch-").removesuffix(".service")


def _link_names(unit: str) -> tuple[str, str]:
    """Return the links to what a unit runs and ran: each unit has its own, so one is undone without the other."""
    return ("current", "previous") if _name(unit) == "exporter" else (_name(unit), f"{_name(unit)}-previous")


def _links(unit: str) -> dict[str, str]:
    return {name: str((ROOT / name).readlink()) if (ROOT / name).is_symlink() else "" for name in _link_names(unit)}


def _link(path: Path, target: str) -> None:
    if not target:
        path.unlink(missing_ok=True)
        return
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(path)


def _release(unit: str) -> str:
    return _links(unit)[_link_names(unit)[0]]


def _is_release(path: Path) -> bool:
    return bool(_RELEASE.fullmatch(path.name)) and path.is_dir() and not path.is_symlink()


def _is_whole(folder: Path) -> bool:
    return (folder / ".whole").exists()


def _remove_leftovers() -> None:
    """Remove what interrupted runs left: releases without their mark, their archives, wheels."""
    for path in ROOT.iterdir():
        if path.name.startswith(".wheels-") or (_is_release(path) and not _is_whole(path)):
            shutil.rmtree(path, ignore_errors=True)
        elif path.suffix == ".tar" and _RELEASE.fullmatch(path.stem):
            path.unlink()


def _remove_unused() -> None:
    """Remove the releases that no link leads to."""
    used = {str(path.readlink()) for path in ROOT.iterdir() if path.is_symlink()}
    for path in ROOT.iterdir():
        if _is_release(path) and _is_whole(path) and path.name not in used:
            shutil.rmtree(path)


def _digest(unit: str, files: tuple[str, ...]) -> str:
    content = {name: _read(Path(name)) for name in files}
    return hashlib.sha256(json.dumps([content, _release(unit)], sort_keys=True).encode()).hexdigest()


def _in_force(unit: str) -> dict:
    try:
        return dict(json.loads((ROOT / f".{_name(unit)}.json").read_bytes()))
    except (FileNotFoundError, ValueError):
        return {}


def _read(path: Path) -> "dict[str, object] | None":
    """Return content, owner and mode of a file, None where there is none."""
    try:
        status = path.stat()
        data = base64.b64encode(path.read_bytes()).decode()
    except FileNotFoundError:
        return None
    return {"data": data, "owner": [status.st_uid, status.st_gid], "mode": status.st_mode & 0o7777}


def _write(path: Path, data: bytes, mode: int, owner: "list[int] | None" = None) -> None:
    """Write a file whole or not at all."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    if owner is not None:
        os.chown(new, *owner)
    new.chmod(mode)
    new.replace(path)


def _state(unit: str) -> Path:
    return RUN / f"{_name(unit)}.json"


def _read_state(unit: str) -> dict:
    try:
        return dict(json.loads(_state(unit).read_bytes()))
    except FileNotFoundError:
        raise DeployError(f"no change of {unit} is under way: it was undone because it took too long") from None


def _write_state(unit: str, state: dict) -> None:
    RUN.mkdir(mode=0o700, exist_ok=True)
    _write(_state(unit), json.dumps(state).encode(), 0o600)


def _end(unit: str, state: dict) -> None:
    """Forget a change. What was only installed stays, for the run that puts it in force."""
    _state(unit).unlink()
    if not list(RUN.glob("*.json")):
        shutil.rmtree(RUN)
    if state["activated"]:
        _remove_unused()


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """One change at a time: the timer, a rescue and a second control machine take turns."""
    with open(RUN.with_name(f"{RUN.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _show(unit: str, key: str) -> str:
    return _run("systemctl", "show", "--property", key, "--value", unit)


def _run(*command: str) -> str:
    """Return the standard output of a command, stripped. Raises DeployError with what it said."""
    done = _try(*command)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-1000:]
        raise DeployError(f"{' '.join(command[:3])} failed: {said}")
    return done.stdout.strip()


def _try(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=COMMAND_SECONDS)


COMMANDS = {f.__name__: f for f in (look, begin, activate, steady, keep, undo)}


if __name__ == "__main__":
    main()
