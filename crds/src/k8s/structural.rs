//! Schemas of Rust types in the form that Kubernetes calls structural.
//!
//! Holds: no references, no nulls, no defaults; a description taken over from Kubernetes is its first sentence.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// Names that `k8s-openapi` gives schemas begin like this.
const UPSTREAM: &str = "io.k8s.";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
/// Characters of a description taken over from Kubernetes.
const SENTENCE: usize = 120;

/// A quantity of Kubernetes: `2`, `500m`, `80Gi`.
pub(super) fn quantity() -> Map<String, Value> {
    object(json!({
        "x-kubernetes-int-or-string": true,
        "pattern": r"^[+-]?(\d+\.?\d*|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?$",
    }))
}

/// The fields of a JSON object.
pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// The structural schema of a type.
pub(super) fn schema<T: JsonSchema>() -> Map<String, Value> {
    let root = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    let mut root = object(root.to_value());
    let definitions = object(root.remove("$defs").unwrap_or_default());
    Tidy { definitions: &definitions, upstream: T::schema_name().starts_with(UPSTREAM) }.schema(root)
}

struct Tidy<'a> {
    definitions: &'a Map<String, Value>,
    /// Whether descriptions are Kubernetes' own, which are long.
    upstream: bool,
}

impl Tidy<'_> {
    fn schema(&self, mut schema: Map<String, Value>) -> Map<String, Value> {
        if let Some(Value::String(reference)) = schema.remove("$ref") {
            schema = over(self.definition(&reference), schema);
        }
        for word in ["anyOf", "oneOf"] {
            if let Some(Value::Array(members)) = schema.remove(word) {
                schema = over(self.one_of(members), schema);
            }
        }
        for word in ["$schema", "title", "default", "nullable"] {
            schema.shift_remove(word);
        }
        if !matches!(schema.get("format").and_then(Value::as_str), Some("int32" | "int64" | "date-time") | None) {
            schema.shift_remove("format");
        }
        if let Some(Value::Array(types)) = schema.get("type") {
            let named = types.iter().find(|name| *name != "null").cloned().unwrap_or_default();
            schema.insert("type".to_string(), named);
        }
        if let Some(Value::String(text)) = schema.get("description") {
            let text = if self.upstream { first_sentence(text) } else { one_line(text) };
            schema.insert("description".to_string(), text.into());
        }
        for word in ["items", "additionalProperties"] {
            // `true` and `false` only say that a type carries or refuses unknown fields.
            if let Some(Value::Object(inner)) = schema.remove(word) {
                schema.insert(word.to_string(), self.schema(inner).into());
            }
        }
        if let Some(Value::Object(properties)) = schema.remove("properties") {
            let properties: Map<_, _> =
                properties.into_iter().map(|(name, inner)| (name, self.schema(object(inner)).into())).collect();
            schema.insert("properties".to_string(), properties.into());
        }
        schema
    }

    fn definition(&self, reference: &str) -> Map<String, Value> {
        let name = reference.trim_start_matches("#/$defs/");
        let definition = object(self.definitions.get(name).cloned().unwrap_or_default());
        if name == QUANTITY {
            return quantity();
        }
        Tidy { definitions: self.definitions, upstream: name.starts_with(UPSTREAM) }.schema(definition)
    }

    /// An optional type is one of itself and null; an enumeration is one of its names.
    fn one_of(&self, members: Vec<Value>) -> Map<String, Value> {
        let members: Vec<_> =
            members.into_iter().map(object).filter(|member| member.get("type") != Some(&json!("null"))).collect();
        let names: Vec<Value> = members
            .iter()
            .flat_map(|member| {
                member
                    .get("const")
                    .cloned()
                    .into_iter()
                    .chain(member.get("enum").and_then(Value::as_array).cloned().unwrap_or_default())
            })
            .collect();
        if !names.is_empty() {
            return object(json!({"type": "string", "enum": names}));
        }
        members.into_iter().next().map(|member| self.schema(member)).unwrap_or_default()
    }
}

/// `below` with the words of `above` put over its own.
fn over(mut below: Map<String, Value>, above: Map<String, Value>) -> Map<String, Value> {
    below.extend(above);
    below
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The first sentence, cut between words where it is long.
pub(super) fn first_sentence(text: &str) -> String {
    let text = one_line(text);
    let sentence = text.split_once(". ").map_or(text.as_str(), |(sentence, _)| sentence);
    let sentence = sentence.trim_end_matches('.');
    if sentence.chars().count() < SENTENCE {
        return format!("{sentence}.");
    }
    let cut: String = sentence.chars().take(SENTENCE - 1).collect();
    format!("{}…", cut.rsplit_once(' ').map_or(cut.as_str(), |(whole, _)| whole))
}
