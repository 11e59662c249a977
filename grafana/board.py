"""A dashboard: rows of panels on Grafana's grid of 24 columns, its variables, its annotations, and its links."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    GridPos,
    VariableHide,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from grafana.panels import Builder
from grafana.queries import DATASOURCE, DATASOURCE_UID, HOSTS, NO_WATCHDOG, ONE_HOST

COLUMNS: Final = 24
# where the runbooks are, as the rules' runbook_url has it
RUNBOOKS: Final = "https://runbooks.example.com"
TAG: Final = "hostwatch"


class Cell(NamedTuple):
    """A panel and how many of the 24 columns it takes."""

    width: int
    panel: Builder


class Row(NamedTuple):
    """A headed line of panels; a second line begins where the first one's 24 columns end."""

    title: str
    height: int
    cells: Sequence[Cell]


class Variable(NamedTuple):
    """A list of values to choose from: those of a label."""

    name: str
    label: str
    query: str
    """label_values(SERIES, LABEL), as Grafana writes it."""
    multi: bool = True


ENVIRONMENT: Final = Variable("environment", "Environment", 'label_values(up{job="node"}, environment)')
INSTANCES: Final = Variable("instance", "Host", 'label_values(up{job="node",environment=~"$environment"}, instance)')
INSTANCE: Final = INSTANCES._replace(multi=False)


class Board(NamedTuple):
    """One dashboard; `uid` is for ever: links and bookmarks have it."""

    uid: str
    title: str
    description: str
    variables: Sequence[Variable]
    rows: Sequence[Row]
    refresh: str = "30s"
    since: str = "now-1h"

    def json(self) -> dict[str, Any]:
        """Return it as Grafana reads it. Raises ValueError naming a row whose panels do not fill its lines."""
        made = build.Dashboard(self.title).uid(self.uid).description(self.description).tags([TAG]).readonly()
        made = made.tooltip(DashboardCursorSync.CROSSHAIR).time(self.since, "now").refresh(self.refresh)
        made = made.timezone("browser").with_variable(_datasource()).link(_links())
        for variable in self.variables:
            made = made.with_variable(_variable(variable))
        made = made.with_variable(_runbooks())
        number, top = 1, 0
        for row in self.rows:
            made = made.with_row(build.Row(row.title).id(number).grid_pos(GridPos(1, COLUMNS, 0, top)))
            number, top = number + 1, top + 1
            for cell, x, y in _placed(row, top):
                made = made.with_panel(cell.panel.id(number).grid_pos(GridPos(row.height, cell.width, x, y)))
                number += 1
            top += row.height * (sum(cell.width for cell in row.cells) // COLUMNS)
        return _with_annotations(_decoded(made.build()), self.variables)


def _placed(row: Row, top: int) -> list[tuple[Cell, int, int]]:
    placed, x, y = [], 0, top
    for cell in row.cells:
        if x + cell.width > COLUMNS:
            raise ValueError(f"row {row.title!r}: {cell.width} columns do not fit behind {x}")
        placed.append((cell, x, y))
        x += cell.width
        if x == COLUMNS:
            x, y = 0, y + row.height
    if x:
        raise ValueError(f"row {row.title!r}: its last line ends at column {x} of {COLUMNS}")
    return placed


def _datasource() -> build.DatasourceVariable:
    chosen = VariableOption(selected=True, text=DATASOURCE_UID, value=DATASOURCE_UID)
    return build.DatasourceVariable("datasource").label("Data source").type("prometheus").current(chosen)


def _variable(variable: Variable) -> build.QueryVariable:
    made = build.QueryVariable(variable.name).label(variable.label).datasource(DATASOURCE).query(variable.query)
    made = made.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC)
    if variable.multi:
        # .*: also what has no such label at all
        chosen = VariableOption(selected=True, text="All", value="$__all")
        made = made.multi(True).include_all(True).all_value(".*").current(chosen)
    return made


def _runbooks() -> build.ConstantVariable:
    return build.ConstantVariable("runbooks").label("Runbooks").value(RUNBOOKS)


def _links() -> build.DashboardLink:
    made = build.DashboardLink("hostwatch").type(DashboardLinkType.DASHBOARDS).tags([TAG]).as_dropdown(True)
    return made.include_vars(True).keep_time(True).icon("external link").tooltip("The other dashboards")


def _decoded(made: object) -> dict[str, Any]:
    import json  # noqa: PLC0415 -- the SDK's encoder is one of its classes, and `json` a name of ours here

    result: dict[str, Any] = json.loads(json.dumps(made, cls=JSONEncoder))
    return result


def _with_annotations(board: dict[str, Any], variables: Sequence[Variable]) -> dict[str, Any]:
    """Add alerts and reboots. The SDK's annotation has no place for how Prometheus' results become text."""
    chosen = {variable.name: variable for variable in variables}
    hosts = "" if "instance" not in chosen else (HOSTS if chosen["instance"].multi else ONE_HOST)
    matchers = f",{hosts}" if hosts else ""
    alerts = f'ALERTS{{alertstate="firing",severity!="none",{NO_WATCHDOG}{matchers}}}'
    shared = {"datasource": {"type": "prometheus", "uid": "${datasource}"}, "enable": True, "hide": False}
    board["annotations"] = {
        "list": [
            {
                **shared,
                "name": "Alerts",
                "iconColor": "dark-orange",
                "expr": alerts,
                "step": "30s",
                "titleFormat": "{{alertname}} ({{severity}})",
                "textFormat": "{{instance}}",
                "tagKeys": "severity",
            },
            {
                **shared,
                "name": "Reboots",
                "iconColor": "purple",
                "expr": f"node_boot_time_seconds{{{hosts}}} * 1000",
                "step": "60s",
                "titleFormat": "Reboot",
                "textFormat": "{{instance}}",
                "tagKeys": "",
                # the event stands where the value says, in milliseconds
                "useValueForTime": True,
            },
        ]
    }
    for variable in board["templating"]["list"]:
        if variable["name"] == "runbooks":
            variable["hide"] = int(VariableHide.HIDE_VARIABLE)
    return board
