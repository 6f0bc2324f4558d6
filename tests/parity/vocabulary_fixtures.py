"""Vocabularies grown by transformers and adapters that peft saved over them.

Writes fixtures/vocabulary/:
  tokens.json             for a byte-level and a sentencepiece-like tokenizer: the tokens given to `add_tokens`, the entries
                          of `added_tokens` that `save_pretrained` then writes, ids of texts before and after
  sentence_piece/         that tokenizer (the other is trainer/tests/fixtures/tiny-tokenizer): a normalizer that puts ▁ in
                          front and for spaces, so that `normalized` counts
  {tied,untied}/adapter/  LoRA with modules_to_save over fixtures/models/{llama3_rope,llama} with NEW more tokens, as peft
                          saves it: embed_tokens with ensure_weight_tying, or embed_tokens and lm_head
  {tied,untied}/expect.json, expect.safetensors
                          pieces of the new tokens, input ids, labels; `grown_logits.<row>` of the base whose new rows are
                          the means of the rows of their pieces, `logits.<row>` with the adapter, `merged_logits.<row>`
                          after `merge_and_unload`, `grad.<name>` of the loss by what the adapter trains

Asserts: each text with a new token has other ids than before; the adapter moves logits by more than 0.1; put on the base
of fixtures/models, resized but with other new rows, it gives the same logits to the bit; merged and unmerged agree to
1e-4; the tied head is tied in the merged model, and its file holds no lm_head.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import tokenizers
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from tokenizers import decoders, models, normalizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

import tiny
from lora_fixtures import furthest, randomise_adapter, saved_name, sort_targets

SEED = 20232  # of lora_fixtures, whose random adapter this is
TOKENS = [
    "心肌梗死",
    "myocardial infarction",
    "β-blocker",
    "the",
    "ST",
    "ST-segment",
    " stent",
    "troponin T",
]
TEXTS = [
    "急性心肌梗死患者需要β-blocker。",
    "Acute myocardial infarction, not myocardial  infarction; two myocardial infarctions.",
    "MYOCARDIAL INFARCTION",
    "the other thesis bathes",
    "ST-segment, ST segment, STEMI",
    "a stent, stents, instent",
    "troponin T and troponin I",
    "心肌 梗死 心肌梗死心肌梗死",
    "<|im_end|>the<|im_end|> end",
    "no new word in it",
    "  troponin T  ",
    "",
]
WORDS = ["▁the", "▁of", "in", "▁st", "tro", "▁a"]
# Ids of the 128 that a new token stood for before.
PIECES = [[5], [9, 17], [100, 3, 64], [127, 127, 8, 2], [20, 21]]
FIRST = tiny.VOCAB
NEW = len(PIECES)
ROWS = [[5, FIRST, 9, 17, FIRST + 3, 64, 21, FIRST + 1, 2], [FIRST + 4, 33, FIRST + 2, FIRST + 2, 71, 12]]
LABELS = [ROWS[0], [tiny.IGNORE, tiny.IGNORE, *ROWS[1][2:]]]
CASES = {"tied": ("llama3_rope", ["embed_tokens"]), "untied": ("llama", ["embed_tokens", "lm_head"])}


def sentence_piece() -> tokenizers.Tokenizer:
    """Llama 2 in small: BPE over ▁-words with bytes to fall back on."""
    alphabet = ["▁", *"abcdefghijklmnopqrstuvwxyzST,.;-"]
    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2} | {f"<0x{byte:02X}>": 3 + byte for byte in range(256)}
    vocab |= {text: len(vocab) + at for at, text in enumerate(alphabet)}
    merges = []
    for word in WORDS:
        left = word[0]
        for right in word[1:]:
            if left + right not in vocab:
                vocab[left + right] = len(vocab)
                merges.append((left, right))
            left += right
    found = tokenizers.Tokenizer(
        models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    found.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    found.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    found.add_special_tokens(["<unk>", "<s>", "</s>"])
    return found


def write_sentence_piece(directory: Path) -> None:
    directory.mkdir(parents=True)
    sentence_piece().save(str(directory / "tokenizer.json"))
    special = dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    tiny.write_json(directory / "tokenizer_config.json", dict(tokenizer_class="PreTrainedTokenizerFast", **special))


def grown_tokenizer(directory: Path) -> dict:
    """What `add_tokens` makes of the tokenizer in `directory`."""
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(directory / "tokenizer.json"))
    ids = lambda: [tokenizer.encode(text, add_special_tokens=False) for text in TEXTS]  # noqa: E731
    before, size = ids(), len(tokenizer)
    tokenizer.add_tokens(TOKENS)
    after = ids()
    for text, old, new in zip(TEXTS, before, after, strict=True):
        assert (old != new) == any(i >= size for i in new) or "the" in text, text
    assert sum(old != new for old, new in zip(before, after, strict=True)) >= 6
    with tempfile.TemporaryDirectory() as saved:
        tokenizer.save_pretrained(saved)
        stored = json.loads((Path(saved) / "tokenizer.json").read_text())
        again = AutoTokenizer.from_pretrained(saved)
        assert [again.encode(text, add_special_tokens=False) for text in TEXTS] == after
    return dict(before=before, after=after, size=size, grown_size=len(tokenizer), added_tokens=stored["added_tokens"])


def grow(model, rows: int):
    """`resize_token_embeddings`, the new rows the means of their pieces' rows."""
    model.resize_token_embeddings(rows, mean_resizing=False)
    matrices = {id(m.weight): m.weight for m in (model.get_input_embeddings(), model.get_output_embeddings())}
    with torch.no_grad():
        for weight in matrices.values():
            for at, pieces in enumerate(PIECES):
                weight[FIRST + at] = weight[pieces].double().mean(0).float()
    return model


def write_model_case(name: str, models_dir: Path, directory: Path) -> None:
    family, modules_to_save = CASES[name]
    tied = name == "tied"
    options = dict(r=4, lora_alpha=8, target_modules="all-linear", modules_to_save=modules_to_save)
    options |= dict(ensure_weight_tying=True) if tied else {}
    base = grow(tiny.load(models_dir / family), FIRST + NEW)
    with torch.no_grad():
        grown_logits = tiny.logits_of(base, ROWS)
    # peft puts its own names into the list.
    model = get_peft_model(base, LoraConfig(lora_dropout=0.0, task_type="CAUSAL_LM", **json.loads(json.dumps(options))))
    model.eval()
    randomise_adapter(model)
    model.peft_config["default"].base_model_name_or_path = f"../../../models/{family}"
    adapter = directory / "adapter"
    model.save_pretrained(adapter)  # embeddings are saved because they were resized
    (adapter / "README.md").unlink()
    sort_targets(adapter / "adapter_config.json")

    logits = tiny.logits_of(model, ROWS)
    with torch.no_grad():
        assert furthest(grown_logits, logits) > 0.1, "the adapter does nothing"
        fresh = tiny.load(models_dir / family)
        fresh.resize_token_embeddings(FIRST + NEW)
        again = PeftModel.from_pretrained(fresh, adapter).eval()
        assert furthest(tiny.logits_of(again, ROWS), logits) == 0, "the stored adapter is another one"
    loss = tiny.loss_of(logits, LABELS)
    loss.backward()
    tensors = {f"grad.{saved_name(n)}": p.grad for n, p in model.named_parameters() if p.requires_grad}

    merged = model.merge_and_unload()
    with torch.no_grad():
        merged_logits = tiny.logits_of(merged, ROWS)
    assert furthest(merged_logits, logits) < 1e-4, furthest(merged_logits, logits)
    assert (merged.get_input_embeddings().weight is merged.get_output_embeddings().weight) == tied
    with tempfile.TemporaryDirectory() as saved:
        merged.save_pretrained(saved)
        assert ("lm_head.weight" in load_file(Path(saved) / "model.safetensors")) != tied
    tensors |= {f"grown_logits.{i}": row for i, row in enumerate(grown_logits)}
    tensors |= {f"logits.{i}": row for i, row in enumerate(logits)}
    tensors |= {f"merged_logits.{i}": row for i, row in enumerate(merged_logits)}
    tiny.write_tensors(directory / "expect.safetensors", tensors)
    tiny.write_json(
        directory / "expect.json",
        dict(
            base=f"models/{family}",
            options=options,
            pieces=PIECES,
            input_ids=ROWS,
            labels=LABELS,
            loss=loss.item(),
            made_with=tiny.made_with("vocabulary_fixtures.py", SEED),
        ),
    )


def main() -> None:
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=here / "fixtures" / "models", help="made by model_fixtures.py")
    parser.add_argument("--tokenizer", type=Path, default=here.parents[1] / "trainer/tests/fixtures/tiny-tokenizer")
    parser.add_argument("--out", type=Path, default=here / "fixtures" / "vocabulary")
    args = parser.parse_args()
    shutil.rmtree(args.out, ignore_errors=True)
    write_sentence_piece(args.out / "sentence_piece")
    found = {"byte_level": grown_tokenizer(args.tokenizer), "sentence_piece": grown_tokenizer(args.out / "sentence_piece")}
    made_with = tiny.made_with("vocabulary_fixtures.py", SEED, tokenizers=tokenizers.__version__)
    tiny.write_json(args.out / "tokens.json", dict(tokens=TOKENS, texts=TEXTS, **found, made_with=made_with))
    for name in CASES:
        write_model_case(name, args.models, args.out / name)
    for path in sorted(args.out.rglob("*.*")):
        print(f"{path.relative_to(args.out)}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
