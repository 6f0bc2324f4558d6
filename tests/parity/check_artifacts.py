"""Checks what `medtrain` wrote with the libraries that people will load it with.

Writes nothing, prints what it finds, exits with 1 if a check fails. Give it any of:
  --base DIR --adapter DIR --merged DIR   loads with transformers and peft (reward models too: SEQ_CLS adapters), prints
                                          the largest difference of logits between base+adapter and merged, and which
                                          tensors the merge changed; under an adapter with added tokens the base is
                                          resized first, to as many as its tokenizer has
  --ours FILE                             JSON of our own logits (again for more), compared with the same models here:
                                          {"input_ids": [[int]], "logits": {"base"|"adapter"|"merged": [[[float]]]}},
                                          one `[tokens][vocab]` (reward: `[1][1]`) for each row of input_ids
  --runs DIR                              TensorBoard's EventAccumulator reads it; prints each tag with its steps
  --notes FILE --name STAGE               also appends each comparison of logits as table.py reads it
Differences above --tolerance (1e-3, as the stage itself demands of an f32 merge) fail.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path

import torch
import transformers
from peft import PeftConfig, PeftModel
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

torch.set_num_threads(2)
torch.manual_seed(0)  # a score head that the base lacks starts at random
warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

DEFAULT_ROWS = 3
DEFAULT_TOKENS = 24


class Report:
    """Lines for a person, and whether all checks held."""

    def __init__(self, notes: Path | None, name: str, tolerance: float) -> None:
        self.failed = False
        self.notes, self.name, self.tolerance = notes, name, tolerance

    def line(self, text: str) -> None:
        print(text)

    def check(self, holds: bool, text: str) -> None:
        print(f"{'ok  ' if holds else 'FAIL'} {text}")
        self.failed |= not holds

    def hold(self, quantity: str, case: str, ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> None:
        """Compares logits; of the furthest one both values are noted."""
        ours, theirs = (torch.cat([row.flatten() for row in rows]) for rows in (ours, theirs))
        apart = (ours - theirs).abs()
        at = int(apart.argmax())
        drift = apart[at].item()
        self.check(drift <= self.tolerance, f"{case}: {quantity}: largest difference of logits {drift:.3g}")
        if self.notes:
            values = dict(ours=ours[at].item(), theirs=theirs[at].item(), difference=drift, tolerance=self.tolerance)
            note = dict(quantity=quantity, case=f"{self.name} {case}".strip(), compared=len(apart), **values)
            with self.notes.open("a") as file:
                file.write(json.dumps(note) + "\n")


def load(directory: Path, reward: bool):
    if reward:
        head, options = AutoModelForSequenceClassification, dict(num_labels=1)
    else:
        head, options = AutoModelForCausalLM, {}
    model, info = head.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager", output_loading_info=True, **options
    )
    model.eval()
    return model, sorted([*info["missing_keys"], *info["mismatched_keys"]])


def default_rows(vocab: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(vocab, (DEFAULT_TOKENS - 5 * i,), generator=generator).tolist() for i in range(DEFAULT_ROWS)]


@torch.no_grad()
def logits_of(model, rows: list[list[int]]) -> list[torch.Tensor]:
    found = []
    for row in rows:
        logits = model(input_ids=torch.tensor([row]), use_cache=False).logits
        found.append(logits[0] if logits.dim() == 3 else logits)
    return found


def furthest(one: list[torch.Tensor], other: list[torch.Tensor]) -> float:
    return max((a - b).abs().max().item() for a, b in zip(one, other, strict=True))


def stored_tensors(directory: Path) -> dict[str, torch.Tensor]:
    found = {}
    for path in sorted(directory.glob("*model*.safetensors")):
        with safe_open(path, "pt") as file:
            found |= {name: file.get_tensor(name) for name in file.keys()}
    return found


def check_tokenizer(report: Report, name: str, directory: Path) -> None:
    if not (directory / "tokenizer.json").exists():
        report.line(f"     {name}: no tokenizer.json")
        return
    tokenizer = AutoTokenizer.from_pretrained(directory)
    text = "Aspirin 100 mg, 每日一次"
    decoded = tokenizer.decode(tokenizer.encode(text, add_special_tokens=False), clean_up_tokenization_spaces=False)
    report.check(decoded.strip() == text, f"{name}: tokenizer of {len(tokenizer)} tokens decodes what it encodes")
    if tokenizer.chat_template:
        rendered = tokenizer.apply_chat_template(
            [dict(role="user", content="Hello")], tokenize=False, add_generation_prompt=True
        )
        report.check("Hello" in rendered, f"{name}: chat template renders {rendered!r}")


def grow(report: Report, base, adapter: Path) -> list[int]:
    """Ids of the tokens that the adapter's tokenizer has beyond the base's rows, which get them."""
    known = base.get_input_embeddings().weight.shape[0]
    tokens = len(AutoTokenizer.from_pretrained(adapter)) if (adapter / "tokenizer.json").exists() else known
    if tokens <= known:  # models may have more rows than tokens; those stay
        return []
    base.resize_token_embeddings(tokens)
    report.line(f"     base: resized from {known} to {tokens} tokens")
    return list(range(known, tokens))


def check_tied(report: Report, base: Path, merged: Path, model) -> None:
    tied = json.loads((base / "config.json").read_text()).get("tie_word_embeddings", False)
    stored = "lm_head.weight" in stored_tensors(merged)
    same = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    holds = (tied, tied) == (not stored, same)
    report.check(holds, f"the base's head is {'tied' if tied else 'not tied'}, and so is the merged model's")


def check_merge_changes(report: Report, base: Path, merged: Path) -> None:
    before, after = stored_tensors(base), stored_tensors(merged)
    report.line(
        f"     only in base: {sorted(set(before) - set(after))}; only in merged: {sorted(set(after) - set(before))}"
    )
    resized = sorted(n for n in after if n in before and before[n].shape != after[n].shape)
    report.line(f"     resized by the merge: {resized}")
    same = lambda n: n in resized or torch.equal(before[n].float(), after[n].float())  # noqa: E731
    changed = [n for n in after if n in before and not same(n)]
    dtypes = sorted({str(t.dtype) for t in after.values()})
    report.line(f"     the merge changed {len(changed)} of {len(after)} tensors; dtypes {dtypes}")
    report.check(all(t.isfinite().all() for t in after.values()), "merged: every weight is finite")


def check_models(report: Report, args) -> None:
    adapter_config = PeftConfig.from_pretrained(args.adapter) if args.adapter else None
    reward = args.reward or (adapter_config is not None and adapter_config.task_type == "SEQ_CLS")
    logits, ours, rows, known = {}, {}, None, None
    if args.ours:
        given = [json.loads(path.read_text()) for path in args.ours]
        rows = given[0]["input_ids"]
        if any(one["input_ids"] != rows for one in given):
            sys.exit("the files of --ours have different input_ids")
        named = {name: value for one in given for name, value in one["logits"].items()}
        ours = {name: [torch.tensor(row) for row in value] for name, value in named.items()}
    if args.base:
        base, missing = load(args.base, reward)
        report.check(reward or not missing, f"base: no weight is missing {missing}")
        known = None if reward else base.config.vocab_size
        new_tokens = grow(report, base, args.adapter) if args.adapter else []
        rows = rows or [[*row, *new_tokens] for row in default_rows(base.config.vocab_size)]
        logits["base"] = logits_of(base, rows)
        check_tokenizer(report, "base", args.base)
        if args.adapter:
            report.line(f"     adapter's base_model_name_or_path: {adapter_config.base_model_name_or_path}")
            logits["adapter"] = logits_of(PeftModel.from_pretrained(base, args.adapter).eval(), rows)
            moved = furthest(logits["base"], logits["adapter"])
            report.check(moved > 0, f"the adapter moves the base's logits by up to {moved:.3g}")
            check_tokenizer(report, "adapter", args.adapter)
    if args.merged:
        merged, missing = load(args.merged, reward)
        report.check(not missing, f"merged: no weight is missing {missing}")
        rows = rows or default_rows(merged.config.vocab_size)
        logits["merged"] = logits_of(merged, rows)
        check_tokenizer(report, "merged", args.merged)
    if args.base and args.merged and not reward:
        check_tied(report, args.base, args.merged, merged)
    if args.base and args.merged:
        check_merge_changes(report, args.base, args.merged)
    if "adapter" in logits and "merged" in logits:
        report.hold("ours in transformers and peft: merged against adapter", "", logits["merged"], logits["adapter"])
    for name, value in ours.items():
        if name not in logits:
            report.check(False, f"--ours has logits of {name!r}, but no such model was given")
            continue
        theirs = logits[name]
        if name == "base" and known is not None:
            # Rows of tokens that the base does not know are the adapter's business; what stands there is anyone's choice.
            value, theirs = ([row[:, :known] for row in rows] for rows in (value, theirs))
        report.hold("medtrain logits against transformers and peft", name, value, theirs)


def check_runs(report: Report, directory: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folders = sorted({path.parent for path in directory.rglob("events.out.tfevents.*")})
    report.check(bool(folders), f"{directory}: {len(folders)} folder(s) with event files")
    for folder in folders:
        events = EventAccumulator(str(folder), size_guidance=dict(scalars=0))
        events.Reload()
        tags = events.Tags()
        report.check(bool(tags["scalars"]), f"{folder}: {len(tags['scalars'])} scalar tags; texts {tags['tensors']}")
        for tag in tags["scalars"]:
            points = events.Scalars(tag)
            finite = all(abs(point.value) < float("inf") for point in points)
            steps = [point.step for point in points]
            report.check(
                finite and steps == sorted(set(steps)),
                f"  {tag}: {len(points)} points, steps {steps[0]}..{steps[-1]}, last {points[-1].value:.6g}",
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("base", "adapter", "merged", "runs"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--ours", type=Path, action="append", default=[])
    parser.add_argument("--reward", action="store_true", help="--merged is a reward model (an adapter says so itself)")
    parser.add_argument("--tolerance", type=float, default=1e-3)
    parser.add_argument("--notes", type=Path)
    parser.add_argument("--name", default="")
    args = parser.parse_args()
    if args.adapter and not args.base:
        parser.error("--adapter needs --base")
    report = Report(args.notes, args.name, args.tolerance)
    if args.base or args.merged:
        check_models(report, args)
    if args.runs:
        check_runs(report, args.runs)
    return int(report.failed)


if __name__ == "__main__":
    sys.exit(main())
