"""Steps of plain transformers and peft: training on fixed sequences, greedy generation."""

import contextlib

import peft
import torch
import transformers


def model_of(workload: dict, options: dict, cls=transformers.AutoModelForCausalLM, **more):
    return cls.from_pretrained(
        workload["model"],
        dtype=torch.float32,
        attn_implementation=options.get("attention", "sdpa"),
        local_files_only=True,
        **more,
    )


def lora_config(lora: dict, task_type: str) -> peft.LoraConfig:
    return peft.LoraConfig(
        task_type=task_type,
        r=lora["rank"],
        lora_alpha=lora["alpha"],
        lora_dropout=lora["dropout"],
        target_modules=lora["targetModules"],
        use_rslora=lora["useRslora"],
    )


def trained(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


class Training:
    """Optimiser steps on the same sequences, at a constant learning rate."""

    def __init__(self, workload: dict, options: dict):
        task = workload["task"]["train"]
        lora, train = task["lora"], task["train"]
        model = model_of(workload, options)
        self.model = (peft.get_peft_model(model, lora_config(lora, "CAUSAL_LM")) if lora else model).train()
        if train["gradientCheckpointing"]:
            self.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        self.trained_parameters = trained(self.model)
        self.ids = torch.tensor(workload["ids"])
        self.trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.max_grad_norm = train["maxGradNorm"]
        self.optimizer = torch.optim.AdamW(
            self.trained, lr=train["learningRate"], weight_decay=train["weightDecay"], fused=True
        )
        self.forward = torch.compile(self.model) if options.get("compile") else self.model
        bf16 = torch.autocast("cpu", dtype=torch.bfloat16)
        self.precision = bf16 if options.get("bf16") else contextlib.nullcontext()

    def step(self) -> dict:
        with self.precision:
            loss = self.forward(input_ids=self.ids, labels=self.ids, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trained, self.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return {"tokens": self.ids.numel(), "loss": loss.item()}


class Generation:
    """Greedy decoding of all prompts as one batch; nothing ends a response early."""

    trained_parameters = 0

    def __init__(self, workload: dict, options: dict):
        self.model = model_of(workload, options).eval()
        self.ids = torch.tensor(workload["ids"])
        # Whatever the checkpoint says about sampling and about ends.
        self.config = transformers.GenerationConfig(
            do_sample=False, max_new_tokens=workload["task"]["generate"]["maxNewTokens"], use_cache=True
        )
        self.model.generation_config = self.config

    @torch.inference_mode()
    def step(self) -> dict:
        whole = self.model.generate(self.ids, attention_mask=torch.ones_like(self.ids), generation_config=self.config)
        new = whole[:, self.ids.shape[1] :]
        return {"tokens": new.numel(), "ids": new.tolist()}

    @torch.inference_mode()
    def judge(self, continuations: list[list[int]]) -> dict:
        worst = 0.0
        for prompt, new in zip(self.ids, torch.tensor(continuations), strict=True):
            logits = self.model(torch.cat([prompt, new])[None], logits_to_keep=len(new) + 1).logits[0, :-1]
            chosen = logits.gather(1, new[:, None])[:, 0]
            worst = max(worst, (logits.max(dim=1).values - chosen).max().item())
        return {"shortOfGreedy": worst}
