"""Steps of TRL's trainers: RewardTrainer as installed, PPOTrainer of 0.24 (from the path that bench.py puts first).

The trainer's own loop runs in a thread that is let go for a step at a time, so everything that it does between two
optimiser steps, or two rollouts, is in the time.
"""

import tempfile
import threading

import datasets
import peft
import torch
import transformers
import trl
from peer_torch import lora_config, model_of, trained

ENDLESS = 1_000_000


class Stepwise(transformers.TrainerCallback):
    """Holds a trainer at each end of a step until the next one is asked for."""

    def __init__(self):
        self.go, self.done = threading.Semaphore(0), threading.Semaphore(0)
        self.broken: BaseException | None = None

    def on_train_begin(self, args, state, control, **kwargs):
        self.go.acquire()

    def on_step_end(self, args, state, control, **kwargs):
        self.done.release()
        self.go.acquire()

    def start(self, trainer) -> None:
        trainer.remove_callback(transformers.PrinterCallback)

        def run():
            try:
                trainer.train()
            except BaseException as error:
                self.broken = error
                self.done.release()

        threading.Thread(target=run, daemon=True).start()

    def step(self) -> None:
        self.go.release()
        self.done.acquire()
        if self.broken:
            raise self.broken


def scorer(workload: dict, options: dict, head: list[float]):
    """The model with a score head, whose weights are given."""
    cls = transformers.AutoModelForSequenceClassification
    model = model_of(workload, options, cls, num_labels=1)
    with torch.no_grad():
        model.score.weight.copy_(torch.tensor(head)[None])
    return model


class Reward:
    """RewardTrainer's steps on the same pairs."""

    def __init__(self, workload: dict, options: dict):
        task = workload["task"]["train"]
        model = scorer(workload, options, task["kind"]["reward"]["head"])
        ids = workload["ids"]
        pairs = {"chosen_ids": ids[0::2], "rejected_ids": ids[1::2]}
        tokenizer = transformers.AutoTokenizer.from_pretrained(workload["model"])
        model.config.pad_token_id = tokenizer.pad_token_id
        reward = self

        class Watched(trl.RewardTrainer):
            def compute_loss(self, *args, **kwargs):
                found = super().compute_loss(*args, **kwargs)
                reward.loss = (found[0] if isinstance(found, tuple) else found).item()
                return found

        folder = tempfile.mkdtemp()
        self.stepwise = Stepwise()
        args = trl.RewardConfig(
            output_dir=folder,
            per_device_train_batch_size=len(ids) // 2,
            learning_rate=task["train"]["learningRate"],
            weight_decay=task["train"]["weightDecay"],
            max_grad_norm=task["train"]["maxGradNorm"],
            lr_scheduler_type="constant",
            optim="adamw_torch_fused",
            gradient_checkpointing=False,
            max_steps=ENDLESS,
            logging_steps=ENDLESS,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
            bf16=False,
            max_length=None,
            dataloader_pin_memory=False,
        )
        trainer = Watched(
            model=model,
            args=args,
            train_dataset=datasets.Dataset.from_dict(pairs),
            processing_class=tokenizer,
            callbacks=[self.stepwise],
            peft_config=peft.LoraConfig(
                **(lora_config(task["lora"], "SEQ_CLS").to_dict() | {"modules_to_save": ["score"]})
            ),
        )
        self.trained_parameters = trained(trainer.model)
        self.tokens = sum(map(len, ids))
        self.stepwise.start(trainer)

    def step(self) -> dict:
        self.stepwise.step()
        return {"tokens": self.tokens, "loss": self.loss}


class Ppo:
    """PPOTrainer's steps: a rollout of all prompts and the epochs over it."""

    def __init__(self, workload: dict, options: dict):
        task = workload["task"]["train"]
        kind = task["kind"]["ppo"]
        ppo, self.head, self.stop = kind["ppo"], kind["head"], kind["stop"]
        ids = workload["ids"]
        policy = model_of(workload, options)
        self.reward = scorer(workload, options, self.head).requires_grad_(False)
        value = scorer(workload, options, [0.0] * len(self.head))
        if options["valueModel"] == "head":
            value.requires_grad_(False)
            value.score.requires_grad_(True)
        tokenizer = transformers.AutoTokenizer.from_pretrained(workload["model"])
        self.temperature = ppo["temperature"]
        self.stepwise = Stepwise()
        args = trl.PPOConfig(
            output_dir=tempfile.mkdtemp(),
            per_device_train_batch_size=ppo["batchSize"],
            gradient_accumulation_steps=1,
            # A micro-batch is a minibatch: an optimiser step each, as ours.
            num_mini_batches=ppo["batchSize"] // ppo["miniBatchSize"],
            num_ppo_epochs=ppo["numPpoEpochs"],
            total_episodes=ENDLESS * ppo["batchSize"],
            response_length=ppo["maxNewTokens"],
            local_rollout_forward_batch_size=ppo["batchSize"],
            temperature=ppo["temperature"],
            kl_coef=ppo["initKlCoef"],
            cliprange=ppo["cliprange"],
            cliprange_value=ppo["cliprangeValue"],
            vf_coef=ppo["vfCoef"],
            gamma=ppo["gamma"],
            lam=ppo["lam"],
            whiten_rewards=ppo["whitenRewards"],
            missing_eos_penalty=None,
            stop_token=None,
            learning_rate=task["train"]["learningRate"],
            lr_scheduler_type="constant",
            optim="adamw_torch_fused",
            num_sample_generations=0,
            gradient_checkpointing=False,
            logging_steps=ENDLESS,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
            bf16=False,
        )
        data = datasets.Dataset.from_dict({"input_ids": ids})
        trainer = trl.PPOTrainer(
            args=args,
            processing_class=tokenizer,
            model=policy,
            ref_model=None,
            reward_model=self.reward,
            value_model=value,
            train_dataset=data,
            eval_dataset=data,
            callbacks=[self.stepwise],
            peft_config=lora_config(task["lora"], "CAUSAL_LM"),
        )
        self.base = trainer.policy_model
        self.trained_parameters = trained(trainer.model)
        self.tokens = len(ids) * ppo["maxNewTokens"]
        self.stepwise.start(trainer)

    def step(self) -> dict:
        self.stepwise.step()
        return {"tokens": self.tokens}

    @torch.inference_mode()
    def judge(self, rollout: dict) -> dict:
        """How far this model's log-probabilities and score of the episodes are from those that were told."""
        sizes = zip(rollout["promptLengths"], rollout["responseLengths"], strict=True)
        prompts, responses, told = (iter(rollout[name]) for name in ("prompts", "responses", "logprobs"))
        worst, scores = 0.0, []
        for prompt_length, length in sizes:
            prompt = [next(prompts) for _ in range(prompt_length)]
            response = [next(responses) for _ in range(length)]
            ids = torch.tensor([prompt + response])
            with self.base.disable_adapter():
                logits = self.base(ids, logits_to_keep=length + 1).logits[0, :-1] / self.temperature
            logprobs = logits.log_softmax(-1).gather(1, ids[0, prompt_length:, None])[:, 0]
            worst = max(worst, (logprobs - torch.tensor([next(told) for _ in range(length)])).abs().max().item())
            whole = torch.tensor([prompt + response + [self.stop]])
            hidden = self.reward.model(whole).last_hidden_state
            scores.append(self.reward.score(hidden)[0, -1].item())
        score = sum(scores) / len(scores)
        return {"logprobOff": worst, "scoreOff": abs(score - rollout["score"]) / max(1.0, abs(score))}
