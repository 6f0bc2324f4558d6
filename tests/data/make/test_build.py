"""Run with `python3 -m unittest discover -s tests/data/make`."""

import copy
import unittest

import build
from check import problems
from compose import Composer


class BuildTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.data = build.compose()

    def broken(self, change):
        """The problems of a copy of the data after `change`."""
        data = copy.deepcopy(self.data)
        change(data)
        return "\n".join(problems(data))

    def test_data_keeps_every_promise(self):
        self.assertEqual(problems(self.data), [])

    def test_committed_files_are_what_the_sources_build(self):
        for path, content in build.files(self.data).items():
            with self.subTest(path):
                self.assertEqual((build.HERE.parent / path).read_bytes(), content, "run tests/data/make/build.py")

    def test_no_other_data_file_lies_beside_the_built_ones(self):
        built = set(build.files(self.data))
        folders = ("pt", "sft", "rm", "ppo")
        found = {f"{folder}/{path.name}" for folder in folders for path in (build.HERE.parent / folder).iterdir()}
        self.assertEqual(found, {path for path in built if "/" in path})

    def test_rows_of_a_scenario_do_not_depend_on_other_scenarios(self):
        scenario, rows = self.data[-1]
        self.assertEqual(Composer(scenario).everything(), rows)

    def test_held_out_rows_are_not_in_training_files(self):
        files = build.files(self.data)
        for path in [path for path in files if "heldout" in path]:
            held = set(files[path].splitlines())
            self.assertFalse(held & set(files[path.replace("heldout", "train")].splitlines()), path)

    def test_a_repeated_row_is_found(self):
        def repeat(data):
            data[1][1]["prompts"][0] = data[0][1]["prompts"][0]

        self.assertIn("a question is also in", self.broken(repeat))

    def test_a_pair_without_safety_net_is_found(self):
        def spoil(data):
            row = data[0][1]["pairs"][0]
            row["response_chosen"], row["response_rejected"] = row["response_rejected"], row["response_chosen"]

        found = self.broken(spoil)
        self.assertIn("does not end with a safety net", found)
        self.assertIn("does not end dismissively", found)

    def test_longer_chosen_responses_are_found(self):
        def lengthen(data):
            for scenario, rows in data:
                for row in rows["pairs"]:
                    row["response_chosen"] = " ".join([scenario.advice[-1], row["response_chosen"]])

        found = self.broken(lengthen)
        self.assertIn("mean length gap in chars", found)
        self.assertIn("chosen is longer in", found)

    def test_a_name_that_nobody_allowed_is_found(self):
        def name(data):
            data[0][1]["single"][0]["output"] = "Please go to Saint Nowhere and ask there. " * 4

        self.assertIn("look like names", self.broken(name))


if __name__ == "__main__":
    unittest.main()
