"""Weights that depend on a seed and a name alone, and how fixtures are written: what scripts share in any environment.

Needs torch, numpy, safetensors; of transformers, peft and trl only the version, so that those of 2023 do as well.
"""

import hashlib
import importlib.metadata
import json
import os
import platform
from pathlib import Path

import numpy
import torch
from safetensors.torch import save_file


# Other random values than the committed ones: `run.sh --seed N`.
OTHER_SEED = os.environ.get("PARITY_SEED")


def generator(*parts) -> torch.Generator:
    """A generator that depends only on `parts`, and on PARITY_SEED where it is set."""
    parts = (*parts, OTHER_SEED) if OTHER_SEED else parts
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


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


def write_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_file({name: tensors[name].detach().to(torch.float32).contiguous().clone() for name in sorted(tensors)}, path)


def write_json(path: Path, value: dict) -> None:
    """One key a line, so that a diff shows which value moved."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (f" {json.dumps(key)}: {json.dumps(item, ensure_ascii=False)}" for key, item in value.items())
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def made_with(script: str, seed: int, **more) -> dict:
    versions = dict(
        python=platform.python_version(),
        torch=torch.__version__.split("+")[0],
        transformers=importlib.metadata.version("transformers"),
        peft=importlib.metadata.version("peft"),
        numpy=numpy.__version__,
    )
    return dict(script=f"tests/parity/{script}", seed=seed, versions={**versions, **more})
