//! Promises of the PPO losses and of [`super::ppo::ppo_minibatch`], checked against plain f64 formulas.

use burn::tensor::Tensor;
use medtrain_crds::stage::{KlController, PpoArgs, VHeadInitStrategy};
use proptest::prelude::*;

use super::policy_loss::clipped_surrogate;
use super::ppo::{PpoMinibatch, PpoOutcome, PpoStats, early_stop, ppo_minibatch};
use super::value_loss::explained_variance;
use super::{Host, to_host, to_tensor};

/// TRL 0.4's defaults.
pub(crate) fn args() -> PpoArgs {
    PpoArgs {
        preset: None,
        init_kl_coef: 0.2,
        kl_controller: KlController::Adaptive,
        kl_target: 6.0,
        kl_horizon: 10_000.0,
        early_stopping: true,
        early_stopping_after_step: false,
        target_kl: 0.1,
        num_ppo_epochs: 4,
        batch_size: 8,
        mini_batch_size: 2,
        total_episodes: None,
        gamma: 1.0,
        lam: 0.95,
        cliprange: 0.2,
        cliprange_value: 0.2,
        vf_coef: 0.1,
        v_head_init_strategy: VHeadInitStrategy::Zeros,
        whiten_rewards: false,
        whiten_advantages: true,
        min_new_tokens: 1,
        max_new_tokens: 16,
        temperature: 1.0,
        top_k: 0,
        top_p: 1.0,
        missing_eos_penalty: 1.0,
        reward_baseline: 0.0,
    }
}

/// A response token; the order of the fields is that of [`token`].
#[derive(Clone, Copy, Debug)]
struct Token {
    logprob: f32,
    old_logprob: f32,
    advantage: f32,
    value: f32,
    old_value: f32,
    return_: f32,
    keep: bool,
}

fn token() -> impl Strategy<Value = Token> {
    let logprob = || -4.0_f32..0.0;
    let real = || -2.0_f32..2.0;
    (logprob(), -0.6_f32..0.6, real(), real(), -0.6_f32..0.6, real(), prop::bool::weighted(0.8)).prop_map(
        |(old_logprob, d, advantage, old_value, dv, return_, keep)| Token {
            logprob: old_logprob + d,
            old_logprob,
            advantage,
            value: old_value + dv,
            old_value,
            return_,
            keep,
        },
    )
}

fn run(tokens: &[Token], minibatch_tokens: u64) -> PpoOutcome {
    let of = |field: fn(&Token) -> f32| tokens.iter().map(field).collect::<Vec<f32>>();
    let mask: Vec<bool> = tokens.iter().map(|t| t.keep).collect();
    let batch = PpoMinibatch {
        logprobs: &of(|t| t.logprob),
        old_logprobs: &of(|t| t.old_logprob),
        advantages: &of(|t| t.advantage),
        values: &of(|t| t.value),
        old_values: &of(|t| t.old_value),
        returns: &of(|t| t.return_),
        mask: &mask,
        minibatch_tokens,
    };
    ppo_minibatch(&batch, &args()).unwrap()
}

fn marked(tokens: &[Token]) -> u64 {
    tokens.iter().filter(|t| t.keep).count() as u64
}

fn stats(tokens: &[Token]) -> PpoStats {
    run(tokens, marked(tokens)).tally.stats(args().vf_coef).unwrap()
}

/// The total loss in plain f64, of deltas added to the log-probabilities and values.
fn loss_f64(tokens: &[Token], nudge: Option<(usize, f64, f64)>) -> f64 {
    let a = args();
    let (mut policy, mut value) = (0.0, 0.0);
    for (i, t) in tokens.iter().enumerate().filter(|(_, t)| t.keep) {
        let (dl, dv) = nudge.filter(|n| n.0 == i).map_or((0.0, 0.0), |n| (n.1, n.2));
        let ratio = (f64::from(t.logprob) + dl - f64::from(t.old_logprob)).exp();
        let advantage = f64::from(t.advantage);
        policy += (-advantage * ratio).max(-advantage * ratio.clamp(1.0 - a.cliprange, 1.0 + a.cliprange));
        let (v, old, r) = (f64::from(t.value) + dv, f64::from(t.old_value), f64::from(t.return_));
        let bounded = v.clamp(old - a.cliprange_value, old + a.cliprange_value);
        value += 0.5 * (v - r).powi(2).max((bounded - r).powi(2));
    }
    (policy + a.vf_coef * value) / marked(tokens) as f64
}

/// Whether a finite difference of 1e-4 could cross a kink of the losses.
fn near_kink(t: &Token) -> bool {
    let a = args();
    let ratio = f64::from(t.logprob - t.old_logprob).exp();
    let moved = f64::from(t.value - t.old_value).abs();
    let (v, r) = (f64::from(t.value), f64::from(t.return_));
    let bounded = v.clamp(f64::from(t.old_value) - a.cliprange_value, f64::from(t.old_value) + a.cliprange_value);
    let close = |x: f64, edge: f64| (x - edge).abs() < 1e-3;
    close(ratio, 1.0 - a.cliprange)
        || close(ratio, 1.0 + a.cliprange)
        || close(moved, a.cliprange_value)
        || (bounded != v && close((v - r).abs(), (bounded - r).abs()))
}

fn policy_losses(logprobs: &[f32], old: &[f32], advantages: &[f32]) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let device = Default::default();
    let tensor = |v: &[f32]| -> Tensor<Host, 1> { to_tensor(v, &device) };
    let loss = clipped_surrogate(tensor(logprobs), tensor(old), tensor(advantages), 0.2);
    (to_host(loss.per_token).unwrap(), to_host(loss.ratio).unwrap(), to_host(loss.clipped.float()).unwrap())
}

/// Inputs of torchtune `tests/torchtune/rlhf/loss/test_ppo_loss.py`. Its constants for the lower two cases have the
/// wrong sign (and a tolerance that hides it); these follow the formula.
#[test]
fn clipped_surrogate_follows_the_formula_on_torchtunes_inputs() {
    let old = [0.5_f32, 0.8, 1.2];
    let case = |d: f32| policy_losses(&old.map(|x| x + d), &old, &[1.0; 3]);
    let close = |got: &[f32], want: f32| assert!(got.iter().all(|g| (g - want).abs() < 1e-6), "{got:?} is not {want}");
    let e = std::f32::consts::E;

    let (loss, ratio, clipped) = case(1.0);
    close(&loss, -1.2);
    close(&ratio, e);
    assert_eq!(clipped, [1.0; 3]);

    let (loss, _, clipped) = case(-1.0);
    close(&loss, -1.0 / e);
    assert_eq!(clipped, [0.0; 3], "a ratio below the range is not clipped when the advantage is positive");

    let (loss, _, clipped) = case(0.1);
    close(&loss, -(0.1_f32.exp()));
    assert_eq!(clipped, [0.0; 3]);
}

#[test]
fn a_negative_advantage_is_clipped_from_below() {
    let (loss, _, clipped) = policy_losses(&[-1.0, 1.0], &[0.0, 0.0], &[-1.0, -1.0]);
    assert!((loss[0] - 0.8).abs() < 1e-6 && (loss[1] - std::f32::consts::E).abs() < 1e-6, "{loss:?}");
    assert_eq!(clipped, [1.0, 0.0]);
}

#[test]
fn clipped_tokens_have_no_gradient() {
    let token = |d: f32, advantage: f32| Token {
        logprob: -1.0 + d,
        old_logprob: -1.0,
        advantage,
        value: 0.9,
        old_value: 0.0,
        return_: 2.0,
        keep: true,
    };
    let out = run(&[token(1.0, 1.0), token(-1.0, 1.0)], 2);
    assert_eq!(out.d_logprobs[0], 0.0);
    assert!(out.d_logprobs[1] < 0.0);
    assert_eq!(out.d_values, [0.0, 0.0], "values that moved beyond the range towards the return are clipped");
}

#[test]
fn policykl_above_one_and_a_half_targets_stops_early_and_only_if_asked() {
    assert!(!early_stop(0.15, &args()));
    assert!(early_stop(0.150_001, &args()));
    assert!(!early_stop(9.0, &PpoArgs { early_stopping: false, ..args() }));
}

#[test]
fn explained_variance_is_one_for_perfect_values_and_none_for_constant_returns() {
    assert_eq!(explained_variance(0.0, 2.0), Some(1.0));
    assert_eq!(explained_variance(2.0, 2.0), Some(0.0));
    assert_eq!(explained_variance(0.5, 0.0), None);
}

#[test]
fn wrong_lengths_and_counts_are_named() {
    let one = [0.0_f32];
    let two = [0.0_f32; 2];
    let batch = PpoMinibatch {
        logprobs: &two,
        old_logprobs: &two,
        advantages: &two,
        values: &two,
        old_values: &one,
        returns: &two,
        mask: &[true; 2],
        minibatch_tokens: 2,
    };
    assert_eq!(ppo_minibatch(&batch, &args()).unwrap_err().message, "old_values has 1 entries, expected 2");
    let batch = PpoMinibatch { old_values: &two, minibatch_tokens: 1, ..batch };
    assert_eq!(
        ppo_minibatch(&batch, &args()).unwrap_err().message,
        "a PPO micro-batch has 2 response tokens, but its minibatch was counted as 1"
    );
}

#[test]
fn a_minibatch_without_marked_tokens_has_zero_gradients_and_no_statistics() {
    let token = Token {
        logprob: f32::NAN,
        old_logprob: 0.0,
        advantage: 1.0,
        value: 0.0,
        old_value: 0.0,
        return_: 0.0,
        keep: false,
    };
    let out = run(&[token], 0);
    assert_eq!((out.d_logprobs, out.d_values), (vec![0.0], vec![0.0]));
    assert!(out.tally.stats(0.1).is_none());
}

#[test]
fn a_loss_that_is_not_finite_shows_in_the_statistics() {
    let token = Token {
        logprob: f32::NAN,
        old_logprob: 0.0,
        advantage: 1.0,
        value: 0.0,
        old_value: 0.0,
        return_: 0.0,
        keep: true,
    };
    assert!(!stats(&[token]).total_loss.is_finite());
}

proptest! {
    #[test]
    fn gradients_and_loss_match_plain_f64(tokens in prop::collection::vec(token(), 1..8)) {
        prop_assume!(marked(&tokens) > 0 && !tokens.iter().any(near_kink));
        let out = run(&tokens, marked(&tokens));
        prop_assert!((stats(&tokens).total_loss - loss_f64(&tokens, None)).abs() < 1e-5);
        let h = 1e-4;
        for i in 0..tokens.len() {
            let slope = |dl: f64, dv: f64| {
                (loss_f64(&tokens, Some((i, dl, dv))) - loss_f64(&tokens, Some((i, -dl, -dv)))) / (2.0 * h)
            };
            prop_assert!((f64::from(out.d_logprobs[i]) - slope(h, 0.0)).abs() < 1e-5);
            prop_assert!((f64::from(out.d_values[i]) - slope(0.0, h)).abs() < 1e-5);
        }
    }

    #[test]
    fn at_the_first_step_the_ratio_is_one_and_nothing_is_clipped(tokens in prop::collection::vec(token(), 1..8)) {
        prop_assume!(marked(&tokens) > 0);
        let fresh: Vec<Token> =
            tokens.iter().map(|t| Token { logprob: t.old_logprob, value: t.old_value, ..*t }).collect();
        let stats = stats(&fresh);
        prop_assert_eq!(stats.ratio, 1.0);
        prop_assert_eq!((stats.approxkl, stats.policykl), (0.0, 0.0));
        prop_assert_eq!((stats.policy_clipfrac, stats.value_clipfrac), (0.0, 0.0));
        let tokens = marked(&fresh) as f64;
        let gradients = run(&fresh, marked(&fresh)).d_logprobs;
        for (gradient, t) in gradients.iter().zip(&fresh) {
            let want = if t.keep { -f64::from(t.advantage) / tokens } else { 0.0 };
            prop_assert!((f64::from(*gradient) - want).abs() < 1e-6, "the policy gradient is −A/N");
        }
    }

    #[test]
    fn masked_tokens_do_not_matter_even_when_nan(tokens in prop::collection::vec(token(), 1..8)) {
        prop_assume!(marked(&tokens) > 0);
        let nan = f32::NAN;
        let poisoned: Vec<Token> = tokens.iter().map(|t| if t.keep { *t } else {
            Token { logprob: nan, old_logprob: nan, advantage: nan, value: nan, old_value: nan, return_: nan, keep: false }
        }).collect();
        let (clean, dirty) = (run(&tokens, marked(&tokens)), run(&poisoned, marked(&tokens)));
        prop_assert_eq!(clean.d_logprobs, dirty.d_logprobs);
        prop_assert_eq!(clean.d_values, dirty.d_values);
        prop_assert_eq!(clean.tally, dirty.tally);
    }

    #[test]
    fn micro_batches_add_up_to_their_minibatch(tokens in prop::collection::vec(token(), 2..10), cut in 1_usize..9) {
        let cut = cut.min(tokens.len() - 1);
        prop_assume!(marked(&tokens) > 0);
        let whole = run(&tokens, marked(&tokens));
        let (first, second) = (run(&tokens[..cut], marked(&tokens)), run(&tokens[cut..], marked(&tokens)));
        prop_assert_eq!([first.d_logprobs, second.d_logprobs].concat(), whole.d_logprobs);
        prop_assert_eq!([first.d_values, second.d_values].concat(), whole.d_values);
        let mut tally = first.tally;
        tally.merge(&second.tally);
        let named = |tally: &super::ppo::PpoTally| serde_json::to_value(tally.stats(0.1).unwrap()).unwrap();
        let (parts, whole) = (named(&tally), named(&whole.tally));
        for (name, whole) in whole.as_object().unwrap() {
            let (part, whole) = (parts[name].as_f64().unwrap_or(0.0), whole.as_f64().unwrap_or(0.0));
            prop_assert!((part - whole).abs() < 1e-9 * whole.abs().max(1.0), "{}: {} is not {}", name, part, whole);
        }
    }
}
