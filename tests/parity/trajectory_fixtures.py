"""Fifty training steps of transformers' Trainer and TRL's RewardTrainer on tiny models: losses, norms and states.

Writes fixtures/trajectories/<case>/ for these cases:
  pt    LoRA on a Qwen2; blocks of two documents that cannot see each other, 2 blocks a pass, 2 passes a step
  sft   LoRA on the same base; rows with masked prompts, 8 in one pass
  full  all weights of that base, on the rows of sft: biases and norms train without decay
  rm    LoRA and score head on a Llama with one label; preference pairs, 2 a pass, 2 passes a step; TRL's own loss
and in each
  base/               the model before training (of full and pt: the one of sft)
  trajectory.json     arguments and rows; of every step loss, gradient norm before clipping and learning rate; the same
                      of further runs of sft, `variants`: 1 row a pass and 8 passes, gradient checkpointing, rows packed
                      four and four behind a block-diagonal mask; `envelope`: how far the reference gets from itself
                      (relative, largest so far) when every weight is moved by 1e-7
  states.safetensors  `parameter/<name>`, `adam1/<name>`, `adam2/<name>`: `[states, ...]`, after `state_steps` steps
                      each; for LoRA that is 0 to 50, so that every step can start from the reference's own state
Rows follow simple rules (strides through a few tokens), so that there is something to learn. They come in order.

Asserts: the clip is active in some steps and not in others; the loss falls by a fifth; variants stay as close to the
plain run as the envelope allows, in the first step to 1e-6; checkpointing changes no bit; a mask that lets rows see
each other moves the first loss by more than 1e-4; every single step, written out in float64 from its stored state,
gives the stored state after it to 5e-6 (so a comparison at 1e-5 is about formulas, not rounding).
"""

import argparse
import copy
import logging
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import datasets
import tokenizers
import torch
import transformers
import trl
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, Qwen2Config, Trainer, TrainerCallback, TrainingArguments
from trl import RewardConfig, RewardTrainer

import tiny

# With some seeds gradients nearly cancel in a step, and f32 itself is off by more than check_in_double allows.
SEED = 20239
STEPS = 50
VOCAB = 64
COMMON_TOKENS = 8
PERTURBATION = 1e-7
PERTURBED_RUNS = 4
SMALL = dict(tiny.SMALL, vocab_size=VOCAB, hidden_size=16, intermediate_size=24, max_position_embeddings=64)
QWEN = tiny.Family("qwen2", "", Qwen2Config, SMALL, misread={})
LLAMA = tiny.Family("llama", "", LlamaConfig, SMALL, misread={})
CAUSAL = transformers.AutoModelForCausalLM
SCORE = transformers.AutoModelForSequenceClassification
ALL_LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SOME = ["q_proj", "v_proj", "down_proj"]


@dataclass(frozen=True)
class Case:
    name: str
    family: tiny.Family
    head: type
    rows_per_pass: int
    passes: int
    arguments: dict
    # None = all weights are trained.
    lora: dict | None
    state_steps: tuple = tuple(range(STEPS + 1))
    variants: dict = field(default_factory=dict)

    @property
    def rows_per_step(self) -> int:
        return self.rows_per_pass * self.passes


COMMON = dict(weight_decay=0.1, adam_beta1=0.9, adam_beta2=0.999, adam_epsilon=1e-8, warmup_steps=5)
CASES = [
    Case(
        "pt",
        QWEN,
        CAUSAL,
        2,
        2,
        dict(COMMON, learning_rate=2e-2, adam_beta2=0.95, adam_epsilon=1e-3, max_grad_norm=1.5),
        dict(r=2, lora_alpha=8, target_modules=SOME, task_type="CAUSAL_LM"),
    ),
    Case(
        "sft",
        QWEN,
        CAUSAL,
        8,
        1,
        dict(COMMON, learning_rate=1e-2, max_grad_norm=1.0),
        dict(r=2, lora_alpha=4, target_modules=ALL_LINEAR, task_type="CAUSAL_LM"),
        variants={
            "accumulated": dict(rows_per_pass=1, passes=8),
            "checkpointed": dict(gradient_checkpointing=True),
            "packed": dict(rows_per_pass=2, passes=1, pack=4),
        },
    ),
    Case(
        "full",
        QWEN,
        CAUSAL,
        4,
        2,
        dict(COMMON, learning_rate=5e-3, max_grad_norm=1.5),
        None,
        state_steps=(30, 31),
    ),
    Case(
        "rm",
        LLAMA,
        SCORE,
        2,
        2,
        dict(COMMON, learning_rate=1e-2, max_grad_norm=2.0),
        dict(r=2, lora_alpha=4, target_modules=SOME, modules_to_save=["score"], task_type="SEQ_CLS"),
    ),
]


def draw(low: int, high: int, *parts) -> int:
    return int(torch.randint(low, high, (1,), generator=tiny.generator(SEED, *parts)))


def stride(length: int, *parts) -> list[int]:
    start, step = draw(0, COMMON_TOKENS, "start", *parts), draw(1, 3, "step", *parts)
    return [3 + (start + step * i) % COMMON_TOKENS for i in range(length)]


def causal_row(number: int) -> dict:
    """A random prompt, which is masked, and an answer that a stride rules; a mark is missing further on."""
    answer = stride(draw(4, 9, "answer", number), "answer", number)
    prompt = [draw(3, VOCAB, "prompt", number, i) for i in range(draw(1, 6, "length", number))]
    labels = [tiny.IGNORE] * len(prompt) + answer
    labels[-2] = tiny.IGNORE
    return dict(ids=prompt + answer, labels=labels, segments=[len(labels)])


def block(number: int) -> dict:
    """Two documents in 16 tokens; the first token of each is no target."""
    first = draw(5, 12, "first", number)
    segments = [first, 16 - first]
    documents = [stride(length, "document", number, i) for i, length in enumerate(segments)]
    labels = [token for document in documents for token in [tiny.IGNORE, *document[1:]]]
    return dict(ids=documents[0] + documents[1], labels=labels, segments=segments)


def pair(number: int) -> dict:
    """Of two answers the one that goes on in strides is chosen."""
    prompt = stride(draw(2, 5, "prompt", number), "prompt", number)
    chosen = stride(draw(3, 7, "chosen", number), "chosen", number)
    rejected = [draw(3, VOCAB, "rejected", number, i) for i in range(draw(3, 7, "rejected", number))]
    return dict(chosen_ids=prompt + chosen + [2], rejected_ids=prompt + rejected + [2])


ROWS = {"pt": block, "sft": causal_row, "full": causal_row, "rm": pair}


def packed(rows: list[dict], size: int) -> list[dict]:
    """Each `size` rows as one; the first token of a row is no target."""
    packs = []
    for start in range(0, len(rows), size):
        members = rows[start : start + size]
        packs.append(
            dict(
                ids=[token for row in members for token in row["ids"]],
                labels=[token for row in members for token in [tiny.IGNORE, *row["labels"][1:]]],
                segments=[length for row in members for length in row["segments"]],
            )
        )
    return packs


def collate(rows: list[dict], isolate: bool = True) -> dict:
    """Padded on the right. With several segments in a row, the mask is block-diagonal and positions start anew."""
    longest = max(len(row["ids"]) for row in rows)

    def pad(values: list[int], with_: int) -> list[int]:
        return values + [with_] * (longest - len(values))

    batch = dict(
        input_ids=torch.tensor([pad(row["ids"], 0) for row in rows]),
        labels=torch.tensor([pad(row["labels"], tiny.IGNORE) for row in rows]),
    )
    if all(len(row["segments"]) == 1 for row in rows):
        return batch | dict(attention_mask=torch.tensor([pad([1] * len(row["ids"]), 0) for row in rows]))
    allowed = torch.eye(longest, dtype=torch.bool).repeat(len(rows), 1, 1)
    positions = torch.zeros(len(rows), longest, dtype=torch.long)
    for row, segments in enumerate(row["segments"] for row in rows):
        start = 0
        for length in segments:
            seen = 0 if not isolate else start
            end = start + length
            allowed[row, start:end, seen:end] = torch.ones(length, end - seen).tril(start - seen).bool()
            positions[row, start:end] = torch.arange(length)
            start = end
    mask = torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo(torch.float32).min)
    return batch | dict(attention_mask=mask[:, None], position_ids=positions)


class Capture(TrainerCallback):
    """The trained tensors and both moments after each of `steps` steps, stacked."""

    def __init__(self, steps: tuple):
        self.steps = steps
        self.tensors: dict[str, list[torch.Tensor]] = {}

    def on_train_begin(self, args, state, control, **rest):
        self.take(0, **rest)

    def on_step_end(self, args, state, control, **rest):
        self.take(state.global_step, **rest)

    def take(self, step: int, model, optimizer, **_):
        if step not in self.steps:
            return
        moments = getattr(optimizer, "optimizer", optimizer).state
        for name, p in model.named_parameters():
            if not p.requires_grad:
                continue
            state = moments.get(p, {})
            zero = torch.zeros_like(p)
            for kind, value in (
                ("parameter", p),
                ("adam1", state.get("exp_avg", zero)),
                ("adam2", state.get("exp_avg_sq", zero)),
            ):
                self.tensors.setdefault(f"{kind}/{saved_name(name)}", []).append(value.detach().clone())

    def stacked(self) -> dict[str, torch.Tensor]:
        return {name: torch.stack(values) for name, values in self.tensors.items()}


def saved_name(name: str) -> str:
    """Name of a parameter as a checkpoint has it."""
    return name.removeprefix("base_model.model.").replace("modules_to_save.default.", "").replace(".default", "")


class InOrder:
    """Batches come as they are given."""

    def _get_train_sampler(self, train_dataset=None):
        return torch.utils.data.SequentialSampler(self.train_dataset)


class CausalTrainer(InOrder, Trainer):
    pass


class PairTrainer(InOrder, RewardTrainer):
    pass


def tokenizer() -> transformers.PreTrainedTokenizerFast:
    """RewardTrainer asks for one, for its padding token alone: the pairs are ids already."""
    words = tokenizers.models.WordLevel({str(i): i for i in range(VOCAB)}, unk_token="1")
    words = tokenizers.Tokenizer(words)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="0", eos_token="2")


def base_of(case: Case):
    options = dict(num_labels=1) if case.head is SCORE else {}
    return tiny.build(case.family, SEED, case.head, **options)


def model_of(case: Case, perturbed: int | None = None):
    """The model as training starts on it; `perturbed` draws a relative change of 1e-7 of every weight."""
    model = base_of(case)
    if case.lora is not None:
        model = get_peft_model(model, LoraConfig(lora_dropout=0.0, **copy.deepcopy(case.lora)))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_A" in name:
                p.copy_(torch.randn(p.shape, generator=tiny.generator(SEED, name)) / p.shape[1] ** 0.5)
            if perturbed is not None:
                p.mul_(1 + PERTURBATION * torch.randn(p.shape, generator=tiny.generator(SEED, name, perturbed)))
    return model


def run(case: Case, rows: list[dict], perturbed: int | None = None, **options) -> tuple[dict, Capture]:
    """One training. Returns loss, gradient norm and learning rate of each step, and the states."""
    pack = options.pop("pack", 1)
    rows = packed(rows, pack) if pack > 1 else rows
    capture = Capture(case.state_steps)
    arguments = dict(
        case.arguments,
        per_device_train_batch_size=options.pop("rows_per_pass", case.rows_per_pass),
        gradient_accumulation_steps=options.pop("passes", case.passes),
        gradient_checkpointing=options.pop("gradient_checkpointing", False),
        num_train_epochs=1,
        lr_scheduler_type="cosine",
        optim="adamw_torch",
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        bf16=False,
        remove_unused_columns=False,
        seed=SEED,
    )
    assert not options, options
    model = model_of(case, perturbed)
    if arguments["gradient_checkpointing"]:
        model.enable_input_require_grads()
    with tempfile.TemporaryDirectory() as out:
        if case.head is SCORE:
            trainer = PairTrainer(
                model=model,
                args=RewardConfig(out, **arguments),
                train_dataset=datasets.Dataset.from_list(rows),
                processing_class=tokenizer(),
                callbacks=[capture],
            )
        else:
            trainer = CausalTrainer(
                model=model,
                args=TrainingArguments(out, **arguments),
                train_dataset=rows,
                data_collator=collate,
                callbacks=[capture],
            )
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()
    log = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert len(log) == STEPS, len(log)
    keys = dict(loss="loss", grad_norm="grad_norm", learning_rate="learning_rate")
    return {name: [float(entry[key]) for entry in log] for name, key in keys.items()}, capture


def distance(one: dict, other: dict, key: str) -> list[float]:
    return [abs(a - b) / abs(b) for a, b in zip(one[key], other[key], strict=True)]


def envelope_of(case: Case, rows: list[dict], plain: dict) -> dict:
    """Largest relative distance so far between the run and runs of it whose weights are moved by 1e-7."""
    runs = [run(case, rows, perturbed=seed)[0] for seed in range(PERTURBED_RUNS)]
    found = {}
    for key in ("loss", "grad_norm"):
        far = [max(step) for step in zip(*(distance(other, plain, key) for other in runs), strict=True)]
        found[key] = [max(far[: step + 1]) for step in range(STEPS)]
    return found


def check_variant(name: str, found: dict, plain: dict, envelope: dict) -> None:
    far = distance(found, plain, "loss")
    print(f"  {name}: loss off by {max(far):.1e} at most, {far[0]:.1e} in the first step")
    if name == "checkpointed":
        assert found == plain
    assert far[0] < 1e-6
    assert all(f < max(3 * e, 1e-5) for f, e in zip(far, envelope["loss"], strict=True)), far


def check_isolation(case: Case, rows: list[dict], size: int) -> None:
    """The mask is what keeps rows apart."""
    model = base_of(case)
    packs = packed(rows[: case.rows_per_step], size) if size > 1 else rows[: case.rows_per_step]
    losses = [model(**collate(packs, isolate)).loss.item() for isolate in (True, False)]
    assert abs(losses[0] - losses[1]) > 1e-4, losses


def loss_of(case: Case, model, rows: list[dict]) -> torch.Tensor:
    """Loss of one step's rows: each pair alone, all blocks at once."""
    if case.head is SCORE:
        return tiny.bradley_terry(tiny.scores_of(model, [{s: row[f"{s}_ids"] for s in tiny.SIDES} for row in rows]))
    batch = collate(rows)
    labels = batch.pop("labels").tolist()
    if batch["attention_mask"].is_floating_point():
        batch["attention_mask"] = batch["attention_mask"].to(model.dtype)
    return tiny.loss_of(list(model(**batch).logits), labels)


def step_in_double(case: Case, rows: list[dict], before: dict, step: int, rate: float) -> tuple[float, float, dict]:
    """The step from the stored state, written out in float64: loss, gradient norm and the state after it."""
    model = model_of(case).double()
    trained = {saved_name(name): p for name, p in model.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for name, p in trained.items():
            p.copy_(before[f"parameter/{name}"])
    loss = loss_of(case, model, rows)
    loss.backward()
    a = case.arguments
    beta1, beta2 = a["adam_beta1"], a["adam_beta2"]
    norm = torch.nn.utils.clip_grad_norm_(trained.values(), a["max_grad_norm"]).item()
    after = {}
    for name, p in trained.items():
        first = beta1 * before[f"adam1/{name}"].double() + (1 - beta1) * p.grad
        second = beta2 * before[f"adam2/{name}"].double() + (1 - beta2) * p.grad**2
        root = (second / (1 - beta2 ** (step + 1))).sqrt() + a["adam_epsilon"]
        decayed = p.detach() * (1 - rate * (a["weight_decay"] if p.dim() > 1 else 0.0))
        after[f"parameter/{name}"] = decayed - rate * first / (1 - beta1 ** (step + 1)) / root
        after |= {f"adam1/{name}": first, f"adam2/{name}": second}
    return loss.item(), norm, after


def check_in_double(case: Case, rows: list[dict], found: dict, states: dict) -> None:
    worst: dict[str, float] = {}
    for index, step in enumerate(case.state_steps[:-1]):
        batch = rows[step * case.rows_per_step : (step + 1) * case.rows_per_step]
        before = {name: values[index] for name, values in states.items()}
        loss, norm, after = step_in_double(case, batch, before, step, found["learning_rate"][step])
        errors = dict(loss=abs(found["loss"][step] / loss - 1), grad_norm=abs(found["grad_norm"][step] / norm - 1))
        for name, exact in after.items():
            # At the start A has no gradient and B is 0.
            errors[name] = ((states[name][index + 1] - exact).norm() / exact.norm().clamp(min=1e-12)).item()
        for name, error in errors.items():
            kind = name.split("/")[0]
            worst[kind] = max(worst.get(kind, 0.0), error)
    print("  float64: off by at most", {kind: f"{error:.1e}" for kind, error in worst.items()})
    assert max(worst.values()) < 5e-6, worst


def write_case(case: Case, directory: Path) -> None:
    rows = [ROWS[case.name](number) for number in range(STEPS * case.rows_per_step)]
    found, capture = run(case, rows)
    states = capture.stacked()
    clipped = [norm > case.arguments["max_grad_norm"] for norm in found["grad_norm"]]
    print(f"{case.name}: loss {found['loss'][0]:.4f} to {found['loss'][-1]:.4f}, {sum(clipped)} steps clipped")
    assert any(clipped) and not all(clipped), found["grad_norm"]
    assert sum(found["loss"][-5:]) < 0.8 * sum(found["loss"][:5])
    envelope = envelope_of(case, rows, found)
    print(f"  envelope: loss {envelope['loss'][-1]:.1e}, norm {envelope['grad_norm'][-1]:.1e}")
    variants = {name: run(case, rows, **options)[0] for name, options in case.variants.items()}
    for name, other in variants.items():
        check_variant(name, other, found, envelope)
    if case.name == "sft":
        check_isolation(case, rows, 4)
    if case.name == "pt":
        check_isolation(case, rows, 1)
    check_in_double(case, rows, found, states)

    if case.name in ("sft", "rm"):
        tiny.save(base_of(case), case.family, directory / "base")
        (directory / "base" / "generation_config.json").unlink(missing_ok=True)
    tiny.write_tensors(directory / "states.safetensors", states)
    tiny.write_json(
        directory / "trajectory.json",
        dict(
            arguments=case.arguments,
            lora=case.lora,
            rows_per_pass=case.rows_per_pass,
            passes=case.passes,
            total_steps=STEPS,
            state_steps=case.state_steps,
            rows=rows,
            **found,
            envelope=envelope,
            variants={
                name: dict(options=case.variants[name], loss=other["loss"], grad_norm=other["grad_norm"])
                for name, other in variants.items()
            },
            made_with=tiny.made_with("trajectory_fixtures.py", SEED, trl=trl.__version__),
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "fixtures" / "trajectories")
    out = parser.parse_args().out
    logging.disable(logging.WARNING)
    datasets.disable_progress_bars()
    for case in CASES:
        directory = out / case.name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        write_case(case, directory)
        print(f"  {sum(f.stat().st_size for f in directory.rglob('*') if f.is_file())} bytes")


if __name__ == "__main__":
    main()
