"""Logits as transformers' generation processors leave them, on random rows with ties.

Writes fixtures/sampling.json: `rows` (ids already in the sequence, logits) and `cases` (the processors in the order in
which they run, and the processed logits of every row, `null` for a token that was ruled out (-inf)).
Also `probabilities`: softmax of the processed logits, where the case ends a full chain.

The order in `generate` is repetition penalty, temperature, top-k, top-p, min-p. Ties: top-k keeps every token that is
as good as the k-th; where the edge of the nucleus runs through equal tokens, torch's ascending sort happens to keep the
higher ids. Another order is as right there, so a test compares the kept logits of the `tied_rows` as a sorted list.

Asserts: every processor changes some row; at least one token always survives; of tied rows more than k survive top-k;
no sum of probabilities comes within 1e-4 of top-p's edge, so that rounding decides nothing.
"""

import argparse
from pathlib import Path

import torch
from transformers import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

import tiny

SEED = 20234
VOCAB = 12
PROCESSORS = {
    "repetition_penalty": RepetitionPenaltyLogitsProcessor,
    "temperature": TemperatureLogitsWarper,
    "top_k": TopKLogitsWarper,
    "top_p": TopPLogitsWarper,
    "min_p": MinPLogitsWarper,
}
CASES = [
    dict(repetition_penalty=1.3),
    dict(repetition_penalty=0.8),
    dict(temperature=0.2),
    dict(temperature=1.7),
    dict(top_k=1),
    dict(top_k=4),
    dict(top_k=50),
    dict(top_p=0.9),
    dict(top_p=0.45),
    dict(top_p=1e-4),
    dict(min_p=0.2),
    dict(repetition_penalty=1.3, temperature=0.2, top_k=40, top_p=0.9),
    dict(repetition_penalty=1.1, temperature=0.7, top_k=5, top_p=0.8),
]


def rows() -> list[dict]:
    random = [2.0 * torch.randn(VOCAB, generator=tiny.generator(SEED, i)) for i in range(3)]
    tied = torch.tensor([1.0, 3.0, 2.0, 3.0, 2.0, 2.0, -1.0, 2.0, 0.0, 3.0, 3.0, 0.0])
    flat = torch.zeros(VOCAB)
    seen = [[3, 3, 7], [0, 11], [], [1, 2, 6, 8], [4]]
    return [dict(seen=ids, logits=row.tolist()) for ids, row in zip(seen, [*random, tied, flat], strict=True)]


def process(case: dict, row: dict) -> torch.Tensor:
    seen = torch.tensor([row["seen"]], dtype=torch.long)
    logits = torch.tensor([row["logits"]])
    for name, value in case.items():
        if name == "top_p":
            check_edge(logits, value)
        logits = PROCESSORS[name](value)(seen, logits)
    return logits[0]


def check_edge(logits: torch.Tensor, top_p: float) -> None:
    sums = logits.sort(descending=False).values.to(torch.float64).softmax(-1).cumsum(-1)
    assert (sums[0, :-1] - (1 - top_p)).abs().min() > 1e-4, (sums, top_p)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "fixtures" / "sampling.json")
    out = parser.parse_args().out
    inputs, cases = rows(), []
    for case in CASES:
        processed = [process(case, row) for row in inputs]
        assert all(row.isfinite().any() for row in processed)
        if case != dict(top_k=50):
            assert any(a.tolist() != b["logits"] for a, b in zip(processed, inputs, strict=True)), case
        entry = dict(
            processors=case, logits=[[x if x > -torch.inf else None for x in row.tolist()] for row in processed]
        )
        if len(case) > 1:
            entry["probabilities"] = [row.softmax(-1).tolist() for row in processed]
        cases.append(entry)
    tied = cases[CASES.index(dict(top_k=1))]["logits"][3]
    assert sum(x is not None for x in tied) == 4, tied
    tiny.write_json(
        out,
        dict(
            vocab_size=VOCAB,
            rows=inputs,
            tied_rows=[3, 4],
            cases=cases,
            made_with=tiny.made_with("sampling_fixtures.py", SEED),
        ),
    )
    print(out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
