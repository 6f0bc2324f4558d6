use super::*;
use StageKind::{PPO, PT, RM, SFT};
use serde_json::json;

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn parse(value: Value, kind: StageKind) -> Row {
    let row = object(value);
    Shape::detect(&row, kind).unwrap().parse(&row, kind).unwrap()
}

fn dialogue(turns: &[(&str, &str)]) -> Row {
    Row::Dialogue { messages: messages(turns), tools: None }
}

fn messages(turns: &[(&str, &str)]) -> Vec<Message> {
    turns.iter().map(|(role, content)| Message::new(*role, *content)).collect()
}

#[test]
fn fine_tuning_reads_alpaca_sharegpt_messages_and_prompt_completion() {
    let wanted = dialogue(&[("user", "q"), ("assistant", "a")]);
    let rows = [
        json!({"instruction": "q", "input": "", "output": "a"}),
        json!({"instruction": "q", "input": null, "output": "a", "id": 7}),
        json!({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}),
        json!({"conversations": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}),
        json!({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}),
        json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]}, {"role": "assistant", "content": "a"}]}),
        json!({"prompt": "q", "completion": "a"}),
        json!({"prompt": [{"role": "user", "content": "q"}], "completion": [{"role": "assistant", "content": "a"}]}),
    ];
    for row in rows {
        assert_eq!(parse(row.clone(), SFT), wanted, "{row}");
    }
}

#[test]
fn alpaca_takes_input_history_and_system() {
    let row = json!({"system": "s", "history": [["q0", "a0"]], "instruction": "q", "input": "i", "output": "a"});
    let wanted = [("system", "s"), ("user", "q0"), ("assistant", "a0"), ("user", "q\ni"), ("assistant", "a")];
    assert_eq!(parse(row, SFT), dialogue(&wanted));
}

#[test]
fn sharegpt_takes_system_tools_and_tool_turns() {
    let row = json!({
        "system": "s", "tools": "[{\"name\": \"f\"}]",
        "conversations": [{"from": "human", "value": "q"}, {"from": "function_call", "value": "f()"},
                          {"from": "observation", "value": "o"}, {"from": "gpt", "value": "a"}],
    });
    let turns = [("system", "s"), ("user", "q"), ("assistant", "f()"), ("tool", "o"), ("assistant", "a")];
    assert_eq!(parse(row, SFT), Row::Dialogue { messages: messages(&turns), tools: Some(json!([{"name": "f"}])) });
}

#[test]
fn what_a_message_says_beside_its_content_reaches_the_template() {
    let row = json!({"messages": [{"role": "user", "content": "q"},
                                  {"role": "assistant", "content": null, "tool_calls": [{"name": "f"}]}]});
    let Row::Dialogue { messages, .. } = parse(row, SFT) else { panic!() };
    assert_eq!(messages[1].content, "");
    assert_eq!(messages[1].other["tool_calls"], json!([{"name": "f"}]));
    assert_eq!(serde_json::to_value(&messages[1]).unwrap()["tool_calls"], json!([{"name": "f"}]));
}

#[test]
fn reward_modelling_reads_questions_and_preferences() {
    let wanted = |prompt: &[(&str, &str)]| Row::Preference {
        prompt: messages(prompt),
        chosen: messages(&[("assistant", "good")]),
        rejected: messages(&[("assistant", "bad")]),
        tools: None,
    };
    let (user, good, bad) = (
        json!({"role": "user", "content": "q"}),
        json!({"role": "assistant", "content": "good"}),
        json!({"role": "assistant", "content": "bad"}),
    );
    let rows = [
        json!({"question": "q", "response_chosen": "good", "response_rejected": "bad"}),
        json!({"prompt": "q", "chosen": "good", "rejected": "bad"}),
        json!({"conversations": [{"from": "human", "value": "q"}], "chosen": "good", "rejected": "bad"}),
        json!({"conversations": [{"from": "human", "value": "q"}], "chosen": {"from": "gpt", "value": "good"}, "rejected": {"from": "gpt", "value": "bad"}}),
        json!({"messages": [user], "chosen": [good], "rejected": [bad]}),
        // TRL's implicit prompt, and whole dialogues beside a prompt.
        json!({"chosen": [user, good], "rejected": [user, bad]}),
        json!({"prompt": [user], "chosen": [user, good], "rejected": [user, bad]}),
    ];
    for row in rows {
        assert_eq!(parse(row.clone(), RM), wanted(&[("user", "q")]), "{row}");
    }
    let row = json!({"system": "s", "history": [["q0", "a0"]], "question": "q", "response_chosen": "good", "response_rejected": "bad"});
    assert_eq!(parse(row, RM), wanted(&[("system", "s"), ("user", "q0"), ("assistant", "a0"), ("user", "q")]));
}

#[test]
fn prompts_come_from_every_shape_without_their_last_answer() {
    let rows = [
        json!({"prompt": "q"}),
        json!({"question": "q"}),
        json!({"instruction": "q"}),
        json!({"instruction": "q", "input": "", "output": "a"}),
        json!({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}),
        json!({"messages": [{"role": "user", "content": "q"}]}),
        json!({"prompt": "q", "completion": "a"}),
        json!({"prompt": "q", "chosen": "a", "rejected": "b"}),
        json!({"question": "q", "response_chosen": "a", "response_rejected": "b"}),
        json!({"chosen": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
               "rejected": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "b"}]}),
    ];
    for row in rows {
        let wanted = Row::Prompt { messages: messages(&[("user", "q")]), tools: None };
        assert_eq!(parse(row.clone(), PPO), wanted, "{row}");
    }
}

#[test]
fn errors_name_the_field_and_what_the_stage_reads_but_never_a_value() {
    let cases: &[(StageKind, Value, &str)] = &[
        (PT, json!({"body": "x"}), "no known fields (PT rows need text)"),
        (
            SFT,
            json!({"instructoin": "x"}),
            "no known fields (SFT rows need instruction/output, conversations, messages or prompt/completion); is one of \
             its fields a misspelt \"instruction\"?",
        ),
        (
            SFT,
            json!({"instruction": "x"}),
            "field \"output\" is missing (the file's rows are instruction/output; SFT rows need instruction/output, \
             conversations, messages or prompt/completion)",
        ),
        (SFT, json!({"instruction": "x", "output": 7}), "field \"output\" is a number, not a string; put it in quotes"),
        (SFT, json!({"instruction": null, "output": "x"}), "field \"instruction\" is null (the file's rows are"),
        (SFT, json!({"messages": "x"}), "field \"messages\" is a string, not a list"),
        (SFT, json!({"messages": []}), "field \"messages\" is empty; a dialogue has at least one turn"),
        (SFT, json!({"messages": [{"role": "user"}]}), "field \"messages[0].content\" is missing"),
        (
            SFT,
            json!({"messages": [{"role": "user", "content": true}]}),
            "field \"messages[0].content\" is a boolean, not a string; put it in quotes",
        ),
        (
            SFT,
            json!({"conversations": [{"from": "Jane Doe", "value": "x"}]}),
            "field \"conversations[0].from\" is no known role (",
        ),
        (SFT, json!({"instruction": "x", "output": "x", "history": [["x"]]}), "field \"history[0]\" has 1 entries"),
        (
            SFT,
            json!({"messages": [{"role": "user", "content": "x"}], "tools": "x"}),
            "field \"tools\" is text, but not JSON",
        ),
        (RM, json!({"question": "x", "response_chosen": "x"}), "field \"response_rejected\" is missing"),
        (RM, json!({"chosen": "x", "rejected": "x"}), "field \"prompt\" is missing"),
        (RM, json!({"prompt": "x", "chosen": [], "rejected": "x"}), "field \"chosen\" is empty"),
        (
            RM,
            json!({"prompt": "x", "chosen": [{"role": "user", "content": "x"}], "rejected": "x"}),
            "field \"chosen\" does not end with an assistant turn",
        ),
        (
            PPO,
            json!({"messages": [{"role": "assistant", "content": "x"}]}),
            "no user turn to answer; a prompt ends with one",
        ),
    ];
    for (kind, row, wanted) in cases {
        let row = object(row.clone());
        let failure = Shape::detect(&row, *kind).and_then(|shape| shape.parse(&row, *kind)).unwrap_err();
        assert!(failure.message.starts_with(wanted), "{}\n{wanted}", failure.message);
        assert!(!failure.message.contains("Jane"));
        assert_eq!(failure.exit, medtrain_crds::contract::ExitCode::Data);
    }
}
