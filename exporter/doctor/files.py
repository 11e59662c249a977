"""Settings files, the secrets that they name, and the textfile folder."""

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from exporter.doctor.finding import Finding, Found, Notes
from exporter.server.web_config import WebConfig
from exporter.settings import SettingsError, load
from exporter.settings.exporter import Exporter

_NOTE: Final = Notes("settings")
OLD_SECONDS: Final = 24 * 3600.0
# fields of settings that name a file with a secret in it
_SECRET: Final = ("token_file", "password_file", "secret_id_file", "key_file", "bearer_token_file")


class Files(NamedTuple):
    """Settings files that are there; `relay_kind` is the type of the relay's, which stands on our own floor."""

    exporter: Path | None = None
    web: Path | None = None
    relay: Path | None = None
    relay_kind: type[msgspec.Struct] | None = None


def examine(files: Files) -> Found:
    """Say of each file whether it can be used, and who else may read the secrets that it names."""
    if files.exporter is None and files.web is None and files.relay is None:
        yield _NOTE.skipped("files", "no settings file: every default holds", "give one with --config")
    if files.exporter is not None:
        yield from _exporter(files.exporter)
    if files.web is not None:
        yield from _web(files.web)
    if files.relay is not None and files.relay_kind is not None:
        yield from _readable(files.relay, files.relay_kind)


def _readable(file: Path, kind: type[msgspec.Struct]) -> Found:
    try:
        settings = load(file, kind)
    except SettingsError as err:
        yield from _problems(file, err)
        return
    yield _NOTE.ok("file", f"{file}: good")
    yield from _secrets(msgspec.to_builtins(settings, enc_hook=str), file.parent)


def _problems(file: Path, err: SettingsError) -> Found:
    for problem in err.problems:
        fix = f"mend the file, then `hostwatch config check {file}`"
        yield _NOTE.problem("file", problem, fix)


def _exporter(file: Path) -> Found:
    yield from _readable(file, Exporter)
    try:
        settings = load(file, Exporter)
    except SettingsError:
        return
    for folder in settings.collectors.textfile.directories or ():
        if not any(char in folder for char in "*?["):  # a pattern may well match nothing
            yield from _textfiles(Path(folder))


def _web(file: Path) -> Found:
    from exporter.server.locks import Locks  # noqa: PLC0415 -- ssl, where somebody asks for it

    try:
        config = load(file, WebConfig)
        Locks(file)
    except SettingsError as err:
        yield from _problems(file, err)
        return
    yield _NOTE.ok("locks", f"{file}: good")
    yield from _secrets(msgspec.to_builtins(config, enc_hook=str), file.parent)


def _secrets(settings: object, folder: Path) -> Found:
    for name in sorted(set(_files_of(settings))):
        path = folder / name
        try:
            mode = path.stat().st_mode
        except OSError as err:
            why = err.strerror or str(err)
            yield _NOTE.problem("secret", f"{path}: {why}", "write it, or mend the path in the settings")
            continue
        if mode & stat.S_IRWXO:
            yield _NOTE.warning("secret", f"{path}: everybody on this machine may read it", f"chmod o= {path}")


def _files_of(settings: object, name: str = "") -> Iterator[str]:
    """Yield the paths of all secrets that settings name, however deep."""
    if isinstance(settings, dict):
        for key, value in settings.items():
            yield from _files_of(value, str(key))
    elif isinstance(settings, list | tuple):
        for value in settings:
            yield from _files_of(value, name)
    elif isinstance(settings, str) and settings and name.endswith(_SECRET):
        yield settings


def _textfiles(folder: Path) -> Found:
    try:
        names = sorted(folder.glob("*.prom"))
        mode = folder.stat().st_mode
        os.scandir(folder).close()
    except OSError as err:
        why = err.strerror or str(err)
        yield _NOTE.problem("textfile", f"{folder}: {why}", f"install -d -m 0755 {folder}, or mend collectors.textfile")
        return
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        yield _NOTE.warning("textfile", f"{folder}: everybody may write rows there", f"chmod o-w {folder}")
    found = [finding for path in names if (finding := _textfile(path)) is not None]
    yield from found
    if not found:
        yield _NOTE.ok("textfile", f"{folder}: {len(names)} files, none older than a day")


def _textfile(path: Path) -> Finding | None:
    """Return what is wrong with a file of rows; None where nothing is."""
    try:
        age = time.time() - path.stat().st_mtime
    except OSError as err:  # a link that leads nowhere, for one
        fix = "see what should write it (or what it leads to), or remove it"
        return _NOTE.problem("textfile", f"{path}: {err.strerror or err}", fix)
    if age <= OLD_SECONDS:
        return None
    text = f"{path}: not written for more than a day, yet its rows are shown as if they held"
    return _NOTE.warning("textfile", text, "see what should write it (a timer?), or remove it")
