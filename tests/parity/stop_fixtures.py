"""Where transformers stops at stop strings.

Reads SmolLM2-135M-Instruct as `medtrain import` wrote it (--smollm2) and writes fixtures/stop_strings.json: texts as token
ids, and for each stop string after how many of the tokens `StopStringCriteria` says stop (null: never). Strings lie within
a token, across several, at the very beginning, between bytes of one Chinese character's tokens, and nowhere.

Asserts: no criterion stops before the decoded text holds its string, nor later.
"""

import argparse
from pathlib import Path

import torch
import transformers
from transformers import AutoTokenizer
from transformers.generation.stopping_criteria import StopStringCriteria

import seeded

CASES = {
    "The dose is 500 mg twice daily.\n\nQuestion: and with renal failure?": ["\n\nQuestion:", "mg tw", "500", "daily", "0 m", "?", "The"],
    "患者发热三天,体温39.5°C。建议立即就诊。": ["。", "体温", "立即", "39.5", "天,体", "不"],
    "Answer: yes###Answer: no### end": ["###", "##", "# ", "no###", "Answer: no"],
    "a  b\t\tc   d": ["  ", "\t\t", "   d", "b\t"],
    "🙂 fine 🙂🙂": ["🙂🙂", " 🙂", "fine", "🙃"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smollm2", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "fixtures" / "stop_strings.json")
    args = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(args.smollm2)
    cases = []
    for text, stops in CASES.items():
        ids = tokenizer.encode(text, add_special_tokens=False)
        found = {}
        for stop in stops:
            criterion = StopStringCriteria(tokenizer, [stop])
            says = [bool(criterion(torch.tensor([ids[:n]]), None)[0]) for n in range(1, len(ids) + 1)]
            found[stop] = says.index(True) + 1 if True in says else None
            holds = [stop in tokenizer.decode(ids[:n]) for n in range(1, len(ids) + 1)]
            wanted = holds.index(True) + 1 if True in holds else None
            assert found[stop] == wanted, f"{stop!r} in {text!r}: transformers stops after {found[stop]}, not {wanted}"
        cases.append(dict(ids=ids, stops=found))
    seeded.write_json(args.out, dict(cases=cases, made_with=seeded.made_with("stop_fixtures.py", 0)))
    print(sum(len(case["stops"]) for case in cases), "stops,", transformers.__version__)


if __name__ == "__main__":
    main()
