//! `--set path=value`: changes one value of a resource before it is read.
//!
//! Holds: whatever is set is checked like the file's own text afterwards; nothing here knows field names but `stages`.

use serde_yaml::{Mapping, Value};

use super::SpecError;

/// Sets one value in a resource that [`super::read`] gave: `stages[1].train.learningRate=1e-4`,
/// `stages.sft.train.maxSteps=3`, `lora.targetModules=[q_proj, v_proj]`. Paths are relative to `spec`; values are YAML;
/// sections that are missing are made.
///
/// # Errors
/// No `=`, an empty or malformed path, an index or stage name that doesn't exist, a value that isn't YAML, a path
/// through something that is no section.
pub fn set_override(resource: &mut Value, assignment: &str) -> Result<(), SpecError> {
    let (path, text) = assignment
        .split_once('=')
        .ok_or_else(|| SpecError::new(assignment, "has no \"=\"; write it like stages.sft.train.maxSteps=3"))?;
    let path = path.trim();
    let error = |message: String| SpecError::new(path, message);
    if let Some(below) = path.strip_prefix("spec.") {
        return Err(error(format!("paths start below spec; write {below}={text}")));
    }
    let value =
        serde_yaml::from_str(text).map_err(|_| error("the value is not YAML; put quotes around text".to_string()))?;

    let mut place = section(resource, "spec").ok_or_else(|| error("the resource is not a mapping".to_string()))?;
    for step in steps(path).map_err(&error)? {
        place = match step {
            Step::Field(name) => match place {
                Value::Sequence(stages) => {
                    let names: Vec<_> = stages.iter().map(stage_name).collect();
                    let position = names.iter().position(|found| *found == Some(name));
                    let known = names.iter().flatten().copied().collect::<Vec<_>>().join(", ");
                    let missing = || error(format!("nothing is named {name:?}; there are: {known}"));
                    position.and_then(|at| stages.get_mut(at)).ok_or_else(missing)?
                }
                place => section(place, name)
                    .ok_or_else(|| error(format!("{name:?} can't be set: what holds it is a single value")))?,
            },
            Step::Index(index) => {
                let length = place.as_sequence().map_or(0, Vec::len);
                let missing = || error(format!("there is no entry {index}; the list has {length}"));
                place.as_sequence_mut().and_then(|items| items.get_mut(index)).ok_or_else(missing)?
            }
        };
    }
    *place = value;
    Ok(())
}

enum Step<'a> {
    Field(&'a str),
    Index(usize),
}

fn steps(path: &str) -> Result<Vec<Step<'_>>, String> {
    let malformed = || "is not a path; write it like stages[1].train.learningRate".to_string();
    let mut steps = Vec::new();
    for part in path.split('.') {
        let (name, indices) = part.find('[').map_or((part, ""), |at| part.split_at(at));
        if name.is_empty() {
            return Err(malformed());
        }
        steps.push(Step::Field(name));
        let mut rest = indices;
        while !rest.is_empty() {
            let (index, after) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).ok_or_else(malformed)?;
            steps.push(Step::Index(index.parse().map_err(|_| malformed())?));
            rest = after;
        }
    }
    Ok(steps)
}

/// The field `name` of a mapping, made if it is missing; nothing becomes a mapping.
fn section<'a>(place: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    if place.is_null() {
        *place = Value::Mapping(Mapping::new());
    }
    Some(place.as_mapping_mut()?.entry(Value::from(name)).or_insert(Value::Null))
}

fn stage_name(stage: &Value) -> Option<&str> {
    stage.get("name").and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(assignment: &str) -> Result<Value, String> {
        let mut resource =
            serde_yaml::from_str("spec: {seed: 1, stages: [{name: pt}, {name: sft, train: {maxSteps: 9}}]}").unwrap();
        set_override(&mut resource, assignment).map_err(|error| error.to_string())?;
        Ok(resource)
    }

    #[test]
    fn stages_are_found_by_index_and_by_name() {
        for assignment in ["stages[1].train.maxSteps=3", "stages.sft.train.maxSteps=3"] {
            assert_eq!(after(assignment).unwrap()["spec"]["stages"][1]["train"]["maxSteps"], 3);
        }
    }

    #[test]
    fn values_are_yaml_and_missing_sections_are_made() {
        let resource = after("stages.pt.lora.targetModules=[q_proj, v_proj]").unwrap();
        assert_eq!(resource["spec"]["stages"][0]["lora"]["targetModules"][1], "v_proj");
        assert_eq!(after("model.uri=hf://a/b=c").unwrap()["spec"]["model"]["uri"], "hf://a/b=c");
    }

    #[test]
    fn what_cannot_be_set_says_why() {
        let cases = [
            ("seed", "seed: has no \"=\"; write it like stages.sft.train.maxSteps=3"),
            ("stages[2].name=x", "stages[2].name: there is no entry 2; the list has 2"),
            ("stages.rm.name=x", "stages.rm.name: nothing is named \"rm\"; there are: pt, sft"),
            ("stages[a]=x", "stages[a]: is not a path; write it like stages[1].train.learningRate"),
            ("=x", ": is not a path; write it like stages[1].train.learningRate"),
            ("seed.x=1", "seed.x: \"x\" can't be set: what holds it is a single value"),
            ("spec.seed=1", "spec.seed: paths start below spec; write seed=1"),
            ("seed={", "seed: the value is not YAML; put quotes around text"),
        ];
        for (assignment, text) in cases {
            assert_eq!(after(assignment).unwrap_err(), text);
        }
    }
}
