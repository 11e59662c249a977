"""A query of a panel, and the words that many queries share."""

from typing import Final, NamedTuple

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.models.dashboard import DataSourceRef
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

# the uid of the provisioned data source, and the variable by which a reader takes another
DATASOURCE_UID: Final = "hostwatch-prometheus"
DATASOURCE: Final = DataSourceRef("prometheus", "${datasource}")
# of all hosts that are chosen; hosts without an environment are in All
HOSTS: Final = 'environment=~"$environment",instance=~"$instance"'
ONE_HOST: Final = 'instance="$instance"'
# what only the alerts' way itself fires
NO_WATCHDOG: Final = 'alertname!="Watchdog"'


class Query(NamedTuple):
    """One expression, with the name of its series (Grafana's {{label}}) or, in a table, of its column."""

    expr: str
    legend: str = ""
    threshold: bool = False
    """A limit of the rules: drawn as a dashed line."""
    negative: bool = False
    """Drawn below zero: what goes out, where what comes in is above."""

    def build(
        self, ref: str, *, instant: bool = False, table: bool = False, heatmap: bool = False
    ) -> prometheus.Dataquery:
        """Return it as Grafana has it; `ref` is its letter."""
        made = prometheus.Dataquery().ref_id(ref).expr(" ".join(self.expr.split())).datasource(DATASOURCE)
        made = made.editor_mode("code")  # type: ignore[arg-type]  # the SDK's own enumeration, by its value
        if self.legend and not table:
            made = made.legend_format(self.legend)
        made = made.instant() if instant else made.range()
        if table or heatmap:
            made = made.format(PromQueryFormat.TABLE if table else PromQueryFormat.HEATMAP)
        return made


def limit(expr: str, legend: str) -> Query:
    """Return a query for the rules' threshold."""
    return Query(expr, f"{legend}: alert above", threshold=True)
