//! The promises of a row, checked.

use std::{
    path::{Path, PathBuf},
    process::Output,
};

use crate::support::{Lab, files_with, text};

/// Stands for a patient's words in broken rows.
pub const CANARY: &str = "CANARY";

/// Rows that did not keep their promise, told together at the end.
#[derive(Default)]
pub struct Table {
    broken: Vec<String>,
}

impl Table {
    /// A mistake (`spoil`) in a fresh lab; each of `commands` ends with `exit` and just these errors.
    pub fn row(&mut self, what: &str, spoil: impl FnOnce(&Lab), commands: &[&str], exit: i32, errors: &[&str]) {
        let lab = Lab::new(1);
        spoil(&lab);
        for command in commands {
            let output = lab.medtrain().args(command.split(' ')).output().unwrap();
            let found = lines(&lab, &output, "error: ");
            let wrong = if found == errors { None } else { Some(format!("errors {found:#?}, expected {errors:#?}")) };
            self.check(&format!("{what}: {command}"), &lab, &output, exit, wrong);
        }
    }

    /// A mistake that is none, or one that is told and borne: success, with these warnings among others.
    pub fn accepted(&mut self, what: &str, spoil: impl FnOnce(&Lab), command: &str, warnings: &[&str]) {
        let lab = Lab::new(1);
        spoil(&lab);
        let output = lab.medtrain().args(command.split(' ')).output().unwrap();
        let found = lines(&lab, &output, "warning: ");
        let missing: Vec<_> = warnings.iter().filter(|warning| !found.iter().any(|line| line == *warning)).collect();
        let wrong = (!missing.is_empty()).then(|| format!("warnings {found:#?} lack {missing:#?}"));
        self.check(&format!("{what}: {command}"), &lab, &output, 0, wrong);
    }

    pub fn check(&mut self, what: &str, lab: &Lab, output: &Output, exit: i32, wrong: Option<String>) {
        let said = text(output);
        let problems = [
            wrong,
            (output.status.code() != Some(exit)).then(|| format!("ends with {:?}, not {exit}", output.status.code())),
            said.contains("panicked").then(|| "panics".to_owned()),
            said.contains(CANARY).then(|| "shows text of a row".to_owned()),
            written_below(&lab.path("out"), CANARY).map(|path| format!("{} holds text of a row", path.display())),
            lab.path("out/stages").exists().then(|| "a stage was begun".to_owned()),
        ];
        self.broken.extend(problems.into_iter().flatten().map(|problem| format!("{what}: {problem}\n{said}")));
    }

    pub fn holds(self) {
        assert!(self.broken.is_empty(), "\n{}", self.broken.join("\n"));
    }
}

/// The lines of an output that begin with `mark`, without it; paths and keys, which differ from run to run, are replaced.
pub fn lines(lab: &Lab, output: &Output, mark: &str) -> Vec<String> {
    let plain = text(output).replace(&lab.dir.path().display().to_string(), "LAB");
    plain.lines().filter_map(|line| line.strip_prefix(mark)).map(without_keys).collect()
}

/// `pt-0123456789ab` becomes `pt-KEY`.
pub fn without_keys(line: &str) -> String {
    let mut text = String::new();
    for part in line.split_inclusive(['/', ' ']) {
        match part.split_once('-') {
            Some((kind, key)) if key.len() > 12 && key[..12].bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                text.push_str(&format!("{kind}-KEY{}", &key[12..]));
            }
            _ => text.push_str(part),
        }
    }
    text
}

/// A file below `folder` that holds `word`.
pub fn written_below(folder: &Path, word: &str) -> Option<PathBuf> {
    files_with(folder, word).into_iter().next()
}
