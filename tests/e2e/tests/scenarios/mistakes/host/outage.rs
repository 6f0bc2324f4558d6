//! A store that goes away for a while.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use medtrain_crds::training::status::{StageState, condition};
use medtrain_e2e::{
    Scenario,
    door::{Door, Position},
    operated::{costs, has_a_checkpoint},
    outcome, training,
};
use tokio::time::{Instant, sleep};

const OUTAGE: Duration = Duration::from_secs(65);

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_waits_out_a_store_that_is_down_for_a_minute() -> Result<()> {
    waits_out("down", Position::Shut).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_waits_out_a_store_that_gives_no_answer_for_a_minute() -> Result<()> {
    waits_out("mute", Position::Hanging).await
}

async fn waits_out(name: &str, outage: Position) -> Result<()> {
    let scenario = Scenario::begin(name).await?;
    let door = Door::open(&scenario.env.endpoint).await?;
    let mut training = training::long(&scenario.env, &scenario.store, name, "out");
    training["spec"]["storage"][0]["endpoint"] = door.endpoint().into();
    scenario.apply(&training).await?;
    scenario.stage_until(name, "pt", "a checkpoint", has_a_checkpoint).await?;

    door.set(outage);
    let begin = Instant::now();
    // On a slow machine the next checkpoint may take longer than that.
    while begin.elapsed() < OUTAGE || (door.turned_away() == 0 && begin.elapsed() < 5 * OUTAGE) {
        let status = scenario.status(name).await?;
        let stage = status.stage("pt").with_context(|| format!("{status:?}"))?;
        ensure!(stage.state == StageState::Running && !status.is(condition::DEGRADED), "{status:?}");
        sleep(Duration::from_secs(1)).await;
    }
    ensure!(door.turned_away() > 0, "the stage did not meet the outage");
    door.set(Position::Open);

    let status = scenario.reaches(name, condition::COMPLETE).await?;
    let stage = status.stage("pt").with_context(|| format!("{status:?}"))?;
    ensure!((stage.attempt, costs(stage)) == (1, (0, 0, 0)), "{stage:?}");
    ensure!(outcome::runs(&scenario.store, "out", "pt").await? == 1, "a second pod finished the stage");
    scenario.end().await
}
