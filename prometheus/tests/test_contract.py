"""Rules, thresholds, dashboards and documents ask only for what somebody exposes, and compare like with like.

Each expression goes through a parser of PromQL. An unknown metric, a label that is never there, and a unit that does
not fit are reported with their place. Prometheus' and Alertmanager's own metrics stand on recorded pages.
"""

import re
from pathlib import Path
from typing import Any, Final

import promql_parser
import pytest

from tests.support import dashboards, documents, exposed, mutation
from tests.support.exposed import DECLARED, EXPORTER, PAGES, RECORDED, RELAY, RULES
from tests.support.promql_labels import answer_labels, of_metric, strangers
from tests.support.promql_units import GRAFANA, PLAIN, misnamed, of_name, unit

ROOT: Final = Path(__file__).parents[2]
BOARDS: Final = dashboards.load()
# any value will do where only names count
TIMES: Final = dashboards.times(3600, 300, 15)
# a number in the expression brings the unit, which no name tells: why the place is right all the same
BRINGS_ITS_UNIT: Final = {
    "instance_mountpoint:filesystem_left_seconds:avg6h": "times the 21600 seconds of the window",
    "hostwatch-alerts / Time firing / A": "times the 15 seconds of the step",
}


def asked() -> list[dashboards.Asked]:
    """Return every expression of every dashboard, its variables filled in."""
    found = []
    for board in BOARDS.values():
        values = {**TIMES, **{variable["name"]: "any" for variable in board["templating"]["list"]}}
        found += [one._replace(expr=dashboards.filled(one.expr, values)) for one in dashboards.asked(board)]
    return found


ASKED: Final = asked()
WRITTEN: Final = list(documents.expressions())
EVERYWHERE: Final = [
    *((f"rule {name}", rule["expr"]) for name, rule in RULES.items()),
    *((one.place, one.expr) for one in ASKED),
    *((one.file, one.expr) for one in WRITTEN),
]


def test_nobody_asks_for_a_metric_or_a_label_that_is_never_there() -> None:
    assert {place: found for place, expr in EVERYWHERE if (found := strangers(expr))} == {}


def test_nobody_compares_or_adds_what_has_different_units() -> None:
    assert {place: found for place, expr in EVERYWHERE if (found := unit(expr)[1])} == {}


def test_what_rules_record_has_the_unit_that_its_name_tells() -> None:
    assert {name: why for name, why in misnamed().items() if name not in BRINGS_ITS_UNIT} == {}


def test_panels_show_the_unit_that_their_metrics_have() -> None:
    """A panel's unit against that of its expression, which comes from the metrics' suffixes."""
    wrong = {}
    for one in ASKED:
        found = unit(one.expr)[0]
        if one.unit and found is not None and GRAFANA[one.unit] != found and one.place not in BRINGS_ITS_UNIT:
            wrong[one.place] = f"shows {one.unit}, is {found}"
    assert wrong == {}


def test_legends_name_only_labels_that_the_answer_has() -> None:
    wrong = {}
    for uid, board in BOARDS.items():
        exprs = {one.place: one.expr for one in ASKED if one.dashboard == uid}
        for panel in dashboards.panels(board):
            for target in panel["targets"]:
                place = f"{uid} / {panel['title']} / {target['refId']}"
                there = answer_labels(exprs[place])
                named = set(re.findall(r"{{(\w+)}}", target.get("legendFormat", ""))) - {"__name__"}
                if "*" not in there and named - there:
                    wrong[place] = named - there
    assert wrong == {}


def test_columns_of_tables_are_labels_that_the_answers_have() -> None:
    wrong = {}
    for uid, board in BOARDS.items():
        exprs = {one.place: one.expr for one in ASKED if one.dashboard == uid}
        for panel in (panel for panel in dashboards.panels(board) if panel["type"] == "table"):
            places = [f"{uid} / {panel['title']} / {target['refId']}" for target in panel["targets"]]
            there = frozenset[str]().union(*(answer_labels(exprs[place]) for place in places))
            (organize,) = [one["options"] for one in panel["transformations"] if one["id"] == "organize"]
            named = {name for name in organize["includeByName"] if not name.startswith("Value")}
            if named - there:
                wrong[panel["title"]] = named - there
    assert wrong == {}


def test_what_says_that_it_is_promql_is() -> None:
    for one in WRITTEN:
        if one.promised:
            promql_parser.parse(one.expr)
    assert len(WRITTEN) > 50


def test_documents_tell_a_metric_only_labels_that_it_has() -> None:
    told = {f"{file}: {name}": labels for file, name, labels in documents.shapes()}
    assert told
    wrong = {place: labels - (of_metric(place.partition(": ")[2]) or frozenset()) for place, labels in told.items()}
    assert {place: labels for place, labels in wrong.items() if labels} == {}


# words of documents that look like a metric's name, and the one of which adding-a-collector.md tells how to add it
NO_METRICS: Final = frozenset({"node_exporter", "host_unreachable", "host_threads_limit"})


def test_documents_name_only_metrics_that_somebody_exposes() -> None:
    thresholds = {name.removeprefix("host:threshold:") for name in RECORDED}
    known = {*DECLARED, *RECORDED, *thresholds}
    unknown = {}
    for page in documents.pages():
        words = re.findall(r"(?<![\w/:.-])(?:host|node|relay)_[a-z0-9_]{6,}[a-z0-9](?![\w:(*./-])", page.read_text())
        strange = {name for name in set(words) - NO_METRICS if not any(one.startswith(name) for one in known)}
        if strange:
            unknown[page.name] = strange
    assert unknown == {}


def test_the_table_of_thresholds_in_the_manual_is_that_of_the_rules() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", (ROOT / "docs/alerting.md").read_text(), re.MULTILINE)
    rules = {
        name.removeprefix("host:threshold:"): rule["expr"] for name, rule in RULES.items() if "host:threshold:" in name
    }
    assert {name for name, _ in rows} == rules.keys()
    for name, default in rows:
        numbers = [node.val for node in mutation.nodes(rules[name]) if isinstance(node, promql_parser.NumberLiteral)]
        assert float(default) in numbers, name


def test_the_recorded_pages_are_those_of_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert {f"{page}.txt" for page in PAGES} == {file.name for file in exposed.PAGES_FOLDER.iterdir()}
    with capsys.disabled():
        print(f"\nstand-ins for what a machine of tests may lack: {', '.join(PAGES)}")


@pytest.mark.parametrize("part", ["prometheus", "alertmanager"])
def test_each_recorded_release_has_what_is_asked_for(part: str) -> None:
    """Also the older one: a metric that only the newer has would leave a panel or a rule empty."""
    names = {
        node.name
        for _, expr in EVERYWHERE
        for node in mutation.nodes(expr)
        if isinstance(node, promql_parser.VectorSelector) and (node.name or "").startswith(f"{part}_")
    }
    assert names
    for page in (page for page in PAGES if page.startswith(part)):
        assert names - exposed.recorded(page).keys() == set(), page


def test_what_is_exposed_and_nobody_asks_for_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    """The catalogue of metrics documents all of them; unused ones are told, for a person to judge."""
    asked_for = {
        node.name
        for _, expr in EVERYWHERE
        for node in mutation.nodes(expr)
        if isinstance(node, promql_parser.VectorSelector)
    }
    texts = "\n".join(page.read_text() for page in documents.pages())
    catalogue = (ROOT / "docs" / "metrics.md").read_text()
    ours = sorted(name for name in {*EXPORTER, *RELAY} if name.startswith(("host_", "relay_")))
    base = {name: re.sub(r"_(?:bucket|sum|count)$", "", name) for name in ours}
    undocumented = {base[name] for name in ours if f"`{base[name]}`" not in catalogue and f"`{name}`" not in catalogue}
    unused = sorted({base[name] for name in ours if not {name, base[name]} & asked_for and base[name] not in texts})
    unused = [name for name in unused if not any(other.startswith(name) for other in asked_for if other)]
    with capsys.disabled():
        print(f"\n{len(ours)} metrics of ours, {len(unused)} neither in a rule, a panel nor a document:")
        print(*(f"  {name}" for name in unused), sep="\n")
    assert undocumented == set()


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("host_cpu_usage_ratio", set()),
        ("host_cpu_usage", {"host_cpu_usage"}),
        ('node_cpu_seconds_total{core="1"}', {"node_cpu_seconds_total{core}"}),
        ("sum by (cores) (up) / on (hots) up", {"by (cores)", "on (hots)"}),
        ("sum by (device) (up)", {"by (device)"}),
        ("node_uname_info * on (instance) group_left (version) node_os_info", set()),
        ("node_uname_info * on (instance) group_left (flavour) node_os_info", {"group_left (flavour)"}),
        ("histogram_quantile(0.9, sum(rate(host_ping_rtt_seconds_bucket[5m])))", {"histogram_quantile by (le)"}),
        ('label_replace(up, "a", "$1", "b", ".*")', {"label_replace (b)"}),
        ('instance:cpu_busy_ratio:avg5m{cpu="0"}', {"instance:cpu_busy_ratio:avg5m{cpu}"}),
        ("relay_queue_depth - relay_queue_deep", {"relay_queue_deep"}),
    ],
)  # fmt: skip
def test_the_check_of_names_sees_what_it_has_to(expression: str, found: set[str]) -> None:
    assert strangers(expression) == found


@pytest.mark.parametrize(
    "expression",
    [
        "node_memory_MemTotal_bytes > 0.8 * host_ping_latency_seconds",
        "node_load1 + node_boot_time_seconds",
        "time() - node_memory_MemFree_bytes",
        "rate(node_network_receive_bytes_total[5m]) > host:threshold:ping_latency_seconds",
        "node_memory_MemFree_bytes / node_memory_MemTotal_bytes > host:threshold:clock_skew_seconds",
    ],
)
def test_the_check_of_units_sees_what_it_has_to(expression: str) -> None:
    assert len(unit(expression)[1]) == 1


def test_units_come_from_names_and_operations() -> None:
    assert unit("rate(node_network_receive_bytes_total[5m])")[0] == GRAFANA["binBps"]
    assert unit("sum(rate(node_cpu_seconds_total[5m]))")[0] == GRAFANA["percentunit"] == PLAIN
    assert unit("time() - node_boot_time_seconds")[0] == GRAFANA["s"]
    assert unit("histogram_quantile(0.9, rate(host_ping_rtt_seconds_bucket[5m]))")[0] == GRAFANA["s"]
    assert unit("rate(host_ping_rtt_seconds_sum[5m]) / rate(host_ping_rtt_seconds_count[5m])")[0] == GRAFANA["s"]
    assert of_name("host:threshold:traffic_floor_bytes") == of_name("instance_device:network_bytes:rate30m")


def test_rules_mean_the_same_in_prometheus_3() -> None:
    """No function that is gone, and no pattern whose dot would now match a line break."""
    for name, rule in RULES.items():
        assert "holt_winters" not in rule["expr"], name
        values = [matcher.value for node in selectors(rule["expr"]) for matcher in node.matchers.matchers]
        assert [value for value in values if "." in value] == [], name


def selectors(expression: str) -> list[Any]:
    return [node for node in mutation.nodes(expression) if isinstance(node, promql_parser.VectorSelector)]
