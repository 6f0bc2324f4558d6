//! Numbers about the operator's process, from the kernel and from its own metrics.

use std::path::Path;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

const DURATION: &str = "medtrain_operator_reconcile_duration_seconds";

/// What the kernel knows of a process.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    /// The most memory that it ever held, in MiB.
    pub peak_mib: u64,
    pub cpu_seconds: f64,
}

impl Process {
    /// Of the process that tests/cluster recorded as the operator.
    ///
    /// # Errors
    /// It has ended.
    pub fn of_operator(state: &Path) -> Result<Self> {
        let recorded = state.join("pid/operator");
        let line = std::fs::read_to_string(&recorded).with_context(|| recorded.display().to_string())?;
        let process = Path::new("/proc").join(line.split(' ').next().unwrap_or_default());
        let read = |file: &str| {
            std::fs::read_to_string(process.join(file)).with_context(|| {
                format!("the operator has ended; {} tells why", state.join("log/operator.log").display())
            })
        };
        Self::parse(&read("status")?, &read("stat")?).context("what /proc says of the operator can't be read")
    }

    fn parse(status: &str, stat: &str) -> Option<Self> {
        const TICKS: f64 = 100.0; // a second, of every Linux
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: u64 = peak.trim().strip_suffix(" kB")?.parse().ok()?;
        // Behind the program's name, which may hold spaces: state, 10 others, then time in user and in system mode.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let mut ticks = || fields.next()?.parse::<f64>().ok();
        Some(Self { peak_mib: kib / 1024, cpu_seconds: (ticks()? + ticks()?) / TICKS })
    }
}

/// How long reconciles took: upper bounds in seconds with the reconciles up to each.
#[derive(Debug)]
pub struct Reconciles {
    buckets: Vec<(f64, f64)>,
}

impl Reconciles {
    /// # Errors
    /// The operator does not answer, or has no such metric.
    pub async fn fetch(metrics: &str) -> Result<Self> {
        let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let answer = client.get(metrics.parse()?).await.with_context(|| metrics.to_owned())?;
        let text = answer.into_body().collect().await?.to_bytes();
        Self::parse(&String::from_utf8_lossy(&text)).with_context(|| format!("{metrics} has no {DURATION}"))
    }

    fn parse(text: &str) -> Option<Self> {
        let begin = format!("{DURATION}_bucket{{le=\"");
        let bucket = |line: &str| {
            let (bound, count) = line.strip_prefix(&begin)?.split_once("\"} ")?;
            Some((bound.replace("+Inf", "inf").parse().ok()?, count.parse().ok()?))
        };
        let buckets: Vec<_> = text.lines().filter_map(bucket).collect();
        (!buckets.is_empty()).then_some(Self { buckets })
    }

    pub fn count(&self) -> f64 {
        self.buckets.last().map_or(0.0, |(_, count)| *count)
    }

    /// As Prometheus estimates it: linear within a bucket. In seconds.
    pub fn quantile(&self, share: f64) -> f64 {
        let rank = share * self.count();
        let (mut lower, mut below) = (0.0, 0.0);
        for (bound, count) in &self.buckets {
            if *count >= rank && *count > below {
                let inside = (rank - below) / (count - below);
                return if bound.is_finite() { lower + (bound - lower) * inside } else { lower };
            }
            (lower, below) = (*bound, *count);
        }
        lower
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_prometheus_own() {
        let text = "# TYPE x histogram\n\
            medtrain_operator_reconcile_duration_seconds_bucket{le=\"0.005\"} 50\n\
            medtrain_operator_reconcile_duration_seconds_bucket{le=\"0.01\"} 90\n\
            medtrain_operator_reconcile_duration_seconds_bucket{le=\"+Inf\"} 100\n";
        let reconciles = Reconciles::parse(text).unwrap();
        assert_eq!(reconciles.count(), 100.0);
        assert!((reconciles.quantile(0.5) - 0.005).abs() < 1e-12);
        assert!((reconciles.quantile(0.7) - 0.0075).abs() < 1e-12);
        assert!((reconciles.quantile(0.99) - 0.01).abs() < 1e-12);
    }

    #[test]
    fn memory_and_time_are_read_whatever_the_program_is_called() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 4";
        let process = Process::parse("Name:\tx\nVmHWM:\t   20480 kB\nVmRSS:\t 1 kB\n", stat).unwrap();
        assert_eq!((process.peak_mib, process.cpu_seconds), (20, 3.0));
    }
}
