"""What the drills of an installation proved, as Markdown and as one HTML page. Pure."""

import html
import time
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final

from exporter.drills.budget import HOPS
from exporter.drills.durations import text_of
from exporter.drills.results import Proof, Tally, deliveries, proofs, tallies, unproven
from exporter.drills.timeline import DOWN, UP, Result, Way

_STYLE: Final = """
:root{color-scheme:light dark;--ink:#1c2024;--paper:#fff;--soft:#60646c;--line:#d9d9e0;
--up:#b3261e;--down:#1a7f45;--late:#8a5300}
@media(prefers-color-scheme:dark){:root{--ink:#edeef0;--paper:#111113;--soft:#b0b4ba;--line:#43484e;
--up:#ff9592;--down:#5bd08a;--late:#ffc06b}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);
margin:2rem auto;max-width:70rem;padding:0 1rem}
table{border-collapse:collapse;width:100%;margin:1rem 0}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid var(--line)}
.missed,.undo{color:var(--up);font-weight:600}.late{color:var(--late);font-weight:600}
.proven{color:var(--down);font-weight:600}
svg{width:100%;height:auto}svg text{fill:var(--ink);font:11px system-ui}.wide{overflow-x:auto}
"""
_ALL: Final = ("drill", "alert", "runs", "in time", "told: median, maximum", "end told: median, maximum")
_WIDTH: Final = 800
_ROW: Final = 22


def markdown(found: Sequence[Result], alerts: Sequence[str], reach: Mapping[str, str]) -> str:
    """Return the report as Markdown: the last result of each drill, when each alert was proven, and what never was.

    `alerts` are those that Prometheus has, or those that were ever drilled; `reach` says why some cannot be.
    """
    proven = proofs(found)
    lines = ["# Drills", "", _summary(proven, alerts), "", "## Last run of each drill", ""]
    lines += [
        "| drill | alert | detected | told | resolved | resolution told | budget | verdict |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in latest(found):
        lines += [_markdown_row(cells) for cells in _rows(result)]
    lines += [
        "",
        "## When each alert was proven here",
        "",
        "| alert | last proven | by version | drill | told in |",
        "|---|---|---|---|---|",
    ]
    for alert in sorted(set(alerts) | proven.keys()):
        lines.append(_markdown_row(_proof(alert, proven.get(alert), reach)))
    lines += ["", "## All runs", "", _delivered(found), "", f"| {' | '.join(_ALL)} |", "|---" * len(_ALL) + "|"]
    lines += [_markdown_row(_tally(one)) for one in tallies(found)]
    return "\n".join(lines) + "\n"


def _markdown_row(cells: Sequence[str]) -> str:
    """Return a row of a table: what has several lines, or a bar, would end it or a cell of it."""
    flat = (" ".join(cell.splitlines()).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(flat)} |"


def page(found: Sequence[Result], alerts: Sequence[str], reach: Mapping[str, str]) -> str:
    """Return the report as one page that needs nothing else: tables, and a timeline for the last run of each drill."""
    proven = proofs(found)
    head = ("drill", "alert", "detected", "told", "resolved", "resolution told", "budget", "verdict")
    rows = [cells for result in latest(found) for cells in _rows(result)]
    known = [_proof(alert, proven.get(alert), reach) for alert in sorted(set(alerts) | proven.keys())]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Drills</title>",
        f"<meta name=viewport content='width=device-width'><style>{_STYLE}</style><main><h1>Drills</h1>",
        f"<p>{html.escape(_summary(proven, alerts))}</p><h2>Last run of each drill</h2>",
        _html_table(head, rows),
        "<h2>Timelines</h2>",
        *(_timeline(result) for result in latest(found) if result.injected and not result.is_negative),
        "<h2>When each alert was proven here</h2>",
        _html_table(("alert", "last proven", "by version", "drill", "told in"), known),
        f"<h2>All runs</h2><p>{html.escape(_delivered(found))}</p>",
        _html_table(_ALL, [_tally(one) for one in tallies(found)]),
        "</main></html>",
    ]
    return "\n".join(parts) + "\n"


def latest(found: Sequence[Result]) -> list[Result]:
    """Return the last result of each drill, negative ones apart, by name."""
    out = {(result.drill, result.is_negative): result for result in found}
    return [out[key] for key in sorted(out)]


def _summary(proven: Mapping[str, Proof], alerts: Sequence[str]) -> str:
    missing = unproven(alerts, proven)
    share = (
        f"{len(set(alerts)) - len(missing)} of {len(set(alerts))} alerts were fired, told and resolved by a drill here"
    )
    return f"{share}; not proven: {', '.join(missing)}." if missing else f"{share}."


def _rows(result: Result) -> list[tuple[str, ...]]:
    name = f"{result.drill} at {result.strength:g} of the threshold" if result.is_negative else result.drill
    verdict = f"{result.verdict}: {result.reason}" if result.reason else result.verdict
    if not result.ways:
        return [(name, "", "", "", "", "", "", verdict)]
    return [(name, way.alert, *_times(result, way), verdict) for way in result.ways]


def _times(result: Result, way: Way) -> tuple[str, ...]:
    shown = []
    for hop in ("firing", "told", "resolved", "resolution told"):
        took = way.took(hop, result.injected, result.recovered)
        shown.append("-" if took is None else text_of(took))
    return (*shown, f"{text_of(way.limits['told'])} / {text_of(way.limits['resolution told'])}")


def _proof(alert: str, proof: Proof | None, reach: Mapping[str, str]) -> tuple[str, ...]:
    if proof is None:
        return (alert, f"never; needs {reach[alert]}" if alert in reach else "never", "", "", "")
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(proof.at))
    return (alert, when, proof.version, proof.drill, f"{text_of(proof.notify)} ({proof.mode})")


def _tally(one: Tally) -> tuple[str, ...]:
    times = (_middle_and_most(one.told), _middle_and_most(one.resolution_told))
    return (one.drill, one.alert, str(one.runs), str(one.in_time), *times)


def _middle_and_most(seconds: Sequence[float]) -> str:
    return f"{text_of(median(seconds))}, {text_of(seconds[-1])}" if seconds else "-"


def _delivered(found: Sequence[Result]) -> str:
    took = deliveries(found)
    if not took:
        return "Nothing was told yet."
    return (
        f"From firing to Slack, less group_wait, of {len(took)}: median {median(took):.2f} s, maximum {took[-1]:.2f} s."
    )


def _html_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th scope=col>{html.escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(_cell(cell) for cell in row)}</tr>" for row in rows)
    return f"<div class=wide tabindex=0><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"


def _cell(text: str) -> str:
    word = text.partition(":")[0].partition(" ")[0]
    kind = f" class={word}" if word in {"proven", "late", "missed", "undo"} else ""
    return f"<td{kind}>{html.escape(text)}</td>"


def _timeline(result: Result) -> str:
    """Return a drawing of one drill: a line per alert, a mark per hop, the fault as a band."""
    ends = [moment for way in result.ways for moment in way.moments.values()]
    span = max([result.recovered, result.ended, *ends]) - result.injected or 1.0
    height = _ROW * (len(result.ways) + 2)
    fault = _WIDTH * ((result.recovered or result.ended) - result.injected) / span
    title = html.escape(f"{result.drill}: {', '.join(way.alert for way in result.ways)}")
    out = [
        f"<h3>{html.escape(result.drill)}</h3>",
        f"<div class=wide tabindex=0><svg viewBox='-10 0 {_WIDTH + 20} {height}' role=img aria-label='{title}'>",
        f"<rect x=0 y=0 width={fault:.1f} height={height - _ROW} fill='var(--up)' opacity=.1 />",
        f"<text x=2 y=12>fault, {text_of(span * fault / _WIDTH)}</text>",
    ]
    for number, way in enumerate(result.ways, 1):
        out += _marks(result, way, span, _ROW * (number + 0.5))
    out += [f"<text x={_WIDTH} y={height - 6} text-anchor=end>{text_of(span)}</text>", "</svg></div>", _hops(result)]
    return "".join(out)


def _marks(result: Result, way: Way, span: float, y: float) -> list[str]:
    out = [f"<line x1=0 x2={_WIDTH} y1={y} y2={y} stroke='var(--line)' />"]
    for hop, moment in sorted(way.moments.items(), key=lambda pair: HOPS.index(pair[0])):
        x = _WIDTH * max(0.0, moment - result.injected) / span
        colour = "var(--up)" if hop in UP else "var(--down)"
        took = text_of(way.took(hop, result.injected, result.recovered) or 0.0)
        out.append(f"<circle cx={x:.1f} cy={y} r=4 fill='{colour}'><title>{hop}: {took}</title></circle>")
    return out


def _hops(result: Result) -> str:
    rows = []
    for way in result.ways:
        for hop in (*UP, *DOWN):
            took = way.took(hop, result.injected, result.recovered)
            rows.append((way.alert, hop, "-" if took is None else text_of(took), text_of(way.limits[hop])))
    return _html_table(("alert", "hop", "took", "budget"), rows)
