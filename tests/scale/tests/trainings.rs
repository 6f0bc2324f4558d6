//! As many trainings as `tests/scale/run.sh` says, by the operator that it started.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use medtrain_scale::audit::Requests;
use medtrain_scale::figures::{Process, Reconciles};
use medtrain_scale::kubelet::Kubelet;
use medtrain_scale::ledger::Ledger;
use medtrain_scale::settings::Settings;
use medtrain_scale::{trainings, verdict, work};
use tokio::time::{interval, sleep, timeout};

/// From the first training on. The machine may be busy with other things, too.
fn patience(trainings: usize) -> Duration {
    Duration::from_secs(240 + 3 * trainings as u64)
}

/// After the last training is complete, what was begun may end within this time; then nothing may be asked.
const SETTLE: Duration = Duration::from_secs(5);
const QUIET: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn all_trainings_complete_and_nothing_is_done_twice() -> Result<()> {
    let settings = Settings::from_env()?;
    let client = Client::try_default().await?;
    trainings::prepare(&client, &settings).await?;
    let kubelet = Kubelet::new(client.clone());
    let nodes = tokio::spawn(kubelet.clone().run(settings.nodes()));

    let begin = Instant::now();
    let mut ledger = Ledger::default();
    let result = {
        let mut told = Instant::now();
        let follow = ledger.follow(client.clone(), settings.trainings, |ledger| {
            if told.elapsed() > Duration::from_secs(10) {
                told = Instant::now();
                eprintln!("{} of {} trainings are complete", ledger.complete, settings.trainings);
            }
        });
        let run = async {
            tokio::try_join!(follow, trainings::create(&client, &settings))?;
            Ok(())
        };
        let operator_lives = async {
            let mut every = interval(Duration::from_secs(1));
            loop {
                every.tick().await;
                if let Err(ended) = Process::of_operator(&settings.state) {
                    break Err(ended);
                }
            }
        };
        tokio::select! {
            done = timeout(patience(settings.trainings), run) => done.unwrap_or_else(|late| Err(late.into())),
            ended = nodes => ended?,
            ended = operator_lives => ended,
        }
    };
    let wall = begin.elapsed().as_secs_f64();
    if let Err(error) = result {
        let state = format!("{} of {} complete; {:?}", ledger.complete, settings.trainings, kubelet.complaints());
        return Err(error.context(ledger.unfinished()).context(state));
    }
    let end = Timestamp::now();
    sleep(SETTLE + QUIET).await;

    let process = Process::of_operator(&settings.state)?;
    let reconciles = Reconciles::fetch(&settings.metrics).await?;
    let requests = Requests::of(&settings.operator, &settings.state.join("log"))?;
    let count = settings.trainings as f64;
    println!();
    let row = |what: &str, value: String| println!("{what:<34}{value:>16}");
    row("trainings", settings.trainings.to_string());
    row("namespaces, nodes", format!("{}, {}", settings.namespaces(), settings.nodes()));
    row("pods, of which evicted", format!("{}, {}", kubelet.pods(), kubelet.evictions()));
    row("wall time", format!("{wall:.1} s"));
    row("transitions of stages", format!("{:.1} /s", ledger.transitions as f64 / wall));
    row("operator: peak of memory", format!("{} MiB", process.peak_mib));
    row("operator: processor time", format!("{:.1} s", process.cpu_seconds));
    row("reconciles per training", format!("{:.1}", reconciles.count() / count));
    for share in [0.5, 0.9, 0.99] {
        row(&format!("reconcile, p{:.0}", share * 100.0), format!("{:.0} ms", reconciles.quantile(share) * 1000.0));
    }
    row("API calls per training", format!("{:.1}", requests.all as f64 / count));
    for (kind, calls) in &requests.by_kind {
        row(&format!("  {kind}"), format!("{:.2}", *calls as f64 / count));
    }
    for (kind, errors) in &requests.errors {
        row(&format!("  answered by an error: {kind}"), errors.to_string());
    }

    let all: Vec<_> = (0..settings.trainings).map(|number| trainings::name(&settings, number)).collect();
    let fails = all.iter().flat_map(|(namespace, name)| work::Work::of(namespace, name));
    ensure!(fails.filter(|work| work.fate() == work::Fate::Fails).count() > 0, "no failure is tested");
    let wrong = verdict::judge(&all, &ledger, &requests, &kubelet);
    ensure!(
        wrong.is_empty(),
        "{} things are wrong, first these:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
    let quiet_since = end + SignedDuration::try_from(SETTLE)?;
    ensure!(
        requests.last < Some(quiet_since),
        "the operator goes on asking when all is done: last at {:?}",
        requests.last
    );
    Ok(())
}
