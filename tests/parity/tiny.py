"""Tiny random models that are shaped like the real families, and the one loss that every fixture uses.

Writes nothing. Asserts nothing. Everything here is a function of its arguments: weights come from the seed and the
parameter's name (not from the order of creation), threads are fixed to one, dropout is off.
"""

import hashlib
import json
import platform
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch
import transformers
from safetensors.torch import save_file
from transformers import LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

IGNORE = -100
VOCAB = 128
ROW_LENGTHS = (13, 9)
SIDES = ("chosen", "rejected")


@dataclass(frozen=True)
class Family:
    """One fixture: how the model is configured and how its checkpoint is stored."""

    name: str
    about: str
    config: type
    options: dict
    # The misreading this fixture is there to catch: with these options instead, the logits must move.
    misread: dict
    dtype: torch.dtype = torch.float32
    max_shard_size: str = "50GB"
    # transformers 4 (so most of the hub) says rope_theta, rope_scaling, torch_dtype; v5 says rope_parameters, dtype.
    v4_config: bool = False


SMALL = dict(
    vocab_size=VOCAB,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
    rms_norm_eps=1e-5,
    tie_word_embeddings=False,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
    attention_dropout=0.0,
)

# head_dim 8, theta 1e4: wavelengths 6.3, 63, 628, 6283. An original length of 64 puts the first in the kept band
# (< 64/4), the second in the smooth band, the last two in the scaled band, so that all three branches of llama3 count.
LLAMA3_ROPE = dict(
    rope_type="llama3",
    rope_theta=10000.0,
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=64,
)


def rope(theta: float) -> dict:
    return dict(rope_parameters=dict(rope_type="default", rope_theta=theta))


FAMILIES = [
    Family("llama", "Llama, default RoPE, untied head", LlamaConfig, {}, misread=rope(5e5)),
    Family(
        "llama3_rope",
        "Llama with llama3 RoPE scaling, tied head, config.json in the form of transformers 4",
        LlamaConfig,
        dict(rope_parameters=LLAMA3_ROPE, tie_word_embeddings=True),
        misread=rope(1e4),
        v4_config=True,
    ),
    Family(
        "llama_linear_rope",
        "Llama with linear RoPE scaling (factor 4), stored in f16",
        LlamaConfig,
        dict(rope_parameters=dict(rope_type="linear", rope_theta=1e4, factor=4.0)),
        misread=rope(1e4),
        dtype=torch.float16,
    ),
    Family(
        "mistral",
        "Mistral, sliding window 6 (a token sees itself and 5 before it): shorter than both rows",
        MistralConfig,
        dict(sliding_window=6),
        misread=dict(sliding_window=7),
    ),
    Family("qwen2", "Qwen2: biases on q, k, v; RoPE theta 1e6", Qwen2Config, rope(1e6), misread=rope(1e4)),
    Family(
        "qwen3",
        "Qwen3: q/k norms, head_dim 16 where hidden / heads is 8, sharded checkpoint with an index",
        Qwen3Config,
        dict(head_dim=16, **rope(1e6)),
        misread=rope(1e4),
        max_shard_size="50KB",
    ),
    Family(
        "smollm2",
        "Llama as SmolLM2 shapes it: 3 heads on 1 kv head, tied, RoPE theta 1e5, stored in bf16, config.json in the "
        "form of transformers 4",
        LlamaConfig,
        dict(hidden_size=24, num_attention_heads=3, num_key_value_heads=1, tie_word_embeddings=True, **rope(1e5)),
        misread=rope(1e4),
        dtype=torch.bfloat16,
        v4_config=True,
    ),
]


def generator(*parts) -> torch.Generator:
    """A generator that depends only on `parts`."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def family(name: str) -> Family:
    return next(f for f in FAMILIES if f.name == name)


def config_of(fam: Family):
    return fam.config(**{**SMALL, **fam.options})


def randomise(model: torch.nn.Module, seed: int, dtype: torch.dtype) -> None:
    """Weights that keep every activation and logit O(1), rounded to `dtype` but kept in f32.

    Norm weights are around 1 and biases are not small, so that leaving one out shows.
    """
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator(seed, name))
            if name.endswith("bias"):
                value = 0.5 * noise
            elif p.dim() == 1:
                value = 1.0 + 0.2 * noise
            elif name.endswith(("q_proj.weight", "k_proj.weight")):
                value = 1.5 * noise / p.shape[1] ** 0.5
            else:
                value = noise / p.shape[1] ** 0.5
            p.copy_(value.to(dtype).to(torch.float32))


def build(fam: Family, seed: int, head: type = transformers.AutoModelForCausalLM, **options):
    config = config_of(fam)
    for key, value in options.items():
        setattr(config, key, value)
    model = head.from_config(config, attn_implementation="eager", dtype=torch.float32)
    randomise(model, seed, fam.dtype)
    return model.eval()


def save(model, fam: Family, directory: Path) -> None:
    """What `save_pretrained` writes for a model of the family's dtype; `model` itself stays f32."""
    stored = type(model)._from_config(model.config, dtype=fam.dtype)
    stored.load_state_dict(model.state_dict())
    stored.save_pretrained(directory, max_shard_size=fam.max_shard_size)
    if fam.v4_config:
        rewrite_config_as_v4(directory / "config.json")


def rewrite_config_as_v4(path: Path) -> None:
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    config["torch_dtype"] = config.pop("dtype")
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def load(directory: Path, head: type = transformers.AutoModelForCausalLM, **options):
    return head.from_pretrained(directory, attn_implementation="eager", dtype=torch.float32, **options).eval()


def rows(seed: int) -> tuple[list[list[int]], list[list[int]]]:
    """Input ids of two rows of different lengths and their labels: a masked prompt, and one masked token further on."""
    ids = [
        torch.randint(3, VOCAB, (n,), generator=generator(seed, "row", i)).tolist() for i, n in enumerate(ROW_LENGTHS)
    ]
    labels = [list(row) for row in ids]
    for row, prompt in zip(labels, (5, 3), strict=True):
        row[:prompt] = [IGNORE] * prompt
        row[prompt + 2] = IGNORE
    return ids, labels


def target_count(labels: list[list[int]]) -> int:
    """The first token of a row is nobody's target: position t predicts token t + 1."""
    return sum(token != IGNORE for row in labels for token in row[1:])


def loss_of(logits: list[torch.Tensor], labels: list[list[int]]) -> torch.Tensor:
    """Sum of token cross-entropies over all rows, divided by the number of target tokens of all rows."""
    total = sum(
        torch.nn.functional.cross_entropy(row[:-1], torch.tensor(target[1:]), ignore_index=IGNORE, reduction="sum")
        for row, target in zip(logits, labels, strict=True)
    )
    return total / target_count(labels)


def logits_of(model, ids: list[list[int]]) -> list[torch.Tensor]:
    """Each row alone, without padding: `[tokens, vocab]`."""
    return [model(input_ids=torch.tensor([row]), use_cache=False).logits[0] for row in ids]


def scores_of(model, pairs: list[dict]) -> torch.Tensor:
    """Each sequence alone: `[pairs, 2]`, chosen first."""
    return torch.stack(
        [
            torch.stack([model(input_ids=torch.tensor([pair[side]]), use_cache=False).logits[0, 0] for side in SIDES])
            for pair in pairs
        ]
    )


def bradley_terry(scores: torch.Tensor) -> torch.Tensor:
    """Mean over pairs of -log sigmoid(chosen - rejected), no margin."""
    return -torch.nn.functional.logsigmoid(scores[:, 0] - scores[:, 1]).mean()


def named_scores(scores: torch.Tensor) -> list[dict]:
    return [dict(zip(SIDES, pair, strict=True)) for pair in scores.tolist()]


def write_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_file({name: tensors[name].detach().to(torch.float32).contiguous().clone() for name in sorted(tensors)}, path)


def write_json(path: Path, value: dict) -> None:
    """One key a line, so that a diff shows which value moved."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (f" {json.dumps(key)}: {json.dumps(item, ensure_ascii=False)}" for key, item in value.items())
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def made_with(script: str, seed: int, **more) -> dict:
    import peft

    versions = dict(
        python=platform.python_version(),
        torch=torch.__version__.split("+")[0],
        transformers=transformers.__version__,
        peft=peft.__version__,
        numpy=numpy.__version__,
    )
    return dict(script=f"tests/parity/{script}", seed=seed, versions={**versions, **more})
