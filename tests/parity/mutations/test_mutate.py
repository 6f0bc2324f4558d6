"""Tests of the list of mutations: `python3 -m unittest discover -s tests/parity/mutations`."""

import unittest

from mutate import MUTATIONS, problem


class List(unittest.TestCase):
    def test_every_mutation_fits_the_code_as_it_is(self):
        self.assertEqual([text for text in map(problem, MUTATIONS) if text], [])

    def test_names_are_apart_and_each_changes_something(self):
        self.assertEqual(len({mutation.name for mutation in MUTATIONS}), len(MUTATIONS))
        self.assertTrue(all(mutation.old != mutation.new for mutation in MUTATIONS))


if __name__ == "__main__":
    unittest.main()
