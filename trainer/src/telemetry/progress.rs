//! What a person watches: a bar on a terminal, plain lines in a log, JSON lines for a machine; and the same figures
//! for `/progress`.
//!
//! Holds: a bar and plain lines go to standard error, JSON lines to standard output, so that results can be piped;
//! a line a logging step at most; no text of a data row.

use std::{
    io::{IsTerminal, Write},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use medtrain_crds::contract::{Phase, Progress};
use serde_json::{Value, json};

use super::LogEntry;

/// The figures behind `/progress`; clones share them.
#[derive(Clone, Debug)]
pub struct SharedProgress(Arc<Mutex<Progress>>);

impl SharedProgress {
    pub fn new(stage: &str) -> Self {
        Self(Arc::new(Mutex::new(Progress::new(stage))))
    }

    pub fn snapshot(&self) -> Progress {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn update(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Bar,
    Lines,
    Json,
    Quiet,
}

impl Style {
    /// `--json` gives JSON lines; else a bar if a person is watching, lines if not.
    pub fn choose(json: bool) -> Self {
        match json {
            true => Self::Json,
            false if std::io::stderr().is_terminal() => Self::Bar,
            false => Self::Lines,
        }
    }
}

/// One optimiser step, as shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepReport {
    /// Steps done, this one included.
    pub step: u64,
    pub loss: f64,
    pub learning_rate: f64,
    pub tokens_per_second: f64,
}

pub struct Reporter {
    stage: String,
    style: Style,
    shared: SharedProgress,
    bar: ProgressBar,
    out: Box<dyn Write + Send>,
    /// When steps began, and how many were done before (a resume).
    begun: Option<(Instant, u64)>,
    last_line: Option<Instant>,
}

/// Plain lines come no faster than this, whatever `loggingSteps` says.
const LINE_EVERY: Duration = Duration::from_secs(1);

impl Reporter {
    pub fn new(style: Style, stage: &str) -> Self {
        let out: Box<dyn Write + Send> = match style {
            Style::Json => Box::new(std::io::stdout()),
            _ => Box::new(std::io::stderr()),
        };
        Self::to(style, stage, out)
    }

    fn to(style: Style, stage: &str, out: Box<dyn Write + Send>) -> Self {
        let bar = match style {
            Style::Bar => ProgressBar::new(0).with_prefix(stage.to_owned()),
            _ => ProgressBar::hidden(),
        };
        if let Ok(style) = ProgressStyle::with_template("{prefix:>8} {bar:30} {pos}/{len} {msg}") {
            bar.set_style(style);
        }
        Self {
            stage: stage.to_owned(),
            style,
            shared: SharedProgress::new(stage),
            bar,
            out,
            begun: None,
            last_line: None,
        }
    }

    /// For [`super::Server`].
    pub fn shared(&self) -> SharedProgress {
        self.shared.clone()
    }

    /// The stage starts something else; `bytes` counts from 0 again.
    pub fn phase(&mut self, phase: Phase) {
        let before = self.shared.snapshot().phase;
        self.shared.update(|p| (p.phase, p.bytes) = (phase, 0));
        match self.style {
            _ if before == phase => {}
            Style::Bar => self.bar.set_message(phase.name()),
            Style::Json => self.event("phase", json!({"phase": phase})),
            Style::Lines if !matches!(phase, Phase::Rollout | Phase::Training) => self.line(phase.name()),
            Style::Lines | Style::Quiet => {}
        }
    }

    /// Bytes read or written since the phase began: what tells slow from stuck.
    pub fn bytes(&mut self, bytes: u64) {
        self.shared.update(|p| p.bytes = bytes);
    }

    /// `done` of `total` steps are done already (a resume).
    pub fn begin(&mut self, done: u64, total: u64) {
        self.shared.update(|p| (p.step, p.total) = (done, total));
        self.begun = Some((Instant::now(), done));
        self.bar.set_length(total);
        self.bar.set_position(done);
        match self.style {
            Style::Json => self.event("begin", json!({"step": done, "total": total})),
            Style::Lines if done > 0 => self.line(&format!("resumed at step {done}/{total}")),
            _ => {}
        }
    }

    /// After every step: moves the bar and `/progress`.
    pub fn step(&mut self, report: StepReport) {
        let (since, done) = *self.begun.get_or_insert_with(|| (Instant::now(), report.step.saturating_sub(1)));
        let total = self.shared.snapshot().total;
        let eta = eta(since.elapsed(), report.step.saturating_sub(done), total.saturating_sub(report.step));
        self.shared.update(|p| {
            p.step = report.step;
            p.loss = Some(report.loss);
            p.tokens_per_second = Some(report.tokens_per_second);
            p.eta_seconds = eta.map(|eta| eta.as_secs_f64());
        });
        self.bar.set_position(report.step);
        self.bar.set_message(figures(&report, eta));
    }

    /// At every logging step, after [`Reporter::step`]: the line that stays.
    pub fn log(&mut self, report: StepReport, entry: &LogEntry) {
        let progress = self.shared.snapshot();
        match self.style {
            Style::Json => self.entry("step", entry),
            Style::Lines => {
                let last_step = report.step == progress.total;
                if last_step || self.last_line.is_none_or(|at| at.elapsed() >= LINE_EVERY) {
                    self.last_line = Some(Instant::now());
                    let eta = progress.eta_seconds.map(Duration::from_secs_f64);
                    self.line(&format!("step {}/{}  {}", report.step, progress.total, figures(&report, eta)));
                }
            }
            Style::Bar | Style::Quiet => {}
        }
    }

    /// Held-out figures.
    pub fn evaluated(&mut self, entry: &LogEntry) {
        match self.style {
            Style::Json => self.entry("eval", entry),
            _ => {
                let values: Vec<_> = entry.values.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
                self.say(&format!("step {}  {}", entry.step, values.join("  ")));
            }
        }
    }

    /// `step` turned out to be the last one.
    pub fn gives_up(&mut self, step: u64) {
        let planned = self.shared.snapshot().total;
        self.shared.update(|p| (p.total, p.eta_seconds) = (step, Some(0.0)));
        self.bar.set_length(step);
        match self.style {
            Style::Json => self.event("early_stop", json!({"step": step, "total": planned})),
            _ => self.say(&format!("stopped early at step {step} of {planned}: evaluations no longer improve")),
        }
    }

    /// A checkpoint of `step` is in the store.
    pub fn checkpoint(&mut self, step: u64) {
        self.shared.update(|p| p.last_checkpoint = Some(step));
        match self.style {
            Style::Json => self.event("checkpoint", json!({"step": step})),
            Style::Lines => self.line(&format!("checkpoint at step {step}")),
            Style::Bar | Style::Quiet => {}
        }
    }

    /// One sentence that matters (a skipped checkpoint, dropped rows).
    pub fn warn(&mut self, sentence: &str) {
        match self.style {
            Style::Json => self.event("warning", json!({"message": sentence})),
            _ => self.say(&format!("warning: {sentence}")),
        }
    }

    /// The stage is done; the bar is taken away.
    pub fn finish(&mut self) {
        self.phase(Phase::Done);
        self.bar.finish_and_clear();
    }

    fn say(&mut self, text: &str) {
        match self.style {
            Style::Bar => self.bar.println(format!("{:>8} {text}", self.stage)),
            Style::Quiet => {}
            Style::Lines | Style::Json => self.line(text),
        }
    }

    fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "{}  {text}", self.stage); // a closed pipe must not end a training
    }

    fn entry(&mut self, event: &str, entry: &LogEntry) {
        match serde_json::to_value(entry) {
            Ok(value) => self.event(event, value),
            Err(error) => self.warn(&format!("step {} can't be shown as JSON: {error}", entry.step)),
        }
    }

    fn event(&mut self, event: &str, fields: Value) {
        let mut line =
            serde_json::Map::from_iter([("event".to_owned(), json!(event)), ("stage".to_owned(), json!(self.stage))]);
        if let Value::Object(fields) = fields {
            line.extend(fields);
        }
        let _ = writeln!(self.out, "{}", Value::Object(line));
    }
}

fn figures(report: &StepReport, eta: Option<Duration>) -> String {
    let mut text =
        format!("loss {:.4}  lr {:.2e}  {:.0} tok/s", report.loss, report.learning_rate, report.tokens_per_second);
    if let Some(eta) = eta {
        text.push_str("  eta ");
        text.push_str(&span(eta));
    }
    text
}

/// Time for the `left` steps at the speed of the `done` ones.
fn eta(elapsed: Duration, done: u64, left: u64) -> Option<Duration> {
    (done > 0).then(|| Duration::from_secs_f64(elapsed.as_secs_f64() / done as f64 * left as f64))
}

/// `2h05m`, `3m20s`, `12s`.
fn span(duration: Duration) -> String {
    let s = duration.as_secs();
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m{:02}s", s / 60, s % 60),
        _ => format!("{}h{:02}m", s / 3600, s % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A writer whose text the test can read.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(style: Style, tell: impl FnOnce(&mut Reporter)) -> String {
        let paper = Paper::default();
        tell(&mut Reporter::to(style, "sft", Box::new(paper.clone())));
        let bytes = paper.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn report(step: u64) -> StepReport {
        StepReport { step, loss: 1.25, learning_rate: 2e-5, tokens_per_second: 1234.4 }
    }

    fn a_run(reporter: &mut Reporter) {
        reporter.begin(0, 3);
        for step in 1..=3 {
            reporter.step(report(step));
            reporter.log(report(step), &LogEntry::new(step, 0.5, [("loss", 1.25)]));
        }
        reporter.evaluated(&LogEntry::new(3, 0.5, [("eval_loss", 1.5)]));
        reporter.warn("checkpoint-2 is damaged");
        reporter.checkpoint(3);
        reporter.finish();
    }

    #[test]
    fn plain_lines_are_limited_but_the_last_step_is_always_shown() {
        let text = written(Style::Lines, a_run);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("sft  step 1/3  loss 1.2500  lr 2.00e-5  1234 tok/s  eta "), "{text}");
        assert!(lines[1].starts_with("sft  step 3/3  "), "{text}");
        assert_eq!(
            lines[2..],
            [
                "sft  step 3  eval_loss 1.5000",
                "sft  warning: checkpoint-2 is damaged",
                "sft  checkpoint at step 3",
                "sft  done"
            ]
        );
    }

    #[test]
    fn json_is_one_object_a_line() {
        let text = written(Style::Json, a_run);
        let events: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let names: Vec<_> = events.iter().map(|e| e["event"].as_str().unwrap()).collect();
        assert_eq!(names, ["begin", "step", "step", "step", "eval", "warning", "checkpoint", "phase"]);
        assert_eq!(events[1], json!({"event": "step", "stage": "sft", "epoch": 0.5, "step": 1, "loss": 1.25}));
    }

    #[test]
    fn quiet_is_quiet() {
        assert_eq!(written(Style::Quiet, a_run), "");
    }

    #[test]
    fn progress_follows_the_run() {
        let mut reporter = Reporter::to(Style::Quiet, "sft", Box::new(std::io::sink()));
        let shared = reporter.shared();
        a_run(&mut reporter);
        let seen = shared.snapshot();
        assert_eq!((seen.step, seen.total, seen.phase, seen.last_checkpoint), (3, 3, Phase::Done, Some(3)));
        assert_eq!((seen.loss, seen.eta_seconds), (Some(1.25), Some(0.0)));
    }

    #[test]
    fn the_estimate_goes_by_the_steps_of_this_process() {
        assert_eq!(eta(Duration::from_secs(10), 5, 100), Some(Duration::from_secs(200)));
        assert_eq!(eta(Duration::from_secs(10), 0, 100), None);
        for (seconds, text) in [(12, "12s"), (200, "3m20s"), (7_500, "2h05m")] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }
}
