//! The node itself fails a stage: its kubelet stops answering, or runs out of memory for pods. Rows of the table in
//! README.md.

mod host {
    use anyhow::{Context, Result, ensure};
    use k8s_openapi::api::{
        batch::v1::Job,
        core::v1::{Node, Pod},
    };
    use kube::{Api, ResourceExt, api::ListParams};
    use medtrain_crds::{contract::Reason, k8s::MedicalTraining, training::status::StageStatus};
    use medtrain_e2e::{
        Scenario,
        disruption::{Cost, STAGE},
        host,
        operator::Operator,
        outcome,
    };
    use serde_json::json;

    async fn is_node_ready(scenario: &Scenario, wanted: bool) -> Result<()> {
        let nodes: Api<Node> = Api::all(scenario.client.clone());
        let ready = |node: &Node| {
            let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
            conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
        };
        let what = if wanted { "ready node" } else { "node that is not ready" };
        scenario
            .until(what, async || {
                Ok(nodes.list(&ListParams::default()).await?.iter().all(|node| ready(node) == wanted))
            })
            .await
    }

    /// Two things can become of a trainer whose node is lost: it hangs, and wakes up when its successor is done (the default
    /// grace period is longer than that takes); or it goes on, unseen.
    #[tokio::test(flavor = "multi_thread")]
    async fn stages_of_a_lost_node_are_not_charged_and_what_wakes_up_there_changes_nothing() -> Result<()> {
        let scenario = Scenario::begin("lost").await?;
        let hanging = scenario.start_to_disturb("hanging", json!({})).await?;
        let hung = host::stop(host::pid_of(&hanging)?)?;
        let unseen = scenario.start_to_disturb("unseen", json!({})).await?;
        let kubelet = host::stop(host::pid_of_component("kubelet")?)?;
        scenario.assert_unfinished("unseen").await?;
        is_node_ready(&scenario, false).await?;
        for name in ["hanging", "unseen"] {
            let lost = |stage: &StageStatus| stage.reason == Reason::NodeLost.name() && stage.probe.is_some();
            scenario.stage_until(name, STAGE, "loss", lost).await?;
            ensure!(
                scenario.api::<Job>().get_opt(&format!("{name}-{STAGE}-1")).await?.is_none(),
                "{name}: its Job waits for the node"
            );
        }
        kubelet.go_on()?;
        is_node_ready(&scenario, true).await?;

        scenario.wait::<MedicalTraining>("unseen", "Complete").await?;
        let run8 = outcome::finisher(&scenario.store, "unseen", STAGE).await?.context("unseen is not done")?;
        ensure!(unseen.uid().context("no UID")?.starts_with(&run8), "unseen did its work again");
        let cost = Cost { attempts: 1, charged: 0, uncharged: 1, replaced: 0 };
        scenario.assert_result("unseen").await?;
        scenario.assert_cost("unseen", cost, &[&[Reason::NodeLost]]).await?;

        scenario.assert_disturbed("hanging", &hanging, Cost::UNCHARGED_ATTEMPT, &[&[Reason::NodeLost]]).await?;
        let pid = host::pid_of(&hanging)?;
        hung.go_on()?;
        scenario.until("end of the trainer that hung", async || Ok(!host::is_alive(pid))).await?;
        scenario.assert_disturbed("hanging", &hanging, Cost::UNCHARGED_ATTEMPT, &[&[Reason::NodeLost]]).await?;
        Operator::installed(&scenario.client).is_whole().await?;
        scenario.end().await
    }

    /// The threshold of a kubelet that needs more memory than there is, as a flag.
    fn pressure() -> Result<String> {
        let text = std::fs::read_to_string("/proc/meminfo")?;
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")).context("no MemAvailable")?;
        let available: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(format!("--eviction-hard=memory.available<{}Ki", available + available / 50))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_pod_evicted_for_the_nodes_memory_is_replaced_within_its_attempt() -> Result<()> {
        let scenario = Scenario::begin("memory").await?;
        // It takes more than it asks for, unlike the operator, so it goes first. A pod that asks for nothing would be
        // refused by the new kubelet right away.
        let little = json!({"resources": {"requests": {"memory": "1Mi"}}});
        let pod = scenario.start_to_disturb("memory", little).await?;
        // Else it might be done before the kubelet looks at the node's memory.
        let trainer = host::stop(host::pid_of(&pod)?)?;
        let kubelet = host::restart_with("kubelet", &[pressure()?])?;
        let evicted = |pod: &Pod| pod.status.as_ref().is_some_and(|status| status.reason.as_deref() == Some("Evicted"));
        let job = format!("memory-{STAGE}-1");
        scenario.until("evicted pod", async || Ok(scenario.pods_of(&job).await?.first().is_some_and(evicted))).await?;
        drop((kubelet, trainer));
        is_node_ready(&scenario, true).await?;
        scenario.assert_disturbed("memory", &pod, Cost::ANOTHER_POD, &[&[]]).await?;
        Operator::installed(&scenario.client).is_whole().await?;
        scenario.end().await
    }
}
