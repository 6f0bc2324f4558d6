"""Rows that measure a whole process: what they read is made here, and how both sides are started.

Holds: whatever a turn writes is gone before the next one; what a row makes is gone after it.
"""

import hashlib
import json
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import store
from rows import LORA, MB, JobRow
from sides import BenchError, Job, environment

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# ChatML that says which tokens are the assistant's, so that no side has to find out.
TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}{{ '<|im_start|>assistant\n' }}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\n' }}{% else %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endif %}{% endfor %}"
)
SYSTEM = "You answer questions about health, briefly and carefully."
MAX_LENGTH = 1024
SHARD = 500 * MB
# The losses of `start` and the merged weights are f32 computations in another order; logits are sums of many.
SAME_LOSS, SAME_WEIGHT, SAME_LOGIT = 1e-4, 1e-5, 1e-3


@dataclass
class Tools:
    """Programs and directories of the run."""

    medtrain: Path
    bench_job: Path
    model: Path
    folder: Path
    """For what rows make."""
    s5cmd: Path | None
    weed: Path | None
    threads: int


def sentences() -> list[str]:
    """Of the answers in tests/data/sft."""
    found = set()
    for path in sorted((ROOT / "tests/data/sft").glob("train-*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            texts = [row["output"]] if "output" in row else [turn["value"] for turn in row["conversations"]]
            for text in texts:
                found.update(part.strip() + "." for part in text.split(". ") if len(part) > 20)
    return sorted(found)


def write_dialogues(path: Path, size: int) -> None:
    """Invented dialogues of `size` bytes: sentences of our data in random order, with random numbers."""
    draw, pool = random.Random(42), sentences()
    with path.open("w", encoding="utf-8") as file:
        written = 0
        while written < size:
            messages = [{"role": "system", "content": SYSTEM}]
            for _ in range(draw.randint(1, 2)):
                days = draw.randint(2, 90)
                question = f"I am {draw.randint(18, 95)} and it began {days} days ago. {draw.choice(pool)}"
                messages.append({"role": "user", "content": question})
                messages.append({"role": "assistant", "content": " ".join(draw.sample(pool, draw.randint(2, 5)))})
            written += file.write(json.dumps({"messages": messages}, ensure_ascii=False) + "\n")


def write_model(folder: Path, source: Path, size: int) -> None:
    """A LLaMA of about `size` bytes: random weights in shards, the tokenizer of `source`."""
    import numpy
    from safetensors.numpy import save_file

    folder.mkdir(parents=True)
    config = json.loads((source / "config.json").read_text())
    width, inner, heads = 1024, 2816, 16
    vocabulary = config["vocab_size"]
    layer = 4 * (4 * width * width + 3 * width * inner)
    layers = max((size - 4 * vocabulary * width) // layer, 1)
    config |= {"hidden_size": width, "intermediate_size": inner, "num_hidden_layers": layers}
    config |= {"num_attention_heads": heads, "num_key_value_heads": heads, "head_dim": width // heads}
    config |= {"tie_word_embeddings": True}
    (folder / "config.json").write_text(json.dumps(config))
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json"):
        shutil.copy(source / name, folder)
    shapes = {"model.embed_tokens.weight": (vocabulary, width), "model.norm.weight": (width,)}
    for number in range(layers):
        prefix = f"model.layers.{number}."
        shapes |= {f"{prefix}self_attn.{name}_proj.weight": (width, width) for name in "qkvo"}
        shapes |= {f"{prefix}mlp.{name}_proj.weight": (inner, width) for name in ("gate", "up")}
        shapes[f"{prefix}mlp.down_proj.weight"] = (width, inner)
        shapes |= {f"{prefix}{name}.weight": (width,) for name in ("input_layernorm", "post_attention_layernorm")}
    draw = numpy.random.default_rng(42)
    shards: list[dict] = [{}]
    sizes, places = [0], {}
    for name, shape in shapes.items():
        values = numpy.ones(shape, numpy.float32)
        if len(shape) == 2:
            values = draw.standard_normal(shape, numpy.float32) * numpy.float32(0.02)
        if sizes[-1] + values.nbytes > SHARD:
            save_file(shards[-1], folder / f"model-{len(shards):05}.safetensors", {"format": "pt"})
            shards[-1].clear()
            shards.append({})
            sizes.append(0)
        shards[-1][name] = values
        sizes[-1] += values.nbytes
        places[name] = f"model-{len(shards):05}.safetensors"
    save_file(shards[-1], folder / f"model-{len(shards):05}.safetensors", {"format": "pt"})
    index = {"metadata": {"total_size": sum(sizes)}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def write_random(path: Path, size: int) -> None:
    draw = random.Random(42)
    with path.open("wb") as file:
        for begin in range(0, size, 10 * MB):
            file.write(draw.randbytes(min(10 * MB, size - begin)))


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Jobs:
    """The sides of a row, and what they work on. To be used by `with`, whose end removes it."""

    def __init__(self, row: JobRow, tools: Tools):
        self.row, self.tools = row, tools
        self.folder = tools.folder / row.name
        self.server: store.Server | None = None

    def __enter__(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        try:
            getattr(self, f"prepare_{self.row.job}")()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.server:
            self.server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def write(self, name: str, job: dict) -> str:
        path = self.folder / name
        path.write_text(json.dumps({"threads": self.tools.threads} | job))
        return str(path)

    def peer(self, path: str) -> list[str]:
        return [sys.executable, str(HERE / "peer_job.py"), path]

    def fresh(self, *names: str):
        """Empty folders, or none: what the turn before has written goes."""

        def clean():
            for name in names:
                shutil.rmtree(self.folder / name, ignore_errors=True)

        return clean

    def sides(self) -> list:
        """Ours first; starting takes the first turn of each."""
        return [start() for start in getattr(self, f"sides_{self.row.job}")()]

    def job(self, name: str, command: list[str], **more):
        return lambda: Job(name, command, self.tools.threads, **more)

    # start: medtrain run and SFTTrainer, to the end of the first optimiser step.

    def prepare_start(self):
        rows = 4
        write_dialogues(self.folder / "all.jsonl", 20_000)
        lines = (self.folder / "all.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        (self.folder / "train.jsonl").write_text("".join(lines[:rows]), encoding="utf-8")
        self.train = {"maxLength": MAX_LENGTH, "perDeviceTrainBatchSize": rows}
        stage = {
            "name": "sft",
            "kind": "SFT",
            "dataset": {"train": ["train.jsonl"]},
            "train": self.train
            | {"gradientAccumulationSteps": 1, "packing": False, "maxSteps": 1, "loggingSteps": 1}
            | {"warmupRatio": "0", "evalStrategy": "no", "saveStrategy": "no", "chatTemplate": TEMPLATE},
        }
        lora = {"rank": 8, "alpha": "16", "dropout": "0.05", "targetModules": ["all-linear"]}
        spec = {"model": {"uri": str(self.tools.model)}, "output": {"uri": str(self.folder / "out")}}
        resource = {"apiVersion": "medtrain.io/v1alpha1", "kind": "MedicalTraining", "metadata": {"name": "start"}}
        spec |= {"seed": 42, "lora": lora, "stages": [stage]}
        # JSON is YAML.
        (self.folder / "training.yaml").write_text(json.dumps(resource | {"spec": spec}))

    def sides_start(self):
        def first_step(line: str) -> bool:
            try:
                return json.loads(line).get("event") == "step"
            except (ValueError, AttributeError):
                return False

        job = {"job": "start", "model": str(self.tools.model), "file": str(self.folder / "train.jsonl")}
        job |= {"template": TEMPLATE, "workdir": str(self.folder / "peer"), "train": self.train}
        path = self.write("job.json", job | {"lora": LORA | {"dropout": 0.05}})
        ours = [str(self.tools.medtrain), "run", str(self.folder / "training.yaml"), "--json", "--device", "cpu"]
        ours += ["--workdir", str(self.folder / "work")]
        yield self.job("medtrain", ours, before=self.fresh("out", "work"), until=first_step)
        yield self.job("SFTTrainer", self.peer(path), before=self.fresh("peer"), until=first_step)

    def same_start(self, ours: Job, peer: Job) -> dict:
        a, b = ours.first.get("loss"), peer.first.get("loss")
        if a is None or b is None or not abs(a - b) < SAME_LOSS * abs(b):
            raise BenchError(f"the first step's loss is {a} here and {b} there: not the same computation")
        return {"firstLoss": {"medtrain": a, "peer": b}}

    # data: tokenise, template, mask, pack.

    def prepare_data(self):
        write_dialogues(self.folder / "train.jsonl", self.row.size)

    def sides_data(self):
        train = {"maxLength": MAX_LENGTH, "packing": True}
        job = {"model": str(self.tools.model), "file": str(self.folder / "train.jsonl"), "template": TEMPLATE}
        ours = {"data": job | {"workdir": str(self.folder / "work"), "train": train}}
        theirs = job | {"job": "data", "workdir": str(self.folder / "peer"), "train": train}
        command = [str(self.tools.bench_job), self.write("ours.json", ours)]
        yield self.job("medtrain", command, before=self.fresh("work"), own_time=True)
        peer = self.peer(self.write("peer.json", theirs))
        yield self.job("datasets + trl", peer, before=self.fresh("peer"), own_time=True)

    def same_data(self, ours: Job, peer: Job) -> dict:
        counts = [{name: side.first[name] for name in ("rows", "tokens", "lossTokens")} for side in (ours, peer)]
        if counts[0] != counts[1]:
            raise BenchError(f"{counts[0]} here and {counts[1]} there: not the same rows, ids and masks")
        return counts[0] | {"packs": {"medtrain": ours.first["packs"], "peer": peer.first["packs"]}}

    def more_data(self) -> dict:
        """Most RAM of ours with a tenth of the file."""
        small = self.folder / "small.jsonl"
        write_dialogues(small, self.row.size // 10)
        job = json.loads((self.folder / "ours.json").read_text())
        job["data"]["file"] = str(small)
        path = self.write("small.json", job)
        side = Job("medtrain", [str(self.tools.bench_job), path], self.tools.threads, before=self.fresh("work"))
        return {"peakRssOfATenth": side.first["peakRss"]}

    # merge: an adapter into its base, saved.

    def prepare_merge(self):
        job = {"job": "adapter", "model": str(self.tools.model), "adapter": str(self.folder / "adapter")}
        command = self.peer(self.write("adapter.json", job | {"lora": LORA | {"dropout": 0.0}}))
        if subprocess.run(command, stdout=subprocess.DEVNULL, env=environment(self.tools.threads)).returncode:
            raise BenchError("the adapter can't be made; why is above")

    def sides_merge(self):
        adapter, output = str(self.folder / "adapter"), str(self.folder / "peer")
        ours = [str(self.tools.medtrain), "merge", "--device", "cpu", "--model", str(self.tools.model)]
        ours += ["--adapter", adapter, "--output", str(self.folder / "ours")]
        job = {"job": "merge", "model": str(self.tools.model), "adapter": adapter, "output": output}
        yield self.job("medtrain", ours, before=self.fresh("ours"))
        peer = self.peer(self.write("peer.json", job))
        yield self.job("peft", peer, before=self.fresh("peer"), own_time=True)

    def same_merge(self, *_) -> dict:
        from safetensors.numpy import load_file

        ours, theirs = (load_file(self.folder / side / "model.safetensors") for side in ("ours", "peer"))
        if ours.keys() != theirs.keys():
            raise BenchError(f"other tensors: {sorted(ours.keys() ^ theirs.keys())[:3]}")
        worst = max(float(abs(values - theirs[name]).max()) for name, values in ours.items())
        if not worst < SAME_WEIGHT:
            raise BenchError(f"merged weights differ by up to {worst}")
        return {"largestDifference": worst}

    # load: shards into a model that computes.

    def prepare_load(self):
        write_model(self.folder / "model", self.tools.model, self.row.size)
        weights = sorted((self.folder / "model").glob("*.safetensors"))
        self.row.size = sum(path.stat().st_size for path in weights)

    def sides_load(self):
        job = {"model": str(self.folder / "model"), "ids": list(range(100, 108))}
        ours = [str(self.tools.bench_job), self.write("ours.json", {"load": job})]
        yield self.job("medtrain", ours)
        for name, peer in self.row.peers.items():
            command = self.peer(self.write(f"{name}.json", job | {"job": "load"} | peer.options))
            yield self.job(name, command, own_time=True)

    def same_load(self, ours: Job, peer: Job) -> dict:
        if "logits" not in peer.first:
            header = 1 * MB
            if not self.row.size - header < peer.first["bytes"] <= self.row.size:
                raise BenchError(f"{peer.first['bytes']} bytes of weights were read of {self.row.size}")
            return {"bytes": peer.first["bytes"]}
        worst = max(abs(a - b) for a, b in zip(ours.first["logits"], peer.first["logits"], strict=True))
        if not worst < SAME_LOGIT:
            raise BenchError(f"logits differ by up to {worst}")
        return {"largestDifference": worst}

    # upload, download: one large file and the S3 server.

    def prepare_upload(self):
        if not (self.tools.s5cmd and self.tools.weed):
            raise BenchError("needs the programs s5cmd and weed: run.sh gets them")
        self.file = self.folder / "artifact"
        write_random(self.file, self.row.size)
        self.sha256 = sha256(self.file)
        self.server = store.Server(self.tools.weed, self.folder / "weed")

    def prepare_download(self):
        self.prepare_upload()
        self.server.create()
        command = [str(self.tools.s5cmd), "--log", "error", "cp", str(self.file), f"s3://{store.BUCKET}/artifact"]
        if subprocess.run(command, env=environment(1, self.server.variables)).returncode:
            raise BenchError("the file can't be uploaded; why is above")
        self.file.unlink()

    def sides_upload(self):
        job = {"file": str(self.file), "folder": f"s3://{store.BUCKET}", "name": "artifact"}
        ours = [str(self.tools.bench_job), self.write("ours.json", {"upload": job})]
        peer = [str(self.tools.s5cmd), "--log", "error", "cp", str(self.file), f"s3://{store.BUCKET}/artifact"]
        more = {"more": self.server.variables, "before": self.server.create, "after": self.uploaded}
        yield self.job("medtrain", ours, **more)
        yield self.job("s5cmd", peer, **more)

    def uploaded(self) -> dict:
        size = self.server.size("artifact")
        self.server.drop()
        return {"uploaded": size}

    def same_upload(self, ours: Job, peer: Job) -> dict:
        sizes = {ours.first["uploaded"], peer.first["uploaded"]}
        if sizes != {self.row.size} or ours.first["sha256"] != self.sha256:
            raise BenchError(f"what was uploaded is not the file: {sizes} bytes")
        return {"bytes": self.row.size, "sha256": self.sha256}

    def sides_download(self):
        target = self.folder / "down"
        job = {"folder": f"s3://{store.BUCKET}", "name": "artifact", "file": str(target)}
        job |= {"sha256": self.sha256, "size": self.row.size}
        ours = [str(self.tools.bench_job), self.write("ours.json", {"download": job})]
        peer = [str(self.tools.s5cmd), "--log", "error", "cp", f"s3://{store.BUCKET}/artifact", str(target)]

        def downloaded() -> dict:
            found = {"downloaded": sha256(target)}
            target.unlink()
            return found

        more = {"more": self.server.variables, "after": downloaded}
        yield self.job("medtrain", ours, **more)
        yield self.job("s5cmd", peer, **more)

    def same_download(self, ours: Job, peer: Job) -> dict:
        if {ours.first["downloaded"], peer.first["downloaded"]} != {self.sha256}:
            raise BenchError("what was downloaded is not the file")
        return {"bytes": self.row.size, "sha256": self.sha256}

    def same(self, ours: Job, peer: Job) -> dict:
        return getattr(self, f"same_{self.row.job}")(ours, peer)

    def more(self) -> dict:
        """Further figures of the row."""
        return self.more_data() if self.row.job == "data" else {}
