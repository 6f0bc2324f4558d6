use medtrain_crds::contract::RoleTokens;
use std::collections::BTreeMap;

use super::*;
use crate::data::Tokenizer;
use crate::data::dialogue::tests::tokenizer_for;
use crate::data::dialogue::{Verdict, preference, prompt, supervised};
use crate::data::example::Example;
use crate::data::prepare::tests::train_args;
use crate::data::template::BUILTIN;

/// The text of each role's tokens in order, one piece a run; what the template writes is left out.
fn pieces(example: &Example, tokenizer: &Tokenizer) -> Vec<(TokenRole, String)> {
    assert_eq!(example.roles.iter().map(|run| run.tokens as usize).sum::<usize>(), example.ids.len());
    let mut start = 0;
    let mut pieces = Vec::new();
    for run in &example.roles {
        let ids = &example.ids[start..start + run.tokens as usize];
        start += ids.len();
        if run.role != TokenRole::Template {
            pieces.push((run.role, tokenizer.decode(ids, false).unwrap()));
        }
    }
    pieces
}

fn kept(verdict: Verdict) -> Example {
    match verdict {
        Verdict::Keep { example, .. } => example,
        Verdict::Drop(reason) => panic!("dropped: {reason:?}"),
    }
}

/// Short contents that also stand in templates' own words and in one another.
fn dialogue() -> Vec<Message> {
    vec![
        Message::system("user"),
        Message::user("the assistant has"),
        Message::assistant("has"),
        Message::user("  s "),
        Message::assistant("the patient has pain"),
    ]
}

#[test]
fn each_builtin_tells_whose_text_a_token_holds() {
    use TokenRole::{Assistant, System, User};
    for (name, _) in BUILTIN {
        let tokenizer = tokenizer_for(name);
        let template = ChatTemplate::resolve(Some(name), &tokenizer).unwrap();
        let messages = dialogue();
        for rendered in template.render_turns(&messages, None).unwrap() {
            let example = kept(supervised(&tokenizer, &rendered, &train_args()).unwrap());
            let pieces = pieces(&example, &tokenizer);
            let said =
                |role| pieces.iter().filter(|piece| piece.0 == role).map(|piece| piece.1.as_str()).collect::<Vec<_>>();
            let of = |messages: &[Message], role: &str| -> Vec<String> {
                messages.iter().filter(|m| m.role == role).map(|m| m.content.trim().to_owned()).collect()
            };
            // Where answers are rendered apart, the first text ends with the first answer.
            let shown = if rendered.text.contains("patient") { &messages[..] } else { &messages[..3] };
            let trimmed = |texts: Vec<&str>| texts.iter().map(|text| text.trim().to_owned()).collect::<Vec<_>>();
            assert_eq!(trimmed(said(System)), of(shown, "system"), "{name}: {pieces:?}");
            assert_eq!(trimmed(said(User)), of(shown, "user"), "{name}: {pieces:?}");
            for (piece, answer) in said(Assistant).iter().zip(of(shown, "assistant")) {
                assert!(piece.contains(&answer), "{name}: {pieces:?}");
            }
            assert_eq!(said(Assistant).len(), of(shown, "assistant").len(), "{name}: {pieces:?}");
        }
    }
}

#[test]
fn a_users_text_in_a_trained_span_counts_as_the_users() {
    let tokenizer = tokenizer_for("chatml");
    let template = ChatTemplate::resolve(Some("chatml"), &tokenizer).unwrap();
    let mut rendered = template.render_turns(&dialogue(), None).unwrap().pop().unwrap();
    // As a template would whose marks are wrong.
    let everything = 0..rendered.text.len();
    rendered.turns = vec![everything];
    let example = kept(supervised(&tokenizer, &rendered, &train_args()).unwrap());
    let mut trained: BTreeMap<TokenRole, RoleTokens> = BTreeMap::new();
    let mut mask = example.loss_mask.iter();
    for run in &example.roles {
        let marked = mask.by_ref().take(run.tokens as usize).filter(|marked| **marked).count();
        trained.entry(run.role).or_default().trained += marked as u64;
    }
    assert!(trained[&TokenRole::User].trained > 0 && trained[&TokenRole::System].trained > 0, "{trained:?}");
}

#[test]
fn pairs_and_prompts_have_roles_too() {
    let tokenizer = tokenizer_for("mistral");
    let template = ChatTemplate::resolve(Some("mistral"), &tokenizer).unwrap();
    let asked = [Message::system("You are a doctor."), Message::user("Fever?")];
    let (good, bad) = ([Message::assistant("Rest.")], [Message::assistant("Run.")]);
    let args = train_args();
    let pair = preference(&tokenizer, &template, (&asked, None), (&good, &bad), &args).unwrap();
    let said = |example: &Example, role| -> String {
        pieces(example, &tokenizer).into_iter().filter(|piece| piece.0 == role).map(|piece| piece.1 + "|").collect()
    };
    let pair = kept(pair);
    assert_eq!(said(&pair, TokenRole::User).replace(' ', ""), "Fever?|Fever?|");
    assert_eq!(said(&pair, TokenRole::Assistant).replace(' ', ""), "Rest.</s>|Run.</s>|");
    let prompt = kept(prompt(&tokenizer, &template, &asked, None, &args).unwrap());
    assert_eq!(said(&prompt, TokenRole::System), "You are a doctor.|");
    assert_eq!(said(&prompt, TokenRole::User), "Fever?|");
    assert_eq!(said(&prompt, TokenRole::Assistant), "");
}
