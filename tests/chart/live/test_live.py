"""Dashboard and alerts over what a real Prometheus scraped from a real operator and real trainers.

Run by tests/e2e/run.sh after its scenarios, which leave every kind of number behind; MEDTRAIN_E2E_PROMETHEUS is the
address of the Prometheus that start.sh started before them.
"""

import json
import os
import time
import unittest
import urllib.parse
import urllib.request

from chart import render
from test_monitoring import ENABLED, dashboard, queries, rules

# Longer than the scenarios take.
WINDOW = 3600
STEP = 2


def ask(path, **parameters):
    url = f"{os.environ['MEDTRAIN_E2E_PROMETHEUS']}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=60) as response:
        answer = json.load(response)
    if answer["status"] != "success":
        raise AssertionError(answer)
    return answer["data"]


def series(expression):
    """What `expression` was over the scenarios; a query that Prometheus does not take is an error."""
    now = time.time()
    return ask("query_range", query=expression, start=now - WINDOW, end=now, step=STEP)["result"]


class Live(unittest.TestCase):
    def test_both_monitors_find_something_to_scrape(self):
        found = {one["metric"]["job"] for one in series("up")}
        self.assertEqual({name.split("/")[0] for name in found}, {"ServiceMonitor", "PodMonitor"})

    def test_every_panel_shows_something(self):
        for title, expression in queries(dashboard()):
            with self.subTest(title, expression=expression):
                self.assertTrue(series(expression))

    def test_a_trainers_numbers_say_whose_they_are(self):
        found = series("medtrain_trainer_step")
        self.assertTrue(found)
        for one in found:
            for label in ("namespace", "training", "stage", "kind", "attempt", "pod"):
                self.assertTrue(one["metric"].get(label), (label, one["metric"]))
        self.assertEqual({one["metric"]["kind"] for one in found}, {"PT", "SFT", "RM", "PPO"})

    def test_every_alert_is_a_question_that_prometheus_answers_and_the_failures_of_the_scenarios_are_seen(self):
        seen = {rule["alert"] for rule in rules(render(*ENABLED)) if series(rule["expr"])}
        self.assertIn("MedTrainTrainingFailed", seen)


if __name__ == "__main__":
    unittest.main()
