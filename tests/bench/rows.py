"""The rows of `make bench`: what a name means, who stands on the other side, what is aimed at.

A row's name says its work, so other shapes need no change here: `lora-4x512-dropout0.05`, `full-4x512`,
`lora-1x2048-dropout0-checkpointing`, `reward-2x512`, `generate-8x128+64`, `ppo-32x16+64`; sizes of `data-200`,
`load-2048`, `upload-2048` and `download-2048` are MB (1,000,000 bytes).
"""

import itertools
import math
import re
from dataclasses import dataclass, field
from pathlib import Path

from sides import BenchError

LONG = 512  # tokens a sequence
MB = 1_000_000
MIB = 1 << 20
# Long ones last: whoever stops the run early has most rows.
ROWS = [
    "lora-4x512-dropout0.05",
    "lora-4x512-dropout0",
    "full-4x512",
    "lora-1x2048-dropout0.05",
    "lora-1x2048-dropout0.05-checkpointing",
    "reward-2x512",
    "generate-1x128+256",
    "generate-8x128+256",
    "start",
    "merge",
    "load-2048",
    "upload-2048",
    "download-2048",
    "data-200",
    "ppo-32x16+64",
]
# In the names of the trainer's LoraArgs and TrainArgs; all-linear is spelt out.
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LORA = {"rank": 8, "alpha": 16.0, "targetModules": PROJECTIONS, "useRslora": False, "modulesToSave": []}
TRAIN = {"learningRate": 2e-4, "weightDecay": 0.0, "maxGradNorm": 1.0}
# In the names of the trainer's PpoArgs; where its defaults are not TRL's, TRL's.
PPO = {
    "initKlCoef": 0.05,
    "klController": "fixed",
    "earlyStopping": False,
    "numPpoEpochs": 4,
    "miniBatchSize": 8,
    "temperature": 0.7,
    "topK": 0,
    "topP": 1.0,
    "missingEosPenalty": 0.0,
    "gamma": 1.0,
    "lam": 0.95,
    "cliprange": 0.2,
    "cliprangeValue": 0.2,
    "vfCoef": 0.1,
    "whitenRewards": False,
    "whitenAdvantages": True,
}


@dataclass(frozen=True)
class Target:
    """What is aimed at; nothing fails for missing it."""

    speed: float
    """Times the peer's."""
    rss_share: float | None = None
    """Most RAM of ours, as a share of the peer's."""
    rss: int | None = None
    """Most RAM of ours, bytes."""


@dataclass(frozen=True)
class Peer:
    options: dict = field(default_factory=dict)
    """For peer.py, beside the workload."""
    target: Target | None = None


@dataclass
class Row:
    name: str
    unit: str
    peers: dict[str, Peer]
    """Measured in turns with ours."""
    variants: dict[str, Peer] = field(default_factory=dict)
    """Ways to run the peer; the quickest becomes the peer (those without a target are only told of)."""
    family: str = ""
    """Rows of a family share what was found to be the quickest variant."""
    warmup: int = 1


@dataclass
class StepRow(Row):
    """Two processes that live as long as the row; a turn is a step."""

    batch: int = 0
    length: int = 0
    task: dict = field(default_factory=dict)

    def workload(self, model: Path, threads: int, tokens: list[int]) -> dict:
        """What bench_step and peer.py read; the text starts again where it is too short."""
        endless = itertools.cycle(tokens)
        sequences = self.batch * (2 if "reward" in self.kind else 1)
        ids = [list(itertools.islice(endless, self.length)) for _ in range(sequences)]
        return {"model": str(model), "threads": threads, "ids": ids, "task": self.task}

    @property
    def kind(self) -> str:
        return next(iter(self.task["train"]["kind"])) if "train" in self.task else "generate"


@dataclass
class JobRow(Row):
    """A process a turn."""

    job: str = ""
    size: int = 0
    """Bytes of what is read."""


def head(width: int) -> list[float]:
    """A score head that both sides start with, of about the size that a fresh one has."""
    return [math.sin(1.0 + index) / math.sqrt(width + 1) for index in range(width)]


def variants(target: Target, length: int) -> dict[str, Peer]:
    """The ways to run a training step of the peer. Long sequences are not worth a minute of compiling eager attention,
    whose scores alone take more memory traffic than all of sdpa."""
    ways = [("sdpa", False), ("eager", False), ("sdpa", True), ("eager", True)]
    found = {
        f"{attention}{'-compile' if compiled else ''}": Peer({"attention": attention, "compile": compiled}, target)
        for attention, compiled in ways[: 4 if length <= LONG else 3]
    }
    return found | {"sdpa-bf16": Peer({"attention": "sdpa", "bf16": True})}


def parse(name: str, width: int = 576) -> Row:
    """The row of this name, for a model of this hidden size."""
    row = training(name) or reward(name, width) or ppo(name, width) or generation(name) or job(name)
    if row is None:
        raise BenchError(
            f"row {name}: unknown; write lora-4x512-dropout0.05, full-4x512, reward-2x512, generate-8x128+64, "
            "ppo-32x16+64, start, merge, load-2048, upload-2048, download-2048 or data-200, with your numbers"
        )
    if isinstance(row, StepRow):
        new = [row.task.get("generate", {}).get("maxNewTokens", 1)]
        if row.kind == "ppo":
            new = [row.task["train"]["kind"]["ppo"]["ppo"]["maxNewTokens"]]
        if min([row.batch, row.length, *new]) == 0 or ("train" in row.task and row.length < 2):
            raise BenchError(f"row {name}: a size is too small; training needs 2 tokens a sequence, the rest 1")
    elif row.size == 0 and "-" in name:
        raise BenchError(f"row {name}: a size is too small; write 1 MB or more")
    return row


def training(name: str) -> StepRow | None:
    found = re.fullmatch(r"(?:lora-(\d+)x(\d+)-dropout(\d+(?:\.\d+)?)|full-(\d+)x(\d+))(-checkpointing)?", name)
    if not found:
        return None
    checkpointing = found[6] is not None
    lora = None if found[1] is None else LORA | {"dropout": float(found[3])}
    batch, length = (int(number) for number in ((found[1], found[2]) if lora else (found[4], found[5])))
    target = Target(1.5, rss_share=1 / 4) if lora else Target(1.3, rss_share=1 / 3)
    if checkpointing:
        target = Target(1.3)
    elif length > LONG:
        target = Target(target.speed)
    task = {"lora": lora, "train": TRAIN | {"gradientCheckpointing": checkpointing}, "kind": {"causal": {}}}
    family = f"{'lora' if lora else 'full'}-{batch}x{length}"
    ways = variants(target, length)
    return StepRow(name, "tok/s", {}, ways, family, batch=batch, length=length, task={"train": task})


def reward(name: str, width: int) -> StepRow | None:
    if not (found := re.fullmatch(r"reward-(\d+)x(\d+)", name)):
        return None
    train = TRAIN | {"gradientCheckpointing": False}
    task = {"lora": LORA | {"dropout": 0.05}, "train": train, "kind": {"reward": {"head": head(width)}}}
    peers = {"RewardTrainer": Peer({"attention": "sdpa"}, Target(1.5))}
    return StepRow(name, "tok/s", peers, batch=int(found[1]), length=int(found[2]), task={"train": task})


def ppo(name: str, width: int) -> StepRow | None:
    if not (found := re.fullmatch(r"ppo-(\d+)x(\d+)\+(\d+)", name)):
        return None
    batch, length, new = int(found[1]), int(found[2]), int(found[3])
    chosen = PPO | {"batchSize": batch, "miniBatchSize": min(batch, PPO["miniBatchSize"])}
    chosen |= {"minNewTokens": 0, "maxNewTokens": new}
    train = TRAIN | {
        "gradientCheckpointing": False,
        "perDeviceTrainBatchSize": chosen["miniBatchSize"],
        "perDeviceEvalBatchSize": chosen["miniBatchSize"],
    }
    kind = {"ppo": {"ppo": chosen, "head": head(width), "stop": 2}}
    task = {"lora": LORA | {"dropout": 0.0}, "train": train, "kind": kind}
    peers = {
        "PPOTrainer": Peer({"attention": "sdpa", "valueModel": "full"}, Target(3.0, rss_share=1 / 2)),
        # Its value model's layers frozen, so that both sides train an adapter and a value head.
        "PPOTrainer-matched": Peer({"attention": "sdpa", "valueModel": "head"}),
    }
    return StepRow(name, "tok/s", peers, batch=batch, length=length, task={"train": task})


def generation(name: str) -> StepRow | None:
    if not (found := re.fullmatch(r"generate-(\d+)x(\d+)\+(\d+)", name)):
        return None
    batch = int(found[1])
    peers = {
        "transformers": Peer({"attention": "sdpa"}, Target(2.5 if batch == 1 else 1.5)),
        "llama.cpp": Peer({"library": "llama.cpp"}, Target(0.9)),
    }
    task = {"generate": {"maxNewTokens": int(found[3])}}
    return StepRow(name, "tok/s", peers, batch=batch, length=int(found[2]), task=task)


def job(name: str) -> JobRow | None:
    if name == "start":
        return JobRow(name, "starts/s", {"SFTTrainer": Peer(target=Target(5.0))}, job="start")
    if name == "merge":
        return JobRow(name, "merges/s", {"peft": Peer(target=Target(1.5))}, job="merge")
    if not (found := re.fullmatch(r"(data|load|upload|download)-(\d+)", name)):
        return None
    kind, size = found[1], int(found[2]) * MB
    peers = {
        "data": {"datasets + trl": Peer(target=Target(2.0))},
        "load": {
            "transformers": Peer({"library": "transformers"}, Target(1.5, rss=size + 64 * MIB)),
            "safetensors": Peer({"library": "safetensors"}, Target(1.5, rss=size + 64 * MIB)),
        },
        "upload": {"s5cmd": Peer(target=Target(0.95, rss=96 * MIB))},
        "download": {"s5cmd": Peer(target=Target(0.95, rss=96 * MIB))},
    }[kind]
    return JobRow(name, "MB/s", peers, job=kind, size=size)
