#!/usr/bin/env python3
"""Builds the sample data from the knowledge base: `python3 tests/data/make/build.py` (standard library only).

Always holds: the same files, byte for byte, for the same sources; nothing is written if a check fails; rows of one
scenario are all in the training files or all in the held-out files. Rows are in a fixed shuffled order, so that the
first rows of a file are a fair sample of it.
"""

import importlib
import json
import pkgutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import knowledge  # noqa: E402
from check import balance, problems, size  # noqa: E402
from compose import Composer, Dice  # noqa: E402

FILES = {  # kind -> file name; {split} is train or heldout
    "single": "sft/{split}-single.jsonl",
    "multi": "sft/{split}-multi.jsonl",
    "pairs": "rm/{split}-pairs.jsonl",
    "prompts": "ppo/{split}-prompts.jsonl",
}
QUESTIONS = ("asthma-inhaler-technique", "migraine-attack", "knee-osteoarthritis-walking")


def scenarios():
    """All scenarios, files in the order of their names."""
    modules = sorted(module.name for module in pkgutil.iter_modules([str(HERE / "knowledge")]))
    return [s for name in modules for s in importlib.import_module(f"knowledge.{name}").SCENARIOS]


def compose():
    return [(scenario, Composer(scenario).everything()) for scenario in scenarios()]


def files(data):
    """Relative path -> bytes of every file the build owns."""
    result = {}
    for split in ("train", "heldout"):
        part = [(s, rows) for s, rows in data if s.heldout == (split == "heldout")]
        for lang in ("en", "zh"):
            lines = [text for s, rows in part if s.lang == lang for text in rows["paragraphs"]]
            result[f"pt/{split}-{lang}.txt"] = Dice(split, lang).shuffled(lines)
        for kind, name in FILES.items():
            rows = [row for _, made in part for row in made[kind]]
            lines = [json.dumps(row, ensure_ascii=False) for row in Dice(split, kind).shuffled(rows)]
            result[name.format(split=split)] = lines
    by_name = {s.name: (s, rows) for s, rows in data}
    result["questions.txt"] = [by_name[name][1]["prompts"][0]["prompt"] for name in QUESTIONS]
    result["scenarios.tsv"] = ["scenario\tlanguage\tsplit"] + [
        f"{s.name}\t{s.lang}\t{'heldout' if s.heldout else 'train'}" for s, _ in data
    ]
    return {path: ("\n".join(lines) + "\n").encode() for path, lines in result.items()}


def table(data):
    lines = ["split    lang scenarios paragraphs  single  multi  pairs  prompts"]
    for split in ("train", "heldout"):
        for lang in ("en", "zh"):
            part = [rows for s, rows in data if s.heldout == (split == "heldout") and s.lang == lang]
            count = lambda kind: sum(len(rows[kind]) for rows in part)
            lines.append(
                f"{split:8} {lang:4} {len(part):9} {count('paragraphs'):10} {count('single'):7} {count('multi'):6} "
                f"{count('pairs'):6} {count('prompts'):8}"
            )
    for split in ("train", "heldout"):
        pairs = [(s.lang, row) for s, rows in data if s.heldout == (split == "heldout") for row in rows["pairs"]]
        figures = balance(pairs)
        lines.append(
            f"pairs, {split}: mean length gap {figures['chars']:+.4f} in characters, {figures['words']:+.4f} in words; "
            f"chosen longer in {figures['chosen longer']:.3f}; largest gap {figures['largest']:.3f}"
        )
    for lang, unit in (("en", "words"), ("zh", "characters")):
        part = [rows for s, rows in data if s.lang == lang]
        mean = lambda texts: sum(size(text, lang) for text in texts) / len(texts)
        lines.append(
            f"mean length, {lang}, {unit}: paragraph {mean([t for r in part for t in r['paragraphs']]):.1f}, "
            f"answer {mean([row['output'] for r in part for row in r['single']]):.1f}, "
            f"chosen {mean([row['response_chosen'] for r in part for row in r['pairs']]):.1f}, "
            f"prompt {mean([row['prompt'] for r in part for row in r['prompts']]):.1f}"
        )
    return "\n".join(lines)


def main():
    data = compose()
    found = problems(data)
    if found:
        print(f"{len(found)} problems, nothing written:", *found, sep="\n  ", file=sys.stderr)
        return 1
    for path, content in files(data).items():
        target = HERE.parent / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    print(table(data))
    return 0


if __name__ == "__main__":
    sys.exit(main())
