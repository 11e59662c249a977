"""The kinds of panel that the dashboards are made of, each with the look that all of its kind share."""

import string
from collections.abc import Mapping, Sequence
from typing import Any, Final

from grafana_foundation_sdk.builders import bargauge, common, heatmap, stat, statetimeline, timeseries
from grafana_foundation_sdk.models import heatmap as heatmap_models
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    ScaleDistribution,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue, ValueMapping

from grafana.marks import BAD, steps, words
from grafana.queries import DATASOURCE, Query

Builder = Any
"""A panel of the SDK; its builders share methods, not a base."""

# a graph's name of no unit
COUNT: Final = "short"


# without thresholds of its own Grafana gives a panel those that turn red at 80
def _common(panel: Builder, title: str, description: str, unit: str, queries: Sequence[Query], **how: bool) -> Builder:
    panel = panel.title(title).description(description).datasource(DATASOURCE).unit(unit)
    for letter, query in zip(string.ascii_uppercase, queries, strict=False):
        panel = panel.with_target(query.build(letter, **how))
    return panel


def graph(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    stack: bool = False,
    top: float | None = None,
    bars: bool = False,
) -> Builder:
    """Return lines over time; `top` is the axis' end, where it has one."""
    panel = _common(timeseries.Panel(), title, description, unit, queries)
    legend = common.VizLegendOptions().show_legend(True).display_mode(LegendDisplayMode.LIST)
    panel = panel.legend(legend.placement(LegendPlacement.BOTTOM).calcs(["lastNotNull"]))
    panel = panel.tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    panel = panel.line_width(1).fill_opacity(60 if stack else 8).show_points(VisibilityMode.AUTO).span_nulls(False)
    panel = panel.draw_style(GraphDrawStyle.BARS if bars else GraphDrawStyle.LINE)
    if stack:
        panel = panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    if not any(query.negative for query in queries):
        panel = panel.axis_soft_min(0)
    if top is not None:
        panel = panel.axis_soft_max(top)
    for letter, query in zip(string.ascii_uppercase, queries, strict=False):
        if query.threshold:
            panel = panel.override_by_query(letter, _LIMIT)
        if query.negative:
            panel = panel.override_by_query(letter, [DynamicConfigValue("custom.transform", "negative-Y")])
    return panel


_LIMIT: Final = [
    DynamicConfigValue("color", {"mode": "fixed", "fixedColor": BAD}),
    DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [10, 10]}),
    DynamicConfigValue("custom.fillOpacity", 0),
    DynamicConfigValue("custom.stacking", {"mode": "none", "group": "limit"}),
]


def number(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    mappings: Sequence[ValueMapping] = (),
    colors: Builder = None,
    history: bool = True,
    nothing: str = "no data",
) -> Builder:
    """Return one big number, or a few; `nothing` says what it means that there is none."""
    panel = _common(stat.Panel(), title, description, unit, queries, instant=not history)
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    panel = panel.graph_mode(BigValueGraphMode.AREA if history else BigValueGraphMode.NONE)
    panel = panel.text_mode(BigValueTextMode.VALUE_AND_NAME if len(queries) > 1 else BigValueTextMode.AUTO)
    panel = panel.color_mode(BigValueColorMode.VALUE).no_value(nothing).mappings(list(mappings))
    panel = panel.orientation(VizOrientation.AUTO)
    return panel.thresholds(steps() if colors is None else colors)


def bars(
    title: str, description: str, unit: str, *queries: Query, colors: Builder = None, top: float | None = None
) -> Builder:
    """Return a bar with its number for each series, now."""
    panel = _common(bargauge.Panel(), title, description, unit, queries, instant=True)
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    panel = (
        panel.orientation(VizOrientation.HORIZONTAL).display_mode(BarGaugeDisplayMode.BASIC).min(0).show_unfilled(True)
    )
    if top is not None:
        panel = panel.max(top)
    return panel.thresholds(steps() if colors is None else colors)


def timeline(title: str, description: str, states: Mapping[str, tuple[str, str]], *queries: Query) -> Builder:
    """Return a bar per series whose stretches say which state it was in, in words."""
    panel = _common(statetimeline.Panel(), title, description, COUNT, queries).mappings(words(states))
    panel = panel.thresholds(steps())
    panel = panel.legend(common.VizLegendOptions().show_legend(True).placement(LegendPlacement.BOTTOM))
    panel = panel.tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.SINGLE))
    return panel.show_value(VisibilityMode.AUTO).merge_values(True).row_height(0.8).fill_opacity(80).line_width(0)


def heat(title: str, description: str, unit: str, query: Query) -> Builder:
    """Return a histogram over time: how many in which bucket."""
    panel = _common(heatmap.Panel(), title, description, COUNT, [query], heatmap=True)
    color = heatmap.HeatmapColorOptions().mode(heatmap_models.HeatmapColorMode.SCHEME).scheme("Blues").steps(64)
    color = color.fill("dark-blue").scale(heatmap_models.HeatmapColorScale.EXPONENTIAL).exponent(0.5)
    panel = panel.scale_distribution(common.ScaleDistributionConfig().type(ScaleDistribution.LINEAR))
    panel = panel.calculate(False).color(color).y_axis(heatmap.YAxisConfig().unit(unit).axis_label("round trip"))
    return panel.cell_gap(1).mode(TooltipDisplayMode.SINGLE).show_y_histogram().show_legend()
