"""Dashboard, alerts, runbook and list of metrics say what `/metrics` says."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess

import yaml

from detectd.telemetry.health import Health
from detectd.telemetry.metrics import METRICS, Metrics
from tests.support.paths import ROOT

HERE = ROOT / "dashboards"
NAME = re.compile(r"\b(?:detectd|process)_\w+")


def rules():
    (group,) = yaml.safe_load((HERE / "alerts.yml").read_text())["groups"]
    return group["rules"]


def dashboard():
    return json.loads((HERE / "detectd.json").read_text())


def expressions():
    """Every query of the dashboard, its variables standing for something."""
    board = dashboard()
    targets = [target for panel in board["panels"] for target in panel.get("targets", ())]
    for query in (*targets, *board["annotations"]["list"]):
        yield (
            query["expr"]
            .replace("$__rate_interval", "5m")
            .replace("$job", ".*")
            .replace("$instance", ".*")
        )


def exposed():
    """All names that a query may have, those of a histogram's parts among them."""
    text = Metrics(Health(60.0)).exposition().decode()
    names = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    parts = {m.name + end for m in METRICS if m.buckets for end in ("_bucket", "_sum", "_count")}
    return names | parts


def accepts(promtool, *arguments):
    rarely = {"GOGC": "800"}  # collecting garbage takes a third of its time otherwise
    done = subprocess.run(
        [promtool, *map(str, arguments)], capture_output=True, text=True, env=os.environ | rarely
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_is_in_the_list_as_it_is_declared():
    listed = [
        tuple(cell.strip() for cell in line.strip("|").split("|"))
        for line in (HERE / "metrics.md").read_text().splitlines()
        if line.startswith("| `")
    ]
    assert listed == [
        (
            f"`{metric.name}`",
            metric.kind,
            ", ".join(f"`{label}`" for label in metric.labels),
            metric.help,
        )
        for metric in METRICS
    ]


def test_dashboard_and_alerts_name_nothing_that_is_not_there():
    text = [*expressions(), *(rule["expr"] for rule in rules())]
    variables = [v["definition"] for v in dashboard()["templating"]["list"] if "definition" in v]
    assert {name for each in (*text, *variables) for name in NAME.findall(each)} <= exposed()


def test_the_dashboard_shows_every_metric():
    shown = {name for each in expressions() for name in NAME.findall(each)}
    hidden = {m.name for m in METRICS if not any(name.startswith(m.name) for name in shown)}
    assert hidden == set()


def test_panels_are_described_and_lie_beside_each_other():
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert panel["type"] == "row" or panel["description"].endswith(".")
    for one, other in itertools.combinations((panel["gridPos"] for panel in panels), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below


def test_panels_ask_the_data_source_that_was_chosen_for_the_processes_that_were_chosen():
    for panel in dashboard()["panels"]:
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel.get("targets", ()):
            assert 'job=~"$job", instance=~"$instance"' in target["expr"]


def test_every_alert_has_its_section_in_the_runbook():
    sections = re.findall(
        r"^## (\w+)\n(?!\n*(?:#|\Z))", (HERE / "runbook.md").read_text(), re.MULTILINE
    )
    assert sections == [rule["alert"] for rule in rules()]


def test_every_alert_says_how_urgent_it_is_and_where_to_read_on():
    for rule in rules():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        assert rule["annotations"]["runbook_url"] == f"runbook.md#{rule['alert'].lower()}"


def test_every_alert_is_tested_to_fire_and_not_to_fire():
    asked = {}
    for test in yaml.safe_load((HERE / "alerts-test.yml").read_text())["tests"]:
        for each in test["alert_rule_test"]:
            asked.setdefault(each["alertname"], set()).add(bool(each["exp_alerts"]))
    assert asked == {rule["alert"]: {True, False} for rule in rules()}


def test_promtool_accepts_the_alerts_and_their_tests(promtool):
    accepts(promtool, "check", "rules", HERE / "alerts.yml")
    accepts(promtool, "test", "rules", HERE / "alerts-test.yml")


def test_promtool_accepts_what_goes_into_prometheus_yml(promtool):
    accepts(promtool, "check", "config", HERE / "prometheus.yml")


def test_the_rule_for_what_was_never_up_names_the_job_of_prometheus_yml():
    (scrape,) = yaml.safe_load((HERE / "prometheus.yml").read_text())["scrape_configs"]
    (down,) = (rule for rule in rules() if rule["alert"] == "DetectdDown")
    assert f'up{{job="{scrape["job_name"]}"}} == 0' in down["expr"]


def test_every_section_of_the_runbook_can_be_read_at_3_am():
    for section in re.split(r"^## ", (HERE / "runbook.md").read_text(), flags=re.MULTILINE)[1:]:
        missing = [w for w in ("**Means:**", "**Can it", "```\n") if w not in section]
        assert not missing, section.splitlines()[0]


def test_promtool_accepts_every_query_of_the_dashboard(promtool, tmp_path):
    recorded = [{"record": f"q{i}", "expr": expr} for i, expr in enumerate(expressions())]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": recorded}]}))
    accepts(promtool, "check", "rules", path)
