"""`make bench`: medtrain (trainer/examples/bench_step.rs) and transformers + peft (peer.py) on the same work.

Per row both sides are started as processes that wait for `step`; after warm-up they take turns, one step each a round,
the first of a round changing. Nothing here judges speed; what must hold, or the run fails, is that both sides computed
the same: the loss of the first training step within SAME_LOSS, and generated tokens that are greedy under the peer's
own logits within SAME_LOGIT.

A row's name says its work, so other shapes need no change here: `lora-4x512-dropout0.05`,
`lora-1x2048-dropout0-checkpointing`, `generate-8x128+64`.
"""

import argparse
import itertools
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROWS = ["lora-4x512-dropout0.05", "lora-4x512-dropout0", "generate-1x128+64", "generate-8x128+64"]
SAME_LOSS = 1e-4  # relative
SAME_LOGIT = 1e-3  # f32 noise of a logit; where the two best ones are closer, either is greedy
BUSY = 0.05  # share of the CPUs that others may take before a result is doubtful
# In the names of the trainer's LoraArgs and TrainArgs; all-linear is spelt out.
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LORA = {"rank": 8, "alpha": 16.0, "targetModules": PROJECTIONS, "useRslora": False, "modulesToSave": []}
TRAIN = {"learningRate": 2e-4, "weightDecay": 0.0, "maxGradNorm": 1.0}


class BenchError(Exception):
    """The run can't go on, in a sentence."""


@dataclass
class Row:
    name: str
    batch: int
    length: int
    task: dict

    @classmethod
    def parse(cls, name: str) -> "Row":
        if found := re.fullmatch(r"lora-(\d+)x(\d+)-dropout(\d+(?:\.\d+)?)(-checkpointing)?", name):
            batch, length, dropout = int(found[1]), int(found[2]), float(found[3])
            lora = LORA | {"dropout": dropout}
            task = {"train": {"lora": lora, "train": TRAIN | {"gradientCheckpointing": found[4] is not None}}}
        elif found := re.fullmatch(r"generate-(\d+)x(\d+)\+(\d+)", name):
            batch, length = int(found[1]), int(found[2])
            task = {"generate": {"maxNewTokens": int(found[3])}}
        else:
            raise BenchError(
                f"row {name}: unknown; write lora-4x512-dropout0.05 or generate-8x128+64, with your numbers"
            )
        if min(batch, length, task.get("generate", {}).get("maxNewTokens", 1)) == 0 or ("train" in task and length < 2):
            raise BenchError(f"row {name}: a size is too small; training needs 2 tokens a sequence, the rest 1")
        return cls(name, batch, length, task)

    def workload(self, model: Path, threads: int, tokens: list[int]) -> dict:
        """What bench_step and peer.py read; the text starts again where it is too short."""
        endless = itertools.cycle(tokens)
        ids = [list(itertools.islice(endless, self.length)) for _ in range(self.batch)]
        return {"model": str(model), "threads": threads, "ids": ids, "task": self.task}


class Side:
    """One of the two processes."""

    def __init__(self, name: str, command: list[str], threads: int):
        self.name = name
        self.rounds: list[dict] = []
        environment = os.environ | {
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_VERBOSITY": "error",
            "TOKENIZERS_PARALLELISM": "false",
            "PYTHONWARNINGS": "ignore::FutureWarning",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        started = time.perf_counter()
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.about = self.read()
        self.first = self.ask("step")
        self.seconds_to_first_step = time.perf_counter() - started

    def ask(self, question: str) -> dict:
        try:
            self.process.stdin.write(question + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer will be missing
        return self.read()

    def read(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            cause = "killed, probably for memory" if code == -9 else "its own words are above"
            raise BenchError(f"{self.name} ended with exit code {code} ({cause})")
        return json.loads(line)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.stdout.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def check_same(row: Row, ours: Side, peer: Side) -> dict:
    """Fails unless both sides computed the same; returns what was compared."""
    if ours.first["tokens"] != peer.first["tokens"]:
        raise BenchError(f"{row.name}: {ours.first['tokens']} tokens a step here, {peer.first['tokens']} there")
    if "train" in row.task:
        a, b = ours.first["loss"], peer.first["loss"]
        # `not <`: a NaN must fail too.
        if not abs(a - b) < SAME_LOSS * abs(b):
            raise BenchError(f"{row.name}: the first step's loss is {a} here and {b} there: not the same computation")
        return {"firstLoss": {"medtrain": a, "peer": b}}
    short = peer.ask("judge " + json.dumps(ours.first["ids"]))["shortOfGreedy"]
    if not short < SAME_LOGIT:
        raise BenchError(f"{row.name}: medtrain chose a token that is {short} logits below the peer's best: not greedy")
    same = sum(a == b for a, b in zip(ours.first["ids"], peer.first["ids"]))
    return {"shortOfGreedy": short, "sameResponses": same, "responses": row.batch}


@dataclass
class Ticks:
    """CPU time so far on the CPUs that this process may use, in clock ticks."""

    busy: int
    total: int
    ours: int
    """Of the two sides."""

    @classmethod
    def now(cls, sides: list[Side]) -> "Ticks":
        names = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
        # user nice system idle iowait irq softirq steal; guest time is in user already
        cpus = [[int(field) for field in line[1:9]] for line in lines if line[0] in names]
        total = sum(map(sum, cpus))
        ours = 0
        for side in sides:
            # utime and stime, counted after the name, which may hold spaces
            fields = Path(f"/proc/{side.process.pid}/stat").read_text().rpartition(")")[2].split()
            ours += int(fields[11]) + int(fields[12])
        return cls(total - sum(cpu[3] + cpu[4] for cpu in cpus), total, ours)

    def share_of_others(self, later: "Ticks") -> float:
        """How much of the CPUs went to others from here to `later`, 0 to 1; stolen time counts."""
        others = (later.busy - self.busy) - (later.ours - self.ours)
        return min(max(others / max(later.total - self.total, 1), 0.0), 1.0)


def take_turns(ours: Side, peer: Side, warmup: int, rounds: int) -> float:
    """The first step of each side has been taken; it is the first warm-up round. Returns the CPU share of others."""
    before = Ticks.now([ours, peer])
    for number in range(1, warmup + rounds):
        for side in (ours, peer) if number % 2 else (peer, ours):
            figures = side.ask("step")
            if number >= warmup:
                side.rounds.append(figures)
    return before.share_of_others(Ticks.now([ours, peer]))


def summary(row: Row, ours: Side, peer: Side) -> dict:
    """Speeds in tokens a second; ratios are medtrain's speed over the peer's in the same round."""

    def speeds(side: Side) -> list[float]:
        return [figures["tokens"] / figures["seconds"] for figures in side.rounds]

    def of(side: Side) -> dict:
        return {
            "tokensPerSecond": statistics.median(speeds(side)),
            "peakRss": side.rounds[-1]["peakRss"],
            "secondsToFirstStep": side.seconds_to_first_step,
            "seconds": [figures["seconds"] for figures in side.rounds],
            "losses": [figures["loss"] for figures in side.rounds if "loss" in figures],
        }

    ratios = [a / b for a, b in zip(speeds(ours), speeds(peer), strict=True)]
    return {
        "row": row.name,
        "medtrain": of(ours),
        "peer": of(peer),
        "ratio": statistics.median(ratios),
        "ratioLowest": min(ratios),
        "ratioHighest": max(ratios),
    }


def measure(row: Row, commands: dict[str, list[str]], threads: int, warmup: int, rounds: int) -> tuple[dict, dict]:
    """One row: its result, and what the sides said about themselves."""
    sides: list[Side] = []
    try:
        for name, command in commands.items():
            sides.append(Side(name, command, threads))
        others = take_turns(*sides, warmup, rounds)
        result = summary(row, *sides) | {"shareOfOthers": others}
        result["same"] = check_same(row, *sides)
    finally:
        for side in sides:
            side.close()
    return result, {side.name: side.about for side in sides}


def table(results: list[dict]) -> str:
    head = ["row", "medtrain tok/s", "peer tok/s", "ratio", "lowest–highest", "medtrain MiB", "peer MiB", "others"]
    lines = [head, ["---"] + ["---:"] * (len(head) - 1)]
    for result in results:
        ours, peer = result["medtrain"], result["peer"]
        lines.append(
            [
                result["row"],
                f"{ours['tokensPerSecond']:.1f}",
                f"{peer['tokensPerSecond']:.1f}",
                f"{result['ratio']:.2f}",
                f"{result['ratioLowest']:.2f}–{result['ratioHighest']:.2f}",
                f"{ours['peakRss'] / 2**20:.0f}",
                f"{peer['peakRss'] / 2**20:.0f}",
                f"{result['shareOfOthers']:.0%}",
            ]
        )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine(threads: int) -> dict:
    """Where the numbers come from."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    name = re.search(r"^model name\s*:\s*(.*)$", cpuinfo, re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "cpu": name[1] if name else platform.processor() or platform.machine(),
        "cpus": os.cpu_count(),
        "threads": threads,
        "memory": int(memory[1]) * 1024,
        "system": platform.platform(),
    }


def commit() -> str:
    """Of the working tree; with `-dirty` where it differs."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def say(text: str) -> None:
    print(f"==> {text}", file=sys.stderr, flush=True)


def at_least(least: int):
    def number(text: str) -> int:
        if (value := int(text)) < least:
            raise argparse.ArgumentTypeError(f"{value} is below {least}")
        return value

    return number


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="medtrain beside transformers + peft, in turns, on this machine")
    parser.add_argument("--ours", type=Path, required=True, help="the built example bench_step")
    parser.add_argument("--model", type=Path, required=True, help="a Hugging Face model directory with tokenizer.json")
    parser.add_argument("--output", type=Path, required=True, help="JSON file for the results; workloads go beside it")
    parser.add_argument("--rows", nargs="+", default=ROWS, metavar="ROW", help="default: " + " ".join(ROWS))
    parser.add_argument("--rounds", type=at_least(1), default=5, help="timed steps of each side (5 or more to report)")
    parser.add_argument("--warmup", type=at_least(1), default=1, help="steps of each side before")
    parser.add_argument("--threads", type=at_least(1), help="of each side; default: the CPUs this process may use")
    return parser.parse_args()


def run(options: argparse.Namespace) -> None:
    rows = [Row.parse(name) for name in options.rows]
    try:
        from tokenizers import Tokenizer  # here, so that the tests need no virtual environment
    except ModuleNotFoundError as error:
        raise BenchError(f"{error} in {sys.executable}: install tests/bench/requirements.txt there") from error
    cpus = sorted(os.sched_getaffinity(0))
    threads = options.threads or len(cpus)
    if threads < len(cpus):
        os.sched_setaffinity(0, cpus[:threads])
    tokenizer = Tokenizer.from_file(str(options.model / "tokenizer.json"))
    text = (ROOT / "tests/data/pt/train-en.txt").read_text(encoding="utf-8")
    tokens = tokenizer.encode(text, add_special_tokens=False).ids

    report = {"commit": commit(), "machine": machine(threads), "warmup": options.warmup, "rounds": options.rounds}
    if options.rounds < 5:
        say(f"{options.rounds} rounds tell little; report medians of 5 or more")
    results = report["results"] = []
    workloads = options.output.with_suffix("")
    workloads.mkdir(parents=True, exist_ok=True)
    for row in rows:
        say(f"{row.name}: {options.warmup} + {options.rounds} rounds")
        workload = workloads / f"{row.name}.json"
        workload.write_text(json.dumps(row.workload(options.model.resolve(), threads, tokens)))
        commands = {
            "medtrain": [str(options.ours), str(workload)],
            "peer": [sys.executable, str(Path(__file__).with_name("peer.py")), str(workload)],
        }
        result, report["sides"] = measure(row, commands, threads, options.warmup, options.rounds)
        results.append(result)
        say(f"{row.name}: {result['ratio']:.2f} times the peer's speed")
        if result["shareOfOthers"] > BUSY:
            say(
                f"{row.name}: others took {result['shareOfOthers']:.0%} of the CPUs meanwhile; measure again when it is quiet"
            )
        options.output.write_text(json.dumps(report, indent=1) + "\n")

    about = report["machine"]
    versions = ", ".join(f"{k} {v}" for side in report["sides"].values() for k, v in side["versions"].items())
    print(f"{about['cpu']}, {about['threads']} of {about['cpus']} CPUs; commit {report['commit']}; {versions}\n")
    print(table(results))
    say(f"All figures: {options.output}")


if __name__ == "__main__":
    try:
        run(arguments())
    except BenchError as error:
        sys.exit(f"bench: {error}")
