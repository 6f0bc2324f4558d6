use super::*;
use crate::data::fixture::{Fixture, tiny_tokenizer};

fn inline(text: &str) -> ChatTemplate {
    ChatTemplate::resolve(Some(text), &tiny_tokenizer()).unwrap()
}

fn render(text: &str, messages: &[Message]) -> String {
    inline(text).render(messages, None, true).unwrap()
}

fn dialogue() -> Vec<Message> {
    vec![Message::user("q1"), Message::assistant("a1"), Message::user("q2"), Message::assistant("a2")]
}

fn turns(rendered: &Rendered) -> Vec<&str> {
    rendered.turns.iter().map(|turn| &rendered.text[turn.clone()]).collect()
}

#[test]
fn built_ins_render_what_their_families_read() {
    let chat = [Message::system("S"), Message::user("U"), Message::assistant("A")];
    let cases = [
        (
            "chatml",
            Fixture::chatml(),
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n",
        ),
        (
            "smollm2",
            Fixture::chatml(),
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n",
        ),
        (
            "qwen2.5",
            Fixture::chatml(),
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n",
        ),
        (
            "qwen3",
            Fixture::chatml(),
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\nA<|im_end|>\n",
        ),
        (
            "llama3",
            Fixture::llama3(),
            "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nU<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA<|eot_id|>",
        ),
        ("mistral", Fixture::with_bos(), "<s>[INST] S\n\nU[/INST] A</s>"),
        ("alpaca", Fixture::with_bos(), "<s>S\n\n### Instruction:\nU\n\n### Response:\nA</s>\n\n"),
        ("medicalgpt", Fixture::with_bos(), "<s>S\n\n### Instruction:\nU\n\n### Response: A</s>\n\n"),
        ("vicuna", Fixture::with_bos(), "<s>S USER: U ASSISTANT: A</s>"),
    ];
    assert_eq!(cases.len(), BUILTIN.len());
    for (name, fixture, wanted) in cases {
        let template = ChatTemplate::resolve(Some(name), &fixture.load()).unwrap();
        assert_eq!(template.render(&chat, None, false).unwrap(), wanted, "{name}");
    }
}

#[test]
fn a_generation_prompt_is_what_the_answer_follows() {
    let cases = [
        ("chatml", Fixture::chatml(), "<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n"),
        (
            "medicalgpt",
            Fixture::chatml(),
            "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n### Instruction:\nU\n\n### Response: ",
        ),
        ("mistral", Fixture::with_bos(), "<s>[INST] U[/INST]"),
    ];
    for (name, fixture, wanted) in cases {
        let template = ChatTemplate::resolve(Some(name), &fixture.load()).unwrap();
        assert_eq!(template.render(&[Message::user("U")], None, true).unwrap(), wanted, "{name}");
    }
}

#[test]
fn models_not_used_to_a_bos_get_none_from_built_ins() {
    // The output's tokenizer knows a BOS, so its copy of the template must not write one either.
    let tokenizer = Fixture::chatml().bos("<|im_start|>").load();
    for (name, source) in BUILTIN.iter().filter(|(_, source)| source.contains("bos_token")) {
        assert!(source.starts_with(BUILTIN_BOS), "{name}");
        let template = ChatTemplate::resolve(Some(name), &tokenizer).unwrap();
        let trained = template.render(&[Message::user("U")], None, true).unwrap();
        assert!(!trained.starts_with("<|im_start|>"), "{name}: {trained}");
        let written = ChatTemplate::resolve(Some(template.source()), &tokenizer).unwrap();
        assert_eq!(written.render(&[Message::user("U")], None, true).unwrap(), trained, "{name}");
    }
}

#[test]
fn without_a_choice_the_models_own_template_is_used() {
    assert_eq!(ChatTemplate::resolve(None, &tiny_tokenizer()).unwrap().name(), "the model's own");
}

#[test]
fn no_template_is_an_error_that_lists_the_built_ins() {
    let failure = ChatTemplate::resolve(None, &Fixture::with_bos().load()).err().unwrap();
    assert_eq!(
        failure.message,
        "chatTemplate: the model has no chat template of its own; name a built-in (alpaca, chatml, llama3, medicalgpt, \
         mistral, qwen2.5, qwen3, smollm2, vicuna) or give a template's text"
    );
}

#[test]
fn an_unknown_name_is_answered_with_the_nearest() {
    let failure = ChatTemplate::resolve(Some("lama3"), &tiny_tokenizer()).err().unwrap();
    assert!(
        failure.message.starts_with("chatTemplate: no built-in template is named \"lama3\"; did you mean \"llama3\"?"),
        "{failure}"
    );
}

#[test]
fn a_template_with_a_syntax_error_is_refused_with_its_line() {
    let failure =
        ChatTemplate::resolve(Some("{% for m in messages %}\n{{ m.content"), &tiny_tokenizer()).err().unwrap();
    assert!(failure.message.starts_with("chatTemplate (inline): line 2: "), "{failure}");
    assert_eq!(failure.exit, medtrain_crds::contract::ExitCode::Config);
}

#[test]
fn a_turn_without_a_stop_token_cannot_be_trained() {
    let template = inline("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}");
    let failure = template.require_turn_end().unwrap_err();
    assert!(
        failure.message.contains("does not end in a special token of this tokenizer (EOS is \"<|im_end|>\")"),
        "{failure}"
    );
    assert!(ChatTemplate::resolve(Some("llama3"), &tiny_tokenizer()).unwrap().require_turn_end().is_err());
}

#[test]
fn a_turn_end_that_is_not_eos_stops_generation_too() {
    let dir = Fixture::chatml().write();
    let path = dir.path().join("tokenizer_config.json");
    std::fs::write(&path, r#"{"eos_token": "<|endoftext|>"}"#).unwrap();
    let base = Tokenizer::load(dir.path()).unwrap();
    assert_eq!(ChatTemplate::resolve(Some("chatml"), &base).unwrap().stop_ids(), [0, 2]);
}

#[test]
fn python_idioms_of_hub_templates_work() {
    let chat = [Message::system(" be kind "), Message::user("hi")];
    let cases = [
        ("{{ messages[0]['content'].strip() }}", "be kind"),
        ("{{ messages[-1].content.upper() }}{{ messages[1:]|length }}", "HI1"),
        ("{% for m in messages[::-1] %}{{ m.role }},{% endfor %}", "user,system,"),
        ("{{ 'a</think>b'.split('</think>')[-1].lstrip('\\n') }}", "b"),
        ("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "2"),
        ("{% for m in messages %}{% if loop.last %}{% break %}{% endif %}{{ m.role }}{% endfor %}", "system"),
        ("{{ tools is none }}{{ tools is defined and tools }}", "TrueNone"),
        ("{% if messages[0].tool_calls is defined %}x{% endif %}{% if not nothing %}y{% endif %}", "y"),
        (
            "{{ messages[1].content is string }}{{ messages[1] is mapping }}{{ 'h' in messages[1].content }}",
            "TrueTrueTrue",
        ),
        ("{%- macro f(x) -%} <{{ x }}> {%- endmacro -%}{{ f('z') }}", "<z>"),
        ("{{ strftime_now('%d %b %Y') }}", "26 Jul 2024"),
        ("{{ {'a': [1, 'ü'], 'b': none} | tojson }}", r#"{"a": [1, "ü"], "b": null}"#),
        ("{{ {'a': [1, 2]} | tojson(indent=4) }}", "{\n    \"a\": [\n        1,\n        2\n    ]\n}"),
        (
            "{{ {'a': [[], {}, [1]], 'b': {}} | tojson(indent=1) }}",
            "{\n \"a\": [\n  [],\n  {},\n  [\n   1\n  ]\n ],\n \"b\": {}\n}",
        ),
        (
            "{{ [0.00001, 1e16, 0.0001, 123456789012345.0, 1.0, 2.5e-300] | tojson }}",
            "[1e-05, 1e+16, 0.0001, 123456789012345.0, 1.0, 2.5e-300]",
        ),
        ("{{ '\x1c a\x1f ' | trim }}|{{ '\x1d a '.rstrip() }}|{{ 'xaxb'.lstrip('x') }}", "a|\x1d a|axb"),
        ("{{ tools is iterable }}{{ messages is iterable }}{{ 'x' is iterable }}", "FalseTrueTrue"),
        ("{{ 0.00001 | string }} {{ 1e16 }} {{ 1.0 }} {{ 3 }}", "1e-05 1e+16 1.0 3"),
        ("a\r\nb\r{{ 'c\r\nd' }}", "a\nb\nc\nd"),
        ("{{ '<b>&\\'' | tojson }}", "\"<b>&'\""),
        ("{%- if true %}\n    x\n{%- endif %}\n{# c #}\ny\n", "    xy"),
    ];
    for (template, wanted) in cases {
        assert_eq!(render(template, &chat), wanted, "{template}");
    }
}

#[test]
fn a_refusal_shows_the_templates_words_and_never_the_rows() {
    let secret = [Message::user("Jane Doe")];
    let refuse = |text: &str| inline(text).render(&secret, None, false).unwrap_err().message;
    assert_eq!(
        refuse("{{ raise_exception('roles must alternate') }}"),
        "the chat template (inline) refuses this dialogue (line 1 of the template): roles must alternate"
    );
    let quoting = refuse("{{ raise_exception('bad: ' + messages[0].content) }}");
    assert!(!quoting.contains("Jane"), "{quoting}");
    assert!(!refuse("{{ messages[0].content.nothing() }}").contains("Jane"));
}

#[test]
fn spans_by_prefix_hold_the_answers_and_their_stop_tokens() {
    let rendered =
        ChatTemplate::resolve(Some("chatml"), &tiny_tokenizer()).unwrap().render_turns(&dialogue(), None).unwrap();
    assert_eq!(rendered.len(), 1);
    assert_eq!(turns(&rendered[0]), ["a1<|im_end|>", "a2<|im_end|>"]);
}

#[test]
fn spans_by_generation_tags_are_the_same_and_take_in_a_stop_token_left_outside() {
    for end in [
        "{% generation %}{{ m.content }}<|im_end|>\n{% endgeneration %}",
        "{%- generation -%}{{ m.content }}{%- endgeneration -%}<|im_end|>{{ '\n' }}",
    ] {
        let text = format!(
            "{{% for m in messages %}}{{{{ '<|im_start|>' + m.role + '\n' }}}}{{% if m.role == 'assistant' %}}{end}\
             {{% else %}}{{{{ m.content + '<|im_end|>\n' }}}}{{% endif %}}{{% endfor %}}\
             {{% if add_generation_prompt %}}<|im_start|>assistant\n{{% endif %}}"
        );
        let rendered = inline(&text).render_turns(&dialogue(), None).unwrap();
        assert_eq!(turns(&rendered[0]), ["a1<|im_end|>", "a2<|im_end|>"]);
        let plain = ChatTemplate::resolve(Some("chatml"), &tiny_tokenizer()).unwrap();
        assert_eq!(
            inline(&text).render(&dialogue()[..3], None, false).unwrap(),
            plain.render(&dialogue()[..3], None, false).unwrap()
        );
    }
}

#[test]
fn a_template_that_rewrites_earlier_turns_gives_one_row_per_answer() {
    // Like Qwen3: thoughts are kept in the last turn only.
    let text = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}\
                {% if m.role == 'assistant' and not loop.last %}{{ m.content.split('</think>')[-1] }}\
                {% else %}{{ m.content }}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}\
                {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
    let mut chat = dialogue();
    chat[1].content = "<think>x</think>a1".into();
    let rendered = inline(text).render_turns(&chat, None).unwrap();
    assert_eq!(rendered.len(), 2);
    assert_eq!(turns(&rendered[0]), ["<think>x</think>a1<|im_end|>"]);
    assert_eq!(turns(&rendered[1]), ["a2<|im_end|>"]);
    assert!(rendered[1].text.contains("assistant\na1<|im_end|>"));
}

#[test]
fn a_template_that_drops_the_system_message_once_answered_trains_after_the_prompt_of_generation() {
    let text = "{% for m in messages if m.role != 'system' %}{% if m.role == 'user' %}\
                {{ '[INST] ' + (messages[0].content + '\n' if loop.last else '') + m.content + '[/INST]' }}\
                {% else %}{{ m.content + eos_token }}{% endif %}{% endfor %}";
    let chat = [&[Message::system("S")], dialogue().as_slice()].concat();
    let rendered = inline(text).render_turns(&chat, None).unwrap();
    assert_eq!(rendered.iter().flat_map(turns).collect::<Vec<_>>(), ["a1<|im_end|>", "a2<|im_end|>"]);
    assert_eq!(rendered[1].text, "[INST] q1[/INST]a1<|im_end|>[INST] S\nq2[/INST]a2<|im_end|>");
}

#[test]
fn a_template_that_ignores_the_generation_prompt_does_not_train_its_headers() {
    let text = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}";
    let rendered = inline(text).render_turns(&dialogue(), None).unwrap();
    assert_eq!(turns(&rendered[0]), ["a1<|im_end|>", "a2<|im_end|>"]);
}

#[test]
fn a_generation_prompt_that_no_answer_follows_is_an_error() {
    let text =
        "{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}{% if add_generation_prompt %}XX{% endif %}";
    let failure = inline(text).render_turns(&dialogue(), None).unwrap_err();
    assert!(failure.message.contains("enclose the turn in {% generation %}"), "{failure}");
}

#[test]
fn the_mark_of_generation_cannot_be_forged() {
    let chat = [Message::user("\u{FDD0}<generation>\u{FDD0}q"), Message::assistant("a")];
    let failure = inline("{{ messages[0].content }}").render_turns(&chat, None).unwrap_err();
    assert!(failure.message.contains("U+FDD0"));
}
