//! SIGTERM and Ctrl-C: while a stage trains, the first asks it to write a checkpoint and stop, and a second Ctrl-C ends
//! at once; before and between stages there is nothing to save, and the first ends the process.
//!
//! Holds: after [`StopSignal::install`] a first signal always ends the process with 85.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use medtrain_crds::contract::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::{Failure, Result};

/// What a shell reports for a program ended by Ctrl-C.
const ABORTED: i32 = 130;

const NOTHING_TO_SAVE: &str =
    "stopped; no training was under way, so nothing is lost: run the same command again to go on";

/// Cheap to clone and to ask; loops ask between steps.
#[derive(Clone, Debug, Default)]
pub struct StopSignal {
    requested: Arc<AtomicBool>,
    /// A stage is at work that will ask.
    awaited: Arc<AtomicBool>,
}

/// See [`StopSignal::awaited`].
pub struct Awaited<'a>(&'a StopSignal);

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        self.0.awaited.store(false, Ordering::SeqCst);
    }
}

impl StopSignal {
    /// Listens on a thread of its own, for the rest of the process.
    ///
    /// # Errors
    /// 70 when the thread or the handlers can't be made.
    pub fn install() -> Result<Self> {
        let stop = Self::default();
        let seen = stop.clone();
        let fails = |e: std::io::Error| Failure::internal(format!("signals can't be handled: {e}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fails)?;
        let (mut terminate, mut interrupt) = {
            let _inside = runtime.enter();
            (signal(SignalKind::terminate()).map_err(fails)?, signal(SignalKind::interrupt()).map_err(fails)?)
        };
        let listen = async move {
            let mut interrupts = 0;
            loop {
                tokio::select! {
                    Some(()) = terminate.recv() => {}
                    Some(()) = interrupt.recv() => interrupts += 1,
                    else => return,
                }
                if !seen.awaited.load(Ordering::SeqCst) {
                    eprintln!("{NOTHING_TO_SAVE}");
                    std::process::exit(ExitCode::Checkpointed.code().into());
                }
                if interrupts > 1 {
                    eprintln!("stopped without a new checkpoint; the last saved one is kept");
                    std::process::exit(ABORTED);
                }
                if !seen.requested.swap(true, Ordering::SeqCst) && interrupts == 1 {
                    eprintln!("saving a checkpoint and stopping; press Ctrl-C again to stop at once");
                }
            }
        };
        std::thread::Builder::new().name("signals".into()).spawn(move || runtime.block_on(listen)).map_err(fails)?;
        Ok(stop)
    }

    pub fn stop_requested(&self) -> bool {
        self.requested.load(Ordering::SeqCst)
    }

    /// Until the result is dropped, signals wait for [`Self::stop_requested`] to be asked instead of ending the process.
    pub fn awaited(&self) -> Awaited<'_> {
        self.awaited.store(true, Ordering::SeqCst);
        Awaited(self)
    }

    /// # Errors
    /// 85 if a signal came while the last stage was at work and had no step left to stop after.
    pub fn check(&self) -> Result<()> {
        match self.stop_requested() {
            true => Err(Failure::new(ExitCode::Checkpointed, NOTHING_TO_SAVE)),
            false => Ok(()),
        }
    }

    /// As a signal would; for limits (`maxSteps` of a test, a deadline) and tests.
    pub fn request(&self) {
        self.requested.store(true, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader},
        process::{Child, Command, Stdio},
    };

    use super::*;

    const CHILD: &str = "MEDTRAIN_TEST_SIGNAL_CHILD";

    /// The body of the child process that the tests below signal; does nothing in an ordinary test run.
    #[test]
    fn child() {
        let Some(kind) = std::env::var_os(CHILD) else { return };
        let stop = StopSignal::install().unwrap();
        let _awaited = (kind == "training").then(|| stop.awaited());
        println!("\nready");
        while !stop.stop_requested() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        println!("\nstopping");
        std::thread::sleep(std::time::Duration::from_secs(20));
    }

    fn spawn(kind: &str) -> (Child, impl FnMut(&str) + use<>) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "telemetry::signal::tests::child", "--nocapture"])
            .env(CHILD, kind)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut wait_for = move |wanted: &str| while lines.next().expect("the child ended").unwrap() != wanted {};
        wait_for("ready");
        (child, wait_for)
    }

    fn send(signal: &str, child: &Child) {
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    }

    #[test]
    fn sigterm_asks_a_training_to_stop_and_does_not_kill() {
        let (mut child, mut wait_for) = spawn("training");
        send("-TERM", &child);
        wait_for("stopping");
        send("-TERM", &child);
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn with_nothing_to_save_the_first_signal_ends_at_once_with_85() {
        for name in ["-INT", "-TERM"] {
            let (mut child, _) = spawn("checking");
            send(name, &child);
            assert_eq!(child.wait().unwrap().code(), Some(85), "{name}");
        }
    }

    #[test]
    fn a_second_ctrl_c_ends_at_once_with_130() {
        let (mut child, mut wait_for) = spawn("training");
        send("-INT", &child);
        wait_for("stopping");
        send("-INT", &child);
        assert_eq!(child.wait().unwrap().code(), Some(130));
    }
}
