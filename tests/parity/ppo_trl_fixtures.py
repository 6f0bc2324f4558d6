"""The inputs of fixtures/ppo.json through TRL 0.4.7 (July 2023, the generation that MedicalGPT began with).

Needs a virtual environment of its own (requirements-trl04.txt), since that TRL wants the transformers of its time.
Reads fixtures/ppo.json and writes fixtures/ppo_trl.json: for each case what `PPOTrainer.compute_rewards` and
`PPOTrainer.loss` return, with gradients, in f32; for the controller what `AdaptiveKLController` makes of the steps.
The trainer's methods run on a stand-in object that has only the config and the controller they read, so no model is
needed.

Asserts: everything agrees with ppo.json to 2e-5 (f32 against f64).
"""

import argparse
import json
import platform
import types
from pathlib import Path

import torch
import transformers
import trl
from trl import PPOConfig, PPOTrainer
from trl.core import masked_mean, masked_var, masked_whiten
from trl.trainer.utils import AdaptiveKLController, FixedKLController

STATS = {
    "approx_kl": "policy/approxkl",
    "policy_kl": "policy/policykl",
    "clip_fraction": "policy/clipfrac",
    "value_clip_fraction": "val/clipfrac",
    "value_error": "val/error",
    "vpred_mean": "val/vpred",
    "returns_mean": "returns/mean",
    "returns_var": "returns/var",
    "values_mean": "val/mean",
    "values_var": "val/var",
}


def tensor(value) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float32)


def agree(what: str, theirs: torch.Tensor, ours) -> None:
    difference = (theirs.detach() - tensor(ours)).abs().max().item()
    assert difference < 2e-5, f"{what}: TRL differs by {difference}"


def run(case: dict) -> dict:
    config = PPOConfig(
        init_kl_coef=case["kl_coef"],
        gamma=case["gamma"],
        lam=case["lam"],
        cliprange=case["cliprange"],
        cliprange_value=case["cliprange_value"],
        vf_coef=case["vf_coef"],
    )
    trainer = types.SimpleNamespace(config=config, kl_ctl=FixedKLController(case["kl_coef"]))
    trainer._kl_penalty = types.MethodType(PPOTrainer._kl_penalty, trainer)
    mask, old, ref = tensor(case["mask"]), tensor(case["old_logprobs"]), tensor(case["ref_logprobs"])
    new, vpreds = (tensor(case[key]).requires_grad_() for key in ("logprobs", "vpreds"))
    rewards, _ = PPOTrainer.compute_rewards(trainer, tensor(case["scores"]), old, ref, mask)
    logits = torch.zeros(*mask.shape, 2)
    policy, value, stats = PPOTrainer.loss(trainer, old, tensor(case["values"]), rewards, logits, vpreds, new, mask)
    grad_new, grad_vpreds = torch.autograd.grad(policy + value, (new, vpreds))

    found = dict(
        rewards=rewards * mask,
        advantages=stats["policy/advantages"] * mask,
        policy_loss=policy,
        value_loss=stats["loss/value"],
        loss=stats["loss/total"],
        grad_logprobs=grad_new,
        grad_vpreds=grad_vpreds,
    )
    for key, theirs in found.items():
        agree(f"{case['name']} {key}", theirs, case[key])
    their_stats = {ours: stats[theirs] for ours, theirs in STATS.items()}
    for key, theirs in their_stats.items():
        agree(f"{case['name']} {key}", theirs, case["stats"][key])
    return dict(
        name=case["name"],
        **{key: value.detach().tolist() for key, value in found.items()},
        stats={key: value.item() for key, value in their_stats.items()},
    )


def run_controller(given: dict) -> list:
    controller = AdaptiveKLController(given["init_kl_coef"], given["kl_target"], given["kl_horizon"])
    found = []
    for step in given["steps"]:
        controller.update(step["kl"], step["samples"])
        assert abs(controller.value - step["coef"]) < 1e-12
        found.append(float(controller.value))
    return found


def check_masked(entry: dict) -> None:
    values, mask = tensor(entry["values"]), tensor(entry["mask"])
    agree("masked mean", masked_mean(values, mask), entry["mean"])
    agree("masked variance", masked_var(values, mask), entry["var_unbiased"])
    agree("whitened", masked_whiten(values, mask) * mask, entry["whitened_unbiased"])
    agree("whitened, mean kept", masked_whiten(values, mask, False) * mask, entry["whitened_unbiased_keep_mean"])


def main() -> None:
    fixtures = Path(__file__).parent / "fixtures"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=Path, default=fixtures / "ppo.json")
    parser.add_argument("--out", type=Path, default=fixtures / "ppo_trl.json")
    args = parser.parse_args()
    given = json.loads(args.inputs.read_text())
    for entry in given["masked"]:
        check_masked(entry)
    content = dict(
        cases=[run(case) for case in given["cases"]],
        controller=run_controller(given["controller"]),
        made_with=dict(
            script="tests/parity/ppo_trl_fixtures.py",
            versions=dict(
                python=platform.python_version(),
                torch=torch.__version__.split("+")[0],
                transformers=transformers.__version__,
                trl=trl.__version__,
            ),
        ),
    )
    lines = (f" {json.dumps(key)}: {json.dumps(item)}" for key, item in content.items())
    args.out.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(args.out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
