"""The result as a table for the terminal, as Markdown and as JSON."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Final

from rich.table import Table

from bench.rows import Row
from bench.run import Outcome
from bench.sets import SIX, TEN
from bench.summary import Summary

COLUMNS: Final = ("measure", "set", "unit", "hostwatch", "node_exporter", "ratio", "goal", "goal of", "verdict")
LEGEND: Final = (
    (
        f"T: equal sets of six collectors ({', '.join(sorted(SIX))}); T10: of ten, with "
        f"{', '.join(sorted(set(TEN) - set(SIX)))} too; strict: the same against the peer without its self-metrics; "
        "D: each with its defaults; locked / open: ours with TLS and a password, and in the node_exporter column ours "
        "without."
    ),
    (
        "Goals are of the skeleton (six collectors, the hot path), the whole exporter (all collectors), its locks (TLS "
        "and passwords), its history (the sampler) and its processes (groups and lists)."
    ),
    (
        "CPU per process and scan: in the node_exporter column is process-exporter, with one group per name as ours; "
        "of both the rows are made too, of process-exporter also served. Our scans are those of an interval of 10 s."
    ),
    (
        "Resident memory, everything on: in the node_exporter column is the sum of node_exporter, blackbox_exporter "
        "(the same probes, made at each scrape) and process-exporter (a group per name)."
    ),
    (
        "Figures are medians of interleaved blocks with lowest and highest; "
        "a ratio is the median of the blocks' ratios; idle CPU is the mean."
    ),
    (
        "CPU is the process clock, read around blocks of scrapes; answers gzip-compressed, one kept-open connection; "
        "the peer runs with --web.max-requests=0."
    ),
    (
        "CPU per further sample is a difference: the same servers in a network of few devices and in one with 60 more, "
        "in turn."
    ),
)


def figure(summary: Summary | None, digits: int) -> str:
    """Return a figure with its spread, where it has one."""
    if summary is None:
        return "-"
    value, low, high = (f"{number:,.{digits}f}" for number in (summary.value, summary.low, summary.high))
    return value if low == high else f"{value} ({low} - {high})"


def middle(summary: Summary | None, digits: int) -> str:
    """Return a figure without its spread."""
    return "-" if summary is None else f"{summary.value:,.{digits}f}"


def cells(row: Row, show: Callable[[Summary | None, int], str] = figure) -> tuple[str, ...]:
    """Return a row's texts, in the order of COLUMNS; `show` renders the two servers' figures."""
    return (
        row.title,
        row.pair,
        row.unit,
        show(row.ours, row.digits),
        show(row.peer, row.digits),
        figure(row.ratio, 3),
        row.goal.text() if row.goal else "",
        row.goal.subject if row.goal else "",
        row.verdict,
    )


def terminal_table(rows: Sequence[Row]) -> Table:
    """Return the table for the terminal: missed goals in red, met ones in green; the spread of ratios only."""
    table = Table()
    for column in COLUMNS:
        table.add_column(column, no_wrap=column not in {"goal of", "verdict"})
    for row, after in zip(rows, (*rows[1:], None), strict=True):
        style = "" if row.goal is None else "red" if row.missed else "green"
        table.add_row(*cells(row, middle), style=style, end_section=after is None or after.key != row.key)
    return table


def markdown(outcome: Outcome, rows: Sequence[Row]) -> str:
    """Return the whole result as a Markdown document."""
    lines = [f"# hostwatch beside {outcome.machine.peer}", ""]
    lines += [f"- {key}: {value}" for key, value in outcome.machine.plain().items()]
    lines += [f"- run: {outcome.plan.name}", f"- goals: {_goals(rows)}", ""]
    lines += [_line(COLUMNS), _line(["---"] * len(COLUMNS))]
    lines += [_line(cells(row)) for row in rows]
    lines += ["", *(f"- {text}" for text in (*LEGEND, *outcome.notes)), ""]
    return "\n".join(lines)


def _line(texts: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"


def _goals(rows: Sequence[Row]) -> str:
    with_goal = [row for row in rows if row.goal and not row.reason]
    text = f"{sum(not row.missed for row in with_goal)} of {len(with_goal)} met"
    left_out = sum(bool(row.reason) for row in rows if row.goal)
    return f"{text}, {left_out} not measured" if left_out else text


def plain(outcome: Outcome, rows: Sequence[Row]) -> dict[str, Any]:
    """Return the whole result for JSON, the numbers of every block included (in base units)."""
    return {
        "machine": outcome.machine.plain(),
        "plan": asdict(outcome.plan),
        "rows": [{**asdict(row), "verdict": row.verdict, "missed": row.missed} for row in rows],
        "notes": outcome.notes,
        "blocks": outcome.record.plain(),
    }
