"""Alerts and dashboard: promtool reads them, and every number in them exists. Run by tests/chart/run.sh."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from chart import CHART, ROOT, constants, find, read_yaml, render, render_ci

HERE = pathlib.Path(__file__).parent
ENABLED = ("--set", "monitoring.rules.enabled=true")
# What a histogram's name is followed by in queries.
HISTOGRAM = re.compile(r"_(bucket|sum|count)$")
METRIC = re.compile(r"\bmedtrain_[a-z0-9_]+")


def groups(objects):
    return find(objects, "PrometheusRule")["spec"]["groups"]


def rules(objects):
    return [rule for group in groups(objects) for rule in group["rules"]]


def promtool(directory, *arguments):
    command = [os.environ["PROMTOOL"], *arguments]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)


def dashboard():
    return json.loads((CHART / "files/dashboard.json").read_text())


def queries(board):
    """(title of the panel, expression) of every query, with Grafana's variables filled in."""
    variables = {"$__rate_interval": "5m", "$__range": "6h", "$namespace": ".*", "$training": ".*", "$stage": ".*"}
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"]
            for name, value in variables.items():
                expression = expression.replace(name, value)
            yield panel["title"], expression


def known_metrics():
    """Every name that the trainer or the operator exports, from their sources."""
    operator = ROOT / "operator/src/metrics.rs"
    text = operator.read_text() if operator.exists() else ""
    return constants("crds/src/contract/metrics.rs", "prometheus") | set(METRIC.findall(text))


class Alerts(unittest.TestCase):
    def in_directory(self, content, test=None):
        directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        # JSON is YAML.
        (directory / "alerts.yaml").write_text(json.dumps({"groups": content}))
        if test:
            shutil.copy(test, directory)
        return directory

    def test_promtool_finds_nothing_wrong(self):
        for objects in (render(*ENABLED), render_ci("monitored")):
            done = promtool(self.in_directory(groups(objects)), "check", "rules", "--lint-fatal", "alerts.yaml")
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_each_fires_when_it_should_and_not_before(self):
        test = HERE / "alerts_test.yaml"
        done = promtool(self.in_directory(groups(render(*ENABLED)), test), "test", "rules", test.name)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_each_has_a_unit_test_a_summary_and_a_way_out(self):
        tested = read_yaml((HERE / "alerts_test.yaml").read_text())[0]["tests"]
        fired = {c["alertname"] for test in tested for c in test["alert_rule_test"] if c.get("exp_alerts")}
        quiet = {c["alertname"] for test in tested for c in test["alert_rule_test"] if not c.get("exp_alerts")}
        names = {rule["alert"] for rule in rules(render(*ENABLED))}
        self.assertEqual((fired, quiet), (names, names))
        for rule in rules(render(*ENABLED)):
            self.assertEqual(set(rule["annotations"]), {"summary", "description"})
            self.assertIn(rule["labels"]["severity"], {"warning", "critical"})

    def test_every_threshold_is_a_value_and_every_such_value_a_threshold(self):
        source = (CHART / "files/alerts.yaml").read_text().split("groups:", 1)[1]
        values = read_yaml((CHART / "values.yaml").read_text())[0]["monitoring"]["rules"]
        self.assertEqual(set(re.findall(r"\$\{(\w+)\}", source)), set(values) - {"enabled", "labels"})
        self.assertNotIn("${", json.dumps(groups(render(*ENABLED))))

    def test_values_change_thresholds_and_labels(self):
        stalled = next(r for r in rules(render_ci("monitored")) if r["alert"] == "MedTrainStageStalled")
        self.assertIn("offset 30m", stalled["expr"])
        self.assertEqual(stalled["labels"], {"severity": "warning", "team": "research"})


class Dashboard(unittest.TestCase):
    def test_prometheus_reads_every_query(self):
        recorded = [{"record": f"panel:{i}", "expr": e} for i, (_, e) in enumerate(queries(dashboard()))]
        self.assertGreater(len(recorded), 20)
        directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        (directory / "queries.yaml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": recorded}]}))
        done = promtool(directory, "check", "rules", "queries.yaml")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertNotIn("$", "".join(expression for _, expression in queries(dashboard())))

    def test_panels_have_distinct_numbers_and_do_not_overlap(self):
        panels = dashboard()["panels"]
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        taken = set()
        for panel in panels:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            self.assertFalse(cells & taken, panel["title"])
            self.assertLessEqual(at["x"] + at["w"], 24)
            taken |= cells


class Names(unittest.TestCase):
    def used(self):
        expressions = [expression for _, expression in queries(dashboard())]
        expressions += [rule["expr"] for rule in rules(render(*ENABLED))]
        expressions += [v["query"]["query"] for v in dashboard()["templating"]["list"] if v["type"] == "query"]
        return {HISTOGRAM.sub("", name) for expression in expressions for name in METRIC.findall(expression)}

    def test_every_number_in_alerts_and_dashboard_is_exported(self):
        known = known_metrics()
        used = self.used()
        if not (ROOT / "operator/src/metrics.rs").exists():
            used = {name for name in used if name.startswith("medtrain_trainer_")}
        self.assertEqual(used - known, set(), "neither in crds/src/contract/metrics.rs nor in operator/src/metrics.rs")

    def test_every_number_of_the_trainer_is_on_the_dashboard(self):
        self.assertEqual(constants("crds/src/contract/metrics.rs", "prometheus") - self.used(), set())


if __name__ == "__main__":
    unittest.main()
