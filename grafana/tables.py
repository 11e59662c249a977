"""Tables: instant queries side by side, a row for each set of labels that they share."""

import string
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig, DynamicConfigValue

from grafana.marks import BAD, GOOD, steps, words
from grafana.panels import COUNT, Builder
from grafana.queries import DATASOURCE, Query


class Column(NamedTuple):
    """A column of numbers: its heading, what it shows, and how."""

    title: str
    expr: str
    unit: str = COUNT
    words: Mapping[str, tuple[str, str]] | None = None
    """Text and colour by value."""
    gauge: bool = False
    """A bar behind the number, 0 to 1."""
    limit: float | None = None
    """From here on the cell is coloured and marked."""
    hidden: bool = False
    """Only to sort by."""


class Label(NamedTuple):
    """A column of a label's values; `url` leads on from one (Grafana's ${__value.raw} and the like)."""

    name: str
    title: str
    url: str = ""
    link: str = ""
    """What the link says."""


_TEXT_CELL: Final = {"type": "color-text"}


def table_of(
    title: str,
    description: str,
    labels: Sequence[Label],
    columns: Sequence[Column],
    *,
    sort: str,
    descending: bool = True,
    nothing: str = "no data",
) -> Builder:
    """Return the table; `sort` is the heading by which its rows are ordered, hidden columns' headings too."""
    panel = (
        table.Panel().title(title).description(description).datasource(DATASOURCE).no_value(nothing).thresholds(steps())
    )
    for letter, column in zip(string.ascii_uppercase, columns, strict=False):
        panel = panel.with_target(Query(column.expr).build(letter, instant=True, table=True))
    for one in _transformations(labels, columns, sort, descending=descending):
        panel = panel.with_transformation(one)
    for label in labels:
        if label.url:
            link = {"title": label.link, "url": label.url, "targetBlank": False}
            panel = panel.override_by_name(label.title, [DynamicConfigValue("links", [link])])
    for column in columns:
        if not column.hidden:
            panel = panel.override_by_name(column.title, _look(column))
    return panel.filterable(True).show_header(True).footer(common.TableFooterOptions().show(False))


def _transformations(
    labels: Sequence[Label], columns: Sequence[Column], sort: str, *, descending: bool
) -> list[DataTransformerConfig]:
    """Return: join by labels, sort, leave out what is not asked for, give the headings."""
    # with one query Grafana calls the column Value, with several Value #A and so on
    fields = {
        column.title: f"Value #{letter}" if len(columns) > 1 else "Value"
        for letter, column in zip(string.ascii_uppercase, columns, strict=False)
    }
    names = {label.name: label.title for label in labels}
    by = {**fields, **{label.title: label.name for label in labels}}[sort]
    shown = [label.name for label in labels] + [fields[column.title] for column in columns if not column.hidden]
    order = {
        "includeByName": dict.fromkeys(shown, True),
        "indexByName": {name: place for place, name in enumerate(shown)},
        "renameByName": {**names, **{fields[column.title]: column.title for column in columns if not column.hidden}},
        "excludeByName": {},
    }
    return [
        DataTransformerConfig(id_val="merge", options={}),
        DataTransformerConfig(id_val="sortBy", options={"fields": {}, "sort": [{"field": by, "desc": descending}]}),
        DataTransformerConfig(id_val="organize", options=order),
    ]


def _look(column: Column) -> list[DynamicConfigValue]:
    look = [DynamicConfigValue("unit", column.unit)]
    if column.words is not None:
        look.append(DynamicConfigValue("mappings", words(column.words)))
        look.append(DynamicConfigValue("custom.cellOptions", _TEXT_CELL))
    if column.gauge:
        cell = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
        color = {"mode": "fixed", "fixedColor": GOOD}
        look += [DynamicConfigValue("min", 0), DynamicConfigValue("max", 1), DynamicConfigValue("color", color)]
        look.append(DynamicConfigValue("custom.cellOptions", cell))
    if column.limit is not None:
        rows = [{"color": GOOD, "value": None}, {"color": BAD, "value": column.limit}]
        look.append(DynamicConfigValue("thresholds", {"mode": "absolute", "steps": rows}))
        look.append(DynamicConfigValue("custom.cellOptions", _TEXT_CELL))
    return look
