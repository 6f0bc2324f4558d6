//! Hyperparameters of one stage: what was written, over the pipeline's defaults, over the table's.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::stage::{BestMetric, IntervalStrategy, LoraArgs, LrSchedulerType, Section, StageKind, TrainArgs, nearest};
use crate::training::SpecError;

/// The seven projections of a layer, in the order that `all-linear` gives them.
pub const ALL_LINEAR: [&str; 7] = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
pub const ALL_LINEAR_NAME: &str = "all-linear";
pub const SAVEABLE: [&str; 2] = ["embed_tokens", "lm_head"];

/// What was written in a section, in the form that resolved hyperparameters have it.
///
/// Values that the walk over the resource has refused are left out: they are reported already.
pub(super) fn written<T: Serialize>(section: Section, spec: Option<&T>) -> Map<String, Value> {
    let Some(Value::Object(fields)) = spec.and_then(|spec| serde_json::to_value(spec).ok()) else { return Map::new() };
    fields
        .into_iter()
        .filter_map(|(name, value)| {
            let parameter = section.parameters().iter().find(|parameter| parameter.name == name)?;
            Some((name, parameter.ty.read(&value).ok()?))
        })
        .collect()
}

/// One error for each hyperparameter that has no meaning in a stage of this kind.
pub(super) fn check_kinds(
    section: Section,
    kind: StageKind,
    written: &Map<String, Value>,
    path: &str,
    errors: &mut Vec<SpecError>,
) {
    for parameter in section.parameters().iter().filter(|parameter| written.contains_key(parameter.name)) {
        if !parameter.kinds.contains(&kind) {
            let kinds = parameter.kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
            let message = format!("has no meaning in {kind} stages (only in {kinds}); remove the line");
            errors.push(SpecError::new(format!("{path}.{}.{}", section.name(), parameter.name), message));
        }
    }
}

/// The section's defaults for `kind` under what was written, first the pipeline's, then the stage's.
pub(super) fn args<T: DeserializeOwned>(section: Section, kind: StageKind, layers: &[&Map<String, Value>]) -> T {
    let mut fields = section.defaults(kind);
    for layer in layers {
        for parameter in section.parameters().iter().filter(|parameter| parameter.kinds.contains(&kind)) {
            if let Some(value) = layer.get(parameter.name) {
                fields.insert(parameter.name.to_string(), value.clone());
            }
        }
    }
    T::deserialize(Value::Object(fields))
        .expect("the table has every field of the resolved type, each of its type (tested)")
}

/// Checks that need more than one hyperparameter, and values that follow from others.
pub(super) fn settle_train(
    train: &mut TrainArgs,
    written: &Map<String, Value>,
    has_eval: bool,
    path: &str,
    errors: &mut Vec<SpecError>,
) {
    if train.lr_scheduler_type == LrSchedulerType::Constant {
        let positive = |name: &&str| written.get(*name).and_then(Value::as_f64).is_some_and(|value| value > 0.0);
        if let Some(name) = ["warmupRatio", "warmupSteps"].into_iter().find(positive) {
            let message = "has no meaning with lrSchedulerType constant; use constant_with_warmup";
            errors.push(SpecError::new(format!("{path}.train.{name}"), message));
        }
        train.warmup_ratio = 0.0;
        train.warmup_steps = 0;
    }
    if !has_eval {
        let asked = written.get("evalStrategy").and_then(Value::as_str).is_some_and(|strategy| strategy != "no");
        if asked {
            let message =
                "there is nothing to evaluate on; set dataset.eval or dataset.evalFraction, or remove the line";
            errors.push(SpecError::new(format!("{path}.train.evalStrategy"), message));
        }
        train.eval_strategy = IntervalStrategy::No;
    }
    settle_best(train, written, has_eval, path, errors);
}

/// What comparing evaluations needs, and by what they are compared.
fn settle_best(
    train: &mut TrainArgs,
    written: &Map<String, Value>,
    has_eval: bool,
    path: &str,
    errors: &mut Vec<SpecError>,
) {
    let place = |field: &str| format!("{path}.train.{field}");
    let compares = [
        (train.early_stopping_patience.is_some(), "earlyStoppingPatience"),
        (train.load_best_model_at_end, "loadBestModelAtEnd"),
        (train.metric_for_best_model.is_some(), "metricForBestModel"),
    ];
    let comparing = compares.into_iter().filter(|(is_set, _)| *is_set).map(|(_, field)| field);
    let message = match (has_eval, train.eval_strategy) {
        (false, _) => {
            Some("compares evaluations on held-out rows; set dataset.eval or dataset.evalFraction, or remove the line")
        }
        (true, IntervalStrategy::No) => {
            Some("compares evaluations; set train.evalStrategy to steps or epoch, or remove the line")
        }
        (true, _) => None,
    };
    if let Some(message) = message {
        errors.extend(comparing.clone().map(|field| SpecError::new(place(field), message)));
    }
    if written.contains_key("earlyStoppingThreshold") && train.early_stopping_patience.is_none() {
        let message = "has no meaning without earlyStoppingPatience; set that too, or remove the line";
        errors.push(SpecError::new(place("earlyStoppingThreshold"), message));
    }
    if comparing.count() == 0 {
        if train.greater_is_better.is_some() {
            let message = "has no meaning without metricForBestModel; set that too, or remove the line";
            errors.push(SpecError::new(place("greaterIsBetter"), message));
        }
        return;
    }
    let metric = train.metric_for_best_model.unwrap_or(BestMetric::EvalLoss);
    train.metric_for_best_model = Some(metric);
    train.greater_is_better.get_or_insert(metric.greater_is_better());
}

/// Expands `all-linear` and puts modules into one order, so that equal sets are equal. What was not `written` in the
/// stage comes from the pipeline.
pub(super) fn settle_lora(lora: &mut LoraArgs, written: &Map<String, Value>, path: &str, errors: &mut Vec<SpecError>) {
    let place = |field: &str| {
        if written.contains_key(field) { format!("{path}.lora.{field}") } else { format!("lora.{field}") }
    };
    if lora.target_modules.iter().any(|name| name == ALL_LINEAR_NAME) {
        if lora.target_modules.len() > 1 {
            errors.push(SpecError::new(place("targetModules"), "all-linear stands alone; remove it or the others"));
        }
        lora.target_modules = ALL_LINEAR.map(str::to_string).to_vec();
    }
    if lora.target_modules.is_empty() && lora.modules_to_save.is_empty() {
        errors.push(SpecError::new(
            place("targetModules"),
            "is empty, so nothing would be trained; remove the line for all-linear",
        ));
    }
    in_order(&mut lora.target_modules, &ALL_LINEAR, &place("targetModules"), errors);
    in_order(&mut lora.modules_to_save, &SAVEABLE, &place("modulesToSave"), errors);
}

fn in_order(names: &mut Vec<String>, known: &[&str], path: &str, errors: &mut Vec<SpecError>) {
    for name in names.iter().filter(|name| !known.contains(&name.as_str())) {
        let near =
            nearest(name, known.iter().copied()).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
        errors.push(SpecError::new(
            path,
            format!("{name:?} is no module that can be named here; known are {}{near}", known.join(", ")),
        ));
    }
    *names =
        known.iter().filter(|known| names.iter().any(|name| name == *known)).map(|name| (*name).to_string()).collect();
}
