//! A `MedicalTraining` from its file, with `--set` applied.
//!
//! Holds: every problem of the file is told at once, each with the file's name in front.

use std::fs;
use std::path::Path;

use medtrain_crds::resolve::{self, Resolved};
use medtrain_crds::training::{MedicalTraining, SpecError, read, set_override};

use crate::failure::Failure;

/// Reads `path`, applies `sets` (`stages.sft.train.maxSteps=3`) in order, resolves. Relative paths in it stay as they
/// are: a [`Workspace`](crate::preflight::Workspace) lets them start at the file's folder.
///
/// # Errors
/// 64: a file that can't be read, everything wrong with its YAML or its fields, overrides that don't apply.
pub fn load(path: &Path, sets: &[String]) -> Result<(MedicalTraining, Resolved), Vec<Failure>> {
    let name = path.display().to_string();
    let at_file = |error: SpecError| match error.path == name {
        true => Failure::config(error.to_string()),
        false => Failure::config(format!("{name}: {error}")),
    };
    let all = |errors: Vec<SpecError>| errors.into_iter().map(at_file).collect::<Vec<_>>();
    let text =
        fs::read_to_string(path).map_err(|error| vec![Failure::config(format!("{name}: {}", unreadable(&error)))])?;
    let mut value = read(&text, &name).map_err(all)?;
    let refused: Vec<Failure> = sets
        .iter()
        .filter_map(|set| set_override(&mut value, set).err())
        .map(|error| Failure::config(format!("--set {error}")))
        .collect();
    if !refused.is_empty() {
        return Err(refused);
    }
    resolve::load(&value).map_err(|errors| {
        let with_sets = if sets.is_empty() { name.clone() } else { format!("{name} with --set") };
        errors.into_iter().map(|error| Failure::config(format!("{with_sets}: {error}"))).collect()
    })
}

/// The folder that relative paths of a training file start at.
pub fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn unreadable(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "not found".to_owned(),
        std::io::ErrorKind::IsADirectory => "is a folder; name the YAML file in it".to_owned(),
        std::io::ErrorKind::InvalidData => "is no text: save it as UTF-8".to_owned(),
        _ => format!("can't be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(yaml: &str, sets: &[&str]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.yaml");
        fs::write(&path, yaml).unwrap();
        let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
        let failures = load(&path, &sets).unwrap_err();
        assert!(failures.iter().all(|failure| failure.exit.code() == 64));
        let lines: Vec<String> = failures.into_iter().map(|failure| failure.message).collect();
        lines.join("\n").replace(&format!("{}/", dir.path().display()), "")
    }

    const GOOD: &str = "
apiVersion: medtrain.io/v1alpha1
kind: MedicalTraining
metadata: {name: t}
spec:
  model: {uri: m}
  stages: [{name: sft, kind: SFT, dataset: {train: [a.jsonl]}}]
";

    #[test]
    fn overrides_are_applied_before_anything_is_resolved() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.yaml");
        fs::write(&path, GOOD).unwrap();
        let sets = ["stages.sft.train.maxSteps=3".to_owned(), "seed=7".to_owned()];
        let (training, resolved) = load(&path, &sets).unwrap();
        assert_eq!(training.spec.seed, Some(7));
        assert_eq!(resolved.stages[0].train.max_steps, Some(3));
    }

    #[test]
    fn every_problem_has_a_line_with_the_files_name() {
        let yaml = GOOD.replace("[a.jsonl]}", "[a.jsonl]}, train: {learningRat: 1, maxSteps: many}");
        assert_eq!(
            errors(&yaml, &[]),
            "t.yaml: stages[0].train.learningRat: unknown field; did you mean \"learningRate\"?\n\
             t.yaml: stages[0].train.maxSteps: must be a whole number from 1 to 1000000000, found the text \"many\""
        );
    }

    #[test]
    fn a_file_that_is_no_training_says_so_once() {
        assert_eq!(errors("", &[]), "t.yaml: is empty; it should hold a MedicalTraining");
        assert_eq!(
            errors(GOOD, &["stages.rm.train.maxSteps=3"]),
            "--set stages.rm.train.maxSteps: nothing is named \"rm\"; there are: sft"
        );
        assert_eq!(
            errors(GOOD, &["stages.sft.train.maxStps=3"]),
            "t.yaml with --set: stages[0].train.maxStps: unknown field; did you mean \"maxSteps\"?"
        );
        let missing = Path::new("no/such.yaml");
        assert_eq!(load(missing, &[]).unwrap_err()[0].message, "no/such.yaml: not found");
    }
}
