//! What can't work whoever tries: found by the resolver or by preflight, failed at once, before any stage has a Job.

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Secret;
use medtrain_crds::training::status::condition;
use medtrain_e2e::{Scenario, training};
use serde_json::{Value, json};

use super::{assert_says, completes, shown, small, try_again, warns};

/// Part of a row that must not appear in any message.
const PATIENT: &str = "Erika Mustermann";

struct Mistake {
    training: &'static str,
    make: fn(&Scenario, &mut Value),
    /// Of Accepted=False and Failed=True.
    reason: &'static str,
    /// Place and way out.
    says: &'static [&'static str],
    mend: Mend,
}

enum Mend {
    /// Of the spec; nothing else is needed.
    Edit(fn(&Scenario, &mut Value)),
    /// Of the store's files, each a copy of another.
    Copy(&'static [(&'static str, &'static str)]),
    Credentials,
}

static MISTAKES: [Mistake; 6] = [
    Mistake {
        training: "edge",
        make: |scenario, spec| {
            let mut stages = training::tiny(&scenario.env, &scenario.store, "x", "x")["spec"]["stages"].take();
            let mut again = stages[1].clone();
            again["name"] = "again".into();
            again["inputs"] = json!({"policy": {"from": "rm"}});
            spec["stages"] = json!([stages[1].take(), stages[2].take(), again]);
        },
        reason: "SpecInvalid",
        says: &["stages[2].inputs.policy", "\"rm\" is a reward model"],
        mend: Mend::Edit(|_, spec| spec["stages"] = json!([spec["stages"][0]])),
    },
    Mistake {
        training: "large",
        make: |_, spec| spec["stages"][0]["podTemplate"] = json!({"resources": {"limits": {"memory": "64Mi"}}}),
        reason: "ConfigInvalid",
        says: &["stages[0].podTemplate.resources.limits.memory: stage \"sft\" takes about", "has 64 MiB; raise it"],
        mend: Mend::Edit(|_, spec| spec["stages"][0]["podTemplate"]["resources"]["limits"]["memory"] = "1Gi".into()),
    },
    Mistake {
        training: "data",
        make: |scenario, spec| spec["stages"][0]["dataset"]["train"] = json!([scenario.store.uri("data/late.jsonl")]),
        reason: "InputUnavailable",
        says: &["stages[0].dataset.train", "data/late.jsonl: not found"],
        mend: Mend::Copy(&[("data/sft.jsonl", "data/late.jsonl")]),
    },
    Mistake {
        training: "row",
        make: |scenario, spec| spec["stages"][0]["dataset"]["train"] = json!([scenario.store.uri("data/row.jsonl")]),
        reason: "DataInvalid",
        says: &["stages[0].dataset", "data/row.jsonl: line 2"],
        mend: Mend::Copy(&[("data/sft.jsonl", "data/row.jsonl")]),
    },
    Mistake {
        training: "model",
        make: |scenario, spec| spec["model"]["tokenizer"] = scenario.store.uri("late").into(),
        reason: "InputUnavailable",
        says: &["model.tokenizer", "/late"],
        mend: Mend::Copy(&[
            ("tokenizer/tokenizer.json", "late/tokenizer.json"),
            ("tokenizer/tokenizer_config.json", "late/tokenizer_config.json"),
        ]),
    },
    Mistake {
        training: "keys",
        make: |_, spec| spec["storage"][0]["secretRef"]["name"] = "keys".into(),
        reason: "PermissionDenied",
        says: &["output.uri", "the store refused access", "storage[0]"],
        mend: Mend::Credentials,
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_work_fails_at_once_says_where_and_works_once_it_is_mended() -> Result<()> {
    let scenario = Scenario::begin("refused").await?;
    let rows = json!({"instruction": "What helps with fever?", "output": "rest"}).to_string() + "\n";
    scenario.store.put("data/row.jsonl", rows + &json!({"instruction": PATIENT}).to_string()).await?;
    let wrong = json!({"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing"});
    scenario.create::<Secret>(json!({"metadata": {"name": "keys"}, "stringData": wrong})).await?;
    try_join_all(MISTAKES.iter().map(|mistake| is_refused(&scenario, mistake))).await?;
    ensure!(scenario.jobs_of("stage").await?.is_empty(), "a stage has a Job");
    try_join_all(MISTAKES.iter().map(|mistake| is_mended(&scenario, mistake))).await?;
    scenario.end().await
}

fn mistaken(scenario: &Scenario, mistake: &Mistake) -> Value {
    let mut training = small(scenario, mistake.training);
    (mistake.make)(scenario, &mut training["spec"]);
    training
}

async fn is_refused(scenario: &Scenario, mistake: &Mistake) -> Result<()> {
    let &Mistake { training: name, reason, says, .. } = mistake;
    scenario.apply(&mistaken(scenario, mistake)).await?;
    let status = scenario.reaches(name, condition::FAILED).await?;
    assert_says(&status, condition::FAILED, "True", reason, says)?;
    assert_says(&status, condition::ACCEPTED, "False", reason, says)?;
    let failed = status.condition(condition::FAILED).map_or("", |failed| &failed.message);
    let by_edit = matches!(mistake.mend, Mend::Edit(_));
    ensure!(failed.contains("a new spec.retryToken tries again") != by_edit, "{name}: {failed}");
    ensure!(shown(&status) == "Failed", "{status:?}");
    warns(scenario, name, reason).await?;
    // The same look at the same things would end the same way.
    let tried = status.preflight.as_ref().map(|preflight| (preflight.attempt, preflight.charged));
    ensure!(tried == (reason != "SpecInvalid").then_some((1, 0)), "{name}: {status:?}");
    ensure!(!format!("{status:?}").contains(PATIENT), "{name}: text of a row in status");
    Ok(())
}

async fn is_mended(scenario: &Scenario, mistake: &Mistake) -> Result<()> {
    let mut training = mistaken(scenario, mistake);
    match &mistake.mend {
        Mend::Edit(edit) => {
            edit(scenario, &mut training["spec"]);
            scenario.apply(&training).await?;
        }
        Mend::Copy(files) => {
            for (from, to) in *files {
                scenario.store.put(to, scenario.store.get(from).await?).await?;
            }
            try_again(scenario, &mut training).await?;
        }
        Mend::Credentials => {
            let right = json!({"AWS_ACCESS_KEY_ID": scenario.env.access_key_id,
                "AWS_SECRET_ACCESS_KEY": scenario.env.secret_access_key});
            scenario.patch::<Secret>("keys", json!({"stringData": right})).await?;
            try_again(scenario, &mut training).await?;
        }
    }
    completes(scenario, mistake.training, 1).await
}
