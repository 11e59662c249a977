"""What Prometheus and Alertmanager read: accepted by their own tools, tested, and each alert with its runbook."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from exporter.relay.settings import WatchdogSettings
from exporter.settings import Duration

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "prometheus"
RUNBOOKS = ROOT / "docs" / "runbooks"
RUNBOOK_URL = "https://runbooks.example.com/"
RULE_FILES = sorted((PROMETHEUS / "rules").glob("*.yml"))
RULE_TESTS = sorted((PROMETHEUS / "tests").glob("*_test.yml"))
SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
# alerts that the relay sends itself, from no rule
OF_THE_RELAY = ["AlertPipelineSilent"]
# always fires, by design: it compares nothing, and its words never change
ALWAYS = "Watchdog"
PORTS = {"node": 10101, "prometheus": 9090, "alertmanager": 9093, "relay": 10102}


def rules() -> list[dict[str, Any]]:
    groups = [group for file in RULE_FILES for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
RECORDS = {rule["record"]: rule for rule in rules() if "record" in rule}


def accepted(*command: str | Path) -> str:
    """Run a tool of Prometheus or Alertmanager; return what it printed, fail with that when it finds a fault."""
    done = subprocess.run(command, cwd=PROMETHEUS, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.needs("prometheus")
def test_promtool_accepts_the_configuration() -> None:
    assert "rule files found" in accepted("promtool", "check", "config", "prometheus.yml")


@pytest.mark.needs("prometheus")
def test_promtool_accepts_every_rule_file() -> None:
    accepted("promtool", "check", "rules", "--lint=all", "--lint-fatal", *RULE_FILES)


@pytest.mark.slow
@pytest.mark.needs("prometheus")
@pytest.mark.parametrize("file", RULE_TESTS, ids=lambda file: file.stem)
def test_rules_do_what_their_tests_say(file: Path, tmp_path: Path) -> None:
    """The annotations that the tables prove, and that move with time, are left out."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "tests").mkdir()
    for name in yaml.safe_load(file.read_text())["rule_files"]:
        document = yaml.safe_load((file.parent / name).read_text())
        for rule in (rule for group in document["groups"] for rule in group["rules"]):
            for key in {"dashboard_url", "evidence"} & set(rule.get("annotations", {})):
                del rule["annotations"][key]
        (tmp_path / "rules" / Path(name).name).write_text(yaml.safe_dump(document))
    shutil.copy(file, tmp_path / "tests")
    assert "SUCCESS" in accepted("promtool", "test", "rules", tmp_path / "tests" / file.name)


@pytest.mark.needs("alertmanager")
def test_amtool_accepts_the_configuration() -> None:
    assert "1 receivers" in accepted("amtool", "check-config", ROOT / "alertmanager" / "alertmanager.yml")


def test_every_alert_has_its_runbook_and_every_runbook_its_alert() -> None:
    assert sorted([*ALERTS, *OF_THE_RELAY]) == sorted(page.stem for page in RUNBOOKS.glob("*.md"))


def test_an_alert_links_to_its_runbook() -> None:
    links = {name: rule["annotations"]["runbook_url"] for name, rule in ALERTS.items()}
    assert links == {name: RUNBOOK_URL + name for name in ALERTS}


@pytest.mark.parametrize("name", [*ALERTS, *OF_THE_RELAY])
def test_a_runbook_says_meaning_impact_diagnosis_with_commands_and_mitigation(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    assert "```" in text.partition("## Diagnosis")[2].partition("## Mitigation")[0]


def test_the_runbook_of_an_average_says_so() -> None:
    assert "on average" in (RUNBOOKS / "HostCpuHigh.md").read_text()
    assert "on average" in ALERTS["HostCpuHigh"]["annotations"]["summary"]


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_carries_severity_summary_and_a_humanised_description(name: str) -> None:
    labels, notes = ALERTS[name]["labels"], ALERTS[name]["annotations"]
    assert labels["severity"] in {"critical", "warning", "info", "none"}
    if name == ALWAYS:
        assert "{{" not in str(notes)
        return
    assert "{{" in notes["summary"]
    assert "$value" not in notes["summary"], "a summary stays the same while the value moves"
    assert re.search(r"\$value \| humanize", notes["description"])


def test_no_label_holds_a_template() -> None:
    """A label that moves with the value makes a new alert of it at each evaluation."""
    assert [name for name, rule in ALERTS.items() if any("{{" in str(value) for value in rule["labels"].values())] == []


def test_a_recorded_name_is_level_metric_operations() -> None:
    assert [name for name in RECORDS if not re.fullmatch(r"[a-z_]+:[a-z0-9_]+:[a-z0-9_]+", name)] == []


def test_an_expression_parses_and_compares_where_it_alerts() -> None:
    for rule in rules():
        expression = promql_parser.parse(rule["expr"])
        if "alert" in rule and rule["alert"] != ALWAYS:
            assert isinstance(expression, promql_parser.BinaryExpr), rule["alert"]


def test_every_job_is_found_through_files_beside_the_configuration() -> None:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    assert sorted(jobs) == sorted(PORTS)
    for name, job in jobs.items():
        assert job == {"job_name": name, "file_sd_configs": [{"files": [f"targets/{name}/*.yml"]}]}


@pytest.mark.parametrize(("job", "port"), PORTS.items())
def test_a_shipped_target_is_this_machine_and_called_localhost(job: str, port: int) -> None:
    (file,) = (PROMETHEUS / "targets" / job).iterdir()
    expected = [{"targets": [f"127.0.0.1:{port}"], "labels": {"instance": "localhost"}}]
    assert yaml.safe_load(file.read_text()) == expected


def test_the_watchdog_has_a_short_route_of_its_own_that_the_relay_waits_for_longer_than() -> None:
    config = yaml.safe_load((ROOT / "alertmanager" / "alertmanager.yml").read_text())
    route = config["route"]["routes"][0]
    assert route["matchers"] == ['alertname = "Watchdog"']
    assert route["receiver"] == config["route"]["receiver"]
    times = {key: Duration.parse(route[key]) for key in ("group_wait", "group_interval", "repeat_interval")}
    assert times["group_wait"] == 0
    # Alertmanager rounds repeat_interval up to a multiple of group_interval
    assert times["repeat_interval"] % times["group_interval"] == 0
    assert 2 * times["repeat_interval"] < WatchdogSettings().silent_after
    assert ALERTS["Watchdog"]["labels"] == {"severity": "none"}


@pytest.mark.needs("alertmanager")
def test_amtool_sees_the_watchdog_s_route() -> None:
    file = ROOT / "alertmanager" / "alertmanager.yml"
    shown = accepted("amtool", "config", "routes", "show", f"--config.file={file}")
    assert '{alertname="Watchdog"}  receiver: relay' in shown


def test_alertmanager_sends_everything_to_the_relay_with_a_token_from_a_file() -> None:
    config = yaml.safe_load((ROOT / "alertmanager" / "alertmanager.yml").read_text())
    assert config["route"]["group_by"] == ["alertname", "instance"]
    (receiver,) = config["receivers"]
    (webhook,) = receiver["webhook_configs"]
    assert config["route"]["receiver"] == receiver["name"]
    assert webhook["url"] == "http://127.0.0.1:10102/alertmanager"
    assert webhook["send_resolved"] is True
    assert webhook["max_alerts"] == 0
    assert webhook["http_config"]["authorization"] == {"type": "Bearer", "credentials_file": "relay-token"}
