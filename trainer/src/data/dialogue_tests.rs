use super::*;
use crate::data::fixture::{Fixture, tiny_tokenizer};
use crate::data::prepare::tests::train_args;
use crate::data::template::BUILTIN;
use proptest::prelude::*;

pub(crate) fn tokenizer_for(builtin: &str) -> Tokenizer {
    match builtin {
        "chatml" | "qwen2.5" | "qwen3" | "smollm2" => Fixture::chatml(),
        "llama3" => Fixture::llama3(),
        _ => Fixture::with_bos(),
    }
    .load()
}

/// Built-ins that make one row of a dialogue and put nothing before an answer: all but Qwen3's, which puts thoughts
/// there and leaves them out once another question follows.
const PLAIN: [&str; 8] = ["alpaca", "chatml", "llama3", "medicalgpt", "mistral", "qwen2.5", "smollm2", "vicuna"];

/// Marked tokens as text, turn by turn.
pub(crate) fn marked(example: &Example, tokenizer: &Tokenizer) -> Vec<String> {
    let tokens: Vec<(u32, bool)> = example.ids.iter().copied().zip(example.loss_mask.iter().copied()).collect();
    tokens
        .chunk_by(|a, b| a.1 == b.1)
        .filter(|run| run[0].1)
        .map(|run| tokenizer.decode(&run.iter().map(|(id, _)| *id).collect::<Vec<_>>(), false).unwrap())
        .collect()
}

fn train(tokenizer: &Tokenizer, template: &ChatTemplate, messages: &[Message], args: &TrainArgs) -> Verdict {
    let rendered = template.render_turns(messages, None).unwrap();
    assert_eq!(rendered.len(), 1);
    supervised(tokenizer, &rendered[0], args).unwrap()
}

fn kept(verdict: Verdict) -> Example {
    match verdict {
        Verdict::Keep { example, .. } => example,
        Verdict::Drop(reason) => panic!("dropped: {reason:?}"),
    }
}

fn dialogues() -> Vec<Vec<Message>> {
    let (s, u, a) = (Message::system, Message::user, Message::assistant);
    vec![
        vec![u("I have a fever"), a("Rest and drink.")],
        vec![s("You are a doctor."), u("Fever?"), a("Rest."), u("And pain?"), a("See a doctor.")],
        vec![u("我发烧了，怎么办？"), a("多休息，多喝水。"), u("还有呢？"), a("去医院👩‍⚕️。")],
        vec![u("trailing  "), a("  spaces  "), u("\n\nlines\n"), a("\n\nanswer\n")],
        vec![u("nothing to say"), a(""), u(""), a("fine")],
        vec![u("the the"), a(" the patient has a fever")],
    ]
}

#[test]
fn every_builtin_trains_each_answer_with_its_stop_token_and_no_user_text() {
    assert_eq!(PLAIN.len() + 1, BUILTIN.len());
    for name in PLAIN {
        let tokenizer = tokenizer_for(name);
        let template = ChatTemplate::resolve(Some(name), &tokenizer).unwrap();
        let stop = tokenizer.token(tokenizer.eos().unwrap()).unwrap();
        for messages in dialogues() {
            let example = kept(train(&tokenizer, &template, &messages, &train_args()));
            let answers: Vec<&str> = messages.iter().filter(|m| m.is_assistant()).map(|m| m.content.as_str()).collect();
            let trained = marked(&example, &tokenizer);
            assert_eq!(trained.len(), answers.len(), "{name}: {trained:?}");
            for (trained, answer) in trained.iter().zip(answers) {
                let said = trained.strip_suffix(stop.as_str()).unwrap_or_else(|| panic!("{name}: {trained:?} goes on"));
                assert_eq!(said.trim(), answer.trim(), "{name}");
            }
            let whole = template.render(&messages, None, false).unwrap();
            assert_eq!(tokenizer.decode(&example.ids, false).unwrap(), whole, "{name}");
            let bos = tokenizer.bos().filter(|_| tokenizer.adds_bos());
            assert!(example.ids.iter().filter(|id| Some(**id) == bos).count() <= 1, "{name}: BOS twice");
        }
    }
}

#[test]
fn an_answer_is_encoded_as_it_is_generated_after_the_prompt() {
    for (name, _) in BUILTIN {
        let tokenizer = tokenizer_for(name);
        let template = ChatTemplate::resolve(Some(name), &tokenizer).unwrap();
        for messages in dialogues().iter().map(|messages| &messages[..messages.len() - 1]) {
            let prompt = template.encode_prompt(&tokenizer, messages, None).unwrap();
            let whole = [messages, &[Message::assistant("the answer")]].concat();
            let row = template.render_turns(&whole, None).unwrap().pop().unwrap();
            let example = kept(supervised(&tokenizer, &row, &train_args()).unwrap());
            assert_eq!(example.ids[..prompt.len()], prompt, "{name}");
            assert!(example.loss_mask[prompt.len()] && !example.loss_mask[prompt.len() - 1], "{name}");
        }
    }
}

#[test]
fn train_on_inputs_marks_everything_but_the_first_token() {
    let tokenizer = tiny_tokenizer();
    let template = ChatTemplate::resolve(None, &tokenizer).unwrap();
    let args = TrainArgs { train_on_inputs: true, ..train_args() };
    let example = kept(train(&tokenizer, &template, &dialogues()[0], &args));
    assert_eq!(example.loss_tokens(), example.ids.len() - 1);
    assert!(!example.loss_mask[0]);
}

#[test]
fn a_dialogue_without_an_answer_is_left_out() {
    let tokenizer = tiny_tokenizer();
    let template = ChatTemplate::resolve(None, &tokenizer).unwrap();
    let verdict = train(&tokenizer, &template, &[Message::user("hello")], &train_args());
    assert_eq!(verdict, Verdict::Drop(DropReason::NoLossTokens));
}

#[test]
fn a_long_row_is_cut_left_out_or_refused_as_asked() {
    let tokenizer = tiny_tokenizer();
    let template = ChatTemplate::resolve(None, &tokenizer).unwrap();
    let rendered = &template.render_turns(&dialogues()[1], None).unwrap()[0];
    let with =
        |overlong, max_length| supervised(&tokenizer, rendered, &TrainArgs { overlong, max_length, ..train_args() });
    assert_eq!(with(OverlongPolicy::Drop, 40).unwrap(), Verdict::Drop(DropReason::Overlong));
    assert_eq!(with(OverlongPolicy::Truncate, 10).unwrap(), Verdict::Drop(DropReason::PromptTooLong));
    let length = encode(&tokenizer, rendered).unwrap().ids.len();
    assert_eq!(
        with(OverlongPolicy::Error, 40).unwrap_err().message,
        format!(
            "the row has {length} tokens, train.maxLength is 40; raise it, or set train.overlong to truncate or drop"
        )
    );
}

proptest! {
    #[test]
    fn a_cut_row_fits_ends_in_its_stop_token_and_splits_no_character(max_length in 1u32..160, which in 0usize..6, name in 0usize..8) {
        let tokenizer = tokenizer_for(PLAIN[name]);
        let template = ChatTemplate::resolve(Some(PLAIN[name]), &tokenizer).unwrap();
        let args = TrainArgs { max_length, overlong: OverlongPolicy::Truncate, ..train_args() };
        if let Verdict::Keep { example, truncated } = train(&tokenizer, &template, &dialogues()[which], &args) {
            prop_assert!(example.ids.len() <= max_length as usize);
            let stop = tokenizer.token(tokenizer.eos().unwrap()).unwrap();
            for trained in marked(&example, &tokenizer) {
                prop_assert!(trained.ends_with(&stop), "{}", trained);
                prop_assert!(!trained.contains('\u{FFFD}'), "{}", trained);
            }
            if truncated {
                prop_assert_eq!(example.ids.last().copied(), tokenizer.eos());
                prop_assert!(example.loss_mask.last().copied().unwrap_or(false));
            }
        }
    }
}

fn pair(prompt: &[Message], chosen: &str, rejected: &str, args: &TrainArgs) -> Verdict {
    let tokenizer = tiny_tokenizer();
    let template = ChatTemplate::resolve(None, &tokenizer).unwrap();
    let answers = [[Message::assistant(chosen)], [Message::assistant(rejected)]];
    preference(&tokenizer, &template, (prompt, None), (&answers[0], &answers[1]), args).unwrap()
}

#[test]
fn a_pair_shares_its_prompt_and_both_sides_end_in_the_stop_token() {
    let tokenizer = tiny_tokenizer();
    let example = kept(pair(&[Message::user("q")], "same start, good", "same start, bad answer", &train_args()));
    let [chosen, rejected] = example.segments[..] else { panic!() };
    assert_eq!(example.ids.len() as u32, chosen + rejected);
    let prompt = "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n";
    assert_eq!(tokenizer.decode(&example.ids[..example.prompt_len as usize], false).unwrap(), prompt);
    for last in [chosen as usize - 1, example.ids.len() - 1] {
        assert_eq!(example.ids[last], tokenizer.eos().unwrap());
        assert!(example.loss_mask[last]);
    }
    assert_eq!(example.loss_tokens(), 2);
}

#[test]
fn a_pair_that_says_nothing_or_too_much_is_left_out() {
    assert_eq!(pair(&[Message::user("q")], "a", "a", &train_args()), Verdict::Drop(DropReason::IdenticalPair));
    let args = TrainArgs { max_length: 20, overlong: OverlongPolicy::Drop, ..train_args() };
    assert_eq!(
        pair(&[Message::user("q")], "short", "long answer, far too long", &args),
        Verdict::Drop(DropReason::Overlong)
    );
}

#[test]
fn a_prompt_ends_where_the_answer_begins_and_marks_nothing() {
    let tokenizer = tiny_tokenizer();
    let template = ChatTemplate::resolve(None, &tokenizer).unwrap();
    let example = kept(prompt(&tokenizer, &template, &[Message::user("q")], None, &train_args()).unwrap());
    assert!(tokenizer.decode(&example.ids, false).unwrap().ends_with("<|im_start|>assistant\n"));
    assert_eq!((example.loss_tokens(), example.prompt_len as usize), (0, example.ids.len()));
    let short = TrainArgs { max_length: 3, ..train_args() };
    let verdict = prompt(&tokenizer, &template, &[Message::user("q")], None, &short).unwrap();
    assert_eq!(verdict, Verdict::Drop(DropReason::Overlong));
}
