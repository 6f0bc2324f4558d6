//! Promises of [`super::processors`].

use medtrain_crds::stage::PpoArgs;
use proptest::prelude::*;

use super::processors::*;
use crate::parity::{self, fixture, numbers};

const OFF: f32 = f32::NEG_INFINITY;

fn sampling() -> SamplingArgs {
    SamplingArgs {
        temperature: 1.0,
        top_k: 0,
        top_p: 1.0,
        repetition_penalty: 1.0,
        min_new_tokens: 0,
        max_new_tokens: 16,
        do_sample: true,
        seed: 42,
    }
}

fn processed(args: SamplingArgs, logits: &[f32], history: &[u32], generated: u32) -> Vec<f32> {
    let mut row = logits.to_vec();
    Sampler::new(args, vec![1]).unwrap().process(&mut row, history, generated).unwrap();
    row
}

fn with_top_p(logits: &[f32], p: f64) -> Vec<f32> {
    let mut row = logits.to_vec();
    top_p(&mut row, p, &mut Scratch::default());
    row
}

fn with_top_k(logits: &[f32], k: u32) -> Vec<f32> {
    let mut row = logits.to_vec();
    top_k(&mut row, k, &mut Scratch::default());
    row
}

fn logs(probabilities: &[f32]) -> Vec<f32> {
    probabilities.iter().map(|p| p.ln()).collect()
}

fn kept(row: &[f32]) -> Vec<usize> {
    (0..row.len()).filter(|&i| row[i] > OFF).collect()
}

#[test]
fn repetition_penalty_pulls_each_seen_token_down_once() {
    let args = SamplingArgs { repetition_penalty: 2.0, ..sampling() };
    assert_eq!(processed(args, &[4.0, -4.0, 1.0, 0.0], &[0, 1, 0, 3, 0], 0), [2.0, -8.0, 1.0, 0.0]);
}

#[test]
fn eos_is_held_back_until_the_minimum_is_reached() {
    let args = SamplingArgs { min_new_tokens: 2, ..sampling() };
    assert_eq!(processed(args.clone(), &[0.0, 9.0], &[], 1), [0.0, OFF]);
    assert_eq!(processed(args, &[0.0, 9.0], &[], 2), [0.0, 9.0]);
}

#[test]
fn temperature_divides_before_top_k_and_top_p_look() {
    let args = SamplingArgs { temperature: 0.5, top_k: 2, ..sampling() };
    assert_eq!(processed(args, &[1.0, 2.0, 3.0], &[], 0), [OFF, 4.0, 6.0]);
    // At temperature 1 the first token alone holds 0.73; at 4 it takes both to pass 0.7.
    let row = [1.0, 0.0];
    assert_eq!(kept(&processed(SamplingArgs { top_p: 0.7, ..sampling() }, &row, &[], 0)), [0]);
    assert_eq!(kept(&processed(SamplingArgs { top_p: 0.7, temperature: 4.0, ..sampling() }, &row, &[], 0)), [0, 1]);
}

#[test]
fn top_p_sees_only_what_top_k_left() {
    // Renormalised over the two survivors, 0.3 and 0.5 are 0.375 and 0.625: the first alone passes 0.6.
    let args = SamplingArgs { top_k: 2, top_p: 0.6, ..sampling() };
    assert_eq!(kept(&processed(args, &logs(&[0.5, 0.3, 0.1, 0.1]), &[], 0)), [0]);
    assert_eq!(kept(&with_top_p(&logs(&[0.5, 0.3, 0.1, 0.1]), 0.6)), [0, 1]);
}

#[test]
fn top_k_keeps_ties_with_the_last_place() {
    assert_eq!(with_top_k(&[1.0, 3.0, 2.0, 2.0, 0.0], 2), [OFF, 3.0, 2.0, 2.0, OFF]);
    assert_eq!(with_top_k(&[1.0, 2.0], 0), [1.0, 2.0]);
    assert_eq!(with_top_k(&[1.0, 2.0], 7), [1.0, 2.0]);
}

#[test]
fn top_p_removes_sums_up_to_the_bound_and_including_it() {
    // Exact binary fractions: ascending sums are 1/8, 1/4, 1/2, 1.
    let row = logs(&[0.5, 0.25, 0.125, 0.125]);
    assert_eq!(kept(&with_top_p(&row, 0.75)), [0, 1], "a sum of exactly 1 − p goes");
    assert_eq!(kept(&with_top_p(&row, 0.76)), [0, 1, 3]);
    assert_eq!(kept(&with_top_p(&row, 0.5)), [0]);
    assert_eq!(kept(&with_top_p(&row, 1.0)), [0, 1, 2, 3]);
}

#[test]
fn top_p_always_keeps_the_most_likely_token() {
    assert_eq!(kept(&with_top_p(&[0.0, 5.0, 1.0], 0.0)), [1]);
    assert_eq!(kept(&with_top_p(&[1.0; 4], 0.0)), [3]);
}

#[test]
fn among_equally_likely_tokens_top_p_removes_lower_ids_first() {
    assert_eq!(kept(&with_top_p(&[1.0; 4], 0.5)), [2, 3]);
}

#[test]
fn greedy_takes_the_first_of_the_largest_and_ignores_the_samplers_settings() {
    let args = SamplingArgs { do_sample: false, temperature: 0.0, top_k: 1, top_p: 0.1, ..sampling() };
    let mut sampler = Sampler::new(args, vec![]).unwrap();
    let mut row = [1.0, 7.0, 7.0, 2.0];
    assert_eq!(sampler.next_token(&mut row, &[], 0, 0).unwrap(), 1);
    assert_eq!(row, [1.0, 7.0, 7.0, 2.0]);
}

#[test]
fn the_draw_inverts_the_cumulative_distribution() {
    let row = logs(&[0.25, 0.25, 0.0, 0.5]);
    let draws = [0.0, 0.249, 0.251, 0.499, 0.501, 0.999].map(|u| inverse_cdf(&row, u).unwrap());
    assert_eq!(draws, [0, 0, 1, 1, 3, 3]);
    assert_eq!(inverse_cdf(&[0.0; 4], 0.25), Some(1), "each token owns its interval's lower end, not its upper");
    assert_eq!(inverse_cdf(&[OFF, 0.0, OFF], 1.0 - f64::EPSILON), Some(1), "never a token of probability 0");
    assert_eq!((inverse_cdf(&[OFF; 3], 0.5), argmax(&[OFF; 3])), (None, None));
}

#[test]
fn draws_follow_the_distribution() {
    let probabilities = [0.5_f32, 0.3, 0.15, 0.05];
    let mut sampler = Sampler::new(sampling(), vec![]).unwrap();
    let mut counts = [0_u32; 4];
    for sample in 0..20_000 {
        counts[sampler.next_token(&mut logs(&probabilities), &[], 0, sample).unwrap() as usize] += 1;
    }
    // χ² with 3 degrees of freedom is below 16.3 for all but 0.1 % of true samples.
    let chi2: f64 = counts
        .iter()
        .zip(probabilities)
        .map(|(count, p)| (f64::from(*count) - f64::from(p) * 2e4).powi(2) / (f64::from(p) * 2e4))
        .sum();
    assert!(chi2 < 16.3, "{counts:?}");
}

#[test]
fn a_draw_depends_on_seed_sample_and_position_only() {
    let draw = |seed: u64, sample: u64, position: u32, history: &[u32]| {
        let mut sampler = Sampler::new(SamplingArgs { seed, ..sampling() }, vec![]).unwrap();
        sampler.next_token(&mut vec![0.0; 10_000], history, position, sample).unwrap()
    };
    assert_eq!(draw(42, 3, 5, &[]), draw(42, 3, 5, &[1, 2]));
    let others = [draw(43, 3, 5, &[]), draw(42, 4, 5, &[]), draw(42, 3, 6, &[])];
    assert!(others.iter().all(|token| *token != draw(42, 3, 5, &[])));
}

#[test]
fn broken_logits_are_errors_that_name_token_and_position() {
    let mut sampler = Sampler::new(sampling(), vec![0, 1]).unwrap();
    let message = |row: &mut [f32], sampler: &mut Sampler| sampler.next_token(row, &[], 7, 0).unwrap_err().message;
    assert_eq!(
        message(&mut [0.0, f32::NAN], &mut sampler),
        "the model gave a logit of NaN for token 1 at response position 7"
    );
    assert_eq!(
        message(&mut [f32::INFINITY], &mut sampler),
        "the model gave a logit of inf for token 0 at response position 7"
    );
    assert_eq!(message(&mut [OFF, OFF], &mut sampler), "no token is left to choose: every logit is −∞");
    let mut sampler = Sampler::new(SamplingArgs { repetition_penalty: 1.1, ..sampling() }, vec![]).unwrap();
    assert_eq!(
        sampler.next_token(&mut [0.0; 3], &[0, 3], 0, 0).unwrap_err().message,
        "the history holds token 3, but the model's vocabulary has 3"
    );
}

#[test]
fn arguments_out_of_range_are_named_with_the_way_out() {
    let message = |args: SamplingArgs| args.validate().unwrap_err().message;
    assert_eq!(
        message(SamplingArgs { temperature: 0.0, ..sampling() }),
        "temperature: 0 must be above 0; for the most likely token set doSample to false"
    );
    assert_eq!(message(SamplingArgs { top_p: 1.5, ..sampling() }), "topP: 1.5 must be between 0 and 1 (1 = off)");
    assert_eq!(message(SamplingArgs { top_p: f64::NAN, ..sampling() }), "topP: NaN must be between 0 and 1 (1 = off)");
    assert_eq!(
        message(SamplingArgs { repetition_penalty: 0.0, ..sampling() }),
        "repetitionPenalty: 0 must be above 0 (1 = off)"
    );
    assert_eq!(
        message(SamplingArgs { min_new_tokens: 17, ..sampling() }),
        "minNewTokens: 17 is more than maxNewTokens, 16"
    );
    assert_eq!(
        message(SamplingArgs { max_new_tokens: 0, ..sampling() }),
        "maxNewTokens: 0 leaves nothing to generate; set 1 or more"
    );
    assert!(SamplingArgs { temperature: 0.0, do_sample: false, ..sampling() }.validate().is_ok());
}

#[test]
fn rollouts_sample_with_the_settings_of_ppo() {
    let ppo = PpoArgs {
        min_new_tokens: 4,
        max_new_tokens: 128,
        temperature: 0.7,
        top_k: 50,
        top_p: 0.9,
        ..crate::objective::ppo_tests::args()
    };
    let want = SamplingArgs {
        temperature: 0.7,
        top_k: 50,
        top_p: 0.9,
        min_new_tokens: 4,
        max_new_tokens: 128,
        seed: 7,
        ..sampling()
    };
    assert_eq!(SamplingArgs::rollout(&ppo, 7), want);
}

/// transformers' own processors on random and tied rows (`tests/parity/sampling_fixtures.py`).
#[test]
fn processed_logits_are_those_of_transformers() {
    let fixture = fixture("sampling");
    let mut compared = 0;
    for case in fixture["cases"].as_array().unwrap() {
        let chain = &case["processors"];
        if chain.get("min_p").is_some() {
            continue;
        }
        let number = |name: &str, off: f64| chain.get(name).map_or(off, |value| value.as_f64().unwrap());
        let args = SamplingArgs {
            repetition_penalty: number("repetition_penalty", 1.0),
            temperature: number("temperature", 1.0),
            top_k: number("top_k", 0.0) as u32,
            top_p: number("top_p", 1.0),
            ..sampling()
        };
        for (row, want) in fixture["rows"].as_array().unwrap().iter().zip(case["logits"].as_array().unwrap()) {
            let seen: Vec<u32> = numbers(&row["seen"]).into_iter().map(|id| id as u32).collect();
            let got = processed(args.clone(), &numbers(&row["logits"]), &seen, 0);
            let want: Vec<f32> =
                want.as_array().unwrap().iter().map(|x| x.as_f64().map_or(OFF, |x| x as f32)).collect();
            parity::hold_values("sampling: processed logits", &chain.to_string(), &got, &want, |_| 1.0, 1e-6);
            compared += 1;
        }
    }
    assert!(compared >= 60, "only {compared} rows were compared");
}

/// The definition, by sorting everything.
fn top_p_by_sorting_all(logits: &[f32], p: f64) -> Vec<usize> {
    let max = logits.iter().copied().fold(OFF, f32::max);
    let total: f64 = logits.iter().map(|l| f64::from((l - max).exp())).sum();
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|a, b| logits[*a].total_cmp(&logits[*b]));
    let mut sum = 0.0;
    let (mut kept, last) = (Vec::new(), *order.last().unwrap());
    for token in order {
        sum += f64::from((f64::from((logits[token] - max).exp()) / total) as f32);
        if sum as f32 > (1.0 - p) as f32 || token == last {
            kept.push(token);
        }
    }
    kept.sort_unstable();
    kept
}

proptest! {
    #[test]
    fn skipping_negligible_tokens_changes_nothing(
        logits in prop::collection::vec(-12.0_f32..4.0, 1..60), p in 0.0_f64..1.0,
    ) {
        prop_assert_eq!(kept(&with_top_p(&logits, p)), top_p_by_sorting_all(&logits, p));
    }

    #[test]
    fn kept_tokens_hold_at_least_the_probability_asked_for(
        logits in prop::collection::vec(-6.0_f32..4.0, 1..60), p in 0.0_f64..0.99,
    ) {
        let total: f64 = logits.iter().map(|l| f64::from(*l).exp()).sum();
        let mass = |tokens: &[usize]| tokens.iter().map(|t| f64::from(logits[*t]).exp()).sum::<f64>() / total;
        let tokens = kept(&with_top_p(&logits, p));
        prop_assert!(mass(&tokens) > p - 1e-6);
        let least = tokens.iter().copied().min_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
        let without: Vec<usize> = tokens.iter().copied().filter(|t| *t != least).collect();
        prop_assert!(mass(&without) <= p + 1e-6, "no token more than needed");
    }
}
