"""PPO's arithmetic, written out from the papers in f64, with gradients.

Writes fixtures/ppo.json (`mask` marks response tokens, rows are right-padded, everything is `[batch, response]`):
  masked         masked mean, variance (biased and unbiased) and whitening, with and without the shift of the mean
  logprobs       log-probability of the taken token and entropy, from logits divided by the sampling temperature
  kl             per token k1 = logp - ref, abs, mse = 0.5 (logp - ref)², k3 = exp(ref - logp) - 1 - (ref - logp);
                 per sequence sums, and the mean over sequences with its standard error
  cases          a whole minibatch: scores, old, new and reference log-probs, old and new values -> rewards (-coef * k1
                 per token, score at the last response token), GAE, returns, whitened advantages, policy and value loss,
                 total = policy + vf_coef * value, its gradients by `logprobs` and `vpreds`, and the statistics
  controller     the adaptive KL coefficient (Ziegler et al. 2019) over a sequence of (kl, samples)
  bradley_terry  reward model's loss and gradients over pairs, extreme differences included
Sources: GAE as the sum over deltas (Schulman et al. 2016, eq. 16); clipped losses (Schulman et al. 2017, eq. 7, and
its value clip as TRL has it: 0.5 * mean of the larger square). Advantages are whitened (unbiased variance, 1e-8 under
the root) over the minibatch's marked tokens; returns are made of the advantages before whitening. No gradient flows
through advantages and returns. Values after the last marked token count as 0.
`ppo_trl_fixtures.py` runs the same inputs through TRL 0.4.7.

Asserts: published numbers of whitening, KL rewards, GAE, masked variance; both sides of both clips are active, and no
ratio or value sits within 1e-3 of a clip's edge; gradients are 0 outside the mask; finite differences agree.
"""

import argparse
from pathlib import Path

import torch

import tiny

SEED = 20236
F64 = torch.float64
MASK = [[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0], [1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 0]]
SETTINGS = [
    dict(name="defaults", kl_coef=0.2, gamma=1.0, lam=0.95, cliprange=0.2, cliprange_value=0.2, vf_coef=0.1),
    dict(name="discounted", kl_coef=0.05, gamma=0.97, lam=0.8, cliprange=0.1, cliprange_value=0.5, vf_coef=0.5),
]


def noise(*parts, shape, scale=1.0) -> torch.Tensor:
    """f32 values in f64, so that an f32 reader starts from the same numbers."""
    return (scale * torch.randn(shape, generator=tiny.generator(SEED, *parts))).to(F64)


def masked_mean(x, mask):
    return (x * mask).sum() / mask.sum()


def masked_var(x, mask, unbiased=True):
    centred = (x - masked_mean(x, mask)) * mask
    return (centred**2).sum() / (mask.sum() - (1 if unbiased else 0))


def whiten(x, mask, shift_mean=True, unbiased=True):
    mean = masked_mean(x, mask)
    white = (x - mean) / torch.sqrt(masked_var(x, mask, unbiased) + 1e-8)
    return white if shift_mean else white + mean


def rewards_of(scores, logprobs, ref, mask, kl_coef):
    rewards = -kl_coef * (logprobs - ref) * mask
    for row, score in enumerate(scores):
        rewards[row, int(mask[row].nonzero()[-1])] += score
    return rewards


def gae(rewards, values, mask, gamma, lam):
    """A_t = sum over l of (gamma lam)^l (r + gamma V' - V)_{t+l}, over the marked tokens of each row."""
    advantages = torch.zeros_like(rewards)
    for row in range(len(rewards)):
        length = int(mask[row].sum())
        deltas = []
        for t in range(length):
            following = values[row, t + 1] if t + 1 < length else 0.0
            deltas.append(rewards[row, t] + gamma * following - values[row, t])
        for t in range(length):
            advantages[row, t] = sum((gamma * lam) ** (k - t) * deltas[k] for k in range(t, length))
    return advantages


def losses(advantages, returns, old_logprobs, values, logprobs, vpreds, mask, setting):
    ratio = torch.exp(logprobs - old_logprobs)
    low, high = 1 - setting["cliprange"], 1 + setting["cliprange"]
    unclipped, clipped = -advantages * ratio, -advantages * ratio.clamp(low, high)
    policy = masked_mean(torch.maximum(unclipped, clipped), mask)
    reach = setting["cliprange_value"]
    vclipped = torch.minimum(torch.maximum(vpreds, values - reach), values + reach)
    error, clipped_error = (vpreds - returns) ** 2, (vclipped - returns) ** 2
    value = 0.5 * masked_mean(torch.maximum(error, clipped_error), mask)
    stats = dict(
        approx_kl=0.5 * masked_mean((logprobs - old_logprobs) ** 2, mask),
        policy_kl=masked_mean(old_logprobs - logprobs, mask),
        clip_fraction=masked_mean((clipped > unclipped).to(F64), mask),
        ratio_mean=masked_mean(ratio, mask),
        value_clip_fraction=masked_mean((clipped_error > error).to(F64), mask),
        value_error=masked_mean(error, mask),
        vpred_mean=masked_mean(vpreds, mask),
        returns_mean=masked_mean(returns, mask),
        returns_var=masked_var(returns, mask),
        values_mean=masked_mean(values * mask, mask),
        values_var=masked_var(values * mask, mask),
    )
    return policy, value, stats


def case(setting: dict) -> dict:
    mask = torch.tensor(MASK, dtype=F64)
    shape, name = mask.shape, setting["name"]
    scores = noise(name, "scores", shape=shape[0])
    old = -noise(name, "old", shape=shape).abs() - 0.05
    ref = old + noise(name, "ref", shape=shape, scale=0.3)
    new = (old + noise(name, "new", shape=shape, scale=0.3)).requires_grad_()
    values = noise(name, "values", shape=shape)
    vpreds = (values + noise(name, "vpreds", shape=shape, scale=0.5)).requires_grad_()

    rewards = rewards_of(scores, old, ref, mask, setting["kl_coef"])
    raw = gae(rewards, values, mask, setting["gamma"], setting["lam"])
    returns = (raw + values) * mask
    advantages = whiten(raw, mask) * mask
    inputs = (advantages, returns, old, values)
    policy, value, stats = losses(*inputs, new, vpreds, mask, setting)
    total = policy + setting["vf_coef"] * value
    grad_new, grad_vpreds = torch.autograd.grad(total, (new, vpreds))

    assert (grad_new * (1 - mask)).abs().max() == 0 and (grad_vpreds * (1 - mask)).abs().max() == 0
    check_clips(old, new, values, vpreds, advantages, mask, setting)
    check_gradient(lambda x: total_at(inputs, x, vpreds, mask, setting), new, grad_new)
    check_gradient(lambda x: total_at(inputs, new, x, mask, setting), vpreds, grad_vpreds)
    return dict(
        **setting,
        mask=MASK,
        scores=scores,
        old_logprobs=old,
        ref_logprobs=ref,
        logprobs=new,
        values=values,
        vpreds=vpreds,
        rewards=rewards,
        advantages_before_whitening=raw,
        returns=returns,
        advantages=advantages,
        policy_loss=policy,
        value_loss=value,
        loss=total,
        grad_logprobs=grad_new,
        grad_vpreds=grad_vpreds,
        stats=stats,
    )


def total_at(inputs, new, vpreds, mask, setting):
    policy, value, _ = losses(*inputs, new, vpreds, mask, setting)
    return policy + setting["vf_coef"] * value


def check_clips(old, new, values, vpreds, advantages, mask, setting):
    """Each clip must bite from above and from below, and bite where it matters."""
    marked = mask.bool()
    ratio, moved = torch.exp(new - old)[marked], (vpreds - values)[marked]
    clip, reach, sign = setting["cliprange"], setting["cliprange_value"], advantages[marked].sign()
    assert ((ratio > 1 + clip) & (sign > 0)).any() and ((ratio < 1 - clip) & (sign < 0)).any()
    assert (moved > reach).any() and (moved < -reach).any()
    assert ((ratio - 1).abs() - clip).abs().min() > 1e-3 and (moved.abs() - reach).abs().min() > 1e-3


def check_gradient(function, at: torch.Tensor, gradient: torch.Tensor) -> None:
    step = 1e-6
    with torch.no_grad():
        for index in torch.cartesian_prod(*map(torch.arange, at.shape)).tolist():
            nudge = torch.zeros_like(at)
            nudge[tuple(index)] = step
            slope = (function(at + nudge) - function(at - nudge)) / (2 * step)
            assert abs(slope - gradient[tuple(index)]) < 1e-6, (index, slope, gradient[tuple(index)])


def masked_cases() -> list[dict]:
    x, found = noise("masked", shape=(4, 6)), []
    for mask in (MASK, torch.ones(4, 6).tolist()):
        m = torch.tensor(mask, dtype=F64)
        entry = dict(values=x, mask=m, mean=masked_mean(x, m))
        for unbiased in (True, False):
            kind = "unbiased" if unbiased else "biased"
            entry[f"var_{kind}"] = masked_var(x, m, unbiased)
            entry[f"whitened_{kind}"] = whiten(x, m, True, unbiased) * m
            entry[f"whitened_{kind}_keep_mean"] = whiten(x, m, False, unbiased) * m
        found.append(entry)
    return found


def logprob_cases() -> list[dict]:
    found = []
    for temperature in (1.0, 0.7):
        logits = noise("logits", shape=(2, 3, 5), scale=2.0).requires_grad_()
        ids = torch.tensor([[0, 4, 2], [3, 3, 1]])
        logp = torch.log_softmax(logits / temperature, -1)
        taken = logp.gather(-1, ids[..., None])[..., 0]
        weights = noise("upstream", shape=(2, 3))
        (gradient,) = torch.autograd.grad((taken * weights).sum(), logits, retain_graph=True)
        entropy = -(logp.exp() * logp).sum(-1)
        found.append(
            dict(
                temperature=temperature,
                logits=logits,
                ids=ids,
                logprobs=taken,
                entropy=entropy,
                upstream=weights,
                grad_logits=gradient,
            )
        )
    return found


def kl_case() -> dict:
    mask = torch.tensor(MASK, dtype=F64)
    logp = -noise("kl", "logp", shape=mask.shape).abs()
    ref = logp + noise("kl", "ref", shape=mask.shape, scale=0.4)
    k1, k3 = logp - ref, torch.exp(ref - logp) - 1 - (ref - logp)
    sums1, sums3 = (k1 * mask).sum(1), (k3 * mask).sum(1)
    assert (k3 >= 0).all()
    return dict(
        mask=MASK,
        logprobs=logp,
        ref_logprobs=ref,
        k1=k1 * mask,
        abs=k1.abs() * mask,
        mse=0.5 * k1**2 * mask,
        k3=k3 * mask,
        sequence_k1=sums1,
        sequence_k3=sums3,
        mean_k1=sums1.mean(),
        stderr_k1=sums1.std(unbiased=True) / len(sums1) ** 0.5,
        mean_k3=sums3.mean(),
    )


def controller() -> dict:
    value, horizon, target, steps = 0.2, 10000.0, 6.0, []
    for kl, samples in ((0.0, 256), (3.0, 256), (6.0, 256), (6.6, 128), (7.5, 256), (40.0, 512), (-2.0, 64)):
        error = min(max(kl / target - 1.0, -0.2), 0.2)
        value *= 1.0 + error * samples / horizon
        steps.append(dict(kl=kl, samples=samples, coef=value))
    return dict(init_kl_coef=0.2, kl_target=target, kl_horizon=horizon, steps=steps)


def bradley_terry() -> dict:
    chosen = torch.tensor([0.5, -1.0, 2.0, 0.0, 100.0, -100.0, 0.3], dtype=F64).requires_grad_()
    rejected = torch.tensor([0.1, 1.0, 2.0, -3.0, 0.0, 0.0, 0.4], dtype=F64).requires_grad_()
    each = -torch.nn.functional.logsigmoid(chosen - rejected)
    by_chosen, by_rejected = torch.autograd.grad(each.mean(), (chosen, rejected))
    margin = chosen - rejected
    return dict(
        chosen=chosen,
        rejected=rejected,
        losses=each,
        loss=each.mean(),
        accuracy=(margin > 0).to(F64).mean(),
        margin=margin.mean(),
        grad_chosen=by_chosen,
        grad_rejected=by_rejected,
    )


def check_published() -> None:
    """Whitening: "N implementation details of RLHF with PPO", item 9. KL rewards and GAE: torchtune's tests.
    Masked mean and variance: TRL's and torchtune's tests."""

    def tensor(x):
        return torch.tensor(x, dtype=F64)

    x, ones = tensor([[1.2, 1.3, 1.4], [1.5, 1.6, 1.7], [1.8, 1.9, 2.0]]), torch.ones(3, 3, dtype=F64)
    known = [[0.1394, 0.5046, 0.8697], [1.2349, 1.6, 1.9651], [2.3303, 2.6954, 3.0606]]
    assert (whiten(x, ones, shift_mean=False) - tensor(known)).abs().max() < 1e-4
    known = [[0.0508, 0.4381, 0.8254], [1.2127, 1.6, 1.9873], [2.3746, 2.7619, 3.1492]]
    assert (whiten(x, ones, shift_mean=False, unbiased=False) - tensor(known)).abs().max() < 1e-4

    logp = tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.6, 0.7, 0.8]])
    ref = tensor([[0.2, 0.3, 0.4], [0.6, 0.7, 0.8], [0.9, 1.0, 1.1]])
    known = [[0.05, 0.05, 1.05], [0.1, 0.1, 2.1], [0.15, 0.15, 3.15]]
    assert (rewards_of(tensor([1, 2, 3]), logp, ref, ones, 0.5) - tensor(known)).abs().max() < 1e-12

    values, rewards = tensor([[0, 0, 0, 1]]), tensor([[0, 0, 0, 1]])
    returns = gae(rewards, values, torch.ones(1, 4, dtype=F64), 0.9, 0.95) + values
    assert (returns - tensor([[0.9**3 * 0.95**2, 0.9**2 * 0.95, 0.9, 1]])).abs().max() < 1e-12

    assert masked_mean(tensor([1, 2, 3, 4]), tensor([0, 1, 1, 0])) == 2.5
    assert masked_mean(tensor([1, 2, 3, 4, 5]), tensor([1, 1, 1, 0, 0])) == 2.0
    assert masked_var(tensor([1, 2, 3, 4, 5]), tensor([1, 1, 1, 0, 0])) == 1.0


def plain(value):
    """Tensors as lists and numbers."""
    if isinstance(value, torch.Tensor):
        return value.detach().tolist()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "fixtures" / "ppo.json")
    out = parser.parse_args().out
    check_published()
    content = dict(
        masked=masked_cases(),
        logprobs=logprob_cases(),
        kl=kl_case(),
        cases=[case(setting) for setting in SETTINGS],
        controller=controller(),
        bradley_terry=bradley_terry(),
        made_with=tiny.made_with("ppo_fixtures.py", SEED),
    )
    tiny.write_json(out, plain(content))
    print(out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
