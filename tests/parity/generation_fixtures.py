"""What transformers' `generate` answers for the tiny models, in batches padded on the left, and logits of such batches.

Writes fixtures/generation.json: `prompts`, and for each model of fixtures/models a list of `runs` (arguments and the
new tokens of every prompt) and `logits`: of each prompt the last position's, of every eighth token, from a batch padded
on the left with position ids that start at the first real token.

Asserts: each prompt alone gets the same tokens; padding on the left and on the right moves no logit by more than 2e-5;
the two best logits of every greedy step are further apart than 1e-4, or the run is left out; every argument changes
something.
"""

import argparse
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, GenerationConfig

import tiny

FAMILIES = ["llama", "llama3_rope", "llama_linear_rope", "mistral", "qwen2", "qwen3", "smollm2"]
PROMPTS = [[7, 12, 78, 95, 123], [20], [79, 70, 109], [5, 6, 7, 8, 9, 10, 11, 12, 13], [1, 2]]
PAD = 0
NEW = 12
EOS = [3, 90, 17, 41, 66]
RUNS = [
    dict(),
    dict(eos=EOS),
    dict(eos=EOS, min_new_tokens=5),
    dict(repetition_penalty=1.8),
    dict(eos=EOS, min_new_tokens=5, repetition_penalty=1.8),
]
CLOSE = 1e-4
EVERY = 8


def padded(rows: list[list[int]], left: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, attention mask, position ids."""
    width = max(map(len, rows))
    fill = [[PAD] * (width - len(row)) for row in rows]
    ids = [f + row if left else row + f for f, row in zip(fill, rows, strict=True)]
    mask = [
        [0] * len(f) + [1] * len(row) if left else [1] * len(row) + [0] * len(f)
        for f, row in zip(fill, rows, strict=True)
    ]
    mask = torch.tensor(mask)
    return torch.tensor(ids), mask, (mask.cumsum(1) - 1).clamp(min=0)


@torch.no_grad()
def last_logits(model, rows: list[list[int]], left: bool) -> torch.Tensor:
    ids, mask, positions = padded(rows, left)
    logits = model(input_ids=ids, attention_mask=mask, position_ids=positions).logits
    at = [ids.shape[1] - 1 if left else len(row) - 1 for row in rows]
    return torch.stack([logits[row, position] for row, position in enumerate(at)])


@torch.no_grad()
def generate(model, rows: list[list[int]], eos=None, **arguments) -> tuple[list[list[int]], float]:
    """New tokens of each row, up to and with its end; and the smallest lead of a chosen token over the next."""
    ids, mask, _ = padded(rows, left=True)
    config = GenerationConfig(
        do_sample=False,
        max_new_tokens=NEW,
        eos_token_id=eos,
        pad_token_id=PAD,
        output_scores=True,
        return_dict_in_generate=True,
        **arguments,
    )
    out = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)
    answers, lead = [], float("inf")
    for row, tokens in enumerate(out.sequences[:, ids.shape[1] :].tolist()):
        end = next((i + 1 for i, token in enumerate(tokens) if token in (eos or [])), len(tokens))
        answers.append(tokens[:end])
        for scores in out.scores[:end]:
            best = scores[row].topk(2).values
            lead = min(lead, (best[0] - best[1]).item())
    return answers, lead


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "fixtures" / "generation.json")
    out = parser.parse_args().out
    models, changed = {}, set()
    for family in FAMILIES:
        directory = Path(__file__).parent / "fixtures" / "models" / family
        model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager").eval()
        model.generation_config = GenerationConfig()
        logits = last_logits(model, PROMPTS, left=True)
        alone = torch.cat([last_logits(model, [row], left=True) for row in PROMPTS])
        for other in (alone, last_logits(model, PROMPTS, left=False)):
            assert (other - logits).abs().max() < 2e-5, family
        runs = []
        for arguments in RUNS:
            answers, lead = generate(model, PROMPTS, **arguments)
            if lead < CLOSE:
                print(family, arguments, "left out: two tokens are nearly equal")
                continue
            assert [generate(model, [row], **arguments)[0][0] for row in PROMPTS] == answers, (family, arguments)
            if runs and answers != runs[0]["answers"]:
                changed |= set(arguments)
            runs.append(dict(arguments=arguments, answers=answers))
        models[family] = dict(runs=runs, logits=logits[:, ::EVERY].tolist())
    assert changed == {"eos", "min_new_tokens", "repetition_penalty"}, changed
    print({family: len(entry["runs"]) for family, entry in models.items()})
    made_with = tiny.made_with("generation_fixtures.py", 0)
    tiny.write_json(out, dict(prompts=PROMPTS, max_new_tokens=NEW, every=EVERY, models=models, made_with=made_with))
    print(out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
