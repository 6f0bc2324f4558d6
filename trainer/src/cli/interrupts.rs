//! Ctrl-C in a chat: the first stops the answer, a second one before the next question leaves.

use std::{
    process::exit,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use tokio::signal::unix::{SignalKind, signal};

use crate::failure::{Failure, Result};

/// What a shell reports for a program ended by Ctrl-C.
const ENDED_BY_CTRL_C: i32 = 130;

/// How often Ctrl-C was pressed since the last question.
#[derive(Clone, Debug, Default)]
pub struct Interrupts {
    pressed: Arc<AtomicU32>,
    answering: Arc<AtomicBool>,
}

impl Interrupts {
    /// Listens on a thread of its own, for the rest of the process.
    ///
    /// # Errors
    /// 70 when the thread or the handler can't be made.
    pub fn install() -> Result<Self> {
        let interrupts = Self::default();
        let fails = |e: std::io::Error| Failure::internal(format!("Ctrl-C can't be handled: {e}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fails)?;
        let mut pressed = {
            let _inside = runtime.enter();
            signal(SignalKind::interrupt()).map_err(fails)?
        };
        let seen = interrupts.clone();
        let listen = async move {
            while pressed.recv().await.is_some() {
                match seen.press() {
                    Press::Stops => {}
                    Press::Warns => eprintln!("\n(Ctrl-C again or Ctrl-D leaves)"),
                    Press::Leaves => exit(ENDED_BY_CTRL_C),
                }
            }
        };
        std::thread::Builder::new().name("ctrl-c".into()).spawn(move || runtime.block_on(listen)).map_err(fails)?;
        Ok(interrupts)
    }

    fn press(&self) -> Press {
        match (self.pressed.fetch_add(1, Ordering::SeqCst), self.answering.load(Ordering::SeqCst)) {
            (0, true) => Press::Stops,
            (0, false) => Press::Warns,
            _ => Press::Leaves,
        }
    }

    /// A question was asked: its answer begins.
    pub fn begin_answer(&self) {
        self.pressed.store(0, Ordering::SeqCst);
        self.answering.store(true, Ordering::SeqCst);
    }

    pub fn end_answer(&self) {
        self.answering.store(false, Ordering::SeqCst);
    }

    pub fn stop_requested(&self) -> bool {
        self.pressed.load(Ordering::SeqCst) > 0
    }
}

/// What a press of Ctrl-C does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Press {
    Stops,
    Warns,
    Leaves,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ctrl_c_stops_the_answer_and_the_second_leaves() {
        let interrupts = Interrupts::default();
        interrupts.begin_answer();
        assert!(!interrupts.stop_requested());
        assert_eq!(interrupts.press(), Press::Stops);
        assert!(interrupts.stop_requested());
        interrupts.end_answer();
        assert_eq!(interrupts.press(), Press::Leaves);
    }

    #[test]
    fn at_the_prompt_the_first_ctrl_c_only_warns() {
        let interrupts = Interrupts::default();
        assert_eq!(interrupts.press(), Press::Warns);
        assert_eq!(interrupts.press(), Press::Leaves);
    }

    #[test]
    fn a_new_question_forgives_an_earlier_ctrl_c() {
        let interrupts = Interrupts::default();
        interrupts.press();
        interrupts.begin_answer();
        assert!(!interrupts.stop_requested());
        assert_eq!(interrupts.press(), Press::Stops);
    }
}
