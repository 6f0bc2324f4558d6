"""The bound of the demo: what passes, what does not, and that the demo names one."""

import contextlib
import io
import json
import pathlib
import tempfile
import unittest

import demo_kl

DEMO = pathlib.Path(__file__).parents[2] / "crds/examples/demo.yaml"


def metrics(kl: float, k3: float = 1.0, noise: float = 0.5) -> dict[str, float]:
    return {"eval_kl": kl, "eval_kl_k3": k3, "eval_kl_stderr": noise}


class Bound(unittest.TestCase):
    def test_the_demo_names_it_and_a_training_without_is_told(self):
        self.assertEqual(demo_kl.bound(DEMO.read_text()), 15)
        with self.assertRaisesRegex(ValueError, "no annotation"):
            demo_kl.bound("metadata: {name: demo}")

    def test_a_kl_is_within_or_the_sentence_says_why_not(self):
        for kl, k3, within, word in [
            (4.0, 3.0, True, "4.00 ± 0.50 nats a sequence (bound 15)"),
            (15.0, 9.0, True, "bound 15"),
            (-1.4, 0.1, True, "-1.40"),
            (15.1, 9.0, False, "above the bound"),
            (-1.6, 0.1, False, "below zero"),
            (2.0, -0.1, False, "below zero"),
        ]:
            found, said = demo_kl.verdict(metrics(kl, k3), 15)
            self.assertEqual(found, within, said)
            self.assertIn(word, said)

    def test_the_figures_are_those_of_the_latest_manifest(self):
        with tempfile.TemporaryDirectory() as folder:
            output = pathlib.Path(folder)
            attempt = output / "stages/ppo-0123/attempt-1-abcd"
            attempt.mkdir(parents=True)
            (output / "latest").mkdir()
            (output / "latest/ppo").symlink_to("../stages/ppo-0123/attempt-1-abcd")
            for kl, code in [(3.0, 0), (99.0, 1), (None, 1)]:
                found = {} if kl is None else metrics(kl)
                (attempt.parent / "manifest.json").write_text(json.dumps({"metrics": found}))
                with contextlib.redirect_stderr(io.StringIO()) as said:
                    self.assertEqual(demo_kl.main(DEMO, output), code, said.getvalue())


if __name__ == "__main__":
    unittest.main()
