"""Tiny checkpoints of every family, with the logits, the loss and all gradients of transformers.

Writes fixtures/models/<family>/: what `save_pretrained` writes (config.json, model.safetensors or shards with an
index, generation_config.json) and
  expect.json         input ids and labels of two rows, target tokens, loss, versions, seed
  expect.safetensors  `logits.<row>` [tokens, vocab] of each row alone; `grad.<parameter>` of the loss
Writes fixtures/models/llama_reward/ too: a sequence classifier with one label (`score.weight`, no bias), the scores of
two (chosen, rejected) pairs, the Bradley-Terry loss and its gradients.

All numbers are f32 with eager attention, computed from the weights as stored (f16 and bf16 ones read up to f32).
Loss: sum of token cross-entropies over both rows / number of target tokens of both rows; label -100 is no target.

Asserts: the stored checkpoint, loaded again, gives the same logits to the bit; logits are O(1), and move by more than
0.05 under the misreading that the fixture is there to catch, by more than 2e-4 with a wrong norm epsilon; the loss by
hand is the loss that transformers computes with `num_items_in_batch`; no gradient is missing, and each is somewhere
above 1e-2; both rows in one right-padded batch give the same logits.
"""

import argparse
import shutil
from pathlib import Path

import torch
import transformers

import tiny

SEED = 20231


def causal_lm(fam: tiny.Family, directory: Path) -> None:
    model = tiny.build(fam, SEED)
    tiny.save(model, fam, directory)
    model = check_reload(tiny.load(directory), model)

    ids, labels = tiny.rows(SEED)
    logits = tiny.logits_of(model, ids)
    check_scale(fam.name, logits)
    check_padded(model, ids, logits)
    check_moves(fam, ids, logits, fam.misread, 0.05)
    check_moves(fam, ids, logits, dict(rms_norm_eps=1e-6), 2e-4)

    loss = tiny.loss_of(logits, labels)
    check_loss(model, ids, labels, loss)
    exact = tiny.in_double(model)
    tiny.loss_of(tiny.logits_of(exact, ids), labels).backward()

    tensors = {f"logits.{i}": row for i, row in enumerate(logits)}
    tensors |= gradients(exact)
    tiny.write_tensors(directory / "expect.safetensors", tensors)
    tiny.write_json(
        directory / "expect.json",
        dict(
            about=fam.about,
            input_ids=ids,
            labels=labels,
            target_tokens=tiny.target_count(labels),
            loss=loss.item(),
            made_with=tiny.made_with("model_fixtures.py", SEED),
        ),
    )


def reward(directory: Path) -> None:
    fam = tiny.family("llama")
    head = transformers.AutoModelForSequenceClassification
    model = tiny.build(fam, SEED + 1, head, num_labels=1)
    tiny.save(model, fam, directory)
    model = check_reload(tiny.load(directory, head), model)

    pairs = []
    for i in range(2):
        prompt, chosen, rejected = (
            torch.randint(3, tiny.VOCAB, (n,), generator=tiny.generator(SEED, "pair", i, part)).tolist()
            for part, n in (("prompt", 4), ("chosen", 5 + i), ("rejected", 7 - 3 * i))
        )
        pairs.append(dict(chosen=prompt + chosen + [2], rejected=prompt + rejected + [2]))

    scores = tiny.scores_of(model, pairs)
    loss = tiny.bradley_terry(scores)
    exact = tiny.in_double(model)
    tiny.bradley_terry(tiny.scores_of(exact, pairs)).backward()
    tiny.write_tensors(directory / "expect.safetensors", gradients(exact))
    tiny.write_json(
        directory / "expect.json",
        dict(
            about="Llama with a reward head: score = score.weight . last hidden state of the last token (eos)",
            pairs=pairs,
            scores=tiny.named_scores(scores),
            loss=loss.item(),
            made_with=tiny.made_with("model_fixtures.py", SEED + 1),
        ),
    )


def gradients(model) -> dict[str, torch.Tensor]:
    found = {}
    for name, p in model.named_parameters():
        assert p.grad is not None, f"{name} has no gradient"
        assert p.grad.abs().max() > 1e-2, f"the gradient of {name} says nothing"
        found[f"grad.{name}"] = p.grad
    return found


def check_reload(loaded, built):
    ids = torch.tensor([[5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]])
    with torch.no_grad():
        assert torch.equal(loaded(input_ids=ids).logits, built(input_ids=ids).logits), (
            "the stored checkpoint is another model"
        )
    assert loaded.config._attn_implementation == "eager"
    return loaded


def check_scale(name: str, logits: list[torch.Tensor]) -> None:
    spread = torch.cat(logits).std().item()
    assert 0.5 < spread < 2.0, f"{name}: logits have std {spread}"


def check_moves(fam: tiny.Family, ids, logits, misread: dict, least: float) -> None:
    with torch.no_grad():
        wrong = tiny.logits_of(tiny.build(fam, SEED, **misread), ids)
    moved = max((a - b).abs().max().item() for a, b in zip(logits, wrong, strict=True))
    assert moved > least, f"{fam.name} hardly notices {misread}: {moved}"


def check_padded(model, ids, logits) -> None:
    longest = max(map(len, ids))
    batch = torch.tensor([row + [0] * (longest - len(row)) for row in ids])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids])
    with torch.no_grad():
        padded = model(input_ids=batch, attention_mask=mask, use_cache=False).logits
    for row, alone in zip(padded, logits, strict=True):
        assert (row[: len(alone)] - alone).abs().max() < 1e-5, "padding changes the logits"


def check_loss(model, ids, labels, loss) -> None:
    count = tiny.target_count(labels)
    with torch.no_grad():
        theirs = sum(
            model(
                input_ids=torch.tensor([row]), labels=torch.tensor([target]), num_items_in_batch=count, use_cache=False
            ).loss
            for row, target in zip(ids, labels, strict=True)
        )
    assert abs(theirs.item() - loss.item()) < 1e-6, (theirs.item(), loss.item())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "fixtures" / "models")
    out = parser.parse_args().out
    jobs = {fam.name: lambda directory, fam=fam: causal_lm(fam, directory) for fam in tiny.FAMILIES}
    jobs["llama_reward"] = reward
    for name, write in jobs.items():
        shutil.rmtree(out / name, ignore_errors=True)
        (out / name).mkdir(parents=True)
        write(out / name)
        print(f"{name}: {sum(f.stat().st_size for f in (out / name).iterdir())} bytes")


if __name__ == "__main__":
    main()
