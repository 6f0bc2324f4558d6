//! How results of two backends are compared.

use std::{
    panic,
    sync::{Mutex, MutexGuard, Once, PoisonError},
    thread::{self, ThreadId},
};

use burn::tensor::backend::BackendTypes;

use crate::{Gpu, gpu};

/// Named results of a computation, in the order in which they came.
pub type Results = Vec<(String, Vec<f32>)>;

/// Runs a test's work with the device.
///
/// A kernel that fails on the thread that serves the device leaves wrong values without an error, so a panic on any
/// thread but the tests' own fails the test, too.
pub fn on_gpu(work: impl FnOnce(&<Gpu as BackendTypes>::Device)) {
    let panics = panics_beside(|| work(&gpu()));
    assert!(panics.is_empty(), "panicked beside the test: {panics:?}");
}

/// What panicked meanwhile on threads that run no test. One at a time: the device serves all of them.
pub fn panics_beside(work: impl FnOnce()) -> Vec<String> {
    static RUNNING: Mutex<()> = Mutex::new(());
    static HOOK: Once = Once::new();
    static TESTS: Mutex<Vec<ThreadId>> = Mutex::new(Vec::new());
    static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    // A failed test leaves nothing half done behind these locks.
    fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let current = thread::current();
            if !locked(&TESTS).contains(&current.id()) {
                locked(&PANICS).push(format!("{}: {info}", current.name().unwrap_or("a thread")));
            }
            usual(info);
        }));
    });
    let _one = locked(&RUNNING);
    locked(&TESTS).push(thread::current().id());
    locked(&PANICS).clear();
    work();
    std::mem::take(&mut *locked(&PANICS))
}

/// Holds all results to the CPU's: the largest difference in each, relative to the CPU's largest value in it.
pub fn hold(case: &str, cpu: &Results, gpu: &Results, tolerance: f32) {
    // As in the parity tests: what is below a thousandth, such as the gradient of a bias that softmax cancels, is
    // rounding of larger numbers.
    hold_above(1e-3, case, cpu, gpu, tolerance);
}

/// As [`hold`], where a result whose values are all below `floor` is what larger terms that cancel have left.
pub fn hold_above(floor: f32, case: &str, cpu: &Results, gpu: &Results, tolerance: f32) {
    let names =
        |results: &Results| results.iter().map(|(name, values)| (name.clone(), values.len())).collect::<Vec<_>>();
    assert_eq!(names(cpu), names(gpu), "{case}");
    let mut worst = ("nothing", 0.0);
    let mut wrong = Vec::new();
    for ((name, theirs), (_, ours)) in cpu.iter().zip(gpu) {
        let scale = theirs.iter().fold(floor, |most, value| most.max(value.abs()));
        let difference = |(ours, theirs): (&f32, &f32)| {
            let apart = (ours - theirs).abs() / scale;
            // NaN is less than nothing to `max`.
            if apart.is_nan() { f32::INFINITY } else { apart }
        };
        let most = ours.iter().zip(theirs).map(difference).fold(0.0, f32::max);
        if most > tolerance {
            wrong.push(format!("{name} by {most:e}"));
        }
        if most > worst.1 {
            worst = (name.as_str(), most);
        }
    }
    println!("{case}: at most {:e} apart ({})", worst.1, worst.0);
    assert!(wrong.is_empty(), "{case}: apart from the CPU, tolerance {tolerance:e}: {}", wrong.join(", "));
}

/// Values in [-1, 1), the same for a seed.
pub fn values(seed: u64, n: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / (1u64 << 23) as f32) - 1.0
        })
        .collect()
}

#[test]
fn a_panic_on_another_thread_is_seen() {
    let server = || panic!("a kernel failed");
    let panics = panics_beside(|| {
        let ended = thread::Builder::new().name("server".into()).spawn(server).unwrap().join();
        assert!(ended.is_err());
    });
    assert!(
        matches!(&panics[..], [one] if one.starts_with("server: ") && one.ends_with("a kernel failed")),
        "{panics:?}"
    );
}
