"""Tests of the list of mutations and of the table: `python3 -m unittest discover -s tests/parity`."""

import sys
import unittest
from pathlib import Path

sys.path.append(str(Path(__file__).parent / "mutations"))

from mutate import MUTATIONS, problem
from table import lines, nearness, read


class Mutations(unittest.TestCase):
    def test_every_mutation_fits_the_code_as_it_is(self):
        self.assertEqual([text for text in map(problem, MUTATIONS) if text], [])

    def test_names_are_apart_and_each_changes_something(self):
        self.assertEqual(len({mutation.name for mutation in MUTATIONS}), len(MUTATIONS))
        self.assertTrue(all(mutation.old != mutation.new for mutation in MUTATIONS))


def note(case, difference, tolerance, compared=1):
    values = dict(ours=1.0 + difference, theirs=1.0, difference=difference, tolerance=tolerance)
    return dict(quantity="loss", case=case, compared=compared, **values)


class Table(unittest.TestCase):
    def test_a_line_shows_the_comparison_nearest_to_its_own_tolerance(self):
        notes = [note("far apart, widely allowed", 0.5, 1.0), note("near the edge", 0.009, 0.01, 40)]
        self.assertEqual(lines(notes), [("loss", "41", "near the edge", "1.009", "1", "9.0e-03", "1.0e-02")])

    def test_what_must_be_the_same_is_beyond_as_soon_as_it_differs(self):
        self.assertEqual(nearness(note("", 1.0, 0.0)), float("inf"))
        self.assertEqual(lines([note("a", 0.0, 0.0, 3)]), [("loss", "3", "", "3", "3", "none", "same")])

    def test_what_is_no_number_is_beyond_any_tolerance_and_is_shown(self):
        broken = read('{"quantity": "loss", "case": "a", "compared": 1, "ours": null, "theirs": 1, "difference": null, "tolerance": 9}')
        self.assertEqual(nearness(broken), float("inf"))
        self.assertEqual(lines([note("b", 0.5, 1.0), broken])[0][2:], ("a", "nan", "1", "nan", "9.0e+00"))


if __name__ == "__main__":
    unittest.main()
