"""The PromQL in documents: blocks of code, lines of them, and code within sentences."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import promql_parser

ROOT: Final = Path(__file__).parents[2]
# generated from the code, with each name once: a list, no document
GENERATED: Final = frozenset({"metrics.md", "settings.md"})
_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE: Final = re.compile(r"`([^`\n]+)`")
_OURS: Final = re.compile(
    r"\b(?:(?:host|node|relay|prometheus|alertmanager)_\w+|instance\w*:\w+:\w+|host:\w+:\w+|up\{)"
)
# name{label,label}: how documents tell a metric's labels
_SHAPE: Final = re.compile(r"(\w+)\{(\w+(?:, ?\w+)*)\}")
# a row of a page: name{label="value"} 1
_SAMPLE: Final = re.compile(r"(\w+\{.*\}) [-+.\d]+(?:e\d+)?")


class Written(NamedTuple):
    """An expression, and the document that has it."""

    file: str
    expr: str
    promised: bool
    """It says that it is PromQL: it has to be."""


def pages() -> list[Path]:
    """Return every document that people read."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return sorted(page for page in found if page.name not in GENERATED)


def expressions() -> Iterator[Written]:
    """Yield what is PromQL, or says that it is, and asks for a metric of ours."""
    for page in pages():
        name, text = str(page.relative_to(ROOT)), page.read_text()
        for language, block in _FENCE.findall(text):
            for piece in _statements(block):
                if language == "promql" or is_promql(piece):
                    yield Written(name, piece, language == "promql")
        for piece in _INLINE.findall(_FENCE.sub("", text)):
            if is_promql(piece):
                yield Written(name, piece, False)


def shapes() -> Iterator[tuple[str, str, frozenset[str]]]:
    """Yield document, metric and labels wherever a document writes name{label,label}."""
    for page in pages():
        for piece in _INLINE.findall(page.read_text()):
            if match := _SHAPE.fullmatch(piece):
                yield str(page.relative_to(ROOT)), match[1], frozenset(re.split(r", ?", match[2]))


def is_promql(text: str) -> bool:
    """Whether a text parses and asks for a metric that sounds like one of ours in more than its bare name."""
    if not _OURS.search(text) or re.fullmatch(r"\w+", text) or ":NAME" in text:
        return False
    try:
        promql_parser.parse(text)
    except ValueError:
        return False
    return True


def _statements(block: str) -> list[str]:
    """Return a block as a whole where it is one expression, else its lines, without comments and samples' values."""
    lines = [line.partition("  #")[0].strip() for line in block.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    whole = "\n".join(lines)
    if is_promql(whole):
        return [whole]
    return [match[1] if (match := _SAMPLE.fullmatch(line)) else line for line in lines]
