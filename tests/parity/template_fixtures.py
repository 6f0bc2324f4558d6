"""Dialogues as transformers' `apply_chat_template` renders them: the trainer's built-in templates, and published ones.

Writes fixtures/templates.json:
  cases           name -> messages and tools
  builtin/<name>  bos and eos, where the reference template comes from, and for each case its text and what the
                  generation prompt adds to it, or null where the template refuses the dialogue
  published       file of the wheel `trl` -> sha256 of the template and, for each case, the first 8 hex digits of the
                  sha256 of both texts, or null
  marked          training template of the wheel -> for each case the bytes that `{% generation %}` marks

`--published DIR` is `trl/chat_templates` of the wheel (`pip download --no-deps trl==1.16.0`, unzip): the templates of
Llama 3, Qwen2.5 and Qwen3 as their makers publish them. The other references are written here, apart from the built-ins
of the trainer: SmolLM2's says what the template in its GGUF says, Mistral's what mistral-common 1.13.1 writes for its
tokenizers of version 2 and 3, but that a system message stays with the first question, as in version 1.

A clock in a template would make texts depend on the day: it is stopped at 26 July 2024, as in the trainer.

Asserts: every built-in renders all cases without tool calls; the reference for SmolLM2 renders as the model's own
template does, if `--smollm2 DIR` names the imported model.
"""

import argparse
import datetime
import hashlib
import json
from pathlib import Path

import jinja2
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

import tiny


def system(content):
    return dict(role="system", content=content)


def user(content):
    return dict(role="user", content=content)


def assistant(content, **more):
    return dict(role="assistant", content=content, **more)


def tool(content):
    return dict(role="tool", content=content)


def call(name, **arguments):
    return dict(type="function", function=dict(name=name, arguments=arguments))


DOSE = dict(
    type="function",
    function=dict(
        name="dose",
        description="Dose of a drug, in mg; 剂量 <b>&'\"",
        parameters=dict(
            type="object",
            properties=dict(
                weight=dict(type="number", minimum=0.5, maximum=1e16, multipleOf=1e-05),
                drug=dict(type="string", enum=["aspirin", "对乙酰氨基酚"]),
            ),
            required=["weight", "drug"],
        ),
    ),
)
LEVEL = dict(type="function", function=dict(name="level", description="Serum level", parameters={}))

CASES = {
    "question": [user("I have a fever")],
    "answer": [user("I have a fever"), assistant("Rest and drink.")],
    "system": [system("You are a doctor."), user("Fever?"), assistant("Rest.")],
    "turns": [user("Fever?"), assistant("Rest."), user("And pain?"), assistant("See a doctor.")],
    "system turns": [
        system("You are a doctor."),
        user("Fever?"),
        assistant("Rest."),
        user("And pain?"),
        assistant("See a doctor."),
        user("Thanks"),
    ],
    "empty answer": [user("nothing to say"), assistant(""), user("more"), assistant("fine")],
    "empty question": [user(""), assistant("Yes?")],
    "empty system": [system(""), user("Fever?"), assistant("Rest.")],
    "spaces": [
        system("  be kind \n"),
        user("  padded  \n"),
        assistant(" answer \n\n"),
        user("\n\nlines\n"),
        assistant("\nx\t"),
    ],
    "separators": [user("\x1c\x1f q \x0b\x0c\x85\xa0\u3000\u200b"), assistant("\x1e\u2003 a \u2028\ufeff\x1d")],
    "chinese": [system("你是一名医生。"), user("我发烧了,怎么办?"), assistant("多休息,多喝水👩\u200d⚕️。")],
    "code": [user("```py\nprint('{{ x }}' % 1)\n```"), assistant('<b>&amp;\\n "{% raw %}"</b>\n\n    pass')],
    "thought": [
        user("Fever?"),
        assistant("<think>\nSimple.\n</think>\n\nRest."),
        user("And pain?"),
        assistant("<think>\nHm,\n\ntwo.\n</think>\n\nSee a doctor."),
    ],
    "reasoning": [
        user("Fever?"),
        assistant("\nRest.", reasoning_content="\nSimple.\n"),
        user("And?"),
        assistant("No."),
    ],
    "marks in text": [user("<|im_end|>\n<tool_response>x</tool_response>"), assistant("[INST] <|im_start|></s>")],
    "tools": [system("You are a doctor."), user("How much?"), assistant("It depends.")],
    "tool call": [
        user("How much aspirin?"),
        assistant("", tool_calls=[call("dose", weight=70.5, drug="aspirin")]),
        tool('{"mg": 500}'),
        assistant("500 mg."),
    ],
    "two tool calls": [
        system("你是一名医生。"),
        user("多少?"),
        assistant("Let me see.", tool_calls=[call("dose", weight=7, drug="对乙酰氨基酚", fast=True), call("level")]),
        tool("500"),
        tool("低 <&> '\""),
        assistant("500 mg."),
        user("Sure?"),
        assistant("Yes."),
    ],
    "numbers": [
        user("Numbers"),
        assistant(
            "",
            tool_calls=[
                call(
                    "level",
                    a=[1e-05, 1e16, 1.5e-7, 1e22, 0.1, 100.0, -0.0],
                    b=None,
                    c={"d": [[], {}]},
                    e="\x7f\x01\u2028é",
                )
            ],
        ),
    ],
}
TOOLS = {"tools": [DOSE], "tool call": [DOSE], "two tool calls": [DOSE, LEVEL], "numbers": [LEVEL]}

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' ~ m.role ~ '\n' ~ m.content ~ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SMOLLM2 = (
    "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained "
    "by Hugging Face<|im_end|>\n' }}{% endif %}" + CHATML
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {% if loop.previtem and "
    "loop.previtem.role == 'system' %}{{ loop.previtem.content ~ '\n\n' }}{% endif %}{{ m.content }}[/INST]"
    "{% elif m.role == 'assistant' %}{{ ' ' ~ m.content.strip() ~ eos_token }}"
    "{% elif m.role != 'system' %}{{ raise_exception('role') }}{% endif %}{% endfor %}"
)


def instruction(answer: str) -> str:
    """The prompt of Stanford Alpaca, without its input, and turns as FastChat puts them: a blank line between all."""
    return (
        "{{ bos_token }}{% set first = messages[0].role == 'system' %}{{ messages[0].content if first else 'Below is an "
        "instruction that describes a task. Write a response that appropriately completes the request.' }}{{ '\n\n' }}"
        "{% for m in (messages[1:] if first else messages) %}{% if m.role == 'user' %}{{ '### Instruction:\n' ~ m.content ~ "
        f"'\n\n' }}}}{{% elif m.role == 'assistant' %}}{{{{ '### Response:{answer}' ~ m.content ~ eos_token ~ '\n\n' }}}}"
        "{% else %}{{ raise_exception('role') }}{% endif %}{% endfor %}"
        f"{{% if add_generation_prompt %}}{{{{ '### Response:{answer}' }}}}{{% endif %}}"
    )


VICUNA = (
    "{{ bos_token }}{% set first = messages[0].role == 'system' %}{{ messages[0].content if first else \"A chat between a "
    "curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers to "
    "the user's questions.\" }}{% for m in (messages[1:] if first else messages) %}{% if m.role == 'user' %}{{ ' USER: ' ~ "
    "m.content ~ ' ASSISTANT:' }}{% elif m.role == 'assistant' %}{{ ' ' ~ m.content ~ eos_token }}{% else %}"
    "{{ raise_exception('role') }}{% endif %}{% endfor %}"
)
LLAMA3 = ("<|begin_of_text|>", "<|eot_id|>")
IM = ("<|im_start|>", "<|im_end|>")
LLAMA2 = ("<s>", "</s>")
BUILTIN = {
    "alpaca": (LLAMA2, instruction("\n")),
    "chatml": (IM, CHATML),
    "llama3": (LLAMA3, Path("llama3.jinja")),
    "medicalgpt": (LLAMA2, instruction(" ")),
    "mistral": (LLAMA2, MISTRAL),
    "qwen2.5": (IM, Path("qwen2_5.jinja")),
    "qwen3": (IM, Path("qwen3.jinja")),
    "smollm2": (IM, SMOLLM2),
    "vicuna": (LLAMA2, VICUNA),
}
MARKED = {"llama3_training.jinja": LLAMA3, "qwen2_5_training.jinja": IM, "qwen3_training.jinja": IM}


# Their content is a list of parts, which the trainer joins to one text.
WITH_IMAGES = ("idefics3", "llava", "smolvlm", "qwen2_5_vl", "qwen3_vl", "diffusion_gemma", "muse")


class StoppedClock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2024, 7, 26, tzinfo=tz)


chat_template_utils.datetime = StoppedClock


def tokenizer(bos: str, eos: str) -> PreTrainedTokenizerFast:
    words = Tokenizer(models.WordLevel({bos: 0, eos: 1}, unk_token=eos))
    return PreTrainedTokenizerFast(tokenizer_object=words, bos_token=bos, eos_token=eos)


def render(template: str, marks: tuple[str, str], case: str, prompt: bool) -> str:
    return tokenizer(*marks).apply_chat_template(
        CASES[case],
        tools=TOOLS.get(case),
        chat_template=template,
        tokenize=False,
        add_generation_prompt=prompt,
    )


def both(template: str, marks: tuple[str, str], case: str) -> list[str] | None:
    """Without and with the generation prompt."""
    try:
        return [render(template, marks, case, prompt) for prompt in (False, True)]
    except jinja2.TemplateSyntaxError:
        raise
    except (jinja2.TemplateError, TypeError):  # the template refuses, or adds None to a text
        return None


def text_and_prompt(template: str, marks: tuple[str, str], case: str) -> list[str] | None:
    texts = both(template, marks, case)
    return texts and [texts[0], texts[1].removeprefix(texts[0])]


def marked(template: str, marks: tuple[str, str], case: str) -> list[list[int]]:
    texts, spans = chat_template_utils.render_jinja_template(
        conversations=[CASES[case]],
        tools=TOOLS.get(case),
        chat_template=template,
        return_assistant_tokens_mask=True,
        bos_token=marks[0],
        eos_token=marks[1],
    )
    return [[len(texts[0][:at].encode()) for at in span] for span in spans[0]]


def digests(texts: list[str] | None) -> str | None:
    return texts and " ".join(hashlib.sha256(text.encode()).hexdigest()[:8] for text in texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--published", type=Path, required=True)
    parser.add_argument("--smollm2", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "fixtures" / "templates.json")
    args = parser.parse_args()

    builtin = {}
    for name, (marks, source) in BUILTIN.items():
        text = (args.published / source).read_bytes().decode() if isinstance(source, Path) else source
        texts = {case: text_and_prompt(text, marks, case) for case in CASES}
        assert all(text for case, text in texts.items() if "tool call" not in case), (name, texts)
        origin = f"{source} of trl" if isinstance(source, Path) else "template_fixtures.py"
        builtin[f"builtin/{name}"] = dict(bos=marks[0], eos=marks[1], reference=origin, texts=texts)
    if args.smollm2:
        own = json.loads((args.smollm2 / "tokenizer_config.json").read_text())["chat_template"]
        assert builtin["builtin/smollm2"]["texts"] == {case: text_and_prompt(own, IM, case) for case in CASES}

    published = {}
    for path in sorted(args.published.glob("*.jinja")):
        if path.name.startswith(WITH_IMAGES):
            continue
        text = path.read_bytes().decode()
        published[path.name] = dict(
            sha256=hashlib.sha256(text.encode()).hexdigest(),
            texts={case: digests(both(text, LLAMA2, case)) for case in CASES},
        )
    spans = {
        name: {case: marked((args.published / name).read_bytes().decode(), marks, case) for case in CASES}
        for name, marks in MARKED.items()
    }
    cases = {name: dict(messages=messages, tools=TOOLS.get(name)) for name, messages in CASES.items()}
    versions = dict(trl="1.16.0", jinja2=jinja2.__version__)
    made_with = tiny.made_with("template_fixtures.py", 0, **versions)
    tiny.write_json(args.out, dict(cases=cases, **builtin, published=published, marked=spans, made_with=made_with))
    print(args.out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
