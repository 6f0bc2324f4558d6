use std::collections::BTreeMap;

use burn_flex::Flex;
use medtrain_crds::stage::BestMetric;

use super::*;
use crate::data::prepare::tests::train_args;

fn args(metric: BestMetric, patience: u32, threshold: f64) -> TrainArgs {
    TrainArgs {
        early_stopping_patience: Some(patience),
        early_stopping_threshold: threshold,
        load_best_model_at_end: true,
        metric_for_best_model: Some(metric),
        greater_is_better: Some(metric.greater_is_better()),
        ..train_args()
    }
}

/// Evaluations of these figures after steps 1, 2, …: the step it gives up at, the best step, its weight.
fn course(args: &TrainArgs, figures: &[f64]) -> (Option<u64>, Option<u64>, f32) {
    let (mut best, mut history) = (Best::default(), TrainerState::default());
    let weight = |step: u64| -> Parameters<Flex> {
        BTreeMap::from([("w".to_owned(), Parameter::new(vec![1], vec![step as f32], &Default::default()))])
    };
    let name = args.metric_for_best_model.unwrap().name().to_owned();
    let mut step = 0;
    for &figure in figures {
        step += 1;
        let evaluation = Evaluation { figures: BTreeMap::from([(name.clone(), figure)]), ..Evaluation::default() };
        best.compare(step, &evaluation, args, &weight(step), &mut history);
        // Whatever it knows comes back from a checkpoint.
        let mut tensors = BTreeMap::new();
        let saved = serde_json::to_string(&best.save(&mut tensors)).unwrap();
        best = Best::restore(serde_json::from_str(&saved).unwrap(), &tensors);
        if best.is_given_up(args) {
            break;
        }
    }
    let mut last = weight(step);
    best.load(args, &mut last, &Default::default()).unwrap();
    (best.is_given_up(args).then_some(step), history.best_global_step, last["w"].to_host()[0])
}

/// What transformers 5 does with the same figures, by its `EarlyStoppingCallback` and `_determine_best_metric`.
#[test]
fn patience_and_best_are_those_of_transformers() {
    let loss = |patience, threshold| args(BestMetric::EvalLoss, patience, threshold);
    let accuracy = |patience| args(BestMetric::EvalAccuracy, patience, 0.0);
    assert_eq!(course(&loss(2, 0.0), &[3.0, 2.0, 2.5, 2.25, 1.0]), (Some(4), Some(2), 2.0));
    assert_eq!(course(&loss(2, 0.0), &[3.0, 2.0, 2.5, 1.0, 1.5]), (None, Some(4), 4.0));
    assert_eq!(course(&loss(1, 0.0), &[3.0, 3.0]), (Some(2), Some(1), 1.0), "an equal figure is no improvement");
    // Gains too small for the patience still move the best, which the next gain is measured from.
    assert_eq!(course(&loss(2, 0.5), &[3.0, 2.75, 2.5, 0.0]), (Some(3), Some(3), 3.0));
    assert_eq!(course(&loss(2, 0.5), &[3.0, 2.5, 1.75, 1.5]), (None, Some(4), 4.0), "a gain of the threshold is none");
    assert_eq!(course(&accuracy(2), &[0.5, 0.75, 0.5, 0.5, 1.0]), (Some(4), Some(2), 2.0));
}

#[test]
fn a_figure_that_is_not_finite_is_never_the_best() {
    assert_eq!(course(&args(BestMetric::EvalLoss, 2, 0.0), &[f64::INFINITY, 2.0, 3.0]), (None, Some(2), 2.0));
    assert_eq!(course(&args(BestMetric::EvalLoss, 2, 0.0), &[f64::INFINITY; 3]), (Some(2), None, 2.0));
}

#[test]
fn without_a_metric_nothing_is_kept() {
    let (mut best, mut history) = (Best::default(), TrainerState::default());
    let evaluation = Evaluation { figures: BTreeMap::from([("eval_loss".into(), 1.0)]), ..Evaluation::default() };
    best.compare::<Flex>(3, &evaluation, &train_args(), &BTreeMap::new(), &mut history);
    let mut tensors = BTreeMap::new();
    assert!(best.save(&mut tensors).is_none() && tensors.is_empty() && best.record(&train_args()).is_none());
    assert_eq!(history, TrainerState::default());
}
