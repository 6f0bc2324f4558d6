//! Comparisons with reference implementations: where their fixtures lie, and how a test holds our numbers to them.
//!
//! `MEDTRAIN_PARITY` names another folder like tests/parity, whose fixtures `make parity` has just made anew;
//! `MEDTRAIN_PARITY_NOTES` a file that gets a line of JSON for each comparison, which its table is made of. Every
//! comparison is noted before it is asserted, so that a table shows what failed.

use std::{
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

/// `relative` in tests/parity or what stands for it.
pub(crate) fn path(relative: impl AsRef<Path>) -> PathBuf {
    let committed = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/parity");
    std::env::var_os("MEDTRAIN_PARITY").map_or_else(committed, PathBuf::from).join(relative)
}

/// `fixtures/<relative>`.
pub(crate) fn fixture_path(relative: impl AsRef<Path>) -> PathBuf {
    path("fixtures").join(relative)
}

/// `fixtures/<name>.json`.
pub(crate) fn fixture(name: &str) -> Value {
    let path = fixture_path(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The numbers of nested arrays, flat.
pub(crate) fn numbers(value: &Value) -> Vec<f32> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        number => vec![number.as_f64().unwrap() as f32],
    }
}

fn note(quantity: &str, case: &str, compared: usize, [ours, theirs, difference, tolerance]: [f64; 4]) {
    let Some(path) = std::env::var_os("MEDTRAIN_PARITY_NOTES") else { return };
    let line = json!({
        "quantity": quantity, "case": case, "compared": compared,
        "ours": ours, "theirs": theirs, "difference": difference, "tolerance": tolerance,
    });
    // One write: tests run in parallel.
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Holds a number to the reference's. `difference` is what is compared with `tolerance`, as the caller defines it.
pub(crate) fn hold(quantity: &str, case: &str, ours: f64, theirs: f64, difference: f64, tolerance: f64) {
    note(quantity, case, 1, [ours, theirs, difference, tolerance]);
    assert!(difference <= tolerance, "{quantity}, {case}: {ours}, the reference has {theirs}; apart by {difference:e}");
}

/// Holds a number to the reference's, relative to the latter.
pub(crate) fn hold_relative(quantity: &str, case: &str, ours: f64, theirs: f64, tolerance: f64) {
    hold(quantity, case, ours, theirs, (ours - theirs).abs() / theirs.abs().max(1e-12), tolerance);
}

/// Holds a tensor to the reference's: the largest difference, relative to the reference's largest value.
pub(crate) fn hold_all(quantity: &str, case: &str, ours: &[f32], theirs: &[f32], tolerance: f64) {
    let scale = theirs.iter().fold(1e-3_f32, |most, value| most.max(value.abs()));
    hold_values(quantity, case, ours, theirs, |_| f64::from(scale), tolerance);
}

/// Holds values to the reference's: the largest difference, each relative to `scale` of the reference's value.
pub(crate) fn hold_values(
    quantity: &str,
    case: &str,
    ours: &[f32],
    theirs: &[f32],
    scale: impl Fn(f64) -> f64,
    tolerance: f64,
) {
    assert_eq!(ours.len(), theirs.len(), "{quantity}, {case}: numbers of values");
    let mut worst = [0.0, 0.0, 0.0, tolerance];
    for (at, (ours, theirs)) in ours.iter().zip(theirs).map(|(a, b)| (f64::from(*a), f64::from(*b))).enumerate() {
        let difference = if ours == theirs { 0.0 } else { (ours - theirs).abs() / scale(theirs) };
        // A NaN is no difference that a comparison finds.
        assert!(difference.is_finite(), "{quantity}, {case}: value {at} is {ours}, the reference has {theirs}");
        if at == 0 || difference > worst[2] {
            worst = [ours, theirs, difference, tolerance];
        }
    }
    note(quantity, case, ours.len(), worst);
    let [ours, theirs, difference, _] = worst;
    assert!(difference <= tolerance, "{quantity}, {case}: {ours}, the reference has {theirs}; apart by {difference:e}");
}

/// ‖ours − theirs‖ / ‖theirs‖ of a tensor.
pub(crate) fn l2(ours: &[f32], theirs: &[f32]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let difference = norm(ours.iter().zip(theirs).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    difference / norm_of(theirs).max(1e-12)
}

/// Holds a tensor to the reference's by [`l2`]; shown are the norms of both.
pub(crate) fn hold_l2(quantity: &str, case: &str, ours: &[f32], theirs: &[f32], tolerance: f64) {
    hold(quantity, case, norm_of(ours), norm_of(theirs), l2(ours, theirs), tolerance);
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum::<f64>().sqrt()
}

fn norm_of(values: &[f32]) -> f64 {
    norm(values.iter().map(|v| f64::from(*v)))
}

/// Holds that of so many things none is other than the reference's; `differ` says of each how it is.
pub(crate) fn hold_none_differ(quantity: &str, case: &str, compared: usize, differ: &[String]) {
    let same = compared as f64 - differ.len() as f64;
    note(quantity, case, compared, [same, compared as f64, differ.len() as f64, 0.0]);
    assert!(differ.is_empty(), "{quantity}, {case}: {} of {compared} differ:\n{}", differ.len(), differ.join("\n"));
}

/// Holds what must be the same, as tokens and texts must.
pub(crate) fn hold_same<T: PartialEq + std::fmt::Debug>(quantity: &str, case: &str, ours: &T, theirs: &T) {
    let same = ours == theirs;
    note(quantity, case, 1, [f64::from(u8::from(same)), 1.0, f64::from(u8::from(!same)), 0.0]);
    assert!(same, "{quantity}, {case}: {ours:?}, the reference has {theirs:?}");
}
