//! What the hyperparameter table is made of: types with ranges, defaults by stage kind, the role in stage keys.
//!
//! The table itself is in `parameters.rs`. Holds: one table drives defaults, range checks, stage keys, error texts
//! and the generated reference; nothing else states a default or a range.

use std::fmt;

use serde_json::{Map, Value};

use super::{Decimal, LORA, PPO, REWARD, StageKind, TRAIN};

/// Which part of a stage a hyperparameter is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    Train,
    Ppo,
    Reward,
    Lora,
}

impl Section {
    pub const ALL: [Self; 4] = [Self::Train, Self::Ppo, Self::Reward, Self::Lora];

    /// Its field in a stage.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Ppo => "ppo",
            Self::Reward => "reward",
            Self::Lora => "lora",
        }
    }

    pub fn parameters(self) -> &'static [Parameter] {
        match self {
            Self::Train => TRAIN,
            Self::Ppo => PPO,
            Self::Reward => REWARD,
            Self::Lora => LORA,
        }
    }

    /// Every hyperparameter of this section at its default for `kind`, by its name.
    pub fn defaults(self, kind: StageKind) -> Map<String, Value> {
        self.parameters()
            .iter()
            .map(|parameter| (parameter.name.to_string(), parameter.default.of(kind).to_json()))
            .collect()
    }
}

/// One hyperparameter.
#[derive(Debug)]
pub struct Parameter {
    pub section: Section,
    /// As people write it.
    pub name: &'static str,
    pub ty: Type,
    pub default: Defaults,
    /// The stage kinds it means something in; setting it elsewhere is an error.
    pub kinds: &'static [StageKind],
    pub in_key: InKey,
    /// One line.
    pub doc: &'static str,
    /// Where name, default or formula come from.
    pub source: &'static str,
}

/// Whether a change of a hyperparameter changes the stage's key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum InKey {
    Always,
    /// In the key unless it has this value: what a stage did before the hyperparameter existed.
    Unless(Literal),
    /// Only through the global batch size, which is in the key; how a batch is cut does not change its result.
    Product,
    /// Only where evaluations decide which weights a stage leaves ([`TrainArgs::evaluations_decide`]), in one entry with
    /// the others of this kind.
    ///
    /// [`TrainArgs::evaluations_decide`]: super::TrainArgs::evaluations_decide
    Deciding,
    /// Not in the key, because of this.
    Never(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Defaults {
    All(Literal),
    /// PT, SFT, RM, PPO.
    Each([Literal; 4]),
}

impl Defaults {
    pub fn of(self, kind: StageKind) -> Literal {
        match self {
            Self::All(literal) => literal,
            Self::Each(literals) => literals[kind as usize],
        }
    }
}

/// A value in the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Literal {
    /// Nothing is set, and that means something.
    Unset,
    Int(u64),
    Decimal(f64),
    Bool(bool),
    Text(&'static str),
    Names(&'static [&'static str]),
}

impl Literal {
    pub fn to_json(self) -> Value {
        match self {
            Self::Unset => Value::Null,
            Self::Int(value) => value.into(),
            Self::Decimal(value) => value.into(),
            Self::Bool(value) => value.into(),
            Self::Text(value) => value.into(),
            Self::Names(values) => values.into(),
        }
    }
}

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Type {
    /// A whole number, both ends included.
    Int {
        min: u64,
        max: u64,
    },
    Decimal(Range),
    Bool,
    Choice(&'static [&'static str]),
    /// At most so many bytes.
    Text {
        max: usize,
    },
    /// At most so many names of at most 64 bytes.
    Names {
        max: usize,
    },
}

/// An interval of decimals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    pub min: f64,
    pub max: f64,
    /// Whether `min`, `max` themselves are allowed.
    pub closed: (bool, bool),
}

impl Range {
    pub fn contains(self, value: f64) -> bool {
        let above = if self.closed.0 { value >= self.min } else { value > self.min };
        let below = if self.closed.1 { value <= self.max } else { value < self.max };
        above && below
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lower = if self.closed.0 { "at least" } else { "above" };
        let upper = if self.closed.1 { "at most" } else { "below" };
        write!(
            f,
            "{lower} {} and {upper} {}",
            crate::contract::canonical::number(self.min),
            crate::contract::canonical::number(self.max)
        )
    }
}

/// What a value must be, as an error or the reference says it.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int { min, max } => write!(f, "a whole number from {min} to {max}"),
            Self::Decimal(range) => write!(f, "a number {range}"),
            Self::Bool => f.write_str("true or false"),
            Self::Choice([one]) => f.write_str(one),
            Self::Choice(names) => write!(f, "one of {}", names.join(", ")),
            Self::Text { .. } => f.write_str("text"),
            Self::Names { .. } => f.write_str("a list of names"),
        }
    }
}

impl Type {
    /// `value` in the form that resolved hyperparameters have it (decimals as numbers), or what is wrong with it.
    pub fn read(&self, value: &Value) -> Result<Value, String> {
        match (self, value) {
            (Self::Int { min, max }, Value::Number(number)) => match number.as_u64() {
                Some(value) if (*min..=*max).contains(&value) => Ok(value.into()),
                _ => Err(format!("{number} is not allowed; it must be {self}")),
            },
            (Self::Int { .. }, Value::String(text)) if text.parse::<u64>().is_ok() => {
                Err(format!("must be {self}, found the text {text:?}; write it without quotes"))
            }
            (Self::Decimal(range), Value::Number(_) | Value::String(_)) => {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
                let decimal: Decimal = text.parse().map_err(|error| format!("{} {error}", found(value)))?;
                let number = decimal.to_f64();
                if range.contains(number) {
                    Ok(number.into())
                } else {
                    Err(format!("{decimal} is not allowed; it must be {self}"))
                }
            }
            (Self::Bool, Value::Bool(_)) => Ok(value.clone()),
            (Self::Choice(names), Value::String(text)) => {
                if names.contains(&text.as_str()) {
                    Ok(value.clone())
                } else {
                    let near = nearest(text, names.iter().copied()).map(|name| format!("; did you mean {name:?}?"));
                    Err(format!("{} is not allowed; it must be {self}{}", found(value), near.unwrap_or_default()))
                }
            }
            (Self::Text { max }, Value::String(text)) => {
                if text.is_empty() {
                    Err("is empty; fill it in or remove the line".to_string())
                } else if text.len() > *max {
                    Err(format!("has {} bytes; at most {max} are allowed", text.len()))
                } else {
                    Ok(value.clone())
                }
            }
            (Self::Names { max }, Value::Array(items)) => {
                if items.len() > *max {
                    return Err(format!("has {} entries; at most {max} are allowed", items.len()));
                }
                match items.iter().find(|item| !item.as_str().is_some_and(|name| !name.is_empty() && name.len() <= 64))
                {
                    Some(item) => Err(format!("must be {self}, found {} in it", found(item))),
                    None => Ok(value.clone()),
                }
            }
            (Self::Names { .. }, Value::String(text)) => {
                Err(format!("must be {self}, found {}; write [{text}]", found(value)))
            }
            _ => Err(format!("must be {self}, found {}", found(value))),
        }
    }
}

/// A value of a resource as an error shows it: kind and, if short, content.
pub(crate) fn found(value: &Value) -> String {
    const SHOWN: usize = 40;
    match value {
        Value::Null => "nothing".to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => format!("the number {value}"),
        Value::String(text) if text.chars().count() > SHOWN => {
            format!("the text {:?}", text.chars().take(SHOWN).chain("…".chars()).collect::<String>())
        }
        Value::String(text) => format!("the text {text:?}"),
        Value::Array(_) => "a list".to_string(),
        Value::Object(_) => "a mapping".to_string(),
    }
}

/// A name without case, `_` and `-`: `learning_rate` and `learningRate` are one.
pub(crate) fn plain_name(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-')).collect::<String>().to_lowercase()
}

/// The name that `written` most likely meant, if any is near.
pub(crate) fn nearest<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let written = plain_name(written);
    names
        .map(|name| (strsim::normalized_damerau_levenshtein(&written, &plain_name(name)), name))
        .filter(|(similarity, _)| *similarity >= 0.6)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}
