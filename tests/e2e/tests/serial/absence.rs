//! What happens to a training while no operator is there. No other test may run meanwhile.

mod host {
    use anyhow::{Context, Result, ensure};
    use k8s_openapi::api::{apps::v1::Deployment, batch::v1::Job, core::v1::Pod};
    use kube::{
        Api,
        api::{DeleteParams, ListParams, Patch, PatchParams},
    };
    use medtrain_e2e::{
        Scenario,
        operated::{costs, has_a_checkpoint},
        operator::Operator,
        training,
    };
    use serde_json::json;

    const OUTPUT: &str = "pods";
    /// Where tests/e2e/run.sh installs the operator.
    const NAMESPACE: &str = "medtrain-system";
    const OPERATOR: &str = "medtrain";

    async fn scale(scenario: &Scenario, replicas: u32) -> Result<()> {
        let deployments: Api<Deployment> = Api::namespaced(scenario.client.clone(), NAMESPACE);
        let wanted = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        deployments.patch_scale(OPERATOR, &PatchParams::default(), &wanted).await?;
        Ok(())
    }

    /// The stage's pod ends and goes while nobody looks.
    async fn end_unseen(scenario: &Scenario) -> Result<()> {
        let operators: Api<Pod> = Api::namespaced(scenario.client.clone(), NAMESPACE);
        let ours = ListParams::default().labels("app.kubernetes.io/component=operator");
        let gone = async || Ok(operators.list(&ours).await?.items.is_empty());
        scenario.until("end of the operator's pods", gone).await?;
        scenario.wait::<Job>("absent-pt-1", "Complete").await?;
        let status = scenario.status("absent").await?;
        ensure!(status.stage("pt").is_some_and(|stage| !stage.state.is_done()), "it was seen: {status:?}");
        for pod in scenario.pods_of("absent-pt-1").await? {
            let name = pod.metadata.name.unwrap_or_default();
            scenario.api::<Pod>().delete(&name, &DeleteParams::default()).await?;
        }
        Ok(())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_ended_while_the_operator_was_away_is_looked_up_in_the_store() -> Result<()> {
        let scenario = Scenario::begin("absent").await?;
        let mut training = training::of_stages(&scenario.env, &scenario.store, "absent", OUTPUT, &["pt", "sft"]);
        // Long enough to go on until the operator is away.
        training["spec"]["stages"][0]["train"]["maxSteps"] = (training::LONG / 2).into();
        training["spec"]["stages"][0]["train"]["saveSteps"] = (training::LONG / 50).into();
        scenario.apply(&training).await?;
        scenario.stage_until("absent", "pt", "a checkpoint", has_a_checkpoint).await?;

        scale(&scenario, 0).await?;
        let unseen = end_unseen(&scenario).await;
        scale(&scenario, 2).await?;
        unseen?;
        Operator::installed(&scenario.client).is_whole().await?;

        let status = scenario.reaches("absent", "Complete").await?;
        let pt = status.stage("pt").context("no stage pt")?;
        ensure!(pt.message == "its manifest was found in the store", "{pt:?}");
        ensure!((pt.attempt, costs(pt)) == (1, (0, 1, 0)), "{pt:?}");
        ensure!(scenario.jobs_of("stage").await? == ["absent-pt-1", "absent-sft-1"], "a stage ran twice");
        scenario.end().await
    }
}
