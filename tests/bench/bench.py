"""`make bench`: medtrain and the reference implementations on the same work, in turns, on this machine.

Of a row both sides are started as processes that wait for `step`, or a process is started for each turn (`jobs.py`);
after warm-up they take turns, one each a round, the first of a round changing. Nothing here judges speed; what must
hold, or the row fails, is that both sides computed the same: see `same` below and the `same_…` of `jobs.py`. A row that
fails is told of, and the run goes on with the next; it ends with exit code 1 then.
"""

import argparse
import dataclasses
import functools
import json
import os
import statistics
import subprocess
import sys
import time
import traceback
from pathlib import Path

import report
import rows
from jobs import Jobs, Tools
from rows import JobRow, Peer, Row, StepRow
from sides import BenchError, Job, Side, take_turns

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SAME_LOSS = 1e-4  # relative
SAME_LOGIT = 1e-3  # f32 noise of a logit; where the two best ones are closer, either is greedy
BUSY = 0.05  # share of the CPUs that others may take before a result is doubtful
TRIAL_STEPS = 2


def check_loss(row: StepRow, ours: Side, peer: Side) -> dict:
    a, b = ours.first["loss"], peer.first["loss"]
    # `not <`: a NaN must fail too.
    if not abs(a - b) < SAME_LOSS * abs(b):
        raise BenchError(f"{row.name}: the first step's loss is {a} here and {b} there: not the same computation")
    return {"firstLoss": {"medtrain": a, "peer": b}}


def check_greedy(row: StepRow, ids: list[list[int]], whose: str, judge: Side) -> dict:
    short = judge.ask("judge " + json.dumps(ids))["shortOfGreedy"]
    if not short < SAME_LOGIT:
        raise BenchError(f"{row.name}: {whose} chose a token that is {short} logits below the best one: not greedy")
    same = sum(a == b for a, b in zip(ids, judge.first["ids"]))
    return {"shortOfGreedy": short, "sameResponses": same, "responses": row.batch}


def check_rollout(row: StepRow, ours: Side, peer: Side) -> dict:
    off = peer.ask("judge " + json.dumps(ours.first["rollout"]))
    for what, value in off.items():
        if not value < SAME_LOGIT:
            raise BenchError(f"{row.name}: {what} is {value} on medtrain's first rollout: not the same computation")
    return off


def same(row: StepRow, ours: Side, peers: list[Side]) -> dict:
    """Fails unless all sides computed the same; returns what was compared."""
    found = {}
    for peer in peers:
        if ours.first["tokens"] != peer.first["tokens"]:
            raise BenchError(f"{row.name}: {ours.first['tokens']} tokens a step here, {peer.first['tokens']} there")
        if row.kind == "ppo":
            found[peer.name] = check_rollout(row, ours, peer)
        elif row.kind == "generate":
            # The first peer's logits judge all others.
            tested, whose = (ours, "medtrain") if peer is peers[0] else (peer, peer.name)
            found[peer.name] = check_greedy(row, tested.first["ids"], whose, peers[0])
        else:
            found[peer.name] = check_loss(row, ours, peer)
    return found


def find_quickest(row: StepRow, starts: dict) -> tuple[str, dict]:
    """The variant of the peer that takes the least time a step, and the steps of all, also of those only told of."""
    tried: dict[str, dict] = {}
    for name in row.variants:
        try:
            side = starts[name]()
            try:
                steps = [side.turn() for _ in range(TRIAL_STEPS)]
            finally:
                side.close()
        except BenchError as error:
            tried[name] = {"failed": str(error)}
            say(f"{row.name}: {name}: {error}")
            continue
        seconds = min(step["seconds"] for step in steps)
        tried[name] = {"seconds": seconds, "peakRss": steps[-1]["peakRss"], "first": side.first["seconds"]}
        say(f"{row.name}: {name}: {seconds:.2f} s a step, the first {side.first['seconds']:.0f} s")
    aimed = [name for name, peer in row.variants.items() if peer.target and "seconds" in tried[name]]
    if not aimed:
        raise BenchError(f"{row.name}: the peer runs in no way")
    return min(aimed, key=lambda name: tried[name]["seconds"]), {"of": row.name, "steps": tried}


def measure(row: StepRow, start_ours, starts: dict, rounds: int) -> tuple[dict, list[Side]]:
    """Ours and the peers in turns: the row's result, and the sides, which have ended."""
    sides: list[Side] = []
    missing = {}
    try:
        sides.append(start_ours())
        for name, start in starts.items():
            try:
                sides.append(start())
            except BenchError as error:
                # A further peer may be missing; the first one is what the row is about.
                if len(sides) == 1:
                    raise
                missing[name] = str(error)
                say(f"{row.name}: without {name}: {error}")
        others = take_turns(sides, row.warmup, rounds)
        result = report.summary(row, sides[0], sides[1:]) | {"shareOfOthers": others}
        result["same"] = same(row, sides[0], sides[1:])
        if missing:
            result["missing"] = missing
        if row.kind in ("causal", "reward"):
            seconds = statistics.median(result["medtrain"]["seconds"])
            result["roofline"] = report.roofline(sides[0].ask("roofline"), seconds)
    finally:
        for side in sides:
            side.close()
    return result, sides


class Bench:
    """A run: where things are, and what it found so far."""

    def __init__(self, options: argparse.Namespace, threads: int):
        self.options, self.threads = options, threads
        self.quickest: dict[str, tuple[str, dict]] = {}
        self.versions: dict[str, str] = {}
        self.folder = options.output.with_suffix("")
        self.folder.mkdir(parents=True, exist_ok=True)

    def extra(self, name: str) -> Path | None:
        """A package or program that not every machine can have; run.sh says why one is missing."""
        path = self.options.extras / name if self.options.extras else None
        return path if path and path.exists() else None

    def tools(self) -> Tools:
        programs = [self.extra(f"store/{name}") for name in ("s5cmd", "weed")]
        options = self.options
        return Tools(options.medtrain, options.job, options.model, self.folder, *programs, self.threads)

    def peer_side(self, row: StepRow, name: str, peer: Peer, workload: Path) -> Side:
        more = {"TORCHINDUCTOR_CACHE_DIR": str(self.folder / "inductor")}
        for needed, folder in ((row.kind == "ppo", "ppo"), (name == "llama.cpp", "llama")):
            if needed:
                if (packages := self.extra(folder)) is None:
                    raise BenchError(f"{name} is not installed: run.sh puts it into {folder} of --extras")
                more["PYTHONPATH"] = str(packages)
        command = [sys.executable, str(HERE / "peer.py"), str(workload), json.dumps(peer.options)]
        return Side(name, command, self.threads, more)

    def steps(self, row: StepRow, tokens: list[int]) -> dict:
        workload = self.folder / f"{row.name}.json"
        content = row.workload(self.options.model, self.threads, tokens)
        workload.write_text(json.dumps(content))
        for_peer = workload
        if "llama.cpp" in row.peers:
            for_peer = self.folder / f"{row.name}.peer.json"
            for_peer.write_text(json.dumps(content | {"gguf": str(self.f32())}))
        starts = {
            name: functools.partial(self.peer_side, row, name, peer, for_peer)
            for name, peer in (row.peers | row.variants).items()
        }
        trials = {}
        if row.variants:
            if row.family not in self.quickest:
                self.quickest[row.family] = find_quickest(row, starts)
            best, trials["trials"] = self.quickest[row.family]
            row.peers = {best: row.variants[best]}
        ours = functools.partial(Side, "medtrain", [str(self.options.step), str(workload)], self.threads)
        result, sides = measure(row, ours, {name: starts[name] for name in row.peers}, self.options.rounds)
        self.remember(sides)
        if row.kind == "causal" and row.length > rows.LONG:
            result["growth"] = self.growth(row, tokens, result["medtrain"]["peakRss"])
        return trials | result

    def growth(self, row: StepRow, tokens: list[int], whole: int) -> dict:
        """Most RAM of ours, and bytes a further token, at a quarter, a half and all of the row's length."""
        found = {}
        for length in (row.length // 4, row.length // 2):
            workload = self.folder / f"{row.name}.{length}.json"
            shorter = dataclasses.replace(row, length=length)
            workload.write_text(json.dumps(shorter.workload(self.options.model, self.threads, tokens)))
            side = Side("medtrain", [str(self.options.step), str(workload)], self.threads)
            found[length] = side.turn()["peakRss"]
            side.close()
        found[row.length] = whole
        return report.growth(found)

    def f32(self) -> Path:
        """The model's weights as llama.cpp reads them, in f32."""
        target = self.folder / "model.f32.gguf"
        if not target.exists():
            partial = target.with_suffix(".partial")
            command = [sys.executable, str(HERE / "peer_llama.py"), str(self.options.gguf), str(partial)]
            if self.options.gguf is None or subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
                say("llama.cpp's weights can't be made")
            else:
                partial.rename(target)
        return target

    def jobs(self, row: JobRow) -> dict:
        with Jobs(row, self.tools()) as jobs:
            sides: list[Job] = jobs.sides()
            others = take_turns(sides, row.warmup, self.options.rounds)
            result = report.summary(row, sides[0], sides[1:]) | {"shareOfOthers": others}
            result["same"] = {peer.name: jobs.same(sides[0], peer) for peer in sides[1:]}
            result |= jobs.more()
        self.remember(sides)
        return result

    def remember(self, sides: list) -> None:
        for side in sides:
            for name, version in side.about["versions"].items():
                # PPO's peer has another version of one package.
                if self.versions.setdefault(name, version) != version:
                    self.versions[f"{name} ({side.name})"] = version

    def measure(self, row: Row, tokens: list[int]) -> dict:
        started = time.monotonic()
        result = self.steps(row, tokens) if isinstance(row, StepRow) else self.jobs(row)
        return result | {"minutes": round((time.monotonic() - started) / 60, 2)}


def say(text: str) -> None:
    print(f"==> {text}", file=sys.stderr, flush=True)


def at_least(least: int):
    def number(text: str) -> int:
        if (value := int(text)) < least:
            raise argparse.ArgumentTypeError(f"{value} is below {least}")
        return value

    return number


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="medtrain beside the reference implementations, on this machine")
    place = parser.add_argument_group("what run.sh gives")
    place.add_argument("--medtrain", type=Path, required=True, help="the program")
    place.add_argument("--step", type=Path, required=True, help="the built example bench_step")
    place.add_argument("--job", type=Path, required=True, help="the built example bench_job")
    place.add_argument("--model", type=Path, required=True, help="a Hugging Face model directory with tokenizer.json")
    place.add_argument("--gguf", type=Path, help="the file that the model was imported from, for llama.cpp")
    place.add_argument("--extras", type=Path, help="folder of further peers: ppo, llama, store")
    place.add_argument("--output", type=Path, required=True, help="JSON file for the results; workloads go beside it")
    parser.add_argument(
        "--rows", nargs="+", default=rows.ROWS, metavar="ROW", help="default: " + " ".join(rows.ROWS)
    )
    parser.add_argument("--rounds", type=at_least(1), default=5, help="timed turns of each side (5 or more to report)")
    parser.add_argument("--threads", type=at_least(1), help="of each side; default: the CPUs this process may use")
    return parser.parse_args()


def tokens_of(model: Path) -> list[int]:
    try:
        from tokenizers import Tokenizer  # here, so that the tests need no virtual environment
    except ModuleNotFoundError as error:
        raise BenchError(f"{error} in {sys.executable}: install tests/bench/requirements.txt there") from error
    text = (ROOT / "tests/data/pt/train-en.txt").read_text(encoding="utf-8")
    return Tokenizer.from_file(str(model / "tokenizer.json")).encode(text, add_special_tokens=False).ids


def run(options: argparse.Namespace) -> int:
    options.model = options.model.resolve()
    width = json.loads((options.model / "config.json").read_text())["hidden_size"]
    wanted = [rows.parse(name, width) for name in options.rows]
    tokens = tokens_of(options.model)
    cpus = sorted(os.sched_getaffinity(0))
    threads = options.threads or len(cpus)
    # Pinned: neither side can spread over more CPUs than it has threads for.
    os.sched_setaffinity(0, cpus[:threads])

    bench = Bench(options, threads)
    found = {"commit": report.commit(), "machine": report.machine(threads), "rounds": options.rounds}
    if options.rounds < 5:
        say(f"{options.rounds} rounds tell little; report medians of 5 or more")
    results = found["results"] = []
    for number, row in enumerate(wanted, 1):
        say(f"{row.name} ({number} of {len(wanted)}): {row.warmup} + {options.rounds} rounds")
        try:
            result = bench.measure(row, tokens)
        except Exception as error:  # whatever it is, an hour's other rows are worth having
            text = str(error)
            if not isinstance(error, BenchError):
                traceback.print_exc()
                text = f"{type(error).__name__}: {error}"
            result = {"row": row.name, "failed": text}
            say(f"{row.name} failed: {text}")
        results.append(result)
        if "failed" not in result:
            ratios = ", ".join(f"{peer['ratio']:.2f} times {name}" for name, peer in result["peers"].items())
            say(f"{row.name}: {ratios} ({result['minutes']:.1f} minutes)")
            if result["shareOfOthers"] > BUSY:
                share = f"{result['shareOfOthers']:.0%}"
                say(f"{row.name}: others took {share} of the CPUs meanwhile; measure again when it is quiet")
        found["versions"] = bench.versions
        options.output.write_text(json.dumps(found, indent=1) + "\n")

    about = found["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in bench.versions.items())
    print(f"{about['cpu']}, {about['threads']} of {about['cpus']} CPUs; commit {found['commit']}; {versions}\n")
    print(report.table(results))
    if lines := report.rooflines(results):
        print("\n" + lines)
    for line in report.growths(results):
        print("\n" + line)
    say(f"All figures: {options.output}")
    return any("failed" in result for result in results)


if __name__ == "__main__":
    try:
        sys.exit(run(arguments()))
    except BenchError as error:
        sys.exit(f"bench: {error}")
