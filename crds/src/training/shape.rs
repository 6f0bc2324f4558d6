//! The field table of the resource, and the walk that finds every unknown, missing or ill-formed field.
//!
//! Holds: the table names exactly the fields of the types in `mod.rs` (a test reads the names out of serde);
//! hyperparameters come from their own table.

use serde_json::{Map, Value};

use super::{API_VERSION, KIND, SpecError};
use crate::stage::{Range, Section, Type, found, nearest, plain_name};

/// What may stand at a place.
pub(crate) enum Shape {
    Scalar(Type),
    List {
        of: &'static Shape,
        max: usize,
    },
    Object(&'static [Field]),
    /// A section of the hyperparameter table.
    Parameters(Section),
    /// A mapping with more fields than ours.
    Open(&'static [Field]),
    /// Anything.
    Opaque,
}

pub(crate) struct Field {
    pub name: &'static str,
    pub shape: Shape,
    /// What to say if it is missing.
    pub required: Option<&'static str>,
}

const fn optional(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, required: None }
}

const fn required(name: &'static str, shape: Shape, hint: &'static str) -> Field {
    Field { name, shape, required: Some(hint) }
}

const TEXT: Shape = Shape::Scalar(Type::Text { max: 1024 });
const SHORT: Shape = Shape::Scalar(Type::Text { max: 253 });
const TEMPLATE: Shape = Shape::Scalar(Type::Text { max: 65_536 });
const SECONDS: Shape = Shape::Scalar(Type::Int { min: 0, max: 1_000_000_000 });
const BOOL: Shape = Shape::Scalar(Type::Bool);
const TOKEN: Shape = Shape::Scalar(Type::Text { max: 128 });
const PATHS: Shape = Shape::List { of: &TEXT, max: 64 };
const LOCAL_REF: Shape = Shape::Object(&[required("name", SHORT, "name the object")]);
const WEIGHT: Shape = Shape::Scalar(Type::Decimal(Range { min: 0.0, max: 100.0, closed: (false, true) }));
const FULL: Shape = Shape::Object(&[]);
const INPUT: Shape = Shape::Object(&[optional("from", SHORT), optional("uri", TEXT), optional("revision", SHORT)]);

/// The whole resource.
pub(super) const ROOT: Shape = Shape::Object(&[
    required("apiVersion", Shape::Scalar(Type::Choice(&[API_VERSION])), "write apiVersion: medtrain.io/v1alpha1"),
    required("kind", Shape::Scalar(Type::Choice(&[KIND])), "write kind: MedicalTraining"),
    required("metadata", Shape::Open(METADATA), "write metadata: {name: …}"),
    required("spec", Shape::Object(SPEC), "a training needs a spec with model and stages"),
    optional("status", Shape::Opaque),
]);

pub(super) const METADATA: &[Field] = &[required("name", SHORT, "name the training"), optional("namespace", SHORT)];

pub(crate) const SPEC: &[Field] = &[
    required("model", Shape::Object(MODEL), "write model: {uri: …}"),
    optional("output", Shape::Object(OUTPUT)),
    optional("seed", Shape::Scalar(Type::Int { min: 0, max: (1 << 53) - 1 })),
    optional("lora", Shape::Parameters(Section::Lora)),
    optional("full", FULL),
    optional("podTemplate", Shape::Object(POD_TEMPLATE)),
    optional("storage", Shape::List { of: &Shape::Object(STORAGE), max: 16 }),
    optional("hub", Shape::Object(HUB)),
    optional("queueName", SHORT),
    optional("suspend", BOOL),
    optional("retryToken", SHORT),
    optional("cacheSalt", SHORT),
    optional("ttlSecondsAfterFinished", SECONDS),
    required("stages", Shape::List { of: &Shape::Object(STAGE), max: 16 }, "write stages: [{name: sft, kind: SFT, …}]"),
];

pub(super) const MODEL: &[Field] = &[
    optional("uri", TEXT),
    optional("revision", SHORT),
    optional("chatTemplate", TEMPLATE),
    optional("random", Shape::Open(&[])),
    optional("tokenizer", TEXT),
];

pub(super) const OUTPUT: &[Field] = &[required("uri", TEXT, "say where artifacts go, or remove output")];

pub(super) const STORAGE: &[Field] = &[
    required("uriPrefix", TEXT, "say which URIs this is for, like s3://"),
    optional("secretRef", LOCAL_REF),
    optional("endpoint", TEXT),
    optional("region", SHORT),
    optional("caConfigMapRef", LOCAL_REF),
];

pub(super) const HUB: &[Field] = &[optional("secretRef", LOCAL_REF), optional("endpoint", TEXT)];

pub(super) const STAGE: &[Field] = &[
    required("name", SHORT, "name the stage, like sft"),
    required("kind", Shape::Scalar(Type::Choice(&["PT", "SFT", "RM", "PPO"])), "one of PT, SFT, RM, PPO"),
    optional("inputs", Shape::Object(INPUTS)),
    optional("dataset", Shape::Object(DATASET)),
    optional("vocabulary", Shape::Object(VOCABULARY)),
    optional("train", Shape::Parameters(Section::Train)),
    optional("ppo", Shape::Parameters(Section::Ppo)),
    optional("reward", Shape::Parameters(Section::Reward)),
    optional("lora", Shape::Parameters(Section::Lora)),
    optional("full", FULL),
    optional("podTemplate", Shape::Object(POD_TEMPLATE)),
];

pub(super) const INPUTS: &[Field] = &[
    optional("policy", INPUT),
    optional("base", INPUT),
    optional("reference", INPUT),
    optional("reward", INPUT),
    optional("adapter", INPUT),
];

pub(super) const DATASET: &[Field] = &[
    optional("train", PATHS),
    optional("eval", PATHS),
    optional("evalFraction", Shape::Scalar(Type::Decimal(Range { min: 0.0, max: 0.9, closed: (true, true) }))),
    optional("weights", Shape::List { of: &WEIGHT, max: 64 }),
    optional(
        "format",
        Shape::Scalar(Type::Choice(&[
            "text",
            "alpaca",
            "conversations",
            "messages",
            "prompt_completion",
            "question",
            "preference",
            "prompt",
        ])),
    ),
    optional("maxScanBytes", Shape::Scalar(Type::Int { min: 1, max: (1 << 53) - 1 })),
];

pub(super) const VOCABULARY: &[Field] = &[required(
    "addTokens",
    Shape::List { of: &TOKEN, max: 4096 },
    "list the texts that shall become tokens, or remove vocabulary",
)];

pub(super) const POD_TEMPLATE: &[Field] = &[
    optional("image", TEXT),
    optional("imagePullPolicy", SHORT),
    optional("imagePullSecrets", Shape::Opaque),
    optional("resources", Shape::Opaque),
    optional("resourceClaims", Shape::Opaque),
    optional("acceleratorMemory", SHORT),
    optional("nodeSelector", Shape::Opaque),
    optional("affinity", Shape::Opaque),
    optional("tolerations", Shape::Opaque),
    optional("topologySpreadConstraints", Shape::Opaque),
    optional("priorityClassName", SHORT),
    optional("runtimeClassName", SHORT),
    optional("schedulerName", SHORT),
    optional("serviceAccountName", SHORT),
    optional("env", Shape::Opaque),
    optional("envFrom", Shape::Opaque),
    optional("volumes", Shape::Opaque),
    optional("volumeMounts", Shape::Opaque),
    optional("labels", Shape::Opaque),
    optional("annotations", Shape::Opaque),
    optional("terminationGracePeriodSeconds", SECONDS),
];

/// Other trainers' names for what has another name here.
const RENAMED: &[(&str, &str)] = &[
    ("datasets", "dataset"),
    ("evaluationStrategy", "evalStrategy"),
    ("klCoef", "initKlCoef"),
    ("horizon", "klHorizon"),
    ("loraAlpha", "alpha"),
    ("loraDropout", "dropout"),
    ("loraRank", "rank"),
    ("maxSeqLength", "maxLength"),
    ("outputMaxLength", "maxNewTokens"),
    ("ppoEpochs", "numPpoEpochs"),
    ("r", "rank"),
    ("responseLength", "maxNewTokens"),
    ("target", "klTarget"),
];

/// What of `value` fits `shape`, with one error for everything that doesn't. `None`: nothing of it.
pub(super) fn walk(value: &Value, shape: &Shape, path: &str, errors: &mut Vec<SpecError>) -> Option<Value> {
    match (shape, value) {
        (Shape::Scalar(ty), value) => match ty.read(value) {
            Ok(value) => Some(value),
            Err(message) => report(errors, path, message),
        },
        (Shape::List { of, max }, Value::Array(items)) => {
            if items.len() > *max {
                errors.push(SpecError::new(
                    shown(path),
                    format!("has {} entries; at most {max} are allowed", items.len()),
                ));
            }
            Some(
                items
                    .iter()
                    .enumerate()
                    .filter_map(|(index, item)| walk(item, of, &entry(path, index), errors))
                    .collect(),
            )
        }
        (Shape::Object(fields), Value::Object(object)) => {
            let names: Vec<_> = fields.iter().map(|field| field.name).collect();
            let accepted = walk_known(object, &names, path, errors, |name, value, path, errors| {
                let field = fields.iter().find(|field| field.name == name)?;
                walk(value, &field.shape, path, errors)
            });
            require(object, fields, path, errors);
            Some(Value::Object(accepted))
        }
        (Shape::Open(fields), Value::Object(object)) => {
            let mut accepted = object.clone();
            for known in *fields {
                if let Some(value) = object.get(known.name)
                    && walk(value, &known.shape, &field(path, known.name), errors).is_none()
                {
                    accepted.remove(known.name);
                }
            }
            require(object, fields, path, errors);
            Some(Value::Object(accepted))
        }
        (Shape::Parameters(section), Value::Object(object)) => {
            let names: Vec<_> = section.parameters().iter().map(|parameter| parameter.name).collect();
            Some(Value::Object(walk_known(object, &names, path, errors, |name, value, path, errors| {
                let parameter = section.parameters().iter().find(|parameter| parameter.name == name)?;
                walk(value, &Shape::Scalar(parameter.ty), path, errors)
            })))
        }
        (Shape::Opaque, _) => Some(value.clone()),
        (Shape::List { .. }, Value::String(_)) => {
            report(errors, path, format!("must be a list, found {}; put it in square brackets", found(value)))
        }
        (Shape::List { .. }, value) => report(errors, path, format!("must be a list, found {}", found(value))),
        (Shape::Object([]), value) => {
            report(errors, path, format!("must be empty, found {}; write {{}}", found(value)))
        }
        (_, value) => report(errors, path, format!("must be a mapping, found {}", found(value))),
    }
}

fn require(object: &Map<String, Value>, fields: &[Field], path: &str, errors: &mut Vec<SpecError>) {
    for known in fields {
        if let Some(hint) = known.required
            && object.get(known.name).is_none_or(Value::is_null)
        {
            errors.push(SpecError::new(field(path, known.name), format!("is missing; {hint}")));
        }
    }
}

/// The fields of `object` that are known and not null, each read by `read`; the others are errors.
fn walk_known(
    object: &Map<String, Value>,
    names: &[&str],
    path: &str,
    errors: &mut Vec<SpecError>,
    mut read: impl FnMut(&str, &Value, &str, &mut Vec<SpecError>) -> Option<Value>,
) -> Map<String, Value> {
    let mut accepted = Map::new();
    for (name, value) in object {
        let place = field(path, name);
        if !names.contains(&name.as_str()) {
            errors.push(SpecError::new(place, format!("unknown field; {}", way_out(name, names))));
        } else if !value.is_null()
            && let Some(value) = read(name, value, &place, errors)
        {
            accepted.insert(name.clone(), value);
        }
    }
    accepted
}

/// What someone who wrote the unknown field `name` probably wanted.
fn way_out(name: &str, names: &[&str]) -> String {
    let renamed = RENAMED
        .iter()
        .find(|(other, ours)| plain_name(other) == plain_name(name) && names.contains(ours))
        .map(|(_, ours)| *ours);
    if let Some(near) = renamed.or_else(|| nearest(name, names.iter().copied())) {
        return format!("did you mean {near:?}?");
    }
    let mut sections = Section::ALL.into_iter().filter(|section| names.contains(&section.name()));
    if let Some(section) = sections.find(|section| section.parameters().iter().any(|parameter| parameter.name == name))
    {
        return format!("it belongs under {:?}", section.name());
    }
    let mut elsewhere = Section::ALL.into_iter().filter(|section| section.parameters().iter().any(|p| p.name == name));
    if let Some(section) = elsewhere.next() {
        return format!("it belongs under \"stages[…].{}\"", section.name());
    }
    match names {
        [] => "nothing can be set here".to_string(),
        names => format!("known are {}", names.join(", ")),
    }
}

fn report(errors: &mut Vec<SpecError>, path: &str, message: String) -> Option<Value> {
    errors.push(SpecError::new(shown(path), message));
    None
}

/// The path of `name` inside `path`; `spec` itself is not shown.
pub(super) fn field(path: &str, name: &str) -> String {
    match path {
        "" | "spec" => name.to_string(),
        path => format!("{path}.{name}"),
    }
}

pub(super) fn entry(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

pub(super) fn shown(path: &str) -> String {
    if path.is_empty() { "the resource".to_string() } else { path.to_string() }
}
