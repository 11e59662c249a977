"""Calls of hostwatch in documents, read by click's own parser and never run; and the paths that its servers have."""

import contextlib
import io
import re
import shlex
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any, Final, NamedTuple, cast

import click

from exporter import daemon
from exporter.cli import main
from exporter.relay.app import make_app
from exporter.relay.metrics import Metrics
from exporter.settings.exporter import Exporter
from exporter.web.api import DOCUMENT
from exporter.web.endpoints import ENDPOINTS
from exporter.web.face import Face
from tests.support import documents

_FENCE: Final = re.compile(r"^ *```\w*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_INLINE: Final = re.compile(r"`([^`\n]+)`")
# what may stand before a command: a prompt, cron's five stars, another user, machine or container
_LEAD: Final = re.compile(
    r"(?:(?:\$|\* \* \* \* \*|sudo|ssh HOST|(?:Exec\w+=)?/usr/bin/env|docker compose exec(?: -T)? \w+) )*"
)
# ends a command, as the shell sees it
_END: Final = re.compile(r"[|&;<>()]+|…|\.\.\.")
# a word that whoever reads replaces: FILE, ID, [ID]..., ADDRESS:PORT
_PLACEHOLDER: Final = re.compile(r"\[?[A-Z][A-Z0-9_:/]*\]?(?:…|\.\.\.)?")
# of these a call wants one, which the command looks at itself
_ONE_OF: Final = {("relay", "replay"): ("ids", "everything"), ("relay", "discard"): ("ids", "everything")}


class Call(NamedTuple):
    """What follows the word hostwatch, and the document that has it."""

    file: str
    words: tuple[str, ...]
    named: bool
    """It stands in a sentence, where a command may be named without its arguments."""


def calls() -> Iterator[Call]:
    """Yield every call in a document, its blocks and its sentences."""
    for page in documents.pages():
        file, text = str(page.relative_to(documents.ROOT)), page.read_text()
        for block in _FENCE.findall(text):
            for line in block.replace("\\\n", " ").splitlines():
                yield from (Call(file, words, False) for words in in_line(line))
        for piece in _INLINE.findall(_FENCE.sub("", text)):
            yield from (Call(file, words, True) for words in in_line(piece))


def in_line(line: str) -> Iterator[tuple[str, ...]]:
    """Yield what follows hostwatch wherever that is the command of a line of shell."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:  # a sentence with an apostrophe
        return
    command: list[str] = []
    for word in [*words, ";"]:
        if not _END.fullmatch(word):
            command.append(word)
            continue
        if (found := _call(command)) is not None:
            yield found
        command = []


def _call(words: Sequence[str]) -> tuple[str, ...] | None:
    place = next((place for place, word in enumerate(words) if re.fullmatch(r"(?:\S+/)?hostwatch", word)), len(words))
    after = tuple(words[place + 1 :])
    return after if after and _LEAD.fullmatch("".join(f"{word} " for word in words[:place])) else None


def wrong(call: Call) -> str:
    """Return what is wrong with a call, in click's words, or an empty text. Runs nothing."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            _parse(call)
    except click.exceptions.Exit:  # --help, --version
        return ""
    except click.UsageError as err:
        return err.format_message()
    return ""


def _parse(call: Call) -> None:
    command: click.Command = main
    context, words, names = None, list(call.words), ["hostwatch"]
    while isinstance(command, click.Group):
        if call.named and not words:
            return
        # fleet takes a server where others want a command
        if words and _PLACEHOLDER.fullmatch(words[0]) and type(command).parse_args is click.Group.parse_args:
            return
        context = command.make_context(names[-1], words, parent=context)
        words = [*context._protected_args, *context.args]
        if not words:
            return
        name, below, words = command.resolve_command(context, words)
        assert below is not None
        command, names = below, [*names, name or ""]
    if not call.named or list(call.words) != names[1:]:
        _parse_last(command, click.Context(command, parent=context, info_name=names[-1]), words, tuple(names[1:]))


def _parse_last(command: click.Command, context: click.Context, words: list[str], names: tuple[str, ...]) -> None:
    """Parse the words of a command that has none below it; what a placeholder stands for may be anything."""
    given, rest, order = command.make_parser(context).parse_args(list(words))
    if rest:
        raise click.UsageError(f"unexpected words: {' '.join(rest)}")
    found: set[str | None] = set()
    for parameter in click.core.iter_params_for_processing(order, command.get_params(context)):
        value, _ = parameter.consume_value(context, given)
        several = value if isinstance(value, list | tuple) else [value]
        is_placeholder = any(isinstance(one, str) and _PLACEHOLDER.fullmatch(one) for one in several)
        if is_placeholder or parameter.process_value(context, value):
            found.add(parameter.name)
    wanted = _ONE_OF.get(names, ())
    if wanted and not found & {*wanted}:
        raise click.UsageError(f"{' '.join(names)} wants one of {', '.join(wanted)}")


class Servers:
    """The paths that exporter and relay answer."""

    def __init__(self) -> None:
        sources: Any = SimpleNamespace(dashboard=Exporter().dashboard)
        nothing: Any = None
        face = Face(sources, nothing)
        routes = daemon._routes(nothing, Exporter(), lambda: False, face)
        self._exporter = {*routes._handlers, *ENDPOINTS, DOCUMENT}
        webhook: Any = SimpleNamespace(post=lambda _: None)
        self._relay = make_app(nothing, Metrics(), webhook).routes

    def has(self, port: str, path: str) -> bool:
        """Whether the server of that usual port has a path, by any method."""
        plain = path.partition("?")[0]
        if port == "10101":
            return plain in self._exporter
        scope = {"type": "http", "path": plain, "method": "GET", "headers": []}
        return any(route.matches(cast("Any", scope))[0].value for route in self._relay)
