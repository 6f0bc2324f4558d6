"""Greedy generation by llama.cpp on F32 weights and an F32 cache, and the file of such weights.

`peer_llama.py FROM.gguf TO.gguf` writes the quantized file that the model was imported from with its weights as f32:
the same numbers as medtrain and transformers have.
"""

import sys
from pathlib import Path


def versions() -> dict:
    import llama_cpp

    information = llama_cpp.llama_print_system_info().decode()
    return {"llama-cpp-python": llama_cpp.__version__, "llama.cpp": information.strip()}


class Generation:
    """All prompts as one batch, a sequence each; the token with the largest logit comes next."""

    trained_parameters = 0

    def __init__(self, workload: dict):
        import llama_cpp
        import numpy

        self.api, self.numpy = llama_cpp, numpy
        self.prompts = workload["ids"]
        self.new = workload["task"]["generate"]["maxNewTokens"]
        longest = max(map(len, self.prompts))
        # Quiet, but for errors.
        self.log = llama_cpp.llama_log_callback(lambda level, text, _: level == 4 and sys.stderr.write(text.decode()))
        llama_cpp.llama_log_set(self.log, None)
        llama_cpp.llama_backend_init()
        of_model = llama_cpp.llama_model_default_params()
        of_model.n_gpu_layers = 0
        self.model = llama_cpp.llama_model_load_from_file(workload["gguf"].encode(), of_model)
        if not self.model:
            raise SystemExit(f"{workload['gguf']}: llama.cpp can't load it")
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        of_context = llama_cpp.llama_context_default_params()
        of_context.n_ctx = (longest + self.new) * len(self.prompts)
        of_context.n_batch = of_context.n_ubatch = longest * len(self.prompts)
        of_context.n_seq_max = len(self.prompts)
        of_context.n_threads = of_context.n_threads_batch = workload["threads"]
        of_context.type_k = of_context.type_v = llama_cpp.GGML_TYPE_F32
        of_context.no_perf = True
        self.context = llama_cpp.llama_init_from_model(self.model, of_context)
        if not self.context:
            raise SystemExit("llama.cpp can't make a context")
        self.batch = llama_cpp.llama_batch_init(of_context.n_batch, 0, 1)

    def decode(self, tokens: list[tuple[int, int, int, bool]]) -> None:
        """Of (token, position, sequence, whether its logits are wanted)."""
        self.batch.n_tokens = len(tokens)
        for place, (token, position, sequence, wanted) in enumerate(tokens):
            self.batch.token[place] = token
            self.batch.pos[place] = position
            self.batch.n_seq_id[place] = 1
            self.batch.seq_id[place][0] = sequence
            self.batch.logits[place] = wanted
        if code := self.api.llama_decode(self.context, self.batch):
            raise SystemExit(f"llama_decode: {code}")

    def likeliest(self, place: int) -> int:
        logits = self.api.llama_get_logits_ith(self.context, place)
        return int(self.numpy.ctypeslib.as_array(logits, shape=(self.vocabulary,)).argmax())

    def step(self) -> dict:
        self.api.llama_memory_clear(self.api.llama_get_memory(self.context), True)
        found: list[list[int]] = [[] for _ in self.prompts]
        tokens, places = [], []
        for sequence, prompt in enumerate(self.prompts):
            tokens += [(id, at, sequence, at + 1 == len(prompt)) for at, id in enumerate(prompt)]
            places.append(len(tokens) - 1)
        self.decode(tokens)
        while True:
            for ids, place in zip(found, places, strict=True):
                ids.append(self.likeliest(place))
            if len(found[0]) == self.new:
                return {"tokens": self.new * len(found), "ids": found}
            at = len(found[0]) - 1
            last = enumerate(zip(found, self.prompts, strict=True))
            self.decode([(ids[-1], len(prompt) + at, sequence, True) for sequence, (ids, prompt) in last])
            places = range(len(found))


def convert(source: Path, target: Path) -> None:
    import gguf
    import numpy

    reader = gguf.GGUFReader(source)
    architecture = reader.get_field("general.architecture").contents()
    writer = gguf.GGUFWriter(target, architecture)
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", "general.file_type"):
            continue
        kind, *of = field.types
        writer.add_key_value(name, field.contents(), kind, sub_type=of[-1] if of else None)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type).astype(numpy.float32)
        writer.add_tensor(tensor.name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
