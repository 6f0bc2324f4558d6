use std::collections::BTreeSet;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;

fn default_args<T: DeserializeOwned>(section: Section, kind: StageKind) -> T {
    T::deserialize(serde_json::Value::Object(section.defaults(kind)))
        .unwrap_or_else(|error| panic!("{section:?} {kind}: {error}"))
}

fn fields<T: Serialize>(value: &T) -> BTreeSet<String> {
    serde_json::to_value(value).unwrap().as_object().unwrap().keys().cloned().collect()
}

fn names(section: Section) -> BTreeSet<String> {
    section.parameters().iter().map(|parameter| parameter.name.to_string()).collect()
}

#[test]
fn table_and_resolved_types_have_the_same_fields_for_every_kind() {
    for kind in StageKind::ALL {
        assert_eq!(fields(&default_args::<TrainArgs>(Section::Train, kind)), names(Section::Train));
        assert_eq!(fields(&default_args::<PpoArgs>(Section::Ppo, kind)), names(Section::Ppo));
        assert_eq!(fields(&default_args::<RewardArgs>(Section::Reward, kind)), names(Section::Reward));
        assert_eq!(fields(&default_args::<LoraArgs>(Section::Lora, kind)), names(Section::Lora));
    }
}

#[test]
fn every_default_is_within_its_own_range() {
    for parameter in Section::ALL.into_iter().flat_map(Section::parameters) {
        for kind in StageKind::ALL {
            let default = parameter.default.of(kind);
            if default != Literal::Unset {
                let read = parameter.ty.read(&default.to_json());
                assert_eq!(read, Ok(default.to_json()), "{}", parameter.name);
            }
        }
    }
}

#[test]
fn every_choice_of_the_table_is_one_of_the_resolved_type() {
    for section in Section::ALL {
        for parameter in section.parameters() {
            let Type::Choice(choices) = parameter.ty else { continue };
            for choice in choices {
                let mut args = section.defaults(StageKind::SFT);
                args.insert(parameter.name.to_string(), (*choice).into());
                let value = serde_json::Value::Object(args);
                let read = match section {
                    Section::Train => TrainArgs::deserialize(value).is_ok(),
                    Section::Ppo => PpoArgs::deserialize(value).is_ok(),
                    Section::Reward | Section::Lora => false,
                };
                assert!(read, "{} = {choice}", parameter.name);
            }
        }
    }
}

#[test]
fn the_defaults_people_rely_on() {
    let train = |kind| default_args::<TrainArgs>(Section::Train, kind);
    assert_eq!(StageKind::ALL.map(|kind| train(kind).learning_rate), [2e-4, 2e-5, 2e-5, 1.41e-5]);
    assert_eq!(StageKind::ALL.map(|kind| train(kind).num_train_epochs), [1.0, 3.0, 1.0, 1.0]);
    assert_eq!(StageKind::ALL.map(|kind| train(kind).max_steps), [None; 4]);
    let ppo = default_args::<PpoArgs>(Section::Ppo, StageKind::PPO);
    assert_eq!((ppo.init_kl_coef, ppo.kl_target, ppo.kl_horizon), (0.2, 6.0, 10_000.0));
    assert_eq!(ppo.batch_size % ppo.mini_batch_size, 0);
    assert_eq!((ppo.gamma, ppo.lam, ppo.cliprange, ppo.cliprange_value, ppo.vf_coef), (1.0, 0.95, 0.2, 0.2, 0.1));
    assert_eq!((ppo.missing_eos_penalty, ppo.whiten_rewards, ppo.whiten_advantages), (1.0, false, true));
    assert_eq!(ppo.v_head_init_strategy, VHeadInitStrategy::Zeros);
    let train = train(StageKind::PPO);
    assert_eq!((train.adam_epsilon, train.lr_scheduler_type), (1e-5, LrSchedulerType::Linear));
    assert_eq!(default_args::<LoraArgs>(Section::Lora, StageKind::PPO).dropout, 0.0, "dropout would change the ratio");
}

#[test]
fn the_checked_in_reference_is_current() {
    let checked_in = include_str!("../../generated/hyperparameters.md");
    assert!(checked_in == reference::markdown(), "run `make crds` and commit the result");
}

#[test]
fn a_wrong_value_is_answered_with_what_is_allowed() {
    let rate = Type::Decimal(Range { min: 0.0, max: 1.0, closed: (false, true) });
    let steps = Type::Int { min: 1, max: 10 };
    let cases = [
        (rate, serde_json::json!(0), "0 is not allowed; it must be a number above 0 and at most 1"),
        (
            rate,
            serde_json::json!("fast"),
            "the text \"fast\" is not a decimal number (write it like \"0.0002\" or \"2e-4\")",
        ),
        (rate, serde_json::json!([1]), "must be a number above 0 and at most 1, found a list"),
        (steps, serde_json::json!(2.5), "2.5 is not allowed; it must be a whole number from 1 to 10"),
        (steps, serde_json::json!(-1), "-1 is not allowed; it must be a whole number from 1 to 10"),
        (
            steps,
            serde_json::json!("3"),
            "must be a whole number from 1 to 10, found the text \"3\"; write it without quotes",
        ),
        (Type::Bool, serde_json::json!("yes"), "must be true or false, found the text \"yes\""),
        (
            Type::Choice(&["linear", "cosine"]),
            serde_json::json!("Cosin"),
            "the text \"Cosin\" is not allowed; it must be one of linear, cosine; did you mean \"cosine\"?",
        ),
        (Type::Text { max: 3 }, serde_json::json!("four"), "has 4 bytes; at most 3 are allowed"),
        (
            Type::Names { max: 3 },
            serde_json::json!("q_proj"),
            "must be a list of names, found the text \"q_proj\"; write [q_proj]",
        ),
        (Type::Names { max: 3 }, serde_json::json!(["q_proj", 7]), "must be a list of names, found the number 7 in it"),
    ];
    for (ty, value, text) in cases {
        assert_eq!(ty.read(&value), Err(text.to_string()));
    }
}
