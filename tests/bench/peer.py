"""The other side of `make bench`: transformers and peft on the workload of trainer/examples/bench_step.rs.

`peer.py WORKLOAD.json` loads the model and says that it is ready; then every line `step` of standard input is answered
by one step's figures, as bench_step answers. One more question, for generation: `judge [[id, …], …]` asks by how much
the given continuations fall short of greedy under this model, in logits (0 = each token is the most likely one).

All in f32 with sdpa attention, the fused AdamW and as many threads as the workload says.
"""

import json
import sys
import time
from pathlib import Path

import peft
import torch
import transformers

SEED = 42


class Training:
    """Optimiser steps of an adapter on the same sequences, at a constant learning rate."""

    def __init__(self, model: torch.nn.Module, ids: torch.Tensor, lora: dict, train: dict):
        config = peft.LoraConfig(
            task_type="CAUSAL_LM",
            r=lora["rank"],
            lora_alpha=lora["alpha"],
            lora_dropout=lora["dropout"],
            target_modules=lora["targetModules"],
            use_rslora=lora["useRslora"],
        )
        self.model = peft.get_peft_model(model, config).train()
        if train["gradientCheckpointing"]:
            self.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        self.ids = ids
        self.trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.max_grad_norm = train["maxGradNorm"]
        self.optimizer = torch.optim.AdamW(
            self.trained, lr=train["learningRate"], weight_decay=train["weightDecay"], fused=True
        )

    def step(self) -> dict:
        loss = self.model(input_ids=self.ids, labels=self.ids, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trained, self.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return {"tokens": self.ids.numel(), "loss": loss.item()}


class Generation:
    """Greedy decoding of all prompts as one batch; nothing ends a response early."""

    def __init__(self, model: torch.nn.Module, ids: torch.Tensor, max_new_tokens: int):
        self.model = model.eval()
        self.ids = ids
        # Whatever the checkpoint says about sampling and about ends.
        self.config = transformers.GenerationConfig(do_sample=False, max_new_tokens=max_new_tokens, use_cache=True)
        model.generation_config = self.config

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


def peak_rss() -> int:
    """Bytes; the most that was in RAM at once since the process began."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def main() -> None:
    # Standard output is for answers; whatever a library prints goes to standard error.
    out, sys.stdout = sys.stdout, sys.stderr

    def answer(figures: dict) -> None:
        print(json.dumps(figures), file=out, flush=True)

    workload = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(workload["threads"])
    torch.manual_seed(SEED)
    transformers.utils.logging.disable_progress_bar()
    model = transformers.AutoModelForCausalLM.from_pretrained(
        workload["model"], dtype=torch.float32, attn_implementation="sdpa", local_files_only=True
    )
    ((kind, arguments),) = workload["task"].items()
    ids = torch.tensor(workload["ids"])
    if kind == "train":
        work = Training(model, ids, arguments["lora"], arguments["train"])
    else:
        work = Generation(model, ids, arguments["maxNewTokens"])

    versions = {module.__name__: module.__version__ for module in (torch, transformers, peft)}
    versions["python"] = sys.version.split()[0]
    answer({"versions": versions, "cpuCapability": torch.backends.cpu.get_cpu_capability()})
    for line in sys.stdin:
        if line.startswith("judge "):
            answer(work.judge(json.loads(line.removeprefix("judge "))))
            continue
        started = time.perf_counter()
        done = work.step()
        seconds = time.perf_counter() - started
        answer(done | {"seconds": seconds, "peakRss": peak_rss()})


if __name__ == "__main__":
    main()
