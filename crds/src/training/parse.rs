//! From YAML to a [`MedicalTraining`], with every problem of form at once.
//!
//! Two steps: the text becomes a value (syntax), the value is walked against the field table of `shape.rs`. What
//! the walk cannot accept is left out of what is read, so that later checks still see the rest.

use serde_json::{Map, Number, Value};

use super::shape::{self, ROOT};
use super::{MedicalTraining, SpecError};

/// Reads YAML (or JSON) without looking at fields; `source` is what an error calls the text.
///
/// # Errors
/// Text that is no YAML, with line and column; an empty text; several documents.
pub fn read(yaml: &str, source: &str) -> Result<serde_yaml::Value, Vec<SpecError>> {
    let failed = |message: String| vec![SpecError::new(source, message)];
    let mut value: serde_yaml::Value = serde_yaml::from_str(yaml).map_err(|error| {
        let message = error.to_string();
        if message.contains("more than one document") {
            failed("holds several YAML documents; keep one MedicalTraining a file".to_string())
        } else {
            failed(format!("is not valid YAML: {message}"))
        }
    })?;
    value.apply_merge().map_err(|error| failed(format!("is not valid YAML: {error}")))?;
    match value {
        serde_yaml::Value::Mapping(_) => Ok(value),
        serde_yaml::Value::Null => Err(failed("is empty; it should hold a MedicalTraining".to_string())),
        _ => Err(failed("holds no mapping; it should start with apiVersion: medtrain.io/v1alpha1".to_string())),
    }
}

/// What could be read of a resource, and everything that is wrong with its form.
pub(crate) struct Checked {
    /// `None` if something is missing without which there is no resource.
    pub training: Option<MedicalTraining>,
    pub errors: Vec<SpecError>,
}

/// Walks a resource against the field table.
pub(crate) fn check(value: &serde_yaml::Value) -> Checked {
    let mut errors = Vec::new();
    let json = to_json(value, "", &mut errors);
    check_json(&json, errors)
}

impl MedicalTraining {
    /// Walks a resource that came as a typed value, for ranges and bounds that types don't hold.
    pub(crate) fn check(&self) -> Vec<SpecError> {
        match serde_json::to_value(self) {
            Ok(json) => check_json(&json, Vec::new()).errors,
            Err(error) => vec![SpecError::new("spec", error.to_string())],
        }
    }
}

fn check_json(json: &Value, mut errors: Vec<SpecError>) -> Checked {
    let accepted = shape::walk(json, &ROOT, "", &mut errors).unwrap_or(Value::Null);
    let training = match serde_path_to_error::deserialize::<_, MedicalTraining>(accepted) {
        Ok(training) => Some(training),
        Err(error) => {
            // The walk has said more precisely what is missing; a problem only serde sees is still a problem.
            if errors.is_empty() {
                let path = error.path().to_string();
                errors.push(SpecError::new(path.strip_prefix("spec.").unwrap_or(&path), error.inner().to_string()));
            }
            None
        }
    };
    Checked { training, errors }
}

/// YAML without what JSON can't hold: tags, keys that are no text, infinities.
fn to_json(value: &serde_yaml::Value, path: &str, errors: &mut Vec<SpecError>) -> Value {
    match value {
        serde_yaml::Value::Null => Value::Null,
        serde_yaml::Value::Bool(value) => Value::Bool(*value),
        serde_yaml::Value::String(text) => Value::String(text.clone()),
        serde_yaml::Value::Number(number) => {
            let integer = number.as_u64().map(Number::from).or_else(|| number.as_i64().map(Number::from));
            match integer.or_else(|| number.as_f64().and_then(Number::from_f64)) {
                Some(number) => Value::Number(number),
                None => {
                    errors.push(SpecError::new(shape::shown(path), format!("{number} is no finite number")));
                    Value::Null
                }
            }
        }
        serde_yaml::Value::Sequence(items) => {
            items.iter().enumerate().map(|(index, item)| to_json(item, &shape::entry(path, index), errors)).collect()
        }
        serde_yaml::Value::Mapping(fields) => {
            let mut object = Map::new();
            for (name, item) in fields {
                match name.as_str() {
                    Some(name) => {
                        object.insert(name.to_string(), to_json(item, &shape::field(path, name), errors));
                    }
                    None => errors.push(SpecError::new(
                        shape::shown(path),
                        "has a field whose name is no text; put quotes around it",
                    )),
                }
            }
            Value::Object(object)
        }
        serde_yaml::Value::Tagged(tagged) => {
            errors.push(SpecError::new(
                shape::shown(path),
                format!("the YAML tag {} means nothing here; remove it", tagged.tag),
            ));
            to_json(&tagged.value, path, errors)
        }
    }
}
