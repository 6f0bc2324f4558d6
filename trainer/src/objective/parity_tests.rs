//! The objectives against PyTorch in f64 and against TRL 0.4.7 (`tests/parity/ppo_fixtures.py`, `ppo_trl_fixtures.py`).

use medtrain_crds::stage::{PpoArgs, RewardArgs};
use serde_json::Value;

use super::bradley_terry::{PreferenceBatch, preference_batch};
use super::gae::gae;
use super::kl::{KlEstimator, KlReport};
use super::kl_controller::KlCoefficient;
use super::moments::{Moments, Variance};
use super::ppo::{PpoMinibatch, ppo_minibatch};
use super::reward_norm::ScoreNorm;
use super::rewards::token_rewards;
use super::rows::Rows;
use super::whiten::whiten;
use crate::parity::{self, fixture, numbers};

/// f32 arithmetic on values of order 1 against f64.
const TOLERANCE: f64 = 5e-6;

fn mask(value: &Value) -> Vec<bool> {
    numbers(value).into_iter().map(|x| x != 0.0).collect()
}

fn rows(mask: &Value) -> Rows {
    Rows::new(mask.as_array().unwrap().iter().map(|row| row.as_array().unwrap().len()))
}

fn close(what: &str, got: f64, want: &Value) {
    let want = want.as_f64().unwrap();
    parity::hold("PPO and reward formulas", what, got, want, (got - want).abs() / want.abs().max(1.0), TOLERANCE);
}

/// Compares where `mask` is true.
fn all_close(what: &str, got: &[f32], want: &Value, mask: &[bool]) {
    let want = numbers(want);
    assert_eq!(got.len(), want.len(), "{what}");
    for i in (0..got.len()).filter(|&i| mask[i]) {
        close(&format!("{what}[{i}]"), got[i].into(), &want[i].into());
    }
}

#[test]
fn masked_moments_and_whitening_are_those_of_pytorch() {
    for case in fixture("ppo")["masked"].as_array().unwrap() {
        let (values, mask) = (numbers(&case["values"]), mask(&case["mask"]));
        let moments = Moments::masked(&values, &mask).unwrap();
        close("mean", moments.mean(), &case["mean"]);
        for (name, variance) in [("unbiased", Variance::Unbiased), ("biased", Variance::Biased)] {
            close(name, moments.var(variance), &case[format!("var_{name}")]);
            for (suffix, shift_mean) in [("", true), ("_keep_mean", false)] {
                let got = whiten(&values, &mask, variance, shift_mean).unwrap();
                let want = numbers(&case[format!("whitened_{name}{suffix}")]);
                all_close(name, &got, &want.into(), &vec![true; got.len()]);
            }
        }
    }
}

#[test]
fn normalised_scores_are_those_that_pytorch_whitens() {
    let cases = fixture("ppo")["masked"].clone();
    let unmasked = |case: &&Value| mask(&case["mask"]).into_iter().all(|keep| keep);
    let case = cases.as_array().unwrap().iter().find(unmasked).unwrap();
    let scores = numbers(&case["values"]);
    let norm = ScoreNorm::new(&scores.iter().map(|&score| f64::from(score)).collect()).unwrap();
    let got: Vec<f32> = scores.iter().map(|&score| norm.apply(score.into()) as f32).collect();
    all_close("scores", &got, &case["whitened_unbiased"], &vec![true; got.len()]);
}

#[test]
fn divergences_are_those_of_pytorch() {
    let case = &fixture("ppo")["kl"];
    let (logprobs, reference) = (numbers(&case["logprobs"]), numbers(&case["ref_logprobs"]));
    let (mask, rows) = (mask(&case["mask"]), rows(&case["mask"]));
    for (name, estimator) in [("k1", KlEstimator::K1), ("mse", KlEstimator::K2), ("k3", KlEstimator::K3)] {
        all_close(name, &estimator.per_token(&logprobs, &reference).unwrap(), &case[name], &mask);
    }
    for (name, estimator) in [("sequence_k1", KlEstimator::K1), ("sequence_k3", KlEstimator::K3)] {
        let sums = estimator.per_sequence(&logprobs, &reference, &mask, &rows).unwrap();
        for (row, sum) in sums.into_iter().enumerate() {
            close(name, sum, &case[name][row]);
        }
    }
    let report = KlReport::new(&logprobs, &reference, &mask, &rows).unwrap();
    close("mean k1", report.k1.mean(), &case["mean_k1"]);
    close("stderr k1", report.k1.stderr().unwrap(), &case["stderr_k1"]);
    close("mean k3", report.k3.mean(), &case["mean_k3"]);
}

#[test]
fn the_adaptive_coefficient_is_that_of_trl() {
    let (case, trl) = (&fixture("ppo")["controller"], &fixture("ppo_trl")["controller"]);
    let number = |name: &str| case[name].as_f64().unwrap();
    let mut coefficient =
        KlCoefficient::adaptive(number("init_kl_coef"), number("kl_target"), number("kl_horizon")).unwrap();
    for (step, trl) in case["steps"].as_array().unwrap().iter().zip(trl.as_array().unwrap()) {
        coefficient.update(step["kl"].as_f64().unwrap(), step["samples"].as_u64().unwrap()).unwrap();
        for want in [step["coef"].as_f64().unwrap(), trl.as_f64().unwrap()] {
            let got = coefficient.value();
            parity::hold("PPO: adaptive KL coefficient", "", got, want, (got - want).abs(), 1e-15);
        }
    }
}

#[test]
fn the_reward_loss_and_its_gradients_are_those_of_pytorch() {
    let case = &fixture("ppo")["bradley_terry"];
    let (chosen, rejected) = (numbers(&case["chosen"]), numbers(&case["rejected"]));
    let step_pairs = chosen.len() as u64;
    let batch = PreferenceBatch { chosen: &chosen, rejected: &rejected, margin: None, step_pairs };
    let args = RewardArgs { center_rewards_coefficient: 0.0, normalize_scores: false };
    let out = preference_batch(&batch, &args).unwrap();
    let all = vec![true; chosen.len()];
    close("loss", out.tally.loss().unwrap(), &case["loss"]);
    close("accuracy", out.tally.accuracy().unwrap(), &case["accuracy"]);
    close("margin", out.tally.mean_margin().unwrap(), &case["margin"]);
    all_close("d chosen", &out.d_chosen, &case["grad_chosen"], &all);
    all_close("d rejected", &out.d_rejected, &case["grad_rejected"], &all);
}

/// Scores to gradients, each step fed with our own result of the step before.
#[test]
fn a_whole_minibatch_is_that_of_pytorch_and_of_trl() {
    let (ours, trl) = (fixture("ppo"), fixture("ppo_trl"));
    let cases = ours["cases"].as_array().unwrap();
    assert!(cases.len() >= 2);
    for (case, trl) in cases.iter().zip(trl["cases"].as_array().unwrap()) {
        let number = |name: &str| case[name].as_f64().unwrap();
        let vector = |name: &str| numbers(&case[name]);
        let (mask, rows) = (mask(&case["mask"]), rows(&case["mask"]));
        let old_logprobs = vector("old_logprobs");
        let scored =
            token_rewards(&vector("scores"), &old_logprobs, &vector("ref_logprobs"), &mask, &rows, number("kl_coef"))
                .unwrap();
        all_close("rewards", &scored.rewards, &case["rewards"], &mask);

        let old_values = vector("values");
        let raw = gae(&scored.rewards, &old_values, &mask, &rows, number("gamma"), number("lam")).unwrap();
        all_close("raw advantages", &raw.advantages, &case["advantages_before_whitening"], &mask);
        all_close("returns", &raw.returns, &case["returns"], &mask);
        let advantages = whiten(&raw.advantages, &mask, Variance::Unbiased, true).unwrap();
        all_close("advantages", &advantages, &case["advantages"], &mask);

        let args = PpoArgs {
            cliprange: number("cliprange"),
            cliprange_value: number("cliprange_value"),
            vf_coef: number("vf_coef"),
            ..super::ppo_tests::args()
        };
        let batch = PpoMinibatch {
            logprobs: &vector("logprobs"),
            old_logprobs: &old_logprobs,
            advantages: &advantages,
            values: &vector("vpreds"),
            old_values: &old_values,
            returns: &raw.returns,
            mask: &mask,
            minibatch_tokens: mask.iter().filter(|m| **m).count() as u64,
        };
        let out = ppo_minibatch(&batch, &args).unwrap();
        let stats = out.tally.stats(args.vf_coef).unwrap();
        let all = vec![true; mask.len()];
        for reference in [case, trl] {
            close("policy loss", stats.policy_loss, &reference["policy_loss"]);
            close("value loss", stats.value_loss, &reference["value_loss"]);
            close("loss", stats.total_loss, &reference["loss"]);
            all_close("d logprobs", &out.d_logprobs, &reference["grad_logprobs"], &all);
            all_close("d values", &out.d_values, &reference["grad_vpreds"], &all);
            for (name, got) in [
                ("approx_kl", stats.approxkl),
                ("policy_kl", stats.policykl),
                ("clip_fraction", stats.policy_clipfrac),
                ("value_clip_fraction", stats.value_clipfrac),
                ("value_error", stats.value_error),
                ("vpred_mean", stats.vpred),
                ("returns_mean", stats.returns_mean),
                ("returns_var", stats.returns_var),
                ("values_mean", stats.old_values_mean),
                ("values_var", stats.old_values_var),
            ] {
                close(name, got, &reference["stats"][name]);
            }
        }
        close("ratio", stats.ratio, &case["stats"]["ratio_mean"]);
    }
}
