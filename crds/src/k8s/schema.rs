//! The schema of the resource, made from what is stated elsewhere: names, bounds and what is needed from the field
//! table of [`crate::training`], descriptions from its types, hyperparameters from their table, pods from Kubernetes.
//!
//! Holds: every field has a description; every text and list that a rule may read has a bound.

use serde_json::{Map, Value, json};

use super::structural::{object, schema};
use super::{pod_template, rules};
use crate::contract::canonical;
use crate::resolve::hyperparameters::{ALL_LINEAR, ALL_LINEAR_NAME, SAVEABLE};
use crate::resolve::{DEFAULT_SEED, MAX_STAGE_NAME};
use crate::stage::{Literal, Parameter, Section, StageKind, Type};
use crate::training::shape::{Field, SPEC, Shape};
use crate::training::status::MedicalTrainingStatus;
use crate::training::{API_VERSION, KIND, MedicalTrainingSpec};

/// Characters of a decimal: 15 digits and a power of ten are enough for every number.
const DECIMAL_LENGTH: usize = 64;

/// The whole resource.
pub(super) fn resource() -> Value {
    let mut status = schema::<MedicalTrainingStatus>();
    status.insert(
        "description".to_string(),
        "What the operator has done about it; only the operator writes here.".into(),
    );
    let mut spec = fields(SPEC, "", &schema::<MedicalTrainingSpec>());
    spec.insert("description".to_string(), "What is to be trained.".into());
    json!({
        "type": "object",
        "description": "Trains a medical language model in stages, each from the results of those before. \
            Whoever may create one may run pods here with the Secrets, ServiceAccounts and volumes that it names.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": format!("{API_VERSION}.")},
            "kind": {"type": "string", "description": format!("{KIND}.")},
            "metadata": {"type": "object"}, // an API server refuses any more
            "spec": spec,
            "status": status,
        },
        "x-kubernetes-validations": json_of(&rules::of_resource()),
    })
}

fn json_of(rules: &[rules::Rule]) -> Value {
    rules.iter().map(rules::Rule::to_json).collect()
}

/// An object of known fields; `documented` is the schema of its type.
fn fields(table: &[Field], place: &str, documented: &Map<String, Value>) -> Map<String, Value> {
    let mut properties = Map::new();
    for field in table {
        let documented = property(documented, field.name);
        let mut schema = of(field, &join(place, field.name), &documented);
        let description = documented.get("description").cloned().unwrap_or_default();
        schema.insert("description".to_string(), description);
        properties.insert(field.name.to_string(), schema.into());
    }
    let required: Vec<_> = table.iter().filter(|field| field.required.is_some()).map(|field| field.name).collect();
    let mut schema = object(json!({"type": "object", "properties": properties}));
    if !required.is_empty() {
        schema.insert("required".to_string(), required.into());
    }
    with_rules(schema, rules::at(place))
}

fn property(schema: &Map<String, Value>, name: &str) -> Map<String, Value> {
    object(schema.get("properties").and_then(|properties| properties.get(name)).cloned().unwrap_or_default())
}

fn join(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_string() } else { format!("{place}.{name}") }
}

fn with_rules(mut schema: Map<String, Value>, rules: Vec<rules::Rule>) -> Map<String, Value> {
    if !rules.is_empty() {
        let mut all = schema.get("x-kubernetes-validations").and_then(Value::as_array).cloned().unwrap_or_default();
        all.extend(rules.iter().map(rules::Rule::to_json));
        schema.insert("x-kubernetes-validations".to_string(), all.into());
    }
    schema
}

fn of(field: &Field, place: &str, documented: &Map<String, Value>) -> Map<String, Value> {
    if place.contains("podTemplate.")
        && let Some(schema) = pod_template::field(field.name)
    {
        return schema;
    }
    let mut schema = shape(&field.shape, place, documented);
    match place {
        "seed" => schema.insert("default".to_string(), DEFAULT_SEED.into()),
        "suspend" => schema.insert("default".to_string(), false.into()),
        "stages[].name" => schema.insert("maxLength".to_string(), MAX_STAGE_NAME.into()),
        "stages" | "stages[].vocabulary.addTokens" => schema.insert("minItems".to_string(), 1.into()),
        _ => None,
    };
    schema
}

fn shape(shape: &Shape, place: &str, documented: &Map<String, Value>) -> Map<String, Value> {
    match shape {
        Shape::Scalar(ty) => with_rules(scalar(*ty), rules::at(place)),
        Shape::List { of, max } => list(of, *max, place, documented),
        Shape::Object(table) => fields(table, place, documented),
        Shape::Parameters(section) => parameters(*section, place),
        Shape::Open(_) | Shape::Opaque => {
            object(json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}))
        }
    }
}

fn list(of: &Shape, max: usize, place: &str, documented: &Map<String, Value>) -> Map<String, Value> {
    let items = object(documented.get("items").cloned().unwrap_or_default());
    let items = shape(of, &format!("{place}[]"), &items);
    let mut list = object(json!({"type": "array", "items": items, "maxItems": max}));
    list.extend(match place {
        "stages" => keyed_by("name"),
        "storage" => keyed_by("uriPrefix"),
        _ => object(json!({"x-kubernetes-list-type": "atomic"})),
    });
    list
}

fn keyed_by(key: &str) -> Map<String, Value> {
    object(json!({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}))
}

fn scalar(ty: Type) -> Map<String, Value> {
    match ty {
        Type::Int { min, max } => object(json!({"type": "integer", "format": "int64", "minimum": min, "maximum": max})),
        Type::Decimal(range) => with_rules(
            object(json!({
                "x-kubernetes-int-or-string": true,
                "maxLength": DECIMAL_LENGTH,
                "pattern": r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$",
            })),
            vec![rules::range(range)],
        ),
        Type::Bool => object(json!({"type": "boolean"})),
        Type::Choice(names) => object(json!({"type": "string", "enum": names})),
        Type::Text { max } => object(json!({"type": "string", "minLength": 1, "maxLength": max})),
        Type::Names { max } => object(json!({
            "type": "array",
            "items": {"type": "string", "minLength": 1, "maxLength": 64},
            "maxItems": max,
            "x-kubernetes-list-type": "atomic",
        })),
    }
}

/// A section of the hyperparameter table.
fn parameters(section: Section, place: &str) -> Map<String, Value> {
    let properties: Map<_, _> = section
        .parameters()
        .iter()
        .map(|parameter| {
            let place = join(place, parameter.name);
            let mut schema = with_rules(scalar(parameter.ty), rules::at(&place));
            if let Some(names) = known_names(parameter.name) {
                schema.insert("items".to_string(), json!({"type": "string", "enum": names}));
            }
            schema.insert("description".to_string(), description(parameter).into());
            (parameter.name.to_string(), schema.into())
        })
        .collect();
    with_rules(object(json!({"type": "object", "properties": properties})), rules::at(place))
}

/// Modules that a list may name.
fn known_names(parameter: &str) -> Option<Vec<&'static str>> {
    match parameter {
        "targetModules" => Some(std::iter::once(ALL_LINEAR_NAME).chain(ALL_LINEAR).collect()),
        "modulesToSave" => Some(SAVEABLE.to_vec()),
        _ => None,
    }
}

/// Meaning, range of a decimal, default by kind.
fn description(parameter: &Parameter) -> String {
    let mut text = parameter.doc.to_string();
    if let Type::Decimal(range) = parameter.ty {
        text.push_str(&format!(" A number {range}, in quotes unless whole."));
    }
    let mut defaults: Vec<(String, Vec<&str>)> = Vec::new();
    for kind in parameter.kinds {
        let value = literal(parameter.default.of(*kind));
        match defaults.iter_mut().find(|(known, _)| *known == value) {
            Some((_, kinds)) => kinds.push(kind.name()),
            None => defaults.push((value, vec![kind.name()])),
        }
    }
    let section = matches!(parameter.section, Section::Ppo | Section::Reward);
    if parameter.kinds.len() < StageKind::ALL.len() && !section {
        let kinds: Vec<_> = parameter.kinds.iter().map(|kind| kind.name()).collect();
        text.push_str(&format!(" Only in {}.", kinds.join(", ")));
    }
    let defaults = match defaults.as_slice() {
        [(value, _)] => value.clone(),
        several => several
            .iter()
            .map(|(value, kinds)| format!("{value} ({})", kinds.join(", ")))
            .collect::<Vec<_>>()
            .join(", "),
    };
    text.push_str(&format!(" Default: {defaults}."));
    text
}

fn literal(value: Literal) -> String {
    match value {
        Literal::Unset => "unset".to_string(),
        Literal::Decimal(value) => canonical::number(value),
        Literal::Names([]) => "none".to_string(),
        Literal::Names(names) => names.join(", "),
        other => other.to_json().to_string().trim_matches('"').to_string(),
    }
}
