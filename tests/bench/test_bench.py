"""Run with `python3 -m unittest discover -s tests/bench`; needs neither torch nor medtrain."""

import functools
import json
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import bench
import jobs
import memory
import report
import rows
import sides

# A side that computes nothing: it takes the seconds, the loss and the tokens that it is told to.
FAKE = """
import json, sys
seconds, loss, ids, judged = json.loads(sys.argv[1])
print(json.dumps({"versions": {}, "trainedParameters": 5}), flush=True)
for line in sys.stdin:
    if line.startswith("judge"):
        print(json.dumps(judged), flush=True)
        continue
    if line.startswith("roofline"):
        parts = {"layers": 0.5, "head": 0.25, "lora": 0.125, "attention": 0.125}
        print(json.dumps({"flops": 8e9, "peakFlopsPerSecond": 4e9, "seconds": parts}), flush=True)
        continue
    if not seconds:
        sys.exit(70)
    done = {"tokens": 100, "seconds": seconds.pop(0), "peakRss": 2**20}
    print(json.dumps(done | ({"ids": ids, "rollout": {}} if ids else {"loss": loss})), flush=True)
"""
TRAIN = rows.parse("lora-4x512-dropout0.05")
GENERATE = rows.parse("generate-8x128+64")


def fake(seconds, loss=2.0, ids=None, judged=None):
    arguments = json.dumps([seconds, loss, ids, judged or {"shortOfGreedy": 0.0}])
    return lambda name: functools.partial(sides.Side, name, [sys.executable, "-c", FAKE, arguments], 1)


def measure(row, ours, peer, rounds=3, more=None):
    """Of the row's first peer; `more` are further ones by name."""
    name = next(iter(row.peers or row.variants))
    wanted = {name: peer} | (more or {})
    row = mock.Mock(wraps=row, peers=row.peers | row.variants, unit=row.unit, kind=row.kind, warmup=1, batch=row.batch)
    row.name = "row"
    starts = {name: start(name) for name, start in wanted.items()}
    result = bench.measure(row, ours("medtrain"), starts, rounds)[0]
    return result, result["peers"][name]


class RowsTest(unittest.TestCase):
    def test_a_rows_name_says_its_work(self):
        self.assertEqual((TRAIN.batch, TRAIN.length, TRAIN.kind), (4, 512, "causal"))
        self.assertEqual(TRAIN.task["train"]["lora"]["dropout"], 0.05)
        self.assertIs(TRAIN.task["train"]["train"]["gradientCheckpointing"], False)
        checkpointing = rows.parse("lora-1x2048-dropout0-checkpointing")
        self.assertIs(checkpointing.task["train"]["train"]["gradientCheckpointing"], True)
        self.assertIsNone(rows.parse("full-4x512").task["train"]["lora"])
        self.assertEqual((GENERATE.batch, GENERATE.length, GENERATE.task), (8, 128, {"generate": {"maxNewTokens": 64}}))
        ppo = rows.parse("ppo-32x16+64").task["train"]["kind"]["ppo"]["ppo"]
        sizes = [ppo[name] for name in ("batchSize", "miniBatchSize", "maxNewTokens", "numPpoEpochs")]
        self.assertEqual(sizes, [32, 8, 64, 4])
        self.assertEqual(rows.parse("load-2048").size, 2_048_000_000)

    def test_names_that_are_no_row_are_refused_by_name(self):
        wrong = ["lora-4x512", "generate-0x128+64", "lora-4x1-dropout0", "generate-1x128+0", "full-4x512-dropout0"]
        for name in [*wrong, "ppo-8x8+0", "data-0", "load", "start-3"]:
            with self.assertRaisesRegex(bench.BenchError, f"row {name}".replace("+", r"\+")):
                rows.parse(name)

    def test_every_row_of_the_default_is_known_and_aims_at_something(self):
        for name in rows.ROWS:
            row = rows.parse(name)
            self.assertEqual(row.name, name)
            self.assertTrue([peer for peer in (row.peers | row.variants).values() if peer.target], name)

    def test_both_sides_get_the_same_ids_and_a_short_text_starts_again(self):
        row = rows.parse("lora-2x4-dropout0")
        self.assertEqual(row.workload(Path("m"), 1, [1, 2, 3])["ids"], [[1, 2, 3, 1], [2, 3, 1, 2]])
        self.assertEqual(len(rows.parse("reward-2x4").workload(Path("m"), 1, [1, 2, 3])["ids"]), 4, "sides of pairs")

    def test_bf16_is_told_of_but_never_the_peer(self):
        seconds = {"sdpa": 3, "eager": 2, "sdpa-compile": 4, "eager-compile": 5, "sdpa-bf16": 1}
        starts = {name: fake([9, value, value])(name) for name, value in seconds.items()}
        best, tried = bench.find_quickest(TRAIN, starts)
        self.assertEqual((best, tried["steps"]["sdpa-bf16"]["seconds"]), ("eager", 1))

    def test_a_variant_that_does_not_run_is_told_of_and_passed_over(self):
        starts = {name: fake([1])(name) for name in TRAIN.variants}
        starts["sdpa-compile"] = fake([9, 1, 1])("sdpa-compile")
        best, tried = bench.find_quickest(TRAIN, starts)
        self.assertEqual(best, "sdpa-compile")
        self.assertIn("exit code 70", tried["steps"]["eager"]["failed"])


class MeasureTest(unittest.TestCase):
    def test_the_ratio_is_the_median_of_the_rounds_ratios_and_warm_up_counts_nowhere(self):
        # The ratio of the two medians would be 2.
        result, peer = measure(TRAIN, fake([99, 1, 2, 4]), fake([99, 4, 8, 2]))
        self.assertEqual((peer["ratio"], peer["ratioLowest"], peer["ratioHighest"]), (4, 0.5, 4))
        self.assertEqual((result["medtrain"]["speed"], peer["speed"]), (50, 25))
        self.assertEqual(result["medtrain"]["seconds"], [1, 2, 4])

    def test_targets_are_told_of_and_fail_nothing(self):
        _, peer = measure(TRAIN, fake([1] * 4), fake([1] * 4))
        self.assertEqual((peer["target"], peer["met"], peer["rssMet"]), (1.5, False, False))
        _, peer = measure(TRAIN, fake([1] * 4), fake([1.5] * 4))
        self.assertIs(peer["met"], True)

    def test_other_losses_at_the_first_step_fail_the_row(self):
        measure(TRAIN, fake([1] * 4, loss=2.0001), fake([1] * 4))
        for loss in (2.0003, float("nan")):
            with self.assertRaisesRegex(bench.BenchError, "not the same computation"):
                measure(TRAIN, fake([1] * 4, loss=loss), fake([1] * 4))

    def test_tokens_that_the_peer_finds_unlikely_fail_the_row(self):
        ours, near = [[5, 6], [7, 8]], [[5, 6], [7, 9]]  # the second response ends in a tie
        judge = fake([1] * 4, ids=near, judged={"shortOfGreedy": 1e-5})
        result, _ = measure(GENERATE, fake([1] * 4, ids=ours), judge)
        self.assertEqual(result["same"], {"transformers": {"shortOfGreedy": 1e-5, "sameResponses": 1, "responses": 8}})
        judge = fake([1] * 4, ids=near, judged={"shortOfGreedy": 0.5})
        with self.assertRaisesRegex(bench.BenchError, "not greedy"):
            measure(GENERATE, fake([1] * 4, ids=ours), judge)

    def test_a_rollout_that_the_peer_scores_otherwise_fails_the_row(self):
        row = rows.parse("ppo-8x8+8")
        near = fake([1] * 4, ids=[[1]], judged={"logprobOff": 1e-5, "scoreOff": 1e-6})
        result, _ = measure(row, fake([1] * 4, ids=[[1]]), near)
        self.assertEqual(result["same"]["PPOTrainer"], {"logprobOff": 1e-5, "scoreOff": 1e-6})
        far = fake([1] * 4, ids=[[1]], judged={"logprobOff": 1e-5, "scoreOff": 0.1})
        with self.assertRaisesRegex(bench.BenchError, "scoreOff"):
            measure(row, fake([1] * 4, ids=[[1]]), far)

    def test_a_side_that_dies_is_named_with_its_exit_code(self):
        with self.assertRaisesRegex(bench.BenchError, "sdpa ended with exit code 70"):
            measure(TRAIN, fake([1] * 4), fake([1, 1]))

    def test_a_row_goes_on_without_a_further_peer_that_is_missing(self):
        ids = [[1]]
        result, _ = measure(GENERATE, fake([1] * 4, ids=ids), fake([1] * 4, ids=ids), more={"llama.cpp": fake([])})
        self.assertEqual(list(result["peers"]), ["transformers"])
        self.assertIn("llama.cpp", result["missing"])

    def test_the_roofline_is_of_the_median_step(self):
        result, _ = measure(TRAIN, fake([9, 1, 4, 9]), fake([1] * 4))
        self.assertEqual(result["roofline"]["shareOfProducts"], 0.25)
        self.assertEqual(result["roofline"]["shareOfPeak"], 0.5)
        self.assertIn("| row | 4.00 | 8 | 50% of 4 GFLOP/s | 25% | 12% | 6% | 3% | 3% |", report.rooflines([result]))

    def test_growth_is_in_bytes_a_further_token(self):
        found = report.growth({4: 140, 1: 110, 2: 120})
        self.assertEqual(found, {"peakRss": {"1": 110, "2": 120, "4": 140}, "bytesAToken": [10, 10]})

    def test_others_are_all_that_is_busy_and_not_ours(self):
        before = sides.Ticks(busy=100, total=1000, ours=40)
        self.assertEqual(before.share_of_others(sides.Ticks(busy=150, total=1100, ours=60)), 0.3)
        self.assertEqual(before.share_of_others(sides.Ticks(busy=120, total=1100, ours=61)), 0, "ticks are rounded")

    def test_the_table_has_a_line_a_peer_and_tells_of_failures(self):
        result, _ = measure(TRAIN, fake([1] * 4), fake([2] * 4))
        lines = report.table([result | {"shareOfOthers": 0.25}, {"row": "merge", "failed": "no disk"}])
        self.assertIn(
            "| row | sdpa | tok/s | 100.0 | 50.0 | 2.00 | 2.00–2.00 | ≥ 1.5 yes | 1 | 1 | ≤ 0 no | 25% |", lines
        )
        self.assertIn("| merge | failed: no disk |", lines)


class JobTest(unittest.TestCase):
    def job(self, code, **more):
        return sides.Job("side", [sys.executable, "-c", code], 1, **more)

    def test_the_last_line_tells_and_what_was_watched_counts(self):
        big = "b = bytearray(64 << 20); import time; time.sleep(0.2); print('noise'); print('{\"seconds\": 7}')"
        told = self.job(big, own_time=True).first
        self.assertEqual(told["seconds"], 7)
        self.assertGreater(told["peakRss"], 64 << 20)
        self.assertLess(self.job(big).first["seconds"], 7, "from its start to its end")

    def test_what_this_process_holds_is_not_a_childs_memory(self):
        held = bytearray(256 << 20)
        for place in range(0, len(held), 4096):
            held[place] = 1
        self.assertLess(self.job("import time; time.sleep(0.2)").first["peakRss"], 128 << 20)

    def test_a_line_can_end_the_time(self):
        waits = "import time; print('{\"event\": \"step\"}', flush=True); time.sleep(60)"
        self.assertLess(self.job(waits, until=lambda line: "step" in line).first["seconds"], 30)
        with self.assertRaisesRegex(bench.BenchError, "side ended with exit code 0"):
            self.job("print('other')", until=lambda line: "step" in line)

    def test_a_job_that_fails_is_named(self):
        with self.assertRaisesRegex(bench.BenchError, "side ended with exit code 3"):
            self.job("raise SystemExit(3)")

    def test_what_comes_before_and_after_is_not_timed(self):
        order = []
        done = self.job("", before=lambda: order.append("before"), after=lambda: order.append("after") or {"size": 5})
        self.assertEqual((order, done.first["size"]), (["before", "after"], 5))

    def test_dialogues_are_of_the_size_asked_for_and_always_the_same(self):
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / name for name in ("a", "b")]
            for path in paths:
                jobs.write_dialogues(path, 50_000)
            first, second = (path.read_text(encoding="utf-8") for path in paths)
        self.assertEqual(first, second)
        self.assertTrue(50_000 <= len(first) < 55_000, "characters")
        roles = [message["role"] for message in json.loads(first.splitlines()[0])["messages"]]
        self.assertEqual(roles[:3], ["system", "user", "assistant"])

    def test_a_row_removes_what_it_made_even_if_it_fails(self):
        with tempfile.TemporaryDirectory() as folder:
            nowhere = Path(folder)
            tools = jobs.Tools(nowhere, nowhere, nowhere, nowhere, None, None, 1)
            with self.assertRaisesRegex(bench.BenchError, "s5cmd"):
                with jobs.Jobs(rows.parse("upload-1"), tools):
                    self.fail("there is no server")
            self.assertEqual(list(nowhere.iterdir()), [])


class MemoryTest(unittest.TestCase):
    PLAN = {"loading": 500, "forward": 600, "training": 2000, "saving": 2500, "finishing": 3000, "total": 3100}

    def test_what_comes_after_the_last_step_is_left_out_of_a_forecast(self):
        self.assertEqual(memory.forecast(self.PLAN), 2100)

    def test_a_forecast_that_is_too_far_off_is_marked(self):
        found = [{"row": "near", "measured": 100, "forecast": 115}, {"row": "far", "measured": 100, "forecast": 84}]
        near, far = memory.table(found).splitlines()[2:]
        self.assertIn("| 1.15 |", near)
        self.assertIn("| 0.84 (off) |", far)

    def test_a_row_that_trains_nothing_has_no_forecast(self):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "config.json").write_text('{"hidden_size": 576, "vocab_size": 100}')
            options = mock.Mock(model=Path(folder), rows=["generate-8x128+64"])
            with self.assertRaisesRegex(sides.BenchError, "row generate-8x128[+]64: is no training step"):
                memory.run(options)


if __name__ == "__main__":
    unittest.main()
