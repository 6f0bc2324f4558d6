"""LoRA adapters as peft saves them, on the tiny llama, with peft's logits, gradients and merged weights.

Writes fixtures/lora/<case>/ for the base in fixtures/models/llama (same input ids and labels as there):
  adapter/            adapter_config.json, adapter_model.safetensors, as `PeftModel.save_pretrained` writes them
  expect.json         loss with the adapter, the scale, the target modules, versions, seed
  expect.safetensors  `logits.<row>` with the adapter; `grad.<name in adapter_model.safetensors>` for every tensor that
                      trains; `merged_logits.<row>` after `merge_and_unload`; `merged.<parameter>`: one merged weight
Cases: all_linear (r 4, alpha 8), rslora (scale alpha / sqrt(r)), lm_head_saved and embed_saved (modules_to_save),
attention_only (target_modules as MedicalGPT's README has them).
fixtures/lora/reward/ is a SEQ_CLS adapter (peft saves `score` with it) on the same base as a one-label classifier: its
expect.json holds the pairs of fixtures/models/llama_reward, their scores and the Bradley-Terry loss of the adapter.

Asserts: B is not zero, and the adapter moves the logits by more than 0.1; dropout is off; merged and unmerged logits
agree to 1e-4; the adapter loaded back from disk gives the same logits to the bit; every saved tensor has a gradient;
the base's weights have none.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file

import tiny

SEED = 20232
CAUSAL = transformers.AutoModelForCausalLM
SCORE = transformers.AutoModelForSequenceClassification
ALL_LINEAR = dict(r=4, lora_alpha=8, target_modules="all-linear")
CASES = {
    "all_linear": ALL_LINEAR,
    "rslora": dict(ALL_LINEAR, use_rslora=True),
    "lm_head_saved": dict(ALL_LINEAR, modules_to_save=["lm_head"]),
    "embed_saved": dict(ALL_LINEAR, modules_to_save=["embed_tokens"]),
    "attention_only": dict(r=4, lora_alpha=16, target_modules=["q_proj", "v_proj", "k_proj", "o_proj"]),
}
MERGED = "model.layers.1.mlp.down_proj.weight"
MERGED_ATTENTION = "model.layers.1.self_attn.q_proj.weight"


def randomise_adapter(model: PeftModel) -> None:
    """A as large as the base's weights, B half of that (peft starts B at zero), saved modules a little moved."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if not p.requires_grad:
                continue
            noise = torch.randn(p.shape, generator=tiny.generator(SEED, name))
            if "lora_A" in name:
                p.copy_(noise / p.shape[1] ** 0.5)
            elif "lora_B" in name:
                p.copy_(0.5 * noise / p.shape[1] ** 0.5)
            elif "score" in name:
                p.copy_(noise / p.shape[1] ** 0.5)
            else:
                p.add_(0.1 * noise)


def saved_name(name: str) -> str:
    """Name in adapter_model.safetensors of a parameter of the PeftModel: without the adapter's own name."""
    return name.replace("modules_to_save.default.", "").replace(".default", "")


def sort_targets(path: Path) -> None:
    """peft keeps target_modules in a set, so their order in the file changes from run to run."""
    config = json.loads(path.read_text())
    config["target_modules"].sort()
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def adapt(base_dir: Path, head: type, options: dict, directory: Path) -> PeftModel:
    """A random adapter, saved under `directory` as peft does it."""
    model = get_peft_model(load_base(base_dir, head), LoraConfig(lora_dropout=0.0, **options)).eval()
    randomise_adapter(model)
    model.peft_config["default"].base_model_name_or_path = "../../../models/llama"
    model.save_pretrained(directory, save_embedding_layers=False)
    (directory / "README.md").unlink()
    sort_targets(directory / "adapter_config.json")
    return model


def load_base(base_dir: Path, head: type):
    """The base; a score head that its checkpoint lacks starts at zero, not at random."""
    if head is CAUSAL:
        return tiny.load(base_dir, head)
    model = tiny.load(base_dir, head, num_labels=1)
    torch.nn.init.zeros_(model.score.weight)
    return model


def gradients(model: PeftModel, adapter: Path) -> dict[str, torch.Tensor]:
    found = {saved_name(n): p.grad for n, p in model.named_parameters() if p.requires_grad}
    stored = load_file(adapter / "adapter_model.safetensors")
    assert set(found) == set(stored), set(found) ^ set(stored)
    assert all(g.abs().max() > 1e-4 for g in found.values())
    assert all(p.grad is None for p in model.parameters() if not p.requires_grad)
    return {f"grad.{n}": g for n, g in found.items()}


def scale_of(model: PeftModel) -> float:
    return next(m.scaling["default"] for m in model.modules() if isinstance(m, LoraLayer))


def furthest(one: list[torch.Tensor], other: list[torch.Tensor]) -> float:
    return max((a - b).abs().max().item() for a, b in zip(one, other, strict=True))


def write_case(name: str, options: dict, base_dir: Path, directory: Path) -> None:
    adapter = directory / "adapter"
    model = adapt(base_dir, CAUSAL, dict(options, task_type="CAUSAL_LM"), adapter)
    ids, labels = (json.loads((base_dir / "expect.json").read_text())[key] for key in ("input_ids", "labels"))
    logits = tiny.logits_of(model, ids)
    with torch.no_grad():
        assert furthest(tiny.logits_of(load_base(base_dir, CAUSAL), ids), logits) > 0.1, "the adapter does nothing"
        again = PeftModel.from_pretrained(load_base(base_dir, CAUSAL), adapter).eval()
        assert furthest(tiny.logits_of(again, ids), logits) == 0, "the stored adapter is another one"

    loss = tiny.loss_of(logits, labels)
    exact = tiny.in_double(model)
    tiny.loss_of(tiny.logits_of(exact, ids), labels).backward()
    tensors = gradients(exact, adapter)

    scale = scale_of(model)
    merged = model.merge_and_unload()
    with torch.no_grad():
        merged_logits = tiny.logits_of(merged, ids)
    assert furthest(merged_logits, logits) < 1e-4, furthest(merged_logits, logits)
    shown = MERGED_ATTENTION if name == "attention_only" else MERGED

    tensors |= {f"logits.{i}": row for i, row in enumerate(logits)}
    tensors |= {f"merged_logits.{i}": row for i, row in enumerate(merged_logits)}
    tensors[f"merged.{shown}"] = merged.get_parameter(shown)
    tiny.write_tensors(directory / "expect.safetensors", tensors)
    tiny.write_json(
        directory / "expect.json",
        dict(
            base="models/llama",
            options=options,
            scale=scale,
            loss=loss.item(),
            merged_weight=shown,
            made_with=tiny.made_with("lora_fixtures.py", SEED),
        ),
    )


def write_reward(base_dir: Path, pairs_from: Path, directory: Path) -> None:
    adapter = directory / "adapter"
    model = adapt(base_dir, SCORE, dict(ALL_LINEAR, task_type="SEQ_CLS"), adapter)
    pairs = json.loads(pairs_from.read_text())["pairs"]
    scores = tiny.scores_of(model, pairs)
    again = PeftModel.from_pretrained(load_base(base_dir, SCORE), adapter).eval()
    with torch.no_grad():
        assert torch.equal(tiny.scores_of(again, pairs), scores), "the stored adapter is another one"
    loss = tiny.bradley_terry(scores)
    exact = tiny.in_double(model)
    tiny.bradley_terry(tiny.scores_of(exact, pairs)).backward()
    tiny.write_tensors(directory / "expect.safetensors", gradients(exact, adapter))
    tiny.write_json(
        directory / "expect.json",
        dict(
            base="models/llama",
            options=ALL_LINEAR,
            scale=scale_of(model),
            pairs=pairs,
            scores=tiny.named_scores(scores),
            loss=loss.item(),
            made_with=tiny.made_with("lora_fixtures.py", SEED),
        ),
    )


def main() -> None:
    fixtures = Path(__file__).parent / "fixtures"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, default=fixtures / "models" / "llama", help="made by model_fixtures.py")
    parser.add_argument("--out", type=Path, default=fixtures / "lora")
    args = parser.parse_args()
    pairs_from = args.base.parent / "llama_reward" / "expect.json"
    jobs = {n: lambda to, n=n, options=options: write_case(n, options, args.base, to) for n, options in CASES.items()}
    jobs["reward"] = lambda to: write_reward(args.base, pairs_from, to)
    for name, write in jobs.items():
        shutil.rmtree(args.out / name, ignore_errors=True)
        (args.out / name).mkdir(parents=True)
        write(args.out / name)
        print(f"{name}: {sum(f.stat().st_size for f in (args.out / name).rglob('*') if f.is_file())} bytes")


if __name__ == "__main__":
    main()
