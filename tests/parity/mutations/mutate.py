"""Breaks the trainer in one place at a time and asserts that a test notices: a proof of the tests, not of the trainer.

    python3 tests/parity/mutations/mutate.py            all of them, about half a minute each on 2 cores
    python3 tests/parity/mutations/mutate.py --only label-of-the-same-position

Works on a copy of the tracked files; nothing of the clone changes. A mutation counts as noticed if the trainer still
compiles and the test that it names fails; which tests those are is part of the list, so that a formula stays guarded
by a comparison with a reference and not by a lucky crash elsewhere.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Mutation:
    """`old` becomes `new` in `file`; `test` is part of the name of the tests that have to fail."""

    name: str
    file: str
    old: str
    new: str
    test: str


MUTATIONS = (
    Mutation(
        "loss-mask-dropped",
        "trainer/src/stages/batch.rs",
        "for (place, _) in example.loss_mask.iter().enumerate().filter(|(_, marked)| **marked) {",
        "for (place, _) in example.loss_mask.iter().enumerate().skip(1) {",
        "trajectory_tests::each_fine_tuning_step",
    ),
    Mutation(
        "label-of-the-same-position",
        "trainer/src/stages/batch.rs",
        "batch.targets.push(example.ids[place]);",
        "batch.targets.push(example.ids[place - 1]);",
        "trajectory_tests::each_pretraining_step",
    ),
    Mutation(
        "mean-of-each-micro-batch-instead-of-the-step",
        "trainer/src/stages/causal.rs",
        "let weights = vec![-1.0 / targets.max(1) as f32; batch.targets.len()];",
        "let weights = vec![-1.0 / batch.targets.len().max(1) as f32; batch.targets.len()];",
        "trajectory_tests::one_row_accumulated_eight_times",
    ),
    Mutation(
        "adam-epsilon-inside-the-root",
        "trainer/src/ops/flex/simd.rs",
        "((v * f.inverse_correction2).sqrt() + f.epsilon)",
        "(v * f.inverse_correction2 + f.epsilon).sqrt()",
        "optim::adamw",
    ),
    Mutation(
        "weight-decay-of-biases-and-norms",
        "trainer/src/optim/adamw.rs",
        "weight_decay: if parameter.shape.len() > 1 { args.weight_decay } else { 0.0 },",
        "weight_decay: args.weight_decay,",
        "trajectory_tests::steps_of_all_weights",
    ),
    Mutation(
        "norm-epsilon-outside-the-root",
        "trainer/src/ops/flex/simd.rs",
        "let rstd = 1.0 / (squares / n as f32 + eps).sqrt();",
        "let rstd = 1.0 / ((squares / n as f32).sqrt() + eps);",
        "model::tests::logits_loss_and_every_gradient",
    ),
    Mutation(
        "query-sees-the-next-token",
        "trainer/src/ops/flex/attention.rs",
        "shape.first_key(query) - first_key..query + 1 - first_key",
        "shape.first_key(query) - first_key..(query + 2 - first_key).min(query - query % BLOCK + BLOCK - first_key)",
        "ops::tests",
    ),
    Mutation(
        "packed-rows-see-each-other",
        "trainer/src/stages/batch.rs",
        "examples.iter().flat_map(|(_, example)| example.segments.iter().map(|&length| length as usize)),",
        "std::iter::once(examples.iter().map(|(_, example)| example.ids.len()).sum()),",
        "trajectory_tests::rows_that_are_packed",
    ),
    Mutation(
        "lora-scaled-by-alpha-alone",
        "crds/src/stage/args.rs",
        "{ self.alpha / f64::from(self.rank) }",
        "{ self.alpha }",
        "model::tests::adapters_written_by_peft",
    ),
    Mutation(
        "llama3-rope-without-its-smooth-part",
        "trainer/src/model/rope.rs",
        "(1.0 - smooth) * plain / factor + smooth * plain",
        "smooth * plain / factor + (1.0 - smooth) * plain",
        "model::tests::logits_loss_and_every_gradient",
    ),
    Mutation(
        "learning-rate-one-step-ahead",
        "trainer/src/optim/schedule.rs",
        "return step as f64 / warmup as f64;",
        "return (step + 1) as f64 / warmup as f64;",
        "optim::schedule",
    ),
    Mutation(
        "advantage-without-lambda",
        "trainer/src/objective/gae.rs",
        "let advantage = delta + gamma * lam * next_advantage;",
        "let advantage = delta + gamma * next_advantage;",
        "objective::parity_tests",
    ),
    Mutation(
        "value-loss-not-the-larger-one",
        "trainer/src/objective/value_loss.rs",
        "free.max_pair(bounded) * 0.5",
        "free.min_pair(bounded) * 0.5",
        "objective::parity_tests",
    ),
    Mutation(
        "kl-of-the-reference-from-the-policy",
        "trainer/src/objective/kl.rs",
        "let d = f64::from(logprob) - f64::from(ref_logprob);",
        "let d = f64::from(ref_logprob) - f64::from(logprob);",
        "objective::parity_tests",
    ),
    Mutation(
        "whitening-with-the-biased-variance",
        "trainer/src/objective/whiten.rs",
        "1.0 / (moments.var(variance) + EPSILON).sqrt()",
        "1.0 / (moments.var(Variance::Biased) + EPSILON).sqrt()",
        "objective::parity_tests",
    ),
)


def problem(mutation: Mutation) -> str | None:
    """Why the list no longer fits the code."""
    found = (ROOT / mutation.file).read_text().count(mutation.old)
    return None if found == 1 else f"{mutation.name}: {mutation.file} has {found} times: {mutation.old}"


def copy_of_tracked_files(target: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def tests(root: Path, target_directory: Path, *arguments: str) -> subprocess.CompletedProcess:
    """The trainer's unit tests, without optimisation of our own crates: they compile often and run little."""
    settings = [f"--config=profile.release.package.{package}.opt-level=0" for package in ("medtrain-trainer", "medtrain-crds")]
    command = ["cargo", "test", "--release", "--locked", "--quiet", "-p", "medtrain-trainer", "--lib", *settings]
    environment = os.environ | {"CARGO_TARGET_DIR": str(target_directory), "RUST_BACKTRACE": "0"}
    return subprocess.run([*command, *arguments], cwd=root, env=environment, capture_output=True, text=True)


def noticed(mutation: Mutation, root: Path, target_directory: Path) -> str | None:
    """None if a named test fails under the mutation; else what happened instead."""
    path = root / mutation.file
    original = path.read_text()
    path.write_text(original.replace(mutation.old, mutation.new))
    try:
        compiled = tests(root, target_directory, "--no-run")
        if compiled.returncode != 0:
            return f"does not compile: {compiled.stderr.strip()[-600:]}"
        run = tests(root, target_directory, "--", mutation.test)
        if "test result: FAILED" in run.stdout:
            return None
        if "running 0 tests" in run.stdout:
            return f"no test is named {mutation.test}"
        return f"no test of {mutation.test} failed" if run.returncode == 0 else run.stderr.strip()[-600:]
    finally:
        path.write_text(original)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=[mutation.name for mutation in MUTATIONS])
    parser.add_argument("--target-directory", type=Path, help="keeps what is compiled for the next time")
    args = parser.parse_args()
    if problems := list(filter(None, map(problem, MUTATIONS))):
        print("\n".join(problems), file=sys.stderr)
        return 1
    chosen = [mutation for mutation in MUTATIONS if args.only in (None, mutation.name)]
    missed = 0
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "copy"
        copy_of_tracked_files(root)
        target_directory = (args.target_directory or Path(scratch) / "target").resolve()
        names = sorted({mutation.test for mutation in chosen})
        plain = tests(root, target_directory, "--", *names)
        if plain.returncode != 0:
            print(f"the tests fail without a mutation:\n{plain.stdout}{plain.stderr}", file=sys.stderr)
            return 1
        for mutation in chosen:
            otherwise = noticed(mutation, root, target_directory)
            missed += otherwise is not None
            print(f"{'noticed' if otherwise is None else 'MISSED '}  {mutation.name}  {otherwise or mutation.test}", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} mutations were noticed")
    return int(missed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
