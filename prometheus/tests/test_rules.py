"""What Prometheus and Alertmanager read: accepted by their own tools, tested, and each alert with its runbook."""

import re
import subprocess
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "prometheus"
RUNBOOKS = ROOT / "docs" / "runbooks"
RUNBOOK_URL = "https://runbooks.example.com/"
RULE_FILES = sorted((PROMETHEUS / "rules").glob("*.yml"))
RULE_TESTS = sorted((PROMETHEUS / "tests").glob("*_test.yml"))
SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
# what the relay itself raises, when nobody else can
OF_THE_RELAY = ["AlertPipelineSilent"]
# fires always, to show that alerts arrive: nothing in it moves
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


@pytest.mark.needs("prometheus")
@pytest.mark.parametrize("file", RULE_TESTS, ids=lambda file: file.stem)
def test_rules_do_what_their_tests_say(file: Path) -> None:
    assert "SUCCESS" in accepted("promtool", "test", "rules", file)


@pytest.mark.needs("alertmanager")
def test_amtool_accepts_the_configuration() -> None:
    assert "1 receivers" in accepted("amtool", "check-config", ROOT / "alertmanager" / "alertmanager.yml")


def test_every_rule_file_has_a_test_file() -> None:
    assert [f"{file.stem}_test" for file in RULE_FILES] == [file.stem for file in RULE_TESTS]


def test_every_alert_is_named_in_a_rule_test() -> None:
    tested = {
        case["alertname"]
        for file in RULE_TESTS
        for test in yaml.safe_load(file.read_text())["tests"]
        for case in test.get("alert_rule_test", [])
        if case["exp_alerts"]
    }
    assert sorted(ALERTS) == sorted(tested), "alerts on the left, alerts that some test sees firing on the right"


def test_every_alert_has_its_runbook_and_every_runbook_its_alert() -> None:
    assert sorted([*ALERTS, *OF_THE_RELAY]) == sorted(page.stem for page in RUNBOOKS.glob("*.md"))


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_links_to_its_runbook(name: str) -> None:
    assert ALERTS[name]["annotations"]["runbook_url"] == RUNBOOK_URL + name


@pytest.mark.parametrize("name", [*ALERTS, *OF_THE_RELAY])
def test_a_runbook_says_meaning_impact_diagnosis_with_commands_and_mitigation(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    assert "```" in text.partition("## Diagnosis")[2].partition("## Mitigation")[0]


def test_the_runbook_of_an_average_says_so() -> None:
    assert "on average" in (RUNBOOKS / "HostCpuHigh.md").read_text()
    assert "on average" in ALERTS["HostCpuHigh"]["annotations"]["summary"]


@pytest.mark.parametrize("name", [name for name in ALERTS if name != ALWAYS])
def test_an_alert_carries_severity_summary_and_a_humanised_description(name: str) -> None:
    labels, notes = ALERTS[name]["labels"], ALERTS[name]["annotations"]
    assert labels["severity"] in {"critical", "warning", "info", "none"}
    assert "{{" in notes["summary"]
    assert "$value" not in notes["summary"], "a summary stays the same while the value moves"
    assert re.search(r"\$value \| humanize", notes["description"])


@pytest.mark.parametrize("name", ALERTS)
def test_no_label_holds_a_template(name: str) -> None:
    """A label that moves with the value makes a new alert of it at each evaluation."""
    assert not [value for value in ALERTS[name]["labels"].values() if "{{" in str(value)]


@pytest.mark.parametrize("name", RECORDS)
def test_a_recorded_name_is_level_metric_operations(name: str) -> None:
    assert re.fullmatch(r"[a-z_]+:[a-z0-9_]+:[a-z0-9_]+", name)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_an_expression_parses_and_compares_where_it_alerts(rule: dict[str, Any]) -> None:
    expression = promql_parser.parse(rule["expr"])
    if "alert" in rule and rule["alert"] != ALWAYS:
        assert isinstance(expression, promql_parser.BinaryExpr)


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
