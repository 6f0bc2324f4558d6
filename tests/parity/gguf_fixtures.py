#!/usr/bin/env python3
"""Writes the fixtures of the GGUF reader: tests/parity/gguf/.

dequant.json   random blocks of every readable type and the f32 values that the gguf package makes of them; and the
               sha256 of the values of 1,000 blocks, whose bits are xorshift's and whose scales are any finite number
llama.gguf     a tiny Llama with quantized weights, permuted q and k, a byte-level BPE tokenizer; llama.json: the sha256
               of every Hugging Face tensor, and token ids of texts by the tokenizers package
kquant.gguf    one wide layer of random blocks of Q4_K, Q5_K and Q6_K, as most downloaded files have them; kquant.json
spm.gguf       the same model with a SentencePiece BPE vocabulary; spm.json: token ids by the sentencepiece package

Made with: gguf 0.19.0, sentencepiece 0.2.3, tokenizers 0.23.3, numpy 2.4.6.
Run: python tests/parity/gguf_fixtures.py   (byte-identical output for these versions)
"""

import hashlib
import io
import json
from pathlib import Path

import gguf
import numpy as np
import sentencepiece
from gguf import GGMLQuantizationType as Q
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

OUT = Path(__file__).parent / "gguf"
HEADS, KV_HEADS, LAYERS = 4, 2, 1
TEXTS = [
    "Aspirin 1234 mg, twice daily.",
    "  two  spaces\tand a\nnew line",
    "Fieber über 39,5 °C",
    "患者 has 发热",
    "it's the patient's BP: 120/80",
    "",
]
CORPUS = [
    "the patient has a fever and the doctor gives aspirin",
    "the doctor measures the blood pressure of the patient twice daily",
    "a patient with chest pain needs an electrocardiogram",
    "two tablets of 500 mg of paracetamol for pain and fever",
    "the pressure is 120 over 80 and the pulse is 72",
]


STREAM = 1000
# Where a block has the high byte of a floating-point number; without its second bit the number is below 2, and finite.
HIGH_BYTES = {
    Q.F32: [3], Q.F16: [1], Q.BF16: [1], Q.Q4_0: [1], Q.Q4_1: [1, 3], Q.Q5_0: [1], Q.Q5_1: [1, 3], Q.Q8_0: [1],
    Q.Q4_K: [1, 3], Q.Q5_K: [1, 3], Q.Q6_K: [209],
}  # fmt: skip


def stream(kind: Q) -> np.ndarray:
    """Blocks of random bits: bytes of xorshift64, seeded with the type's number and 1, lowest byte of each state."""
    _, size = gguf.GGML_QUANT_SIZES[kind]
    state, out = (kind.value << 32) + 1, bytearray()
    for _ in range(STREAM * size):
        state ^= state << 13 & 0xFFFF_FFFF_FFFF_FFFF
        state ^= state >> 7
        state ^= state << 17 & 0xFFFF_FFFF_FFFF_FFFF
        out.append(state & 0xFF)
    raw = np.frombuffer(bytes(out), dtype=np.uint8).reshape(STREAM, size).copy()
    raw[:, HIGH_BYTES[kind]] &= 0xBF
    return raw


def values_of(raw: np.ndarray, kind: Q) -> bytes:
    data = raw.reshape(1, -1)
    typed = data.view(np.float32) if kind == Q.F32 else data.view(np.float16) if kind == Q.F16 else data
    return np.ascontiguousarray(gguf.dequantize(typed, kind), dtype=np.float32).tobytes()


def dequant() -> dict:
    rng = np.random.default_rng(7)
    fixture = {}
    for kind in (Q.F32, Q.F16, Q.BF16, Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1, Q.Q8_0, Q.Q4_K, Q.Q5_K, Q.Q6_K):
        block, size = gguf.GGML_QUANT_SIZES[kind]
        count = 3 if block > 1 else 40
        raw = rng.integers(0, 256, (count, size), dtype=np.uint8)
        scales = {Q.Q4_0: [0], Q.Q5_0: [0], Q.Q8_0: [0], Q.Q6_K: [208]}.get(kind, [0, 2])
        if block > 1:  # random bits are a random scale only if they are no infinity and no NaN
            for at in scales:
                raw[:, at : at + 2] = rng.normal(size=(count, 1)).astype(np.float16).view(np.uint8)
        elif kind == Q.F32:
            raw = rng.normal(size=(count, 1)).astype(np.float32).view(np.uint8)
        else:
            raw = rng.normal(size=(count, 1)).astype(np.float16).view(np.uint8)
        fixture[kind.name] = {
            "bytes": raw.tobytes().hex(),
            "values": values_of(raw, kind).hex(),
            "high_bytes": HIGH_BYTES[kind],
            "stream_sha256": hashlib.sha256(values_of(stream(kind), kind)).hexdigest(),
        }
    return fixture


def permute(weights: np.ndarray, heads: int) -> np.ndarray:
    rows = weights.shape[0]
    return weights.reshape(heads, 2, rows // heads // 2, -1).swapaxes(1, 2).reshape(weights.shape)


def byte_level_vocabulary() -> tuple[list[str], list[str]]:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = ["Ġ t", "h e", "Ġt he", "i n", "Ġ p", "a t", "1 2", "Ġ Ġ", "r i", "Ċ Ċ", "Ġ 1"]
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    return specials + alphabet + [merge.replace(" ", "") for merge in merges], merges


def unpermute(weights: np.ndarray, heads: int) -> np.ndarray:
    rows = weights.shape[0]
    return weights.reshape(heads, rows // heads // 2, 2, -1).swapaxes(1, 2).reshape(weights.shape)


def random_blocks(rng: np.random.Generator, shape: tuple[int, ...], kind: Q) -> np.ndarray:
    """What the gguf package can read and not write: rows of blocks of random bits."""
    block, size = gguf.GGML_QUANT_SIZES[kind]
    raw = rng.integers(0, 256, (shape[0], shape[1] // block, size), dtype=np.uint8)
    raw[:, :, HIGH_BYTES[kind]] &= 0xBF
    return raw.reshape(shape[0], -1)


# Types of token_embd, q, k, v, o, gate, up, down.
PLAIN = (Q.Q8_0, Q.Q4_1, Q.Q5_0, Q.F16, Q.Q4_0, Q.Q5_1, Q.BF16, Q.Q8_0)
K_QUANTS = (Q.Q6_K, Q.Q4_K, Q.Q5_K, Q.Q6_K, Q.Q4_K, Q.Q5_K, Q.Q4_K, Q.Q6_K)


def write_model(name: str, vocabulary: int, add_tokenizer, kinds=PLAIN, hidden=32, ffn=64) -> dict[str, str]:
    """Writes a Llama with random weights and returns the sha256 of its tensors as Hugging Face stores them."""
    rng = np.random.default_rng(11)
    head_dim = hidden // HEADS
    embed, q_kind, k_kind, v_kind, o_kind, gate_kind, up_kind, down_kind = kinds
    writer = gguf.GGUFWriter(OUT / name, "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(hidden)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(ffn)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(100000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    add_tokenizer(writer)
    q, kv = HEADS * head_dim, KV_HEADS * head_dim
    tensors = [
        ("token_embd.weight", "model.embed_tokens.weight", (vocabulary, hidden), embed, None),
        ("output_norm.weight", "model.norm.weight", (hidden,), Q.F32, None),
        ("blk.0.attn_norm.weight", "model.layers.0.input_layernorm.weight", (hidden,), Q.F32, None),
        ("blk.0.ffn_norm.weight", "model.layers.0.post_attention_layernorm.weight", (hidden,), Q.F32, None),
        ("blk.0.attn_q.weight", "model.layers.0.self_attn.q_proj.weight", (q, hidden), q_kind, HEADS),
        ("blk.0.attn_k.weight", "model.layers.0.self_attn.k_proj.weight", (kv, hidden), k_kind, KV_HEADS),
        ("blk.0.attn_v.weight", "model.layers.0.self_attn.v_proj.weight", (kv, hidden), v_kind, None),
        ("blk.0.attn_output.weight", "model.layers.0.self_attn.o_proj.weight", (hidden, q), o_kind, None),
        ("blk.0.ffn_gate.weight", "model.layers.0.mlp.gate_proj.weight", (ffn, hidden), gate_kind, None),
        ("blk.0.ffn_up.weight", "model.layers.0.mlp.up_proj.weight", (ffn, hidden), up_kind, None),
        ("blk.0.ffn_down.weight", "model.layers.0.mlp.down_proj.weight", (hidden, ffn), down_kind, None),
    ]
    digests = {}
    for gguf_name, hf_name, shape, kind, heads in tensors:
        if kind in K_QUANTS:
            stored = random_blocks(rng, shape, kind)
        else:
            original = rng.normal(size=shape).astype(np.float32) / 8
            stored = gguf.quantize(permute(original, heads) if heads else original, kind)
        writer.add_tensor(gguf_name, stored, raw_dtype=kind)
        expected = gguf.dequantize(stored, kind)
        expected = np.ascontiguousarray(unpermute(expected, heads) if heads else expected, dtype=np.float32)
        digests[hf_name] = hashlib.sha256(expected.tobytes()).hexdigest()
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return digests


def byte_level() -> None:
    tokens, merges = byte_level_vocabulary()

    def add_tokenizer(writer: gguf.GGUFWriter) -> None:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("smollm")
        writer.add_token_list(tokens)
        writer.add_token_types([gguf.TokenType.CONTROL] * 3 + [gguf.TokenType.NORMAL] * (len(tokens) - 3))
        writer.add_token_merges(merges)
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        writer.add_pad_token_id(2)
        writer.add_add_bos_token(False)
        writer.add_chat_template("{{ messages[0]['content'] }}")

    digests = write_model("llama.gguf", len(tokens), add_tokenizer)
    wide = write_model("kquant.gguf", len(tokens), add_tokenizer, K_QUANTS, 256, 256)
    write_json("kquant.json", {"tensors": wide})
    reference = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=[tuple(m.split(" ")) for m in merges]))
    reference.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    reference.decoder = decoders.ByteLevel()
    reference.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in tokens[:3]])
    texts = TEXTS + ["<|im_start|>user\nhi<|im_end|>"]
    ids = [{"text": text, "ids": reference.encode(text).ids} for text in texts]
    write_json("llama.json", {"tensors": digests, "tokens": ids})


def sentence_piece_model() -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS),
        model_writer=model,
        model_type="bpe",
        vocab_size=360,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        split_digits=True,
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


def sentence_piece() -> None:
    processor = sentencepiece.SentencePieceProcessor(model_proto=sentence_piece_model())
    count = processor.get_piece_size()
    kinds = [
        gguf.TokenType.UNKNOWN
        if processor.is_unknown(i)
        else gguf.TokenType.CONTROL
        if processor.is_control(i)
        else gguf.TokenType.BYTE
        if processor.is_byte(i)
        else gguf.TokenType.NORMAL
        for i in range(count)
    ]

    def add_tokenizer(writer: gguf.GGUFWriter) -> None:
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        writer.add_token_list([processor.id_to_piece(i) for i in range(count)])
        writer.add_token_scores([processor.get_score(i) for i in range(count)])
        writer.add_token_types(kinds)
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        writer.add_unk_token_id(0)

    digests = write_model("spm.gguf", count, add_tokenizer)
    # Llama adds BOS; an empty text gets no space in front.
    ids = [{"text": text, "ids": [1] + processor.encode(text)} for text in TEXTS]
    write_json("spm.json", {"tensors": digests, "tokens": ids})


def write_json(name: str, value: dict) -> None:
    (OUT / name).write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    write_json("dequant.json", dequant())
    byte_level()
    sentence_piece()
