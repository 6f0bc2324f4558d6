//! Details of PPO that no formula test sees: what the reward model reads, how heads start; and that every row of the
//! checklist in tests/parity/README.md names tests that exist.

use std::path::Path;

use burn_flex::Flex;
use medtrain_crds::stage::VHeadInitStrategy;

use super::{
    ppo::init_value_head,
    reward::{init_head, score_sequences},
    rollout::{Episode, RewardModel, VALUE_BIAS, VALUE_WEIGHT},
};
use crate::{
    model::{Parameters, load},
    objective::moments::{Moments, Variance},
};

const HIDDEN: usize = 4096;

fn moments(values: &[f32]) -> Moments {
    values.iter().map(|&value| f64::from(value)).collect()
}

#[test]
fn a_response_is_scored_behind_its_prompt_up_to_a_stop_token_and_the_mean_is_taken_off() {
    let dir = crate::parity::fixture_path("models/smollm2");
    let model = load::load::<Flex>(&dir, 64, &Default::default()).unwrap();
    let head = init_head::<Flex>(model.config().hidden_size, 3, &Default::default());
    let reward = RewardModel { model, adapter: None, head, mean: 0.25, stop: 2 };
    let episode = |prompt: &[u32], response: &[u32], ended| Episode {
        prompt: prompt.to_vec(),
        response: response.to_vec(),
        ended,
    };
    let episodes =
        [episode(&[5, 6, 7], &[8, 9, 2], true), episode(&[5, 6, 7], &[8, 9], false), episode(&[50], &[8, 9], false)];
    let read: [&[u32]; 3] = [&[5, 6, 7, 8, 9, 2], &[5, 6, 7, 8, 9, 2], &[50, 8, 9, 2]];
    let whole = score_sequences(&reward.model, None, &reward.head, &read);
    let scores = reward.score(&episodes);
    for (ours, whole) in scores.iter().zip(&whole) {
        assert!((ours - (whole - 0.25)).abs() < 1e-6, "{scores:?} of {whole:?}");
    }
    assert!((scores[0] - scores[1]).abs() < 1e-6, "that it did not end is the penalty's business");
    assert!((scores[1] - scores[2]).abs() > 1e-3, "the prompt counts");
}

/// Stiennon et al. 2020: N(0, 1/√(d + 1)).
#[test]
fn a_new_score_head_is_normal_with_deviation_one_over_the_root_of_its_width_plus_one() {
    let moments = moments(&init_head::<Flex>(HIDDEN, 42, &Default::default()).to_host());
    let deviation = 1.0 / ((HIDDEN + 1) as f64).sqrt();
    assert!((moments.std(Variance::Unbiased) / deviation - 1.0).abs() < 0.05);
    assert!(moments.mean().abs() < 4.0 * deviation / (HIDDEN as f64).sqrt());
}

fn value_head(strategy: VHeadInitStrategy, seed: u64) -> (Vec<f32>, Vec<f32>) {
    let mut parameters = Parameters::<Flex>::default();
    init_value_head(&mut parameters, HIDDEN, strategy, seed, &Default::default());
    assert_eq!(parameters[VALUE_WEIGHT].shape, [1, HIDDEN]);
    (parameters[VALUE_WEIGHT].to_host(), parameters[VALUE_BIAS].to_host())
}

#[test]
fn a_new_value_head_gives_nothing_but_zero() {
    assert_eq!(value_head(VHeadInitStrategy::Zeros, 42), (vec![0.0; HIDDEN], vec![0.0]));
}

/// `torch.nn.Linear`: weights and bias uniform over ±1/√hidden.
#[test]
fn a_value_head_of_2023_starts_as_pytorch_starts_a_linear_layer() {
    let bound = 1.0 / (HIDDEN as f64).sqrt();
    let (weights, bias) = value_head(VHeadInitStrategy::Uniform, 42);
    let moments = moments(&weights);
    assert!(weights.iter().chain(&bias).all(|&value| f64::from(value).abs() <= bound * 1.000_001));
    assert!((moments.std(Variance::Unbiased) / (bound / 3.0_f64.sqrt()) - 1.0).abs() < 0.05);
    assert!(moments.mean().abs() < 4.0 * bound / (3.0 * HIDDEN as f64).sqrt());
    assert!(bias != [0.0] && !weights.contains(&bias[0]));
    assert_ne!(value_head(VHeadInitStrategy::Uniform, 43).0, weights);
}

/// All Rust of the workspace, one text.
fn sources(dir: &Path, text: &mut String) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_row_of_the_checklist_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = std::fs::read_to_string(root.join("tests/parity/README.md")).unwrap();
    let section = readme.split("## PPO, detail by detail").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut text = String::new();
    ["trainer/src", "crds/src"].iter().for_each(|dir| sources(&root.join(dir), &mut text));
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() >= 21, "{} rows; the checklist has 21 details", rows.len());
    for row in rows {
        let tests = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test: {row}");
        for name in names {
            assert!(text.contains(&format!("fn {name}(")), "there is no test {name}: {row}");
        }
    }
}
