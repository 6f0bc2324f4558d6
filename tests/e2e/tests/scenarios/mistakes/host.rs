//! What needs the network of the node: a store that goes away for a while.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use medtrain_crds::training::status::{StageState, condition};
use medtrain_e2e::{
    Scenario,
    door::Door,
    operated::{costs, has_a_checkpoint},
    outcome, training,
};
use tokio::time::{Instant, sleep};

const OUTAGE: Duration = Duration::from_secs(65);

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_waits_out_a_store_that_is_down_for_a_minute() -> Result<()> {
    let scenario = Scenario::begin("outage").await?;
    let door = Door::open(&scenario.env.endpoint).await?;
    let mut training = training::long(&scenario.env, &scenario.store, "outage", "out");
    training["spec"]["storage"][0]["endpoint"] = door.endpoint().into();
    scenario.apply(&training).await?;
    scenario.stage_until("outage", "pt", "a checkpoint", has_a_checkpoint).await?;

    door.shut();
    let begin = Instant::now();
    while begin.elapsed() < OUTAGE {
        let status = scenario.status("outage").await?;
        let stage = status.stage("pt").with_context(|| format!("{status:?}"))?;
        ensure!(stage.state == StageState::Running && !status.is(condition::DEGRADED), "{status:?}");
        sleep(Duration::from_secs(1)).await;
    }
    ensure!(door.refused() > 0, "the stage did not meet the outage");
    door.reopen();

    let status = scenario.reaches("outage", condition::COMPLETE).await?;
    let stage = status.stage("pt").with_context(|| format!("{status:?}"))?;
    ensure!((stage.attempt, costs(stage)) == (1, (0, 0, 0)), "{stage:?}");
    ensure!(outcome::runs(&scenario.store, "out", "pt").await? == 1, "a second pod finished the stage");
    scenario.end().await
}
