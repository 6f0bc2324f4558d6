//! What an API server does with a resource before it stores it, without one: unknown fields, the structural schema,
//! defaults, rules in CEL. Texts are the API server's own, so that one table of expectations serves both.

use kube_cel::{CompiledSchema, Validator, compile_schema};
use regex::Regex;
use serde_json::{Map, Value};

pub struct Admission {
    schema: Value,
    rules: CompiledSchema,
}

/// A problem: the field, what is wrong.
pub type Problem = (String, String);

impl Admission {
    /// Of the only version of a CustomResourceDefinition.
    pub fn of(definition: &Value) -> Self {
        let schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
        let rules = compile_schema(&schema);
        Self { schema, rules }
    }

    pub fn schema(&self) -> &Value {
        &self.schema
    }

    /// Every problem of `resource`, as an update of `was` if that is given. Rules run only over what fits the schema.
    pub fn check(&self, resource: &Value, was: Option<&Value>) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (field, schema) in self.schema["properties"].as_object().into_iter().flatten() {
            match resource.get(field) {
                Some(value) => walk(schema, value, field, &mut problems),
                None if field == "spec" => problems.push((field.clone(), "Required value".to_string())),
                None => {}
            }
        }
        if problems.is_empty()
            && let Err(errors) = Validator::new().validate_compiled(&self.rules, resource, was)
        {
            problems.extend(errors.into_vec().into_iter().map(|error| (error.field_path, error.message)));
        }
        problems
    }
}

fn walk(schema: &Value, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    let mut wrong = |text: String| problems.push((path.to_string(), text));
    let types: Vec<&str> = match schema["type"].as_str() {
        Some(name) => vec![name],
        None if schema["x-kubernetes-int-or-string"] == true => vec!["integer", "string"],
        None => panic!("{path}: a structural schema has a type"),
    };
    if !types.iter().any(|name| is(name, value)) {
        return wrong(format!("must be of type {}", types.join(",")));
    }
    if let Some(names) = schema["enum"].as_array()
        && !names.contains(value)
    {
        wrong(format!("Unsupported value: {value}"));
    }
    match value {
        Value::String(text) => {
            let length = text.chars().count() as u64;
            if let Some(min) = schema["minLength"].as_u64().filter(|min| length < *min) {
                wrong(format!("should be at least {min} chars long"));
            }
            if let Some(max) = schema["maxLength"].as_u64().filter(|max| length > *max) {
                wrong(format!("Too long: may not be more than {max} bytes"));
            }
            if let Some(pattern) = schema["pattern"].as_str()
                && !Regex::new(pattern).unwrap().is_match(text)
            {
                wrong(format!("should match '{pattern}'"));
            }
        }
        Value::Number(number) => {
            let number = number.as_f64().unwrap();
            if let Some(min) = schema["minimum"].as_f64().filter(|min| number < *min) {
                wrong(format!("should be greater than or equal to {min}"));
            }
            if let Some(max) = schema["maximum"].as_f64().filter(|max| number > *max) {
                wrong(format!("should be less than or equal to {max}"));
            }
        }
        Value::Array(items) => list(schema, items, path, problems),
        Value::Object(fields) => object(schema, fields, path, problems),
        Value::Bool(_) | Value::Null => {}
    }
}

fn is(name: &str, value: &Value) -> bool {
    match name {
        "integer" => value.is_i64() || value.is_u64(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the definition has no {other}"),
    }
}

fn list(schema: &Value, items: &[Value], path: &str, problems: &mut Vec<Problem>) {
    let length = items.len() as u64;
    if let Some(min) = schema["minItems"].as_u64().filter(|min| length < *min) {
        problems.push((path.to_string(), format!("should have at least {min} items")));
    }
    if let Some(max) = schema["maxItems"].as_u64().filter(|max| length > *max) {
        problems.push((path.to_string(), format!("Too many: {length}: must have at most {max} items")));
    }
    let keys: Vec<_> = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().collect();
    let identity = |item: &Value| keys.iter().map(|key| item[key.as_str().unwrap()].clone()).collect::<Vec<_>>();
    for (index, item) in items.iter().enumerate() {
        let place = format!("{path}[{index}]");
        walk(&schema["items"], item, &place, problems);
        if !keys.is_empty() && items[..index].iter().any(|other| identity(other) == identity(item)) {
            problems.push((place, "Duplicate value".to_string()));
        }
    }
}

fn object(schema: &Value, fields: &Map<String, Value>, path: &str, problems: &mut Vec<Problem>) {
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            problems.push((format!("{path}.{name}"), "Required value".to_string()));
        }
    }
    for (name, value) in fields {
        let place = format!("{path}.{name}");
        let known = schema["properties"].get(name).or_else(|| schema.get("additionalProperties"));
        match known {
            Some(known) => walk(known, value, &place, problems),
            None if schema["x-kubernetes-preserve-unknown-fields"] == true => {}
            None => problems.push((place, "unknown field".to_string())),
        }
    }
}
