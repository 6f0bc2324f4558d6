"""Run with `python3 -m unittest discover -s tests/bench`; needs neither torch nor medtrain."""

import json
import sys
import unittest

import bench

# A side that computes nothing: it takes the seconds, the loss and the tokens that it is told to.
FAKE = """
import json, sys
seconds, loss, ids, short = json.loads(sys.argv[1])
print(json.dumps({"versions": {}}), flush=True)
for line in sys.stdin:
    if line.startswith("judge"):
        print(json.dumps({"shortOfGreedy": short}), flush=True)
        continue
    if not seconds:
        sys.exit(70)
    done = {"tokens": 100, "seconds": seconds.pop(0), "peakRss": 2**20}
    print(json.dumps(done | ({"ids": ids} if ids else {"loss": loss})), flush=True)
"""
TRAIN = bench.Row.parse("lora-4x512-dropout0.05")
GENERATE = bench.Row.parse("generate-8x128+64")


def fake(seconds, loss=2.0, ids=None, short=0.0):
    return [sys.executable, "-c", FAKE, json.dumps([seconds, loss, ids, short])]


def measure(row, ours, peer, warmup=1, rounds=3):
    return bench.measure(row, {"medtrain": ours, "peer": peer}, threads=1, warmup=warmup, rounds=rounds)[0]


class BenchTest(unittest.TestCase):
    def test_a_rows_name_says_its_work(self):
        self.assertEqual((TRAIN.batch, TRAIN.length), (4, 512))
        self.assertEqual(TRAIN.task["train"]["lora"]["dropout"], 0.05)
        self.assertIs(TRAIN.task["train"]["train"]["gradientCheckpointing"], False)
        checkpointing = bench.Row.parse("lora-1x2048-dropout0-checkpointing")
        self.assertIs(checkpointing.task["train"]["train"]["gradientCheckpointing"], True)
        self.assertEqual((GENERATE.batch, GENERATE.length, GENERATE.task), (8, 128, {"generate": {"maxNewTokens": 64}}))
        for name in ["lora-4x512", "generate-0x128+64", "lora-4x1-dropout0", "generate-1x128+0"]:
            with self.assertRaisesRegex(bench.BenchError, f"row {name}".replace("+", r"\+")):
                bench.Row.parse(name)

    def test_every_row_of_the_default_is_known(self):
        for name in bench.ROWS:
            self.assertEqual(bench.Row.parse(name).name, name)

    def test_both_sides_get_the_same_ids_and_a_short_text_starts_again(self):
        row = bench.Row.parse("lora-2x4-dropout0")
        self.assertEqual(row.workload("m", 1, [1, 2, 3])["ids"], [[1, 2, 3, 1], [2, 3, 1, 2]])

    def test_the_ratio_is_the_median_of_the_rounds_ratios_and_warm_up_counts_nowhere(self):
        # The ratio of the two medians would be 2.
        result = measure(TRAIN, fake([99, 1, 2, 4]), fake([99, 4, 8, 2]))
        self.assertEqual((result["ratio"], result["ratioLowest"], result["ratioHighest"]), (4, 0.5, 4))
        self.assertEqual((result["medtrain"]["tokensPerSecond"], result["peer"]["tokensPerSecond"]), (50, 25))
        self.assertEqual(result["medtrain"]["seconds"], [1, 2, 4])

    def test_other_losses_at_the_first_step_fail_the_run(self):
        measure(TRAIN, fake([1] * 4, loss=2.0001), fake([1] * 4))
        for loss in (2.0003, float("nan")):
            with self.assertRaisesRegex(bench.BenchError, "not the same computation"):
                measure(TRAIN, fake([1] * 4, loss=loss), fake([1] * 4))

    def test_tokens_that_the_peer_finds_unlikely_fail_the_run(self):
        ours, near = [[5, 6], [7, 8]], [[5, 6], [7, 9]]  # the second response ends in a tie
        result = measure(GENERATE, fake([1] * 4, ids=ours), fake([1] * 4, ids=near, short=1e-5))
        self.assertEqual(result["same"], {"shortOfGreedy": 1e-5, "sameResponses": 1, "responses": 8})
        with self.assertRaisesRegex(bench.BenchError, "not greedy"):
            measure(GENERATE, fake([1] * 4, ids=ours), fake([1] * 4, ids=near, short=0.5))

    def test_a_side_that_dies_is_named_with_its_exit_code(self):
        with self.assertRaisesRegex(bench.BenchError, "peer ended with exit code 70"):
            measure(TRAIN, fake([1] * 4), fake([1, 1]))

    def test_others_are_all_that_is_busy_and_not_ours(self):
        before = bench.Ticks(busy=100, total=1000, ours=40)
        self.assertEqual(before.share_of_others(bench.Ticks(busy=150, total=1100, ours=60)), 0.3)
        self.assertEqual(before.share_of_others(bench.Ticks(busy=120, total=1100, ours=61)), 0, "ticks are rounded")

    def test_the_table_has_a_line_a_row(self):
        result = measure(TRAIN, fake([1] * 4), fake([2] * 4)) | {"shareOfOthers": 0.25}
        self.assertIn(
            "| lora-4x512-dropout0.05 | 100.0 | 50.0 | 2.00 | 2.00–2.00 | 1 | 1 | 25% |", bench.table([result])
        )


if __name__ == "__main__":
    unittest.main()
