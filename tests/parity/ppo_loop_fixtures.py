"""The inner loop of PPO by TRL's own trainers on a tiny model: one rollout, ten optimiser steps.

Runs in two environments, one case each, chosen by the TRL that is installed:
  trl04   trl 0.4.7 (July 2023, requirements-trl04.txt): `PPOTrainer.step` with 8 responses of 2 to 9 tokens,
          minibatches of 4, 5 PPO epochs; Adam, no clip, constant rate, adaptive KL coefficient; value head without dropout
  trl024  trl 0.24.0 (the last with PPO outside `experimental`, requirements-trl024.txt): `PPOTrainer.train` with 8
          prompts of 1 to 5 tokens padded on the left, responses of 6 tokens, one minibatch of 8, 10 PPO
          epochs; AdamW, temperature 0.7, whitened rewards, gamma 0.99, EOS penalty
and writes fixtures/ppo_loop/<case>/:
  base/               the model under the adapter, as that transformers saves it
  loop.json           settings; the rollout: tokens and scores (drawn here), log-probabilities, reference
                      log-probabilities and values (TRL's); of every step loss, policy and value loss, gradient norm;
                      `envelope`: how far the reference gets from itself (relative, largest so far) when every weight is
                      moved by 1e-7. trl04 also: the KL coefficient afterwards, and `early_stop`, the same run with
                      early stopping: how many steps it made
  states.safetensors  `parameter/<name>`, `adam1/<name>`, `adam2/<name>`: `[11, ...]`, before the first step and after
                      each

What is TRL's own: everything from tokens and scores to the parameters after each step (`step` and `train` run whole).
What is ours: tokens and scores go in from here. In trl04 they are arguments of `step`; the shuffle of its DataLoader is
replaced by ORDER, which is how our trainer shuffles for its seed 7 (the Rust test holds it to that). In trl024
`batch_generation` is replaced by one forward over the given tokens, the reward model by a table; and the value model
is made of the policy's own trunk and a linear head, where TRL would take a second trunk.
Of trl024's responses none is shorter than the batch is wide: TRL then gives a padding position behind the response a
value and puts the score there, which neither TRL 0.4 nor we do.

Asserts: some ratios and values are clipped, some are not; the reference's KL is above 0; early stopping ends the loop
after a first step and before the last; every step, written out in float64 from the state before it, gives the state
after it to 5e-6 (so a comparison at 1e-5 is about formulas, not rounding).
"""

import argparse
import itertools
import os
import shutil
import tempfile
import types
import warnings
from pathlib import Path

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
warnings.filterwarnings("ignore")

import torch
import transformers
import trl

from ppo_loop import (
    CASE,
    EPISODES,
    LORA,
    ORDER,
    RESPONSE_LENGTHS,
    SEED,
    SETTINGS,
    SMALL,
    STEPS,
    Capture,
    base_model,
    policy,
    rollout,
    saved_name,
    set_head,
    tokenizer,
)

import tiny

PERTURBED_RUNS = 4
TARGET_KL = 0.02


def ragged(rows: torch.Tensor, mask: torch.Tensor) -> list[float]:
    """The marked values, one row after the other."""
    return rows[mask.bool()].tolist()


def run_trl04(given: dict, perturbed: int | None = None, **options) -> tuple[dict, dict]:
    from torch.utils.data import RandomSampler
    from trl import AutoModelForCausalLMWithValueHead, PPOConfig, PPOTrainer

    names = ("learning_rate", "gamma", "lam", "cliprange", "cliprange_value", "vf_coef", "mini_batch_size")
    config = PPOConfig(
        init_kl_coef=SETTINGS["kl_coef"],
        target=SETTINGS["kl_target"],
        horizon=SETTINGS["kl_horizon"],
        batch_size=EPISODES,
        ppo_epochs=SETTINGS["ppo_epochs"],
        accelerator_kwargs=dict(cpu=True),
        **{name: SETTINGS[name] for name in names},
        **options,
    )
    model = AutoModelForCausalLMWithValueHead.from_pretrained(policy(perturbed), summary_dropout_prob=0.0)
    set_head(model.v_head.summary, perturbed)
    trainer = PPOTrainer(config, model, tokenizer=tokenizer())
    assert trainer.ref_model is None and trainer.is_peft_model
    capture = Capture(trainer.optimizer.optimizer, dict(model.named_parameters()))
    found = dict(loss=[], policy_loss=[], value_loss=[])
    inner, whole = trainer.train_minibatch, trainer.compute_rewards

    def train_minibatch(*inputs):
        stats = inner(*inputs)
        for ours, theirs in (("loss", "total"), ("policy_loss", "policy"), ("value_loss", "value")):
            found[ours].append(stats[f"loss/{theirs}"].item())
        found.setdefault("clipped", []).append((stats["policy/clipfrac"].item(), stats["val/clipfrac"].item()))
        found.setdefault("policykl", []).append(stats["policy/policykl"].item())
        return stats

    def compute_rewards(scores, logprobs, ref_logprobs, masks):
        found.update(logprobs=ragged(logprobs, masks), ref_logprobs=ragged(ref_logprobs, masks))
        return whole(scores, logprobs, ref_logprobs, masks)

    def values_of(batched):
        def forward(*inputs, **options):
            out = batched(*inputs, **options)
            found.setdefault("values", ragged(out[2].detach(), out[3]))
            return out

        return forward

    trainer.train_minibatch, trainer.compute_rewards = train_minibatch, compute_rewards
    trainer.batched_forward_pass = values_of(trainer.batched_forward_pass)
    orders = itertools.cycle(ORDER)
    shuffled, RandomSampler.__iter__ = RandomSampler.__iter__, lambda _: iter(next(orders))
    try:
        stats = trainer.step(
            [torch.tensor(ids) for ids in given["prompts"]],
            [torch.tensor(ids) for ids in given["responses"]],
            [torch.tensor(score) for score in given["scores"]],
        )
    finally:
        RandomSampler.__iter__ = shuffled
    found.update(grad_norm=capture.grad_norm, kl=float(stats["objective/kl"]))
    found.update(kl_coef_after=float(trainer.kl_ctl.value))
    return found, capture.stacked()


WATCHED = ("batch_generation", "selective_log_softmax", "get_reward", "masked_mean")


class Table(torch.nn.Module):
    """A reward model that looks scores up."""

    base_model_prefix = "backbone"

    def __init__(self, scores: dict[tuple, float]):
        super().__init__()
        self.scores, self.score = scores, torch.nn.Identity()

    def backbone(self, input_ids, attention_mask, **_):
        rows = [tuple(row[mask].tolist()) for row, mask in zip(input_ids, attention_mask.bool())]
        scores = torch.tensor([self.scores[row] for row in rows])
        return types.SimpleNamespace(hidden_states=[scores[:, None, None].expand(*input_ids.shape, 1)])


class Critic(torch.nn.Module):
    """A value model whose trunk is the policy's."""

    base_model_prefix = "trunk"

    def __init__(self, trunk: torch.nn.Module, perturbed: int | None):
        super().__init__()
        self.trunk, self.score = trunk, torch.nn.Linear(SMALL["hidden_size"], 1)
        set_head(self.score, perturbed)


def run_trl024(given: dict, perturbed: int | None = None) -> tuple[dict, dict]:
    from datasets import Dataset
    from trl import PPOConfig, PPOTrainer
    from trl.trainer import ppo_trainer

    # `train` shuffles with numpy, which it does not seed.
    transformers.set_seed(SEED)
    answers = {tuple(p): r for p, r in zip(given["prompts"], given["responses"])}
    assert len(answers) == EPISODES
    scores = {tuple(p + r): s for p, r, s in zip(given["prompts"], given["responses"], given["scores"])}
    model = policy(perturbed)
    names = ("learning_rate", "kl_coef", "gamma", "lam", "cliprange", "cliprange_value", "vf_coef", "temperature")
    found = dict(loss=[], policy_loss=[], value_loss=[])
    queried: list[tuple] = []

    def batch_generation(policy, queries, _size, pad, _config):
        rows = [tuple(row[row != pad].tolist()) for row in queries]
        queried.extend(rows)
        whole = torch.cat([queries, torch.tensor([answers[row] for row in rows])], 1)
        logits = ppo_trainer.forward(policy, whole, pad).logits[:, queries.shape[1] - 1 : -1]
        return whole, logits / (SETTINGS["temperature"] + 1e-7)

    with tempfile.TemporaryDirectory() as out:
        args = PPOConfig(
            out,
            per_device_train_batch_size=SETTINGS["rows_per_pass"],
            gradient_accumulation_steps=1,
            num_mini_batches=1,
            num_ppo_epochs=SETTINGS["ppo_epochs"],
            total_episodes=EPISODES,
            local_rollout_forward_batch_size=EPISODES,
            response_length=RESPONSE_LENGTHS[0],
            whiten_rewards=SETTINGS["whiten_rewards"],
            missing_eos_penalty=SETTINGS["missing_eos_penalty"],
            adam_epsilon=SETTINGS["adam_epsilon"],
            stop_token="eos",
            num_sample_generations=0,
            lr_scheduler_type="constant",
            optim="adamw_torch",
            weight_decay=0.0,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            bf16=False,
            disable_tqdm=True,
            seed=SEED,
            **{name: SETTINGS[name] for name in names},
        )
        trainer = PPOTrainer(
            args=args,
            processing_class=tokenizer(),
            model=model,
            ref_model=None,
            reward_model=Table(scores),
            value_model=Critic(model.base_model.model.model, perturbed),
            train_dataset=Dataset.from_list([dict(input_ids=ids) for ids in given["prompts"]]),
            eval_dataset=Dataset.from_list([dict(input_ids=ids) for ids in given["prompts"]]),
        )
        optimizer = getattr(trainer.optimizer, "optimizer", trainer.optimizer)
        capture = Capture(optimizer, dict(trainer.model.named_parameters()))
        originals = {name: getattr(ppo_trainer, name) for name in WATCHED}
        watch_train(trainer, ppo_trainer, found)
        ppo_trainer.batch_generation = batch_generation
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.log = lambda *_: None
        try:
            trainer.train()
        finally:
            for name, original in originals.items():
                setattr(ppo_trainer, name, original)
    turn = [queried.index(tuple(p)) for p in given["prompts"]]
    for name in ("logprobs", "ref_logprobs", "values"):
        found[name] = found[name][turn].flatten().tolist()
    found["grad_norm"] = capture.grad_norm
    kl = torch.tensor(found["logprobs"]) - torch.tensor(found["ref_logprobs"])
    found["kl"] = kl.sum().item() / EPISODES
    return found, capture.stacked()


def watch_train(trainer, module, found: dict) -> None:
    """Reads what `train` computes, at the functions that it calls."""
    backward, softmax, reward, mean = (
        trainer.accelerator.backward,
        module.selective_log_softmax,
        module.get_reward,
        module.masked_mean,
    )
    means: list[float] = []

    def log_softmax(logits, ids):
        out = softmax(logits, ids)
        if not torch.is_grad_enabled():
            name = "ref_logprobs" if "logprobs" in found else "logprobs"
            found.setdefault(name, out.clone())
        return out

    def get_reward(model, ids, pad, context):
        out = reward(model, ids, pad, context)
        if isinstance(model, Critic):
            found["values"] = out[0][:, context - 1 : -1].squeeze(-1).clone()
        return out

    def masked_mean(values, mask):
        out = mean(values, mask)
        means.append(out.item())
        return out

    def backwards(loss, **rest):
        # `train` takes the means of value loss, its clip fraction and policy loss before this, and behind it one more.
        value, clipped_values, policy_loss = means[-3:]
        if found["loss"]:
            found["clipped"][-1] = (means[-4], found["clipped"][-1][1])
        for name, figure in (("loss", loss.item()), ("policy_loss", policy_loss), ("value_loss", 0.5 * value)):
            found[name].append(figure)
        found.setdefault("clipped", []).append((0.0, clipped_values))
        return backward(loss, **rest)

    trainer.accelerator.backward = backwards
    module.selective_log_softmax, module.get_reward, module.masked_mean = log_softmax, get_reward, masked_mean


RUN = {"trl04": run_trl04, "trl024": run_trl024}[CASE]


def minibatches() -> list[list[int]]:
    """The episodes of each step."""
    size = SETTINGS["mini_batch_size"]
    orders = ORDER if CASE == "trl04" else [list(range(EPISODES))] * SETTINGS["ppo_epochs"]
    return [order[start : start + size] for order in orders for start in range(0, EPISODES, size)]


def whitened(values: torch.Tensor, shift_mean: bool = True) -> torch.Tensor:
    white = (values - values.mean()) / (values.var(unbiased=True) + 1e-8).sqrt()
    return white if shift_mean else white + values.mean()


def advantages_in_double(given: dict, found: dict) -> tuple[list, list, list, list]:
    """Of every episode: old log-probabilities, old values, advantages before whitening, returns."""
    old, ref, values = (torch.tensor(found[name]).double() for name in ("logprobs", "ref_logprobs", "values"))
    rewards = -SETTINGS["kl_coef"] * (old - ref)
    ends = list(itertools.accumulate(RESPONSE_LENGTHS))
    for end, score, ended in zip(ends, given["scores"], given["ended"]):
        rewards[end - 1] += score - (0.0 if ended else SETTINGS["missing_eos_penalty"])
    if SETTINGS["whiten_rewards"]:
        rewards = whitened(rewards, shift_mean=False)
    split = [part.split(RESPONSE_LENGTHS) for part in (old, values, rewards)]
    gamma, lam = SETTINGS["gamma"], SETTINGS["lam"]
    raw = []
    for value, reward in zip(split[1], split[2]):
        deltas = reward + gamma * torch.cat([value[1:], torch.zeros(1)]) - value
        powers = [(gamma * lam) ** k for k in range(len(deltas))]
        raw.append(torch.stack([sum(p * d for p, d in zip(powers, deltas[t:])) for t in range(len(deltas))]))
    returns = [advantage + value for advantage, value in zip(raw, split[1])]
    return split[0], split[1], raw, returns


def loss_in_double(model, head, given: dict, fixed: tuple, episodes: list[int]) -> torch.Tensor:
    old, values, raw, returns = ([part[episode] for episode in episodes] for part in fixed)
    logprobs, vpreds = [], []
    for episode in episodes:
        prompt, response = given["prompts"][episode], given["responses"][episode]
        out = model(input_ids=torch.tensor([prompt + response]), output_hidden_states=True)
        logits = out.logits[0, len(prompt) - 1 : -1] / SETTINGS["temperature"]
        logprobs.append(logits.log_softmax(-1).gather(-1, torch.tensor(response)[:, None])[:, 0])
        vpreds.append(head(out.hidden_states[-1][0, len(prompt) - 1 : -1])[:, 0])
    old, values, returns, logprobs, vpreds = map(torch.cat, (old, values, returns, logprobs, vpreds))
    advantages, clip, reach = whitened(torch.cat(raw)), SETTINGS["cliprange"], SETTINGS["cliprange_value"]
    ratio = (logprobs - old).exp()
    policy_loss = torch.maximum(-advantages * ratio, -advantages * ratio.clamp(1 - clip, 1 + clip)).mean()
    bounded = torch.minimum(torch.maximum(vpreds, values - reach), values + reach)
    value_loss = 0.5 * torch.maximum((vpreds - returns) ** 2, (bounded - returns) ** 2).mean()
    return policy_loss + SETTINGS["vf_coef"] * value_loss


def check_in_double(given: dict, found: dict, states: dict) -> None:
    model, head = policy().double(), torch.nn.Linear(SMALL["hidden_size"], 1).double()
    trained = {saved_name(name): p for name, p in model.named_parameters() if p.requires_grad}
    trained |= {f"v_head.{name}": p for name, p in head.named_parameters()}
    assert {f"parameter/{name}" for name in trained} == {name for name in states if name.startswith("parameter/")}
    fixed, worst = advantages_in_double(given, found), {}
    for step, episodes in enumerate(minibatches()):
        with torch.no_grad():
            for name, p in trained.items():
                p.copy_(states[f"parameter/{name}"][step])
                p.grad = None
        loss = loss_in_double(model, head, given, fixed, episodes)
        loss.backward()
        norm = torch.stack([p.grad.norm() for p in trained.values()]).norm().item()
        errors = dict(loss=abs(found["loss"][step] / loss.item() - 1))
        errors["grad_norm"] = abs(found["grad_norm"][step] / norm - 1)
        for name, p in trained.items():
            first = 0.9 * states[f"adam1/{name}"][step].double() + 0.1 * p.grad
            second = 0.999 * states[f"adam2/{name}"][step].double() + 0.001 * p.grad**2
            root = (second / (1 - 0.999 ** (step + 1))).sqrt() + SETTINGS["adam_epsilon"]
            after = p.detach() - SETTINGS["learning_rate"] * first / (1 - 0.9 ** (step + 1)) / root
            for kind, exact in (("parameter", after), ("adam1", first), ("adam2", second)):
                stored = states[f"{kind}/{name}"][step + 1].double()
                errors[f"{kind}/{name}"] = ((stored - exact).norm() / exact.norm().clamp(min=1e-12)).item()
        for name, error in errors.items():
            kind = name.split("/")[0]
            worst[kind] = max(worst.get(kind, 0.0), error)
    print("  float64: off by at most", {kind: f"{error:.1e}" for kind, error in worst.items()})
    assert max(worst.values()) < 5e-6, worst


def envelope_of(given: dict, found: dict) -> dict:
    runs = [RUN(given, perturbed=number)[0] for number in range(PERTURBED_RUNS)]
    envelope = {}
    for name in ("loss", "grad_norm"):
        pairs = zip(found[name], zip(*(run[name] for run in runs)))
        errors = [max(abs(other / value - 1) for other in others) for value, others in pairs]
        envelope[name] = list(itertools.accumulate(errors, max))
    return envelope


def check_clips(clipped: list[tuple]) -> None:
    """Of each step the shares of clipped ratios and values."""
    for what, fractions in zip(("ratios", "values"), zip(*clipped)):
        print(f"  clipped {what}: {[round(fraction, 2) for fraction in fractions]}")
        assert max(fractions) > 0 and min(fractions) < 0.5, fractions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "fixtures" / "ppo_loop")
    directory = parser.parse_args().out / CASE
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    base_model().save_pretrained(directory / "base", safe_serialization=True)
    (directory / "base" / "generation_config.json").unlink(missing_ok=True)

    given = rollout()
    found, states = RUN(given)
    assert len(found["loss"]) == len(found["grad_norm"]) == STEPS, (len(found["loss"]), len(found["grad_norm"]))
    print(f"{CASE}: loss {found['loss'][0]:.4f} to {found['loss'][-1]:.4f}, KL {found['kl']:.3f} nats a sequence")
    assert found["kl"] > 0
    check_clips(found.pop("clipped"))
    check_in_double(given, found, states)
    envelope = envelope_of(given, found)
    print(f"  envelope: loss {envelope['loss'][-1]:.1e}, norm {envelope['grad_norm'][-1]:.1e}")
    extra = {}
    if CASE == "trl04":
        stopped, after = RUN(given, early_stopping=True, target_kl=TARGET_KL)
        steps = len(stopped["loss"])
        print(f"  early stop: policy KL {found['policykl']}, {steps} steps")
        assert 1 < steps < STEPS and torch.equal(after["adam1/v_head.weight"][-1], states["adam1/v_head.weight"][steps])
        extra = dict(early_stop=dict(target_kl=TARGET_KL, steps=steps, policykl=stopped["policykl"]))
    found.pop("policykl", None)
    tiny.write_tensors(directory / "states.safetensors", states)
    tiny.write_json(
        directory / "loop.json",
        dict(
            settings=SETTINGS,
            lora=LORA,
            rollout=given,
            minibatches=minibatches(),
            **found,
            envelope=envelope,
            **extra,
            made_with=tiny.made_with("ppo_loop_fixtures.py", SEED, trl=trl.__version__),
        ),
    )
    print(f"  {sum(f.stat().st_size for f in directory.rglob('*') if f.is_file())} bytes")


if __name__ == "__main__":
    main()
