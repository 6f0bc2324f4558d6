//! Edges between stages: which stage's result goes where, checked by type.
//!
//! Holds: an edge leads from a stage to one listed before it, so there are no cycles and the listed order can be run.

use std::collections::BTreeMap;

use super::{ResolvedStage, Role, Source, source};
use crate::stage::{StageKind, Tuning};
use crate::training::{InputSpec, InputsSpec, SpecError, StageSpec};

/// What a stage leaves behind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Product {
    CausalModel,
    RewardModel,
}

fn product(kind: StageKind) -> Product {
    match kind {
        StageKind::PT | StageKind::SFT | StageKind::PPO => Product::CausalModel,
        StageKind::RM => Product::RewardModel,
    }
}

/// The roles that a stage of this kind must fill.
fn roles(kind: StageKind) -> &'static [Role] {
    match kind {
        StageKind::PT | StageKind::SFT => &[Role::Policy],
        StageKind::RM => &[Role::Base],
        StageKind::PPO => &[Role::Policy, Role::Reference, Role::Reward],
    }
}

fn needs(role: Role) -> Product {
    if role == Role::Reward { Product::RewardModel } else { Product::CausalModel }
}

/// The inputs of `stages[index]`, `before` being the resolved stages up to it.
pub(super) fn resolve(
    stages: &[StageSpec],
    index: usize,
    before: &[ResolvedStage],
    tuning: &Tuning,
    errors: &mut Vec<SpecError>,
) -> BTreeMap<Role, Source> {
    let edges = Edges { stages, index, before };
    let none = InputsSpec::default();
    let written = edges.stage().inputs.as_ref().unwrap_or(&none);
    let mut inputs = BTreeMap::new();
    edges.check_roles(written, errors);
    for role in roles(edges.stage().kind) {
        let source = match of(written, *role) {
            Some(input) => edges.named(*role, input, errors),
            None => edges.default(*role, &inputs, errors),
        };
        if let Some(source) = source {
            inputs.insert(*role, source);
        }
    }
    if let Some(adapter) = &written.adapter
        && matches!(edges.stage().kind, StageKind::PT | StageKind::SFT)
    {
        edges.adapter(adapter, written.policy.is_some(), tuning, &mut inputs, errors);
    }
    inputs
}

struct Edges<'a> {
    stages: &'a [StageSpec],
    index: usize,
    before: &'a [ResolvedStage],
}

impl Edges<'_> {
    fn stage(&self) -> &StageSpec {
        &self.stages[self.index]
    }

    fn path(&self, role: Role) -> String {
        format!("stages[{}].inputs.{role}", self.index)
    }

    /// Roles that were named but that the stage's kind doesn't have.
    fn check_roles(&self, written: &InputsSpec, errors: &mut Vec<SpecError>) {
        let kind = self.stage().kind;
        let mut allowed = roles(kind).to_vec();
        if matches!(kind, StageKind::PT | StageKind::SFT) {
            allowed.push(Role::Adapter);
        }
        for role in [Role::Policy, Role::Base, Role::Reference, Role::Reward, Role::Adapter] {
            if of(written, role).is_some() && !allowed.contains(&role) {
                let allowed = allowed.iter().map(|role| role.name()).collect::<Vec<_>>().join(", ");
                errors.push(SpecError::new(
                    self.path(role),
                    format!("a stage of kind {kind} has no {role}; it takes {allowed}"),
                ));
            }
        }
    }

    /// `{from}` or `{uri, revision?}`.
    fn named(&self, role: Role, input: &InputSpec, errors: &mut Vec<SpecError>) -> Option<Source> {
        let path = self.path(role);
        match (&input.from, &input.uri) {
            (Some(name), None) => {
                if input.revision.is_some() {
                    errors.push(SpecError::new(
                        format!("{path}.revision"),
                        "is for models of a hub (hf://…); remove the line",
                    ));
                }
                self.check_from(role, name, &path, errors).then(|| Source::Stage(name.clone()))
            }
            (None, Some(uri)) => {
                let (uri, revision) = source::readable(uri, input.revision.as_deref(), (&path, "uri"), errors)?;
                Some(Source::Uri { uri, revision })
            }
            _ => {
                errors.push(SpecError::new(path, "needs either from (a stage) or uri"));
                None
            }
        }
    }

    fn check_from(&self, role: Role, name: &str, path: &str, errors: &mut Vec<SpecError>) -> bool {
        let message = match self.stages.iter().position(|stage| stage.name == name) {
            None => {
                let names: Vec<_> = self.stages[..self.index].iter().map(|stage| format!("{:?}", stage.name)).collect();
                let known = if names.is_empty() {
                    "no stage comes before".to_string()
                } else {
                    format!("name one that comes before it ({})", names.join(", "))
                };
                Some(format!("there is no stage {name:?}; {known}{}", self.or_drop_the_line(role)))
            }
            Some(at) if at == self.index => {
                Some(format!("{name:?} is this stage itself{}", self.or_drop_the_line(role)))
            }
            Some(at) if at > self.index => {
                let back = self.reaches(at, &mut vec![false; self.stages.len()]);
                Some(if back {
                    format!("{name:?} itself needs {:?}: a cycle; break it", self.stage().name)
                } else {
                    format!("{name:?} is listed after {:?}; move it up", self.stage().name)
                })
            }
            Some(at) => self.mismatch(role, &self.stages[at]),
        };
        let Some(message) = message else { return true };
        errors.push(SpecError::new(path, message));
        false
    }

    /// Whether the stage at `from` names, over any number of others, the stage at `self.index` as an input.
    fn reaches(&self, from: usize, seen: &mut [bool]) -> bool {
        if from == self.index {
            return true;
        }
        if std::mem::replace(&mut seen[from], true) {
            return false;
        }
        let Some(inputs) = &self.stages[from].inputs else { return false };
        [&inputs.policy, &inputs.base, &inputs.reference, &inputs.reward, &inputs.adapter]
            .into_iter()
            .filter_map(|input| input.as_ref()?.from.as_ref())
            .filter_map(|name| self.stages.iter().position(|stage| stage.name == *name))
            .any(|next| self.reaches(next, seen))
    }

    /// What is wrong with taking the result of `from` as `role`, if anything is.
    fn mismatch(&self, role: Role, from: &StageSpec) -> Option<String> {
        let product = product(from.kind);
        if product == needs(role) {
            return None;
        }
        let (name, kind) = (&from.name, self.stage().kind);
        Some(match product {
            Product::RewardModel => format!(
                "{name:?} is a reward model (one score per sequence); {kind} needs a causal model: use an SFT or PT stage{}",
                self.or_drop_the_line(role)
            ),
            Product::CausalModel => {
                format!(
                    "{name:?} is a causal model; {kind} needs a reward model here: use an RM stage{}",
                    self.or_drop_the_line(role)
                )
            }
        })
    }

    fn or_drop_the_line(&self, role: Role) -> String {
        match self.nearest(role) {
            Some(Source::Stage(name)) => format!(", or drop the line to take {name:?}"),
            Some(_) => ", or drop the line to take the model".to_string(),
            None => String::new(),
        }
    }

    fn default(&self, role: Role, inputs: &BTreeMap<Role, Source>, errors: &mut Vec<SpecError>) -> Option<Source> {
        if role == Role::Reference {
            return inputs.get(&Role::Policy).cloned();
        }
        let source = self.nearest(role);
        if source.is_none() {
            let message = format!(
                "{:?} needs a reward model and no RM stage comes before it; add one, or name one by {{uri: …}}",
                self.stage().name
            );
            errors.push(SpecError::new(self.path(role), message));
        }
        source
    }

    /// The pipeline's usual shape: PT and SFT go on from the nearest PT or SFT before; RM and PPO take the nearest SFT,
    /// else PT, else the model; the reward model is the nearest RM.
    fn nearest(&self, role: Role) -> Option<Source> {
        let last = |kinds: &[StageKind]| {
            let stage = self.stages[..self.index].iter().rev().find(|stage| kinds.contains(&stage.kind))?;
            Some(Source::Stage(stage.name.clone()))
        };
        let causal = match (role, self.stage().kind) {
            (Role::Reward, _) => return last(&[StageKind::RM]),
            (Role::Adapter, _) => return None,
            (_, StageKind::PT | StageKind::SFT) => last(&[StageKind::PT, StageKind::SFT]),
            (_, StageKind::RM | StageKind::PPO) => last(&[StageKind::SFT]).or_else(|| last(&[StageKind::PT])),
        };
        Some(causal.unwrap_or(Source::Model))
    }

    /// An adapter to continue from. If a stage made it, the policy is what that stage trained it over.
    fn adapter(
        &self,
        input: &InputSpec,
        policy_named: bool,
        tuning: &Tuning,
        inputs: &mut BTreeMap<Role, Source>,
        errors: &mut Vec<SpecError>,
    ) {
        let path = self.path(Role::Adapter);
        if *tuning == Tuning::Full {
            errors.push(SpecError::new(
                &path,
                "continues an adapter, but the stage trains all weights; remove full or the adapter",
            ));
        }
        let Some(source) = self.named(Role::Adapter, input, errors) else { return };
        if let Source::Stage(name) = &source
            && let Some(maker) = self.before.iter().find(|stage| stage.name == *name)
        {
            if maker.tuning == Tuning::Full {
                errors.push(SpecError::new(
                    &path,
                    format!("{name:?} trains all weights and leaves no adapter; take it as policy"),
                ));
            }
            if maker.vocabulary.is_some() {
                errors.push(SpecError::new(
                    &path,
                    format!("the adapter of {name:?} has tokens that its base lacks; take {name:?} as policy"),
                ));
            }
            let base = maker.inputs.get(&Role::Policy);
            if policy_named && inputs.get(&Role::Policy) != base {
                let message = format!(
                    "the adapter of {name:?} belongs to the model that {name:?} started from; drop inputs.policy"
                );
                errors.push(SpecError::new(&path, message));
            }
            if let Some(base) = base {
                inputs.insert(Role::Policy, base.clone());
            }
        }
        inputs.insert(Role::Adapter, source);
    }
}

fn of(inputs: &InputsSpec, role: Role) -> Option<&InputSpec> {
    match role {
        Role::Policy => inputs.policy.as_ref(),
        Role::Base => inputs.base.as_ref(),
        Role::Reference => inputs.reference.as_ref(),
        Role::Reward => inputs.reward.as_ref(),
        Role::Adapter => inputs.adapter.as_ref(),
    }
}
