"""What both cases of ppo_loop_fixtures.py start from: settings, the policy, the rollout; and how a training is recorded.

The case is that of the TRL which is installed.
"""

import math

import tokenizers
import torch
import transformers
import trl
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

# tiny.py names families that the transformers of 2023 does not have; no case here is of them.
for family in ("MistralConfig", "Qwen2Config", "Qwen3Config"):
    if not hasattr(transformers, family):
        setattr(transformers, family, LlamaConfig)

import tiny

CASE = {"0.4.7": "trl04", "0.24.0": "trl024"}[trl.__version__]
# With some seeds gradients nearly cancel in a step, and f32 itself is off by more than check_in_double allows.
SEED = {"trl04": 20245, "trl024": 20241}[CASE]
VOCAB, PAD, EOS, EPISODES, STEPS = 64, 0, 2, 8, 10
PERTURBATION = 1e-7
LORA = dict(r=2, lora_alpha=4, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM")
SMALL = dict(
    vocab_size=VOCAB,
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=64,
    rms_norm_eps=1e-5,
    bos_token_id=1,
    eos_token_id=EOS,
    pad_token_id=PAD,
)
SETTINGS = {
    "trl04": dict(
        learning_rate=1e-2,
        adam_epsilon=1e-8,
        kl_coef=0.2,
        kl_target=6.0,
        kl_horizon=10000.0,
        gamma=1.0,
        lam=0.95,
        cliprange=0.2,
        cliprange_value=0.2,
        vf_coef=0.1,
        temperature=1.0,
        whiten_rewards=False,
        missing_eos_penalty=0.0,
        mini_batch_size=4,
        rows_per_pass=4,
        ppo_epochs=5,
    ),
    "trl024": dict(
        learning_rate=5e-3,
        adam_epsilon=1e-5,
        kl_coef=0.05,
        gamma=0.99,
        lam=0.9,
        cliprange=0.2,
        cliprange_value=0.3,
        vf_coef=0.5,
        temperature=0.7,
        whiten_rewards=True,
        missing_eos_penalty=1.0,
        mini_batch_size=8,
        rows_per_pass=8,
        ppo_epochs=10,
    ),
}[CASE]
PROMPT_LENGTHS = [3, 1, 4, 2, 5, 2, 3, 4]
RESPONSE_LENGTHS = {"trl04": [5, 9, 2, 7, 3, 8, 6, 4], "trl024": [6] * 8}[CASE]
ENDED = [True, False, True, True, False, True, True, False]
# Order of the episodes in each PPO epoch.
ORDER = [
    [0, 3, 5, 2, 6, 1, 7, 4],
    [4, 0, 6, 5, 3, 2, 1, 7],
    [2, 7, 6, 3, 0, 5, 4, 1],
    [4, 7, 2, 3, 1, 0, 6, 5],
    [0, 2, 4, 3, 6, 5, 7, 1],
]


def base_model() -> LlamaForCausalLM:
    model = LlamaForCausalLM(LlamaConfig(**SMALL))
    tiny.randomise(model, SEED, torch.float32)
    return model.eval()


def policy(perturbed: int | None = None):
    """Base with an adapter that already does something, so that policy and reference differ."""
    model = get_peft_model(base_model(), LoraConfig(lora_dropout=0.0, **LORA))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_" in name:
                p.copy_(0.3 * torch.randn(p.shape, generator=tiny.generator(SEED, name)))
    perturb(model, perturbed)
    return model


def set_head(head: torch.nn.Linear, perturbed: int | None) -> None:
    with torch.no_grad():
        for name, p in head.named_parameters():
            p.copy_(0.2 * torch.randn(p.shape, generator=tiny.generator(SEED, "head", name)))
    perturb(head, perturbed)


def perturb(module: torch.nn.Module, perturbed: int | None) -> None:
    if perturbed is None:
        return
    with torch.no_grad():
        for name, p in module.named_parameters():
            p.mul_(1 + PERTURBATION * torch.randn(p.shape, generator=tiny.generator(SEED, name, perturbed)))


def tokenizer() -> PreTrainedTokenizerFast:
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({str(i): i for i in range(VOCAB)}, unk_token="1"))
    side = "right" if CASE == "trl04" else "left"
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token=str(PAD), eos_token=str(EOS), padding_side=side)


@torch.no_grad()
def rollout() -> dict:
    """Responses drawn from the policy; PAD and EOS are left out but for the EOS at the end of those that end."""
    model = policy()
    prompts, responses = [], []
    for number, (prompt, length, ended) in enumerate(zip(PROMPT_LENGTHS, RESPONSE_LENGTHS, ENDED)):
        random = tiny.generator(SEED, "episode", number)
        ids = torch.randint(3, VOCAB, (prompt,), generator=random).tolist()
        prompts.append(list(ids))
        while len(ids) < prompt + length:
            logits = model(input_ids=torch.tensor([ids])).logits[0, -1] / SETTINGS["temperature"]
            logits[[PAD, EOS]] = -math.inf
            ids.append(int(torch.multinomial(logits.softmax(-1), 1, generator=random)))
        responses.append(ids[prompt:])
        if ended:
            responses[-1][-1] = EOS
    scores = torch.randn(EPISODES, generator=tiny.generator(SEED, "scores")).tolist()
    return dict(prompts=prompts, responses=responses, ended=ENDED, scores=scores)


class Capture:
    """Trained tensors and moments before the first step and after each; losses and norms of each step."""

    def __init__(self, optimizer: torch.optim.Optimizer, named: dict[str, torch.nn.Parameter]):
        self.named = {saved_name(name): p for name, p in named.items() if p.requires_grad}
        self.tensors: dict[str, list[torch.Tensor]] = {}
        self.grad_norm: list[float] = []
        self.take(optimizer)
        optimizer.register_step_pre_hook(lambda *_: self.grad_norm.append(self.norm()))
        optimizer.register_step_post_hook(lambda inner, *_: self.take(inner))

    def norm(self) -> float:
        return torch.stack([p.grad.double().norm() for p in self.named.values()]).norm().item()

    def take(self, optimizer: torch.optim.Optimizer) -> None:
        for name, p in self.named.items():
            state, zero = optimizer.state.get(p, {}), torch.zeros_like(p)
            for kind, value in (
                ("parameter", p),
                ("adam1", state.get("exp_avg", zero)),
                ("adam2", state.get("exp_avg_sq", zero)),
            ):
                self.tensors.setdefault(f"{kind}/{name}", []).append(value.detach().clone())

    def stacked(self) -> dict[str, torch.Tensor]:
        return {name: torch.stack(values) for name, values in self.tensors.items()}


def saved_name(name: str) -> str:
    """Name of a parameter as our checkpoint has it."""
    for head in ("v_head.summary", "value_model.score"):
        name = name.replace(head, "v_head")
    for prefix in ("pretrained_model.", "policy.", "base_model.model."):
        name = name.removeprefix(prefix)
    return name.replace(".default", "")
