//! Learning rate of each optimiser step, and how many steps a stage has: Hugging Face's schedules and counting.
//!
//! Holds: a pure function of the step's index, so a resumed stage goes on exactly; never negative.

use std::f64::consts::PI;

use medtrain_crds::stage::{LrSchedulerType, TrainArgs};

/// Learning rate of optimiser step `step` (the first is 0) out of `total`.
///
/// As with Hugging Face, warm-up starts at 0, so with a warm-up the first step moves nothing; and a decay reaches 0 one
/// step *after* the last.
pub fn lr(step: u64, total: u64, args: &TrainArgs) -> f64 {
    args.learning_rate * factor(args.lr_scheduler_type, step, warmup_steps(total, args), total)
}

/// Share of the peak rate, 0 to 1, at `step`: w = `warmup`, T = `total`, p = (step − w)/max(1, T − w).
///
/// | schedule | step < w | from w on | reference (transformers `optimization.py`) |
/// |---|---|---|---|
/// | linear | step/w | max(0, (T − step)/max(1, T − w)) | `get_linear_schedule_with_warmup` |
/// | cosine | step/w | max(0, ½·(1 + cos(π·p))) | `get_cosine_schedule_with_warmup`, half a cycle |
/// | constant | 1 | 1 | `get_constant_schedule`: no warm-up at all |
/// | constant_with_warmup | step/w | 1 | `get_constant_schedule_with_warmup` |
pub fn factor(schedule: LrSchedulerType, step: u64, warmup: u64, total: u64) -> f64 {
    if schedule == LrSchedulerType::Constant {
        return 1.0;
    }
    if step < warmup {
        return step as f64 / warmup as f64;
    }
    let decay_steps = total.saturating_sub(warmup).max(1) as f64;
    match schedule {
        LrSchedulerType::Linear => total.saturating_sub(step) as f64 / decay_steps,
        // Past the last step the cosine would rise again; it stays at the bottom.
        LrSchedulerType::Cosine => 0.5 * (1.0 + (PI * ((step - warmup) as f64 / decay_steps).min(1.0)).cos()),
        LrSchedulerType::Constant | LrSchedulerType::ConstantWithWarmup => 1.0,
    }
}

/// `warmupSteps` if above 0, else `⌈warmupRatio·total⌉` (transformers `TrainingArguments.get_warmup_steps`).
pub fn warmup_steps(total: u64, args: &TrainArgs) -> u64 {
    if args.warmup_steps > 0 { args.warmup_steps.into() } else { (args.warmup_ratio * total as f64).ceil() as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{data::prepare::tests::train_args, parity};

    fn args() -> TrainArgs {
        let lr_scheduler_type = LrSchedulerType::Linear;
        TrainArgs { learning_rate: 2e-4, lr_scheduler_type, warmup_ratio: 0.0, warmup_steps: 0, ..train_args() }
    }

    fn curve(schedule: LrSchedulerType, warmup: u64, total: u64) -> Vec<f64> {
        (0..=total).map(|step| factor(schedule, step, warmup, total)).collect()
    }

    #[test]
    fn linear_warms_up_from_zero_and_decays_to_zero_after_the_last_step() {
        let want = [0.0, 0.5, 1.0, 7.0 / 8.0, 6.0 / 8.0, 5.0 / 8.0, 4.0 / 8.0, 3.0 / 8.0, 2.0 / 8.0, 1.0 / 8.0, 0.0];
        assert_eq!(curve(LrSchedulerType::Linear, 2, 10), want);
    }

    /// `lrs` of `get_cosine_schedule_with_warmup(optimizer, 2, 10)` with rate 10 in transformers' own tests.
    #[test]
    fn cosine_gives_the_values_of_transformers_tests() {
        let want = [0.0, 5.0, 10.0, 9.61, 8.53, 6.91, 5.0, 3.08, 1.46, 0.38];
        for (got, want) in curve(LrSchedulerType::Cosine, 2, 10).iter().zip(want) {
            assert!((got * 10.0 - want).abs() < 1e-2, "{got} is not {want}");
        }
        assert_eq!(curve(LrSchedulerType::Cosine, 2, 10)[10], 0.0);
    }

    /// transformers' own schedules (`tests/parity/optim_fixtures.py`).
    #[test]
    fn factors_are_those_of_transformers() {
        let fixture = parity::fixture("optim");
        let cases = fixture["schedules"].as_array().unwrap();
        assert!(cases.len() >= 8);
        for case in cases {
            let schedule: LrSchedulerType = serde_json::from_value(case["name"].clone()).unwrap();
            let (warmup, total) = (case["warmup_steps"].as_u64().unwrap(), case["total_steps"].as_u64().unwrap());
            for (step, want) in (0..).zip(case["factors"].as_array().unwrap()) {
                let (got, want) = (factor(schedule, step, warmup, total), want.as_f64().unwrap());
                let case = format!("{schedule:?} {warmup}/{total}, step {step}");
                parity::hold("learning rate: factors of schedules", &case, got, want, (got - want).abs(), 1e-15);
            }
        }
    }

    #[test]
    fn constant_ignores_warm_up_and_constant_with_warm_up_does_not() {
        assert_eq!(curve(LrSchedulerType::Constant, 2, 4), [1.0; 5]);
        assert_eq!(curve(LrSchedulerType::ConstantWithWarmup, 2, 4), [0.0, 0.5, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn beyond_the_last_step_the_rate_stays_at_zero() {
        assert_eq!(factor(LrSchedulerType::Linear, 15, 2, 10), 0.0);
        assert_eq!(factor(LrSchedulerType::Cosine, 15, 2, 10), 0.0);
    }

    #[test]
    fn a_warm_up_longer_than_the_stage_never_divides_by_zero() {
        assert_eq!(curve(LrSchedulerType::Linear, 10, 4), [0.0, 0.1, 0.2, 0.3, 0.4]);
        assert_eq!(factor(LrSchedulerType::Cosine, 4, 4, 4), 1.0);
        assert_eq!(factor(LrSchedulerType::Linear, 0, 0, 0), 0.0);
    }

    #[test]
    fn rate_is_the_peak_times_the_factor_with_the_warm_up_of_the_arguments() {
        let args = TrainArgs { warmup_ratio: 0.2, ..args() };
        assert_eq!((lr(0, 10, &args), lr(1, 10, &args), lr(2, 10, &args)), (0.0, 1e-4, 2e-4));
        assert_eq!(lr(9, 10, &args), 2e-4 / 8.0);
        assert_eq!(lr(0, 10, &TrainArgs { warmup_ratio: 0.0, ..args }), 2e-4);
    }

    #[test]
    fn warm_up_steps_win_over_the_ratio_which_rounds_up() {
        assert_eq!(warmup_steps(101, &TrainArgs { warmup_ratio: 0.05, ..args() }), 6);
        assert_eq!(warmup_steps(100, &TrainArgs { warmup_ratio: 0.05, ..args() }), 5);
        assert_eq!(warmup_steps(101, &TrainArgs { warmup_ratio: 0.05, warmup_steps: 3, ..args() }), 3);
        assert_eq!(warmup_steps(101, &args()), 0);
    }
}
