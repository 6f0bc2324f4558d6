"""The chart's README. Run by tests/chart/run.sh."""

import re
import unittest

import readme
from chart import CHART, read_yaml, render
from schema import Schemas


class Table(unittest.TestCase):
    def test_it_is_current(self):
        text = (CHART / "README.md").read_text()
        self.assertEqual(readme.current(text, (CHART / "values.yaml").read_text()), text, "run `make chart`")

    def test_it_names_every_value_with_its_default(self):
        values = read_yaml((CHART / "values.yaml").read_text())[0]
        for path, default, _ in readme.values((CHART / "values.yaml").read_text()):
            value = values
            for name in path.split("."):
                value = value[name]
            self.assertEqual(read_yaml(f"value: {default}")[0]["value"], value, path)

    def test_a_value_without_a_comment_and_one_of_several_lines_are_errors(self):
        with self.assertRaisesRegex(ValueError, "values.yaml:2: a.b has no comment"):
            list(readme.values("a:\n  b: 1\n"))
        with self.assertRaisesRegex(ValueError, "values.yaml:3: a value of several lines"):
            list(readme.values("# -- what\na: []\n  - 1\n"))


class FirstTraining(unittest.TestCase):
    def examples(self):
        notes = (CHART / "templates/NOTES.txt").read_text()
        notes = re.search(r"<<'EOF'\n(.*?)\n +EOF", notes, re.DOTALL)[1]
        text = (CHART / "README.md").read_text()
        chart = read_yaml((CHART / "Chart.yaml").read_text())[0]["annotations"]["artifacthub.io/crdsExamples"]
        yield from read_yaml(re.sub(r"(?m)^     ", "", notes))
        yield from read_yaml(re.search(r"```yaml\n(apiVersion: medtrain.*?)```", text, re.DOTALL)[1])
        yield from read_yaml(chart)[0]

    def test_readme_notes_and_annotation_show_the_same_one(self):
        first, *others = self.examples()
        self.assertEqual(len(others), 2)
        for other in others:
            self.assertEqual(other, first)

    def test_the_definition_takes_it(self):
        schemas = Schemas.__new__(Schemas)
        schemas.kinds, schemas.definitions = {}, {}
        definition = next(o for o in render() if o["kind"] == "CustomResourceDefinition")
        schemas.add_definition(definition)
        # What every object has (apiVersion, kind, metadata) no definition needs to list.
        training = {"spec": next(self.examples())["spec"]}
        known = schemas.kinds["medtrain.io/v1alpha1", "MedicalTraining"]
        self.assertEqual(list(schemas.walk(training, known, "")), [])


if __name__ == "__main__":
    unittest.main()
