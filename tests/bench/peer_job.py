"""The other side of `make bench` where a whole job is measured, one process a job.

`peer_job.py JOB.json` does the job of trainer/examples/bench_job (or of a medtrain command) with transformers, peft,
trl, datasets and safetensors, and prints a line of JSON: what shows that it was done, and its seconds without imports.
"""

import json
import sys
import time
from pathlib import Path

from peer import peak_rss


def start(job: dict) -> dict:
    """SFTTrainer to its first optimiser step, from the same file by the same template."""
    import datasets
    import transformers
    import trl
    from peer_torch import lora_config

    class Told(transformers.TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            print(json.dumps({"event": "step", "loss": trainer.exact}), file=out, flush=True)

    class Watched(trl.SFTTrainer):
        def compute_loss(self, *args, **kwargs):
            found = super().compute_loss(*args, **kwargs)
            self.exact = (found[0] if isinstance(found, tuple) else found).item()
            return found

    tokenizer = transformers.AutoTokenizer.from_pretrained(job["model"])
    tokenizer.chat_template = job["template"]
    args = trl.SFTConfig(
        output_dir=job["workdir"],
        model_init_kwargs={"dtype": "float32", "attn_implementation": "sdpa"},
        max_length=job["train"]["maxLength"],
        assistant_only_loss=True,
        per_device_train_batch_size=job["train"]["perDeviceTrainBatchSize"],
        gradient_checkpointing=False,
        max_steps=1,
        learning_rate=2e-4,
        lr_scheduler_type="constant",
        optim="adamw_torch_fused",
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        bf16=False,
        dataloader_pin_memory=False,
        loss_type="nll",
    )
    trainer = Watched(
        model=job["model"],
        args=args,
        train_dataset=datasets.load_dataset("json", data_files=job["file"], split="train", cache_dir=job["workdir"]),
        processing_class=tokenizer,
        callbacks=[Told()],
        peft_config=lora_config(job["lora"], "CAUSAL_LM"),
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    return {}


def data(job: dict) -> dict:
    """What SFTTrainer does to a conversational data set with `packing`: its calls, with as many processes as CPUs."""
    import datasets
    import transformers
    import trl

    started = time.perf_counter()
    tokenizer = transformers.AutoTokenizer.from_pretrained(job["model"])
    template = job["template"]
    rows = datasets.load_dataset("json", data_files=job["file"], split="train", cache_dir=job["workdir"])

    def tokenize(example):
        found = tokenizer.apply_chat_template(
            example["messages"],
            chat_template=template,
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=True,
        )
        return {"input_ids": found["input_ids"], "assistant_masks": found["assistant_masks"]}

    rows = rows.map(tokenize, remove_columns=rows.column_names, num_proc=job["threads"])
    # Counts for the comparison; they are not the job's, so not in its time.
    counting = time.perf_counter()
    columns = rows.with_format("arrow")
    tokens = loss_tokens = 0
    for batch in columns.iter(10_000):
        tokens += len(batch["input_ids"].combine_chunks().flatten())
        loss_tokens += batch["assistant_masks"].combine_chunks().flatten().to_numpy(zero_copy_only=False).sum().item()
    counted = time.perf_counter() - counting
    packed = trl.pack_dataset(rows, job["train"]["maxLength"], "bfd", {"num_proc": job["threads"]})
    seconds = time.perf_counter() - started - counted
    return {"rows": len(rows), "tokens": tokens, "lossTokens": loss_tokens, "packs": len(packed), "seconds": seconds}


def merge(job: dict) -> dict:
    import peft
    import torch
    import transformers

    started = time.perf_counter()
    model = transformers.AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32)
    merged = peft.PeftModel.from_pretrained(model, job["adapter"]).merge_and_unload()
    merged.save_pretrained(job["output"])
    transformers.AutoTokenizer.from_pretrained(job["model"]).save_pretrained(job["output"])
    return {"seconds": time.perf_counter() - started}


def load(job: dict) -> dict:
    import torch

    if job["library"] == "safetensors":
        from safetensors.torch import load_file

        started = time.perf_counter()
        shards = [load_file(shard) for shard in sorted(Path(job["model"]).glob("*.safetensors"))]
        # Every value is read: a mapped file alone is nothing to compute with.
        values = [tensor for shard in shards for tensor in shard.values()]
        checksum = sum(tensor.sum(dtype=torch.float32).item() for tensor in values)
        seconds = time.perf_counter() - started
        return {"bytes": sum(value.nbytes for value in values), "sum": checksum, "seconds": seconds}
    import transformers

    started = time.perf_counter()
    model = transformers.AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32).eval()
    with torch.inference_mode():
        logits = model(torch.tensor([job["ids"]]), use_cache=False).logits[0, -1]
    return {"logits": logits[:8].tolist(), "seconds": time.perf_counter() - started}


def adapter(job: dict) -> dict:
    """An adapter with random values in A and B, as PEFT writes it."""
    import peft
    import torch
    import transformers
    from peer_torch import lora_config

    torch.manual_seed(42)
    model = transformers.AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32)
    config = lora_config(job["lora"], "CAUSAL_LM")
    model = peft.get_peft_model(model, config)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "lora_B" in name:
                value.normal_(std=0.02)
    model.save_pretrained(job["adapter"])
    return {}


def versions(names: list[str]) -> dict:
    found = {name: sys.modules[name].__version__ for name in names if name in sys.modules}
    return found | {"python": sys.version.split()[0]}


def main() -> None:
    global out
    # Standard output is for the answer; whatever a library prints goes to standard error.
    out, sys.stdout = sys.stdout, sys.stderr
    job = json.loads(Path(sys.argv[1]).read_text())
    try:
        import torch
        import transformers
    except ModuleNotFoundError as error:
        sys.exit(f"{error}: install tests/bench/requirements.txt")
    torch.set_num_threads(job["threads"])
    transformers.utils.logging.disable_progress_bar()
    done = {"start": start, "data": data, "merge": merge, "load": load, "adapter": adapter}[job["job"]](job)
    named = ["torch", "transformers", "peft", "trl", "datasets", "safetensors"]
    print(json.dumps(done | {"versions": versions(named), "peakRss": peak_rss()}), file=out, flush=True)


if __name__ == "__main__":
    main()
