"""demo_kl.py TRAINING.yaml OUTPUT: is the demo's PPO still near the fine-tuned model?

Reads the KL on held-out prompts from the manifest of the stage "ppo" and compares it with the bound that the training
names in its annotation demo.medtrain.io/max-kl. Below zero by more than noise is as wrong as above the bound: no
distribution has such a KL. Ends with 1 if it is outside, or if there is nothing to compare.
"""

import json
import pathlib
import re
import sys


def bound(training: str) -> float:
    """The annotation's value; the standard library reads no YAML, and this is one quoted decimal."""
    found = re.search(r'demo\.medtrain\.io/max-kl: "([0-9.]+)"', training)
    if found is None:
        raise ValueError('no annotation demo.medtrain.io/max-kl: "NUMBER" in its metadata')
    return float(found[1])


def verdict(metrics: dict[str, float], most: float) -> tuple[bool, str]:
    """Whether the KL is within its bounds, and a sentence about it."""
    kl, k3, noise = (metrics[name] for name in ("eval_kl", "eval_kl_k3", "eval_kl_stderr"))
    said = f"PPO's KL to the fine-tuned model is {kl:.2f} ± {noise:.2f} nats a sequence (bound {most:g})"
    if kl > most:
        return False, f"{said}: above the bound; lower ppo.klTarget, the learning rate or numPpoEpochs"
    if kl < -3 * noise or k3 < 0:
        return False, f"{said}, estimator k3 {k3:.2f}: below zero, which no distribution has; a defect"
    return True, said


def main(training: pathlib.Path, output: pathlib.Path) -> int:
    # latest/ppo is a link to the attempt's folder, beside which the manifest lies.
    manifest = (output / "latest" / "ppo").resolve().parent / "manifest.json"
    try:
        most = bound(training.read_text())
        within, said = verdict(json.loads(manifest.read_text())["metrics"], most)
    except (OSError, ValueError, KeyError) as error:
        within, said = False, f"PPO's KL can't be compared with the bound of {training}: {error!r}"
    print(f"==> {said}", file=sys.stderr)
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main(*map(pathlib.Path, sys.argv[1:])))
