//! A stage that takes more memory than its limit, for a cause that no forecast knows.

use anyhow::{Context, Result, ensure};
use k8s_openapi::jiff::Timestamp;
use medtrain_crds::training::status::{StageState, StageStatus, condition};
use medtrain_e2e::{Scenario, operated::costs};
use serde_json::json;

use super::{STAGE, assert_says, completes, small, warns};

#[tokio::test(flavor = "multi_thread")]
async fn an_out_of_memory_kill_is_charged_backed_off_from_and_in_the_end_fails() -> Result<()> {
    let scenario = Scenario::begin("memory").await?;
    // One row with a huge column that nobody reads: the row itself must be held to be parsed.
    let mut rows = scenario.store.get("data/sft.jsonl").await?.to_vec();
    let scan = "x".repeat(60 << 20);
    rows.extend(json!({"instruction": "What helps?", "output": "rest", "scan": scan}).to_string().into_bytes());
    scenario.store.put("data/fat.jsonl", rows).await?;
    let mut training = small(&scenario, "fat");
    let stage = &mut training["spec"]["stages"][0];
    stage["dataset"]["train"] = json!([scenario.store.uri("data/fat.jsonl")]);
    stage["podTemplate"] = json!({"resources": {"requests": {"memory": "64Mi"}, "limits": {"memory": "112Mi"}}});
    scenario.apply(&training).await?;

    for (charged, pause) in [(1, 2), (2, 4)] {
        let between = |stage: &StageStatus| stage.state == StageState::Retrying && stage.charged_attempts == charged;
        let stage = scenario.stage_until("fat", STAGE, &format!("pause {charged}"), between).await?;
        ensure!(stage.reason == "OOMKilled" && stage.message.contains("resources.limits.memory"), "{stage:?}");
        let next = stage.retry_time.as_ref().context("no retryTime")?.0;
        let waited = next.duration_since(ended(&scenario, &format!("fat-sft-{charged}")).await?).as_secs();
        ensure!((pause..pause + 10).contains(&waited), "pause {charged} takes {waited} s");
    }
    let status = scenario.reaches("fat", condition::FAILED).await?;
    assert_says(&status, condition::FAILED, "True", "OOMKilled", &["sft: ", "resources.limits.memory"])?;
    let stage = status.stage(STAGE).context("no stage")?;
    ensure!((stage.attempt, costs(stage)) == (3, (3, 0, 0)), "{stage:?}");
    warns(&scenario, "fat", "OOMKilled").await?;

    training["spec"]["stages"][0]["podTemplate"]["resources"]["limits"]["memory"] = "1Gi".into();
    scenario.apply(&training).await?;
    completes(&scenario, "fat", 4).await?;
    scenario.end().await
}

/// When the container of a Job's pod ended.
async fn ended(scenario: &Scenario, job: &str) -> Result<Timestamp> {
    let pods = scenario.pods_of(job).await?;
    let statuses = pods.iter().flat_map(|pod| pod.status.as_ref()?.container_statuses.as_deref()).flatten();
    let mut ends = statuses.filter_map(|status| status.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref());
    Ok(ends.next().with_context(|| format!("no pod of {job} has ended"))?.0)
}
