"""AdamW, gradient clipping and learning-rate schedules of torch and transformers.

Writes fixtures/optim.json:
  adamw      one entry a setting: start values of three tensors, then for each of 10 steps the gradients (before
             clipping), the norm that `clip_grad_norm_` returns, the learning rate, and the parameters after the step;
             after the last step also both moments
  schedules  one entry a schedule: the factor of the learning rate of optimiser steps 0, 1, 2, … (step 0 = first update)
Weight decay is decoupled; `no_decay` lists the tensors that get none (as transformers leaves out biases and norms).

Asserts: the clip is active in some steps and not in others; weight decay moves the result; float64 gives the same
parameters to 1e-6; transformers' factors equal the formulas written out below.
"""

import argparse
import math
from pathlib import Path

import torch
from transformers import get_scheduler

import tiny

SEED = 20233
STEPS = 10
SHAPES = {"weight": (3, 4), "bias": (4,), "scale": (2,)}
SETTINGS = [
    dict(name="default", lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1, max_grad_norm=1.0, no_decay=[]),
    dict(
        name="no_decay_group",
        lr=1e-2,
        betas=(0.9, 0.95),
        eps=1e-8,
        weight_decay=0.1,
        max_grad_norm=1.0,
        no_decay=["bias", "scale"],
    ),
    dict(name="large_eps", lr=3e-3, betas=(0.8, 0.99), eps=1e-3, weight_decay=0.1, max_grad_norm=0.5, no_decay=[]),
]
SCHEDULES = [
    dict(name=name, warmup_steps=warmup, total_steps=total)
    for name in ("linear", "cosine", "constant_with_warmup")
    for warmup, total in ((0, 10), (3, 12), (5, 5))
]


def adamw(setting: dict, dtype: torch.dtype) -> dict:
    start = {name: torch.randn(shape, generator=tiny.generator(SEED, name)) for name, shape in SHAPES.items()}
    params = {name: torch.nn.Parameter(value.to(dtype, copy=True)) for name, value in start.items()}
    decay = [p for name, p in params.items() if name not in setting["no_decay"]]
    rest = [p for name, p in params.items() if name in setting["no_decay"]]
    optimizer = torch.optim.AdamW(
        [dict(params=decay), dict(params=rest, weight_decay=0.0)] if rest else decay,
        lr=setting["lr"],
        betas=setting["betas"],
        eps=setting["eps"],
        weight_decay=setting["weight_decay"],
        foreach=False,
    )
    scheduler = get_scheduler("linear", optimizer, num_warmup_steps=2, num_training_steps=STEPS)
    steps = []
    for step in range(STEPS):
        # Gradients that grow and shrink: some steps are clipped, some are not, one is almost nothing.
        size = (0.05, 1.0, 3.0, 1e-6)[step % 4]
        grads = {n: size * torch.randn(p.shape, generator=tiny.generator(SEED, n, step)) for n, p in params.items()}
        for name, p in params.items():
            p.grad = grads[name].to(dtype, copy=True)
        norm = torch.nn.utils.clip_grad_norm_(list(params.values()), setting["max_grad_norm"], foreach=False)
        rate = optimizer.param_groups[0]["lr"]
        optimizer.step()
        scheduler.step()
        steps.append(
            dict(
                lr=rate,
                grads={n: g.flatten().tolist() for n, g in grads.items()},
                grad_norm=norm.item(),
                params={n: p.detach().flatten().tolist() for n, p in params.items()},
            )
        )
    state = {n: optimizer.state[p] for n, p in params.items()}
    return dict(
        **setting,
        shapes=SHAPES,
        start={n: v.flatten().tolist() for n, v in start.items()},
        steps=steps,
        exp_avg={n: s["exp_avg"].flatten().tolist() for n, s in state.items()},
        exp_avg_sq={n: s["exp_avg_sq"].flatten().tolist() for n, s in state.items()},
    )


def check_adamw(entry: dict, setting: dict) -> None:
    clipped = [step["grad_norm"] > setting["max_grad_norm"] for step in entry["steps"]]
    assert any(clipped) and not all(clipped)
    last = torch.tensor(entry["steps"][-1]["params"]["weight"])
    undecayed = adamw({**setting, "weight_decay": 0.0}, torch.float32)["steps"][-1]["params"]["weight"]
    assert (last - torch.tensor(undecayed)).abs().max() > 1e-4
    exact = adamw(setting, torch.float64)["steps"][-1]["params"]["weight"]
    assert (last - torch.tensor(exact)).abs().max() < 1e-6


def factors(name: str, warmup_steps: int, total_steps: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = get_scheduler(name, optimizer, num_warmup_steps=warmup_steps, num_training_steps=total_steps)
    found = []
    for _ in range(total_steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    for step, factor in enumerate(found):
        assert abs(factor - by_hand(name, step, warmup_steps, total_steps)) < 1e-12
    return found


def by_hand(name: str, step: int, warmup: int, total: int) -> float:
    if step < warmup:
        return step / max(1, warmup)
    progress = (step - warmup) / max(1, total - warmup)
    if name == "linear":
        return max(0.0, 1.0 - progress)
    if name == "cosine":
        return max(0.0, 0.5 * (1.0 + math.cos(math.pi * progress)))
    return 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "fixtures" / "optim.json")
    out = parser.parse_args().out
    entries = []
    for setting in SETTINGS:
        entries.append(adamw(setting, torch.float32))
        check_adamw(entries[-1], setting)
    schedules = [dict(**schedule, factors=factors(**schedule)) for schedule in SCHEDULES]
    tiny.write_json(out, dict(adamw=entries, schedules=schedules, made_with=tiny.made_with("optim_fixtures.py", SEED)))
    print(out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
