//! Names and their limits.
//!
//! Holds: `<training>-<stage>-<attempt>` is a Job's name and leaves room for what the Job controller appends.

use crate::training::SpecError;

/// The Job controller adds `-xxxxx` to pods; 63 is the limit of labels.
pub const MAX_JOB_NAME: usize = 52;
pub const MAX_TRAINING_NAME: usize = 34;
pub const MAX_STAGE_NAME: usize = 12;
pub const MAX_ATTEMPT_DIGITS: usize = 4;
/// Taken by the jobs that are no stage.
pub const RESERVED_STAGE_NAMES: [&str; 2] = ["plan", "cleanup"];

const _FITS: () = assert!(MAX_TRAINING_NAME + MAX_STAGE_NAME + MAX_ATTEMPT_DIGITS + 2 <= MAX_JOB_NAME);

pub(super) fn check_training(name: &str, namespace: &str, errors: &mut Vec<SpecError>) {
    if !is_label(name) || name.len() > MAX_TRAINING_NAME {
        let message = format!(
            "{name:?} must be lower-case letters, digits and hyphens, begin with a letter, not end with a hyphen, \
             and have at most {MAX_TRAINING_NAME} characters"
        );
        errors.push(SpecError::new("metadata.name", message));
    }
    if !is_label(namespace) || namespace.len() > 63 {
        errors.push(SpecError::new(
            "metadata.namespace",
            format!("{namespace:?} is no namespace (lower-case letters, digits and hyphens)"),
        ));
    }
}

pub(super) fn check_queue(name: &str, errors: &mut Vec<SpecError>) {
    let parts_valid = name.split('.').all(|part| {
        !part.is_empty()
            && part.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !part.starts_with('-')
            && !part.ends_with('-')
    });
    if !parts_valid {
        errors.push(SpecError::new(
            "queueName",
            format!("{name:?} is no name of a queue (lower-case letters, digits, hyphens and dots)"),
        ));
    }
}

pub(super) fn check_stage(name: &str, path: &str, errors: &mut Vec<SpecError>) {
    let characters = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9'));
    if !characters || !name.starts_with(|c: char| c.is_ascii_lowercase()) || name.len() > MAX_STAGE_NAME {
        let message = format!(
            "{name:?} must be lower-case letters and digits, begin with a letter, and have at most {MAX_STAGE_NAME} characters"
        );
        errors.push(SpecError::new(path, message));
    } else if RESERVED_STAGE_NAMES.contains(&name) {
        errors.push(SpecError::new(path, format!("{name:?} is reserved; choose another name")));
    }
}

/// An RFC 1035 label, whatever its length.
fn is_label(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}
