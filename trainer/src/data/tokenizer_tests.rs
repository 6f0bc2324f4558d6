use super::*;
use crate::data::fixture::{Fixture, tiny_tokenizer};

#[test]
fn text_of_any_script_survives_encode_and_decode() {
    let tokenizer = tiny_tokenizer();
    for text in ["the patient has a fever", "患者发热三天。", "👩‍⚕️ a\u{301}  b\n\n", ""] {
        assert_eq!(tokenizer.decode(&tokenizer.encode(text, false).unwrap(), true).unwrap(), text);
    }
}

#[test]
fn pad_equal_to_eos_becomes_an_existing_unused_token() {
    let dir = Fixture::chatml().pad("<|im_end|>").write();
    let tokenizer = Tokenizer::load(dir.path()).unwrap();
    assert_eq!(tokenizer.pad(), tokenizer.id("<|endoftext|>"));
    assert_eq!(
        tokenizer.notes(StageKind::SFT)[0],
        "pad_token is also eos_token: the existing token <|endoftext|> (id 0) pads instead"
    );
}

#[test]
fn a_pad_of_its_own_is_kept() {
    let dir = Fixture::chatml().pad("<|endoftext|>").write();
    let tokenizer = Tokenizer::load(dir.path()).unwrap();
    assert_eq!(tokenizer.pad(), Some(0));
    assert!(tokenizer.notes(StageKind::PT).iter().all(|note| !note.contains("pad_token")));
}

#[test]
fn chat_models_separate_documents_by_the_token_that_ends_documents() {
    let chat = tiny_tokenizer();
    assert_eq!(chat.eos(), chat.id("<|im_end|>"));
    assert_eq!(chat.document_separator(), chat.id("<|endoftext|>"));
    let says_so = |kind| chat.notes(kind).contains(&"documents are separated by <|endoftext|> (id 0)".to_owned());
    assert!(says_so(StageKind::PT) && !says_so(StageKind::SFT));
    let base = Tokenizer::load(Fixture::with_bos().write().path()).unwrap();
    assert_eq!(base.document_separator(), base.eos());
}

#[test]
fn only_a_post_processor_that_adds_bos_counts_as_adding_it() {
    assert!(!tiny_tokenizer().adds_bos());
    let dir = Fixture::with_bos().write();
    let tokenizer = Tokenizer::load(dir.path()).unwrap();
    assert!(tokenizer.adds_bos());
    assert_eq!(tokenizer.encode("the", true).unwrap()[0], tokenizer.bos().unwrap());
    assert_ne!(tokenizer.encode("the", false).unwrap()[0], tokenizer.bos().unwrap());
}

#[test]
fn eos_ids_are_the_tokenizers_and_those_of_generation_config() {
    let dir = Fixture::chatml().write();
    fs::write(dir.path().join("generation_config.json"), r#"{"eos_token_id": [2, 0]}"#).unwrap();
    assert_eq!(Tokenizer::load(dir.path()).unwrap().eos_ids(), [2, 0]);
}

#[test]
fn a_sentencepiece_model_alone_is_an_error_that_says_how_to_convert_it() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("tokenizer.model"), "x").unwrap();
    let failure = Tokenizer::load(dir.path()).err().unwrap();
    assert!(failure.message.contains("tokenizer.json: not found, only tokenizer.model"), "{failure}");
    assert_eq!(failure.exit, medtrain_crds::contract::ExitCode::Input);
}
