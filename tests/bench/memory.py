"""Most RAM of training steps beside what `medtrain plan` says for their shape: `make bench-memory`.

    python3 tests/bench/memory.py --step target/release/examples/bench_step --model DIR [--rows ROW…]

Takes no peer and no package. What is measured is a process that loads the model and takes a few steps of a row of
`make bench`, by the code that the stages run (`trainer/examples/bench_step`); the forecast is the one that a stage of
that shape is planned with (`trainer/src/preflight/memory.rs`), of its loading, passes and steps. What a stage does
besides, checkpoints and the merge, is in its plan, too, and is not measured here.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import report
import rows
from rows import MIB
from sides import BenchError, Side

ROWS = [
    "lora-4x512-dropout0",
    "lora-4x512-dropout0.05",
    "full-4x512",
    "lora-1x2048-dropout0.05",
    "lora-1x2048-dropout0.05-checkpointing",
    "reward-2x512",
    "ppo-32x16+64",
]
# How far a forecast may be off, as a share of what was measured.
ALLOWED = 0.15
# Of a stage's peaks those that a step comes to.
MEASURED = ("loading", "forward", "training")


def tokens(vocabulary: int) -> list[int]:
    """Ids of all over the vocabulary: memory does not depend on which."""
    return [number * 7919 % vocabulary for number in range(4096)]


def forecast(answer: dict) -> int:
    """The peak of a step: the plan's, without what comes after the last one."""
    program = answer["total"] - max(answer[name] for name in ("loading", "forward", "training", "saving", "finishing"))
    return program + max(answer[name] for name in MEASURED)


def measure(row: rows.StepRow, options: argparse.Namespace, folder: Path) -> dict:
    config = json.loads((options.model / "config.json").read_text())
    workload = folder / f"{row.name}.json"
    workload.write_text(json.dumps(row.workload(options.model, options.threads, tokens(config["vocab_size"]))))
    side = Side(row.name, [str(options.step), str(workload)], options.threads)
    try:
        answer = side.ask("forecast")
        # A PPO step has several updates: from the second on the moments are there.
        more = 0 if row.kind == "ppo" else options.steps - 1
        peaks = [side.first["peakRss"], *(side.turn()["peakRss"] for _ in range(more))]
    finally:
        side.close()
    return {"row": row.name, "measured": max(peaks), "forecast": forecast(answer), "steps": peaks, "plan": answer}


def table(found: list[dict]) -> str:
    """Markdown; a forecast that is further off than allowed is marked."""
    lines = ["| row | measured MiB | forecast MiB | forecast / measured |", "|---|---|---|---|"]
    for one in found:
        ratio = one["forecast"] / one["measured"]
        mark = "" if abs(ratio - 1) <= ALLOWED else " (off)"
        lines.append(f"| `{one['row']}` | {one['measured'] // MIB:,} | {one['forecast'] // MIB:,} | {ratio:.2f}{mark} |")
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="most RAM of training steps beside its forecast")
    parser.add_argument("--step", type=Path, required=True, help="the built example bench_step")
    parser.add_argument("--model", type=Path, required=True, help="a Hugging Face model directory")
    parser.add_argument("--rows", nargs="+", default=ROWS, metavar="ROW", help="default: " + " ".join(ROWS))
    parser.add_argument("--steps", type=int, default=2, help="steps of each row but PPO's: from the second on the optimiser's moments are there")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--output", type=Path, help="JSON file for all figures")
    return parser.parse_args()


def run(options: argparse.Namespace) -> int:
    options.model = options.model.resolve()
    width = json.loads((options.model / "config.json").read_text())["hidden_size"]
    wanted = [rows.parse(name, width) for name in options.rows]
    for row in wanted:
        if not isinstance(row, rows.StepRow) or "train" not in row.task:
            raise BenchError(f"row {row.name}: is no training step; write {', '.join(ROWS)}, with your numbers")
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for row in wanted:
            found.append(measure(row, options, Path(folder)))
            print(f"==> {row.name}: {found[-1]['measured'] // MIB} MiB", file=sys.stderr, flush=True)
    if options.output:
        machine = report.machine(options.threads)
        options.output.write_text(json.dumps({"machine": machine, "results": found}, indent=1) + "\n")
    print(table(found))
    return any(abs(one["forecast"] / one["measured"] - 1) > ALLOWED for one in found)


if __name__ == "__main__":
    try:
        sys.exit(run(arguments()))
    except BenchError as error:
        sys.exit(f"memory: {error}")
