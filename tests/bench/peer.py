"""The other side of `make bench` where a step is measured, on the workload of trainer/examples/bench_step.

`peer.py WORKLOAD.json OPTIONS-JSON` loads the model and says that it is ready; then every line `step` of standard
input is answered by one step's figures, as bench_step answers. `judge …` asks how what medtrain made looks under this
model: by how many logits continuations fall short of greedy, or how far a rollout's log-probabilities and score are
from the model's own.

Options: `attention` (sdpa, eager), `compile`, `bf16` (autocast), `valueModel` (of PPO), `library` (llama.cpp). Else all
is f32, with the fused AdamW and as many threads as the workload says.
"""

import json
import sys
import time
from pathlib import Path

SEED = 42


def peak_rss() -> int:
    """Bytes; the most that was in RAM at once since the process began."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def load(workload: dict, options: dict, kind: str):
    """The work that answers `step`, and the versions of what does it."""
    if options.get("library") == "llama.cpp":
        import peer_llama

        return peer_llama.Generation(workload), peer_llama.versions()
    import peft
    import torch
    import transformers

    torch.set_num_threads(workload["threads"])
    torch.manual_seed(SEED)
    transformers.utils.logging.disable_progress_bar()
    modules = [torch, transformers, peft]
    if kind in ("reward", "ppo"):
        import peer_trl
        import trl

        modules.append(trl)
        work = {"reward": peer_trl.Reward, "ppo": peer_trl.Ppo}[kind](workload, options)
    else:
        import peer_torch

        work = {"causal": peer_torch.Training, "generate": peer_torch.Generation}[kind](workload, options)
    found = {module.__name__: module.__version__ for module in modules}
    return work, found | {"cpuCapability": torch.backends.cpu.get_cpu_capability()}


def main() -> None:
    # Standard output is for answers; whatever a library prints goes to standard error.
    out, sys.stdout = sys.stdout, sys.stderr

    def answer(figures: dict) -> None:
        print(json.dumps(figures), file=out, flush=True)

    workload = json.loads(Path(sys.argv[1]).read_text())
    options = json.loads(sys.argv[2])
    task = workload["task"]
    kind = next(iter(task["train"]["kind"])) if "train" in task else "generate"
    work, versions = load(workload, options, kind)
    versions["python"] = sys.version.split()[0]
    answer({"versions": versions, "trainedParameters": work.trained_parameters})
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
