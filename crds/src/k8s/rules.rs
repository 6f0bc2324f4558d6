//! What a schema can't say with types and ranges: rules in CEL, each with the way out.
//!
//! Holds: no rule is stricter than [`crate::resolve`], except that a cluster sees no paths relative to a file and
//! needs to be told where artifacts go. Rules that need the whole pipeline (what a stage leaves for a later one) are
//! the resolver's alone.

use serde_json::{Value, json};

use crate::resolve::hyperparameters::ALL_LINEAR_NAME;
use crate::resolve::{MAX_STAGE_NAME, MAX_TRAINING_NAME, RESERVED_STAGE_NAMES};
use crate::stage::{DataFormat, Literal, PPO, PpoPreset, Range, Section, StageKind};

/// One entry of `x-kubernetes-validations`.
pub(super) struct Rule {
    rule: String,
    message: String,
    /// The field it is about, relative to its place; `None`: the place itself.
    field: Option<&'static str>,
}

impl Rule {
    fn new(rule: impl Into<String>, message: impl Into<String>) -> Self {
        Self { rule: rule.into(), message: message.into(), field: None }
    }

    fn about(self, field: &'static str) -> Self {
        Self { field: Some(field), ..self }
    }

    pub(super) fn to_json(&self) -> Value {
        let mut json = json!({"rule": self.rule, "message": self.message});
        if let Some(field) = self.field {
            json["fieldPath"] = format!(".{field}").into();
        }
        json
    }
}

/// The rules of the resource as a whole.
pub(super) fn of_resource() -> Vec<Rule> {
    let name = "self.metadata.name";
    vec![Rule::new(
        format!("{name}.size() <= {MAX_TRAINING_NAME} && {name}.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')"),
        format!(
            "metadata.name must be lower-case letters, digits and hyphens, begin with a letter, not end with a hyphen, \
             and have at most {MAX_TRAINING_NAME} characters: names of Jobs are made of it"
        ),
    )]
}

/// The rules of a place in the spec: `""` is the spec itself, `stages[].train` a section of a stage.
pub(super) fn at(place: &str) -> Vec<Rule> {
    match place {
        "" => vec![
            Rule::new(
                "has(self.output)",
                "is missing; in a cluster say where artifacts go, like output: {uri: \"s3://bucket/folder\"}",
            )
            .about("output"),
            lora_or_full(),
        ],
        "output" => vec![Rule::new(
            "self == oldSelf",
            "can't be changed; create another training, it finds the stages that are done if its output is the same",
        )],
        "output.uri" => vec![Rule::new(
            "self.matches('^(/|(file|s3|gs|az)://.)')",
            "must be a URI (s3://, gs://, az://, file://) or an absolute path of a mounted volume",
        )],
        "model" => model(),
        "model.uri" | "model.tokenizer" => vec![seen_from_a_pod(), hub_model()],
        "queueName" => vec![Rule::new(
            r"self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
            "is no name of a queue (lower-case letters, digits, hyphens and dots)",
        )],
        "lora.targetModules" | "stages[].lora.targetModules" => vec![Rule::new(
            format!("self.size() <= 1 || !('{ALL_LINEAR_NAME}' in self)"),
            format!("{ALL_LINEAR_NAME} stands alone; remove it or the others"),
        )],
        "stages[]" => stage(),
        "stages[].name" => stage_name(),
        "stages[].dataset" => dataset(),
        "stages[].dataset.train[]" | "stages[].dataset.eval[]" => vec![
            seen_from_a_pod(),
            Rule::new(
                "!self.startsWith('hf://') || self.startsWith('hf://datasets/')",
                "is no data of the hub; write hf://datasets/organisation/name/path",
            ),
        ],
        "stages[].train" => warm_up().into_iter().chain(best()).collect(),
        "stages[].ppo" => ppo(),
        place => match place.strip_prefix("stages[].inputs.") {
            Some(role) if role.ends_with(".uri") => vec![seen_from_a_pod(), hub_model()],
            Some(role) if !role.contains('.') => input(),
            _ => Vec::new(),
        },
    }
}

/// A decimal's range, which a pattern can't say.
pub(super) fn range(range: Range) -> Rule {
    let bound = |sign: char, closed: bool, value: f64| {
        format!("double(self) {sign}{} {value:?}", if closed { "=" } else { "" })
    };
    Rule::new(
        format!("{} && {}", bound('>', range.closed.0, range.min), bound('<', range.closed.1, range.max)),
        format!("must be a number {range}"),
    )
}

fn lora_or_full() -> Rule {
    Rule::new("!has(self.lora) || !has(self.full)", "lora and full exclude each other; remove one").about("full")
}

fn seen_from_a_pod() -> Rule {
    Rule::new(
        "self.matches('^(/|(hf|file|s3|gs|az)://.)')",
        "must be a URI (hf://, s3://, gs://, az://, file://) or an absolute path of a mounted volume: \
         a cluster does not see the folder of this file",
    )
}

fn hub_model() -> Rule {
    Rule::new(
        "!self.startsWith('hf://') || self.matches('^hf://[^/@]+/[^/@]+(@.+)?$')",
        "is no model of the hub; write hf://organisation/name or hf://organisation/name@revision",
    )
}

fn model() -> Vec<Rule> {
    vec![
        Rule::new("has(self.uri) || has(self.random)", "needs a uri (or random with a tokenizer)"),
        Rule::new("!has(self.uri) || !has(self.random)", "uri and random exclude each other; keep one"),
        Rule::new(
            "!has(self.random) || has(self.tokenizer)",
            "is missing; a random model needs a tokenizer from somewhere",
        )
        .about("tokenizer"),
        Rule::new(
            "!has(self.uri) || !has(self.tokenizer)",
            "is for a random model; a model by URI has its own, remove the line",
        )
        .about("tokenizer"),
        Rule::new(
            "!has(self.revision) || (has(self.uri) && self.uri.startsWith('hf://')) || \
             (has(self.tokenizer) && self.tokenizer.startsWith('hf://'))",
            "is for models of a hub (hf://…); remove the line",
        )
        .about("revision"),
    ]
}

fn input() -> Vec<Rule> {
    vec![
        Rule::new("has(self.from) != has(self.uri)", "needs either from (a stage) or uri"),
        Rule::new(
            "!has(self.revision) || (has(self.uri) && self.uri.startsWith('hf://'))",
            "is for models of a hub (hf://…); remove the line",
        )
        .about("revision"),
    ]
}

fn stage_name() -> Vec<Rule> {
    vec![
        Rule::new(
            format!("self.matches('^[a-z][a-z0-9]{{0,{}}}$')", MAX_STAGE_NAME - 1),
            format!(
                "must be lower-case letters and digits, begin with a letter, and have at most {MAX_STAGE_NAME} characters"
            ),
        ),
        Rule::new(
            format!("!(self in {})", names(&RESERVED_STAGE_NAMES)),
            format!("is reserved, as are all of {}; choose another name", RESERVED_STAGE_NAMES.join(", ")),
        ),
    ]
}

fn stage() -> Vec<Rule> {
    let mut rules = vec![
        Rule::new(
            "has(self.dataset) && has(self.dataset.train) && self.dataset.train.size() > 0",
            "needs data; list files or globs, like dataset: {train: [\"s3://bucket/data/*.jsonl\"]}",
        )
        .about("dataset"),
        lora_or_full(),
        Rule::new("!has(self.ppo) || self.kind == 'PPO'", "is for PPO stages; remove it or move it").about("ppo"),
        Rule::new(
            "!has(self.vocabulary) || self.kind in ['PT', 'SFT']",
            "is for PT and SFT stages: an RM or PPO stage keeps the tokens of the model that it starts from",
        )
        .about("vocabulary"),
        Rule::new(
            "!has(self.vocabulary) || !has(self.inputs) || !has(self.inputs.adapter)",
            "an adapter that is continued keeps its tokens; remove vocabulary or inputs.adapter",
        )
        .about("vocabulary"),
        Rule::new("!has(self.reward) || self.kind == 'RM'", "is for RM stages; remove it or move it").about("reward"),
        Rule::new(
            format!(
                "!has(self.train) || !has(self.train.evalStrategy) || self.train.evalStrategy == 'no' || {HAS_EVAL}"
            ),
            "there is nothing to evaluate on; set dataset.eval or dataset.evalFraction, or remove the line",
        )
        .about("train.evalStrategy"),
        Rule::new(
            format!("!has(self.train) || !({}) || {HAS_EVAL}", COMPARES.replace("self.", "self.train.")),
            "earlyStoppingPatience, loadBestModelAtEnd and metricForBestModel compare evaluations on held-out rows; \
             set dataset.eval or dataset.evalFraction, or remove them",
        )
        .about("train"),
    ];
    rules.extend(roles());
    rules.extend(StageKind::ALL.map(format_of));
    for section in [Section::Train, Section::Lora] {
        let partial = section.parameters().iter().filter(|parameter| parameter.kinds.len() < StageKind::ALL.len());
        rules.extend(partial.map(|parameter| {
            let (section, field) = (section.name(), parameter.name);
            let kinds: Vec<_> = parameter.kinds.iter().map(|kind| kind.name()).collect();
            Rule::new(
                format!("!has(self.{section}) || !has(self.{section}.{field}) || self.kind in {}", names(&kinds)),
                format!("{section}.{field} has meaning only in stages of kind {}; remove the line", kinds.join(", ")),
            )
        }));
    }
    rules
}

/// Whether a stage has held-out rows.
const HAS_EVAL: &str = "(has(self.dataset) && ((has(self.dataset.eval) && self.dataset.eval.size() > 0) || \
                        (has(self.dataset.evalFraction) && double(self.dataset.evalFraction) > 0.0)))";

/// Inputs that a stage's kind doesn't have.
fn roles() -> [Rule; 5] {
    let role = |field: &'static str, role: &str, kinds: &[&str], message: &str| {
        Rule::new(
            format!("!has(self.inputs) || !has(self.inputs.{role}) || self.kind in {}", names(kinds)),
            message.to_string(),
        )
        .about(field)
    };
    [
        role("inputs.policy", "policy", &["PT", "SFT", "PPO"], "a stage of kind RM has no policy; it takes base"),
        role("inputs.base", "base", &["RM"], "is for RM stages; stages of other kinds take policy"),
        role("inputs.reference", "reference", &["PPO"], "is for PPO stages; remove the line"),
        role("inputs.reward", "reward", &["PPO"], "is for PPO stages; remove the line"),
        role("inputs.adapter", "adapter", &["PT", "SFT"], "is for PT and SFT stages; remove the line"),
    ]
}

fn format_of(kind: StageKind) -> Rule {
    let formats: Vec<_> =
        DataFormat::ALL.into_iter().filter(|format| format.serves(kind)).map(DataFormat::name).collect();
    Rule::new(
        format!(
            "self.kind != '{kind}' || !has(self.dataset) || !has(self.dataset.format) || self.dataset.format in {}",
            names(&formats)
        ),
        format!("is nothing that {kind} stages can read; they read {}", formats.join(", ")),
    )
    .about("dataset.format")
}

fn dataset() -> Vec<Rule> {
    vec![
        Rule::new(
            "!has(self.eval) || self.eval.size() == 0 || !has(self.evalFraction) || double(self.evalFraction) == 0.0",
            "eval and evalFraction exclude each other; remove one",
        )
        .about("evalFraction"),
        Rule::new(
            "!has(self.weights) || self.weights.size() == 0 || \
             self.weights.size() == (has(self.train) ? self.train.size() : 0)",
            "give one weight for each entry of train",
        )
        .about("weights"),
    ]
}

fn warm_up() -> Vec<Rule> {
    let message = "has no meaning with lrSchedulerType constant; use constant_with_warmup";
    let constant = "!has(self.lrSchedulerType) || self.lrSchedulerType != 'constant'";
    vec![
        Rule::new(format!("{constant} || !has(self.warmupRatio) || double(self.warmupRatio) == 0.0"), message)
            .about("warmupRatio"),
        Rule::new(format!("{constant} || !has(self.warmupSteps) || self.warmupSteps == 0"), message)
            .about("warmupSteps"),
    ]
}

/// A field compares evaluations, so a stage that does not compare has no use for it.
fn best() -> [Rule; 3] {
    [
        Rule::new(
            "!has(self.earlyStoppingThreshold) || has(self.earlyStoppingPatience)",
            "has no meaning without earlyStoppingPatience; set that too, or remove the line",
        )
        .about("earlyStoppingThreshold"),
        Rule::new(
            format!("!has(self.greaterIsBetter) || {COMPARES}"),
            "has no meaning without metricForBestModel; set that too, or remove the line",
        )
        .about("greaterIsBetter"),
        Rule::new(
            format!("!({COMPARES}) || !has(self.evalStrategy) || self.evalStrategy != 'no'"),
            "earlyStoppingPatience, loadBestModelAtEnd and metricForBestModel compare evaluations; \
             set evalStrategy to steps or epoch, or remove them",
        )
        .about("evalStrategy"),
    ]
}

/// Whether a section `train` asks for evaluations to be compared.
const COMPARES: &str = "has(self.earlyStoppingPatience) || has(self.metricForBestModel) || \
                        (has(self.loadBestModelAtEnd) && self.loadBestModelAtEnd)";

fn ppo() -> Vec<Rule> {
    let value = |name: &str| {
        let default =
            PPO.iter().find(|parameter| parameter.name == name).map(|parameter| parameter.default.of(StageKind::PPO));
        let default = if let Some(Literal::Int(value)) = default { value } else { 0 };
        let presets = PpoPreset::ALL.iter().filter_map(|preset| {
            let value = preset.values().iter().find(|value| value.section == Section::Ppo && value.name == name)?;
            let Literal::Int(value) = value.value else { return None };
            Some(format!("has(self.preset) && self.preset == '{}' ? {value} : ", preset.name()))
        });
        format!("(has(self.{name}) ? self.{name} : {}{default})", presets.collect::<String>())
    };
    vec![
        Rule::new(
            format!("{} % {} == 0", value("batchSize"), value("miniBatchSize")),
            "batchSize must be a multiple of miniBatchSize; change one",
        )
        .about("miniBatchSize"),
        Rule::new(
            format!("{} <= {}", value("minNewTokens"), value("maxNewTokens")),
            "minNewTokens must not be more than maxNewTokens; change one",
        )
        .about("minNewTokens"),
    ]
}

/// A list of texts in CEL.
fn names(names: &[&str]) -> String {
    format!("[{}]", names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", "))
}
