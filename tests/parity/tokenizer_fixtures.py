"""Token ids of 5,000 lines by the reference tokenizers of each family that a GGUF may name.

Writes under fixtures/tokenizers/:
  corpus.jsonl.gz  the lines, a JSON string each: English, Chinese, digits, emoji, control characters, code, spaces,
                   special tokens, mixtures; some hold line breaks
  vocabulary.json  tokens of a byte-level BPE trained on those lines (three special tokens, 256 bytes, merges, a few
                   words that no merge makes), its merges, and the merges that transformers derives from ranks, as
                   Llama 3 has them
  ids.json         for each family the ids of the first lines, and for each 50 lines a hash of ids and of the text that
                   they decode to

Families, by `tokenizer.ggml.pre` of a GGUF, over the same vocabulary:
  gpt-2      transformers' GPT2Tokenizer
  smollm     digits one by one, then as GPT-2 (llama.cpp's pre-tokenizer of that name; the pipeline of SmolLM2)
  llama-bpe  transformers' TikTokenConverter, which makes Llama 3's tokenizer
  qwen2      transformers' Qwen2Tokenizer (also Qwen2.5 and Qwen3): normalises to NFC
  spm        the vocabulary of ../gguf/spm.gguf in the pipeline that Llama 2 and Mistral publish in tokenizer.json, with
             the merges that transformers reads from the SentencePiece model
  SmolLM2    the real vocabulary, out of its GGUF (`--smollm2 FILE.gguf`)

A hash is the first 16 hex digits of sha256 over the lines' ids, each line as its count and its ids, u32 little endian;
of decoded text: over the texts in UTF-8, each with a zero byte behind it.

Asserts: byte-level tokenizers without a normalizer decode to what they encoded; families differ from each other;
numbers of two digits are one token for gpt-2 and llama-bpe, and two for smollm and qwen2; spm gives the ids of the
sentencepiece package for every line in which no special token stands. (LlamaTokenizer of transformers 5 does not: it
puts no "▁" before a text that begins with a space, which sentencepiece, llama.cpp and the published files do.)
"""

import argparse
import gzip
import hashlib
import json
import random
import struct
import tempfile
from collections import Counter
from pathlib import Path

import gguf
import sentencepiece
import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import GPT2Tokenizer, LlamaTokenizer, Qwen2Tokenizer
from transformers.convert_slow_tokenizer import TikTokenConverter, bytes_to_unicode

import gguf_fixtures
import smollm2_fixture
import tiny

SEED = 20241
LINES = 5000
BLOCK = 50
SHOWN = 100
MERGES = 900
WHOLE = 20
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
ENGLISH = (
    "the patient has a fever and was given aspirin twice daily for chest pain It's we've I'll they'd DON'T HE'S doctor's "
    "Blood pressure pulse temperature electrocardiogram hypertension naïve café Ménière β-blocker co-trimoxazole mg/kg "
    "no allergies known see follow-up on Monday (acute) [sic] \"quoted\" 'single' e.g. i.e. vs. Straße ΑΒΓ Привет שלום مرحبا "
    "don’t it’s ſ 'ſ 'S 'RE"
).split()
CHINESE = "患者发热三天咳嗽头痛血压高药物治疗医生护士检查结果正常每日两次口服静脉注射，。！？；：、“”（）《》龘𠮷々〇"
DIGITS = [
    "7",
    "12",
    "120/80",
    "3.5",
    "1,000,000",
    "2024-07-26",
    "1e-5",
    "½",
    "²",
    "Ⅳ",
    "１２３",
    "٣٤",
    "४",
    "0x1F",
    "00",
    "99%",
    "①",
    "10³",
]
EMOJI = [
    "🙂",
    "🩺",
    "👩\u200d⚕️",
    "👨\u200d👩\u200d👧\u200d👦",
    "👍🏽",
    "🇨🇳",
    "❤️",
    "✔",
    "☠\ufe0e",
    "🏴\U000e0067\U000e007f",
    "→",
    "≥",
    "™",
]
CONTROL = [
    *map(chr, range(32)),
    "\x7f",
    *map(chr, range(0x80, 0xA1)),
    *"\xad\u200b\u200d\u200e\u2028\u2029\u202e\u2060\u3000\ufeff\ufffd\ufffe\ue000\U0010ffff",
]
CODE = [
    "def dose(kg: float) -> float:\n    return 10 * kg  # mg",
    'if (x>=0 && y!=1) { a[i] += "\\t"; }',
    '{"id": 17, "ok": true, "v": [1.0, null]}',
    "SELECT * FROM t WHERE a='b';\r\n",
    "\t\tfor i in range(100):\n\t\t\tpass\n\n\n",
    '<p class="x">&nbsp;</p>',
    "git commit -m 'x' --amend",
    "#include <stdio.h>\r\n\r\n",
    'let s = r#""#; // ok',
    "x\u0301 = e\u0301 + \u1100\u1161\u11a8",
]
SPACES = [" ", "  ", "   ", "\t", "\n", "\n\n", " \n", "\n ", "\r\n", "    ", "\u00a0", "\u3000", "\u2003", "        "]


def corpus() -> list[str]:
    rng = random.Random(SEED)

    def english():
        return " ".join(rng.choices(ENGLISH, k=rng.randint(1, 7))) + rng.choice(["", ".", "!", "?", " ", ":", "..."])

    def chinese():
        return "".join(rng.choices(CHINESE, k=rng.randint(1, 16)))

    def digits():
        return rng.choice([" ", "", "-", ", "]).join(
            rng.choices(DIGITS, k=rng.randint(1, 5)) + [str(rng.randrange(10 ** rng.randint(1, 9)))]
        )

    def emoji():
        return rng.choice(["", " "]).join(rng.choices(EMOJI, k=rng.randint(1, 5)))

    def control():
        return "".join(rng.choice([rng.choice(CONTROL), rng.choice("ab 1")]) for _ in range(rng.randint(1, 10)))

    def code():
        return rng.choice(CODE)

    def spaces():
        return "".join(rng.choices(SPACES, k=rng.randint(1, 4)))

    def special():
        return rng.choice(SPECIALS + ["<|im_start", "|>", "<s>", "</s>", "<unk>", "<0x41>", "▁", "▁▁x"])

    def anything():
        return chr(rng.choice([*range(0x20, 0xD800, 7), *range(0xE000, 0x20000, 61)]))

    def mixed():
        parts = [english, chinese, digits, emoji, control, code, spaces, special, anything]
        return "".join(rng.choice(parts)() + rng.choice(["", " "]) for _ in range(rng.randint(2, 5)))

    kinds = [english, chinese, digits, emoji, control, code, mixed]
    return ["", *(kinds[i % len(kinds)]() for i in range(1, LINES))]


def vocabulary(lines: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
    trained = Tokenizer(models.BPE())
    # Cut as GPT-2 does, so that there are merges of digits, which other families must not use.
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=256 + MERGES, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    trained.train_from_iterator(lines, trainer)
    merges = [tuple(merge) for merge in json.loads(trained.to_str())["model"]["merges"]]
    tokens = [*SPECIALS, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    for left, right in merges:
        if left + right not in tokens:
            tokens.append(left + right)
    # Words that no merge makes, as Llama 3 has them: its tokenizer looks a whole word up first, others never find them.
    cut = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(TikTokenConverter().pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    known = set(tokens)
    words = Counter(word for line in lines for word, _ in cut.pre_tokenize_str(line))
    no_merge = [
        w for w, _ in words.most_common() if not any(w[:i] in known and w[i:] in known for i in range(1, len(w)))
    ]
    whole = [word for word in no_merge if word not in known][:WHOLE]
    return tokens + whole, merges


class FromRanks(TikTokenConverter):
    """Llama 3's converter, fed with a vocabulary in memory instead of a file."""

    @staticmethod
    def load_tiktoken_bpe(tokens):
        byte_of = {char: byte for byte, char in bytes_to_unicode().items()}
        return {bytes(byte_of[c] for c in token): i for i, token in enumerate(tokens) if token not in SPECIALS}


def byte_level_families(tokens: list[str], merges: list[tuple[str, str]]) -> tuple[dict, list[tuple[str, str]]]:
    ids = {token: i for i, token in enumerate(tokens)}
    specials = [AddedToken(token, special=True, normalized=False) for token in SPECIALS]
    smollm = Tokenizer(models.BPE(vocab=ids, merges=merges))
    smollm.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"\p{N}"), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    smollm.decoder = decoders.ByteLevel()
    converter = FromRanks(vocab_file=tokens)
    _, from_ranks = converter.extract_vocab_merges_from_model(tokens)
    ranked = Tokenizer(
        models.BPE(vocab=ids, merges=from_ranks, ignore_merges=converter.tokenizer().model.ignore_merges)
    )
    llama = converter.converted()
    ranked.pre_tokenizer, ranked.decoder = llama.pre_tokenizer, llama.decoder
    families = {
        "gpt-2": GPT2Tokenizer(vocab=ids, merges=merges)._tokenizer,
        "smollm": smollm,
        "llama-bpe": ranked,
        "qwen2": Qwen2Tokenizer(vocab=ids, merges=merges)._tokenizer,
    }
    for family in families.values():
        family.add_special_tokens(specials)
        assert family.get_vocab_size() == len(tokens)
    return families, from_ranks


def sentence_piece(lines: list[str]) -> Tokenizer:
    model = gguf_fixtures.sentence_piece_model()
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "tokenizer.model").write_bytes(model)
        read = LlamaTokenizer.from_pretrained(directory)
    family = Tokenizer(models.BPE(read._vocab, read._merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    family.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    family.decoder = read._tokenizer.decoder
    specials = ["<unk>", "<s>", "</s>"]
    family.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in specials])
    reference = sentencepiece.SentencePieceProcessor(model_proto=model)
    for line in lines:
        if not any(token in line for token in specials):
            assert family.encode(line, add_special_tokens=False).ids == reference.encode(line), line
    return family


def digest(lines: list[bytes]) -> list[str]:
    blocks = (b"".join(lines[at : at + BLOCK]) for at in range(0, len(lines), BLOCK))
    return [hashlib.sha256(block).hexdigest()[:16] for block in blocks]


def described(lines: list[str], tokenizer: Tokenizer) -> dict:
    ids = [tokenizer.encode(line, add_special_tokens=False).ids for line in lines]
    packed = [struct.pack(f"<{len(line) + 1}I", len(line), *line) for line in ids]
    texts = [tokenizer.decode(line, skip_special_tokens=False) for line in ids]
    return dict(
        first=ids[:SHOWN],
        tokens=sum(map(len, ids)),
        ids=digest(packed),
        not_as_read=sum(a != b for a, b in zip(texts, lines, strict=True)),
        texts=digest([text.encode() + b"\0" for text in texts]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smollm2", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "fixtures" / "tokenizers")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    lines = corpus()
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (args.out / "corpus.jsonl.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    tokens, merges = vocabulary(lines)
    families, from_ranks = byte_level_families(tokens, merges)
    pairs = {name: len(families[name].encode("12").ids) for name in families}
    assert pairs == {"gpt-2": 1, "smollm": 2, "llama-bpe": 1, "qwen2": 2}, pairs
    tiny.write_json(
        args.out / "vocabulary.json",
        dict(tokens=tokens, merges=[" ".join(m) for m in merges], merges_from_ranks=[" ".join(m) for m in from_ranks]),
    )

    ids = {name: described(lines, family) for name, family in families.items()}
    ids["spm"] = described(lines, sentence_piece(lines))
    with args.smollm2.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == smollm2_fixture.SHA256
    real = smollm2_fixture.read_tokenizer(gguf.GGUFReader(args.smollm2))._tokenizer
    ids["SmolLM2"] = described(lines, real)
    for name in ["gpt-2", "smollm", "llama-bpe"]:
        assert ids[name]["not_as_read"] == 0, name
    assert len({tuple(family["ids"]) for family in ids.values()}) == len(ids)
    versions = dict(tokenizers=tokenizers.__version__, sentencepiece=sentencepiece.__version__, gguf="0.19.0")
    tiny.write_json(
        args.out / "ids.json", dict(**ids, made_with=tiny.made_with("tokenizer_fixtures.py", SEED, **versions))
    )
    for name, family in ids.items():
        print(name, family["tokens"], "tokens;", family["not_as_read"], "lines do not decode to what was read")


if __name__ == "__main__":
    main()
