use std::path::PathBuf;

use super::*;
use crate::parity;

fn fixture(name: &str) -> PathBuf {
    parity::path("gguf").join(name)
}

fn parsed(name: &str) -> Gguf {
    Gguf::parse(&std::fs::read(fixture(name)).unwrap()).unwrap()
}

fn imported(gguf: &Gguf) -> Result<ImportedTokenizer> {
    ImportedTokenizer::new(gguf, 1000, 128)
}

fn error(edit: impl FnOnce(&mut Gguf)) -> String {
    let mut gguf = parsed("llama.gguf");
    edit(&mut gguf);
    imported(&gguf).err().unwrap().message
}

fn set(gguf: &mut Gguf, key: &str, value: Value) {
    gguf.metadata.insert(format!("tokenizer.ggml.{key}"), value);
}

fn same_ids(name: &str) {
    let expected: Json = serde_json::from_slice(&std::fs::read(fixture(&format!("{name}.json"))).unwrap()).unwrap();
    let imported = imported(&parsed(&format!("{name}.gguf"))).unwrap();
    let tokenizer = Tokenizer::from_str(&imported.tokenizer.to_string()).unwrap();
    for case in expected["tokens"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let encoding = tokenizer.encode(text, true).unwrap();
        parity::hold_same("GGUF: ids of its tokenizer", text, &json!(encoding.get_ids()), &case["ids"]);
        assert_eq!(tokenizer.decode(encoding.get_ids(), name == "spm").unwrap(), text);
    }
}

#[test]
fn byte_level_ids_are_those_of_the_tokenizers_package() {
    same_ids("llama");
}

#[test]
fn sentence_piece_ids_are_those_of_the_sentencepiece_package() {
    same_ids("spm");
}

#[test]
fn pad_moves_off_eos_and_a_note_says_so() {
    let tokenizer = imported(&parsed("llama.gguf")).unwrap();
    assert_eq!((tokenizer.eos, tokenizer.pad), (2, Some(0)));
    assert_eq!(tokenizer.notes, ["the pad token of the file ends a text; pad is now <|endoftext|>"]);
    assert_eq!(tokenizer.tokenizer_config["pad_token"], "<|endoftext|>");
    assert_eq!(tokenizer.special_tokens_map["eos_token"], "<|im_end|>");
    assert_eq!(tokenizer.tokenizer_config["chat_template"], "{{ messages[0]['content'] }}");
}

#[test]
fn without_an_unused_token_there_is_no_pad() {
    let mut gguf = parsed("llama.gguf");
    set(&mut gguf, "eos_token_id", Value::Unsigned(0));
    set(&mut gguf, "padding_token_id", Value::Unsigned(0));
    let tokenizer = imported(&gguf).unwrap();
    assert_eq!(tokenizer.pad, None);
    assert!(tokenizer.notes[0].ends_with("the vocabulary has no unused one; no pad token is set"));
}

#[test]
fn llama_3_and_qwen_2_cut_numbers_as_their_models_do() {
    let pieces = |pre: &str| {
        let mut gguf = parsed("llama.gguf");
        set(&mut gguf, "pre", Value::String(pre.into()));
        let tokenizer = Tokenizer::from_str(&imported(&gguf).unwrap().tokenizer.to_string()).unwrap();
        tokenizer.encode("12 the", false).unwrap().get_tokens().join("|")
    };
    // The vocabulary has the merges "12" and "Ġthe".
    assert_eq!(pieces("llama-bpe"), "12|Ġthe");
    assert_eq!(pieces("gpt-2"), "12|Ġthe");
    assert_eq!(pieces("qwen2"), "1|2|Ġthe");
    assert_eq!(pieces("smollm"), "1|2|Ġthe");
}

#[test]
fn bos_is_added_where_the_model_wants_it() {
    let mut gguf = parsed("llama.gguf");
    set(&mut gguf, "add_bos_token", Value::Bool(true));
    let tokenizer = Tokenizer::from_str(&imported(&gguf).unwrap().tokenizer.to_string()).unwrap();
    assert_eq!(tokenizer.encode("p", true).unwrap().get_ids()[0], 1);
    assert_ne!(tokenizer.encode("p", false).unwrap().get_ids()[0], 1);
}

#[test]
fn both_ends_of_a_turn_stop_generation() {
    let mut gguf = parsed("llama.gguf");
    set(&mut gguf, "eos_token_id", Value::Unsigned(0));
    set(&mut gguf, "eot_token_id", Value::Unsigned(2));
    assert_eq!(imported(&gguf).unwrap().stop, [0, 2]);
}

#[test]
fn rows_without_a_token_are_left_out() {
    let mut gguf = parsed("llama.gguf");
    for (key, value) in [("tokens", Value::String("[PAD270]".into())), ("token_type", Value::Signed(5))] {
        let Some(Value::Array(list)) = gguf.metadata.get_mut(&format!("tokenizer.ggml.{key}")) else { panic!("{key}") };
        list.push(value);
    }
    assert_eq!(imported(&gguf).unwrap().len, imported(&parsed("llama.gguf")).unwrap().len);
}

#[test]
fn what_cannot_be_imported_is_named() {
    assert_eq!(
        error(|g| set(g, "pre", Value::String("tekken".into()))),
        "pre-tokenizer \"tekken\" can't be imported (gpt-2, smollm, starcoder, llama-bpe and qwen2 can); \
         take the original Hugging Face model"
    );
    assert_eq!(
        error(|g| set(g, "model", Value::String("bert".into()))),
        "tokenizer model \"bert\" can't be imported (gpt2 and llama can)"
    );
    assert!(
        error(|g| set(g, "merges", Value::Array(vec![Value::String("x".into())])))
            .ends_with("has an entry without a space")
    );
    assert!(error(|g| set(g, "merges", Value::Array(vec![Value::String("x yz".into())]))).contains("not consistent"));
    assert!(error(|g| set(g, "eos_token_id", Value::Unsigned(1 << 20))).ends_with("is not the id of a token"));
    assert!(
        error(|g| drop(g.metadata.remove("tokenizer.ggml.eos_token_id"))).ends_with("the model has no end of text")
    );
    assert!(error(|g| drop(g.metadata.remove("tokenizer.ggml.model"))).starts_with("the file has no tokenizer"));
}
