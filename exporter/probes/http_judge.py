"""Whether an HTTP answer is what a setting expects: pure, on what has been received."""

import json
from typing import Any

import msgspec

from exporter.probes.attempt import AttemptError, Reason
from exporter.probes.http_message import Answer
from exporter.settings.checks import Expected, JsonValue

MAX_QUOTED = 120


def judge(answer: Answer, expected: Expected) -> None:
    """Return for a good answer. Raises AttemptError with the first thing that is wrong: status, headers, body, JSON."""
    if answer.status not in expected.statuses:
        wanted = ", ".join(map(str, expected.status))
        raise AttemptError(Reason.BAD_STATUS, f"expected status {wanted}, got {answer.status}")
    _judge_headers(answer, expected)
    if expected.looks_at_body:
        _judge_body(answer, expected)
    if expected.json:
        try:
            decoded = msgspec.json.decode(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
            raise AttemptError(Reason.BAD_JSON, f"the body is not JSON: {err}") from err
        for value in expected.json:
            judge_json(decoded, value)


def _judge_headers(answer: Answer, expected: Expected) -> None:
    for name, expression in expected.headers.items():
        values = [value for known, value in answer.headers if known == name.lower()]
        if not any(expression.pattern.search(value) for value in values):
            got = ", ".join(map(_quoted, values)) or "none"
            raise AttemptError(Reason.BAD_HEADER, f"{name}: expected {expression!r}, got {got}")
    for name, expression in expected.forbidden_headers.items():
        for known, value in answer.headers:
            if known == name.lower() and expression.pattern.search(value):
                raise AttemptError(Reason.BAD_HEADER, f"{name}: expected no {expression!r}, got {_quoted(value)}")


def _judge_body(answer: Answer, expected: Expected) -> None:
    text = answer.text()
    for wanted in expected.body_contains:
        if wanted not in text:
            raise AttemptError(Reason.BAD_BODY, f"body: expected the text {wanted!r} in it")
    for expression in expected.body:
        if not expression.pattern.search(text):
            raise AttemptError(Reason.BAD_BODY, f"body: expected {expression!r} in it")
    for expression in expected.forbidden_body:
        if expression.pattern.search(text):
            raise AttemptError(Reason.BAD_BODY, f"body: expected no {expression!r} in it")


def judge_json(decoded: object, value: JsonValue) -> None:
    """Return where the decoded JSON holds the value. Raises AttemptError saying what stands there."""
    here = _at(decoded, value)
    if value.matches is not None:
        text = here if isinstance(here, str) else json.dumps(here, ensure_ascii=False)
        if not value.matches.pattern.search(text):
            raise AttemptError(Reason.BAD_JSON, f"{value.path}: expected {value.matches!r}, got {_quoted(text)}")
    elif isinstance(here, bool) is not isinstance(value.equals, bool) or here != value.equals:  # True == 1 in Python
        text = json.dumps(here, ensure_ascii=False)
        raise AttemptError(Reason.BAD_JSON, f"{value.path}: expected {json.dumps(value.equals)}, got {_quoted(text)}")


def _at(decoded: Any, value: JsonValue) -> Any:  # noqa: ANN401 -- whatever a server's JSON holds
    here = decoded
    for step in value.steps:
        if not _has(here, step):
            raise AttemptError(Reason.BAD_JSON, f"{value.path}: not there")
        here = here[step]
    return here


def _has(here: object, step: str | int) -> bool:
    if isinstance(here, list):
        return isinstance(step, int) and step < len(here)
    return isinstance(here, dict) and step in here


def _quoted(text: str) -> str:
    return repr(text if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]}...")
