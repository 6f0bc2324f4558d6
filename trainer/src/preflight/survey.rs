//! The look at everything a training needs, and what comes of it: a plan with forecasts, or every problem at once.
//!
//! Holds: what is wrong with one input hides nothing about the others; a stage that is done is not looked at again; what
//! is missing is told before what is wrong in rows, each in the order of the resource.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use medtrain_crds::contract::ExitCode;
use medtrain_crds::resolve::{
    DataIdentity, Identities, Plan, PlannedDataset, PlannedInput, PlannedStage, Resolved, ResolvedStage, Role, Source,
    plan,
};
use medtrain_crds::stage::{PpoArgs, StageKind, TrainArgs, Tuning};

use super::inputs::{Request, trained_role};
use super::origins::{Origin, Origins, chain_start, check_causal, check_reward, check_same_tokens};
use super::vocabulary::vocabularies;
use super::{Forecast, Preflight, Workspace, adapters, data_files, estimate, vocabulary};
use crate::adapter::with_vocabulary;
use crate::artifact::finished;
use crate::data::{ChatTemplate, Prepared, Tokenizer};
use crate::failure::{Failure, Result};
use crate::model::ModelConfig;

/// Looks at all inputs and data of a training and forecasts its stages. Nothing is written outside the work directory.
///
/// # Errors
/// Every problem of every stage, each with its place in the resource.
pub fn preflight(resolved: &Resolved, ws: &Workspace) -> std::result::Result<Preflight, Vec<Failure>> {
    let indices = (0..resolved.stages.len()).collect();
    Survey::new(resolved, indices, ws).run(None)
}

/// The same for one stage: of the stages that it builds on only the identities are looked at.
///
/// # Errors
/// As [`preflight`]; 64 for a name that no stage has.
pub fn preflight_stage(
    resolved: &Resolved,
    ws: &Workspace,
    only: &str,
) -> std::result::Result<Preflight, Vec<Failure>> {
    let wanted = ancestors(resolved, only);
    if wanted.is_empty() {
        let names: Vec<&str> = resolved.stages.iter().map(|stage| stage.name.as_str()).collect();
        return Err(vec![Failure::config(format!(
            "--only {only}: there is no such stage; there are {}",
            names.join(", ")
        ))]);
    }
    let stages = resolved.stages.iter();
    let (indices, stages) =
        stages.enumerate().filter(|(_, s)| wanted.contains(&s.name)).map(|(i, s)| (i, s.clone())).unzip();
    Survey::new(&Resolved { stages, ..resolved.clone() }, indices, ws).run(Some(only))
}

struct Survey<'a> {
    resolved: &'a Resolved,
    /// Where each stage stands in the resource.
    indices: Vec<usize>,
    ws: &'a Workspace,
    /// The output can be written, so what it holds can be asked for.
    output_works: bool,
    origins: Origins,
    problems: Vec<Failure>,
    warnings: Vec<String>,
    notes: Vec<String>,
}

/// A stage with what it is trained over.
struct Looked {
    origin: Option<Rc<Origin>>,
    data: DataIdentity,
    /// All files were found.
    data_found: bool,
}

impl<'a> Survey<'a> {
    fn new(resolved: &'a Resolved, indices: Vec<usize>, ws: &'a Workspace) -> Self {
        let (origins, problems, warnings, notes) = (Origins::default(), Vec::new(), Vec::new(), Vec::new());
        Self { resolved, indices, ws, output_works: true, origins, problems, warnings, notes }
    }

    fn run(mut self, only: Option<&str>) -> std::result::Result<Preflight, Vec<Failure>> {
        if let Err(failure) = self.ws.check_output() {
            self.output_works = false;
            self.problems.push(failure.at("output.uri"));
        }
        let resolved = self.resolved;
        self.origins.external(self.ws, resolved, &Source::Model, "model.uri", &mut self.problems);
        let looked: Vec<Looked> = resolved.stages.iter().enumerate().map(|(at, stage)| self.look(at, stage)).collect();
        let plan = self.plan(&looked);
        let mut stages = Vec::new();
        for (at, stage) in resolved.stages.iter().enumerate() {
            if only.is_some_and(|only| only != stage.name) {
                continue;
            }
            let planned = plan.as_ref().and_then(|plan| plan.stage(&stage.name));
            match self.forecast(at, stage, planned, &looked[at]) {
                Ok(forecast) => stages.extend(forecast),
                Err(failures) => self.problems.extend(failures),
            }
        }
        match plan {
            Some(plan) if self.problems.is_empty() => {
                Ok(Preflight { plan, stages, warnings: self.warnings, notes: self.notes })
            }
            _ => {
                let mut seen = BTreeSet::new();
                self.problems.retain(|problem| seen.insert(problem.message.clone()));
                Err(self.problems)
            }
        }
    }

    fn place(&self, at: usize) -> String {
        format!("stages[{}]", self.indices[at])
    }

    /// Inputs and data of one stage, as far as identities go.
    fn look(&mut self, at: usize, stage: &ResolvedStage) -> Looked {
        let place = self.place(at);
        let (ws, resolved) = (self.ws, self.resolved);
        let mut problems = Vec::new();
        let mut origin: Option<Rc<Origin>> = None;
        for (role, source) in &stage.inputs {
            let place = format!("{place}.inputs.{role}");
            match role {
                Role::Adapter => {
                    self.origins.external(ws, resolved, source, &place, &mut problems);
                }
                Role::Reward => {
                    let checked = match self.origins.external(ws, resolved, source, &place, &mut problems) {
                        Some(external) => check_reward(&external).and_then(|()| {
                            let tokens = |found: Tokenizer| same_tokens(origin.as_deref(), &found, &external.uri);
                            Tokenizer::load(&external.dir).map_or(Ok(()), tokens)
                        }),
                        None => self.check_chain_tokens(source, origin.as_deref()),
                    };
                    problems.extend(checked.err().map(|failure| failure.at(&place)));
                }
                Role::Policy | Role::Base | Role::Reference => {
                    let Some(start) = chain_start(resolved, source) else { continue };
                    let found = self.origins.origin(ws, resolved, start, &place, &mut problems);
                    if start == source
                        && let Some(model) = found.as_ref().and_then(|found| found.model.as_ref())
                        && let Some(external) = self.origins.external(ws, resolved, start, &place, &mut problems)
                        && let Err(failure) = check_causal(model, stage.kind, &place, &external.uri)
                    {
                        problems.push(failure);
                    }
                    if *role == trained_role(stage.kind) {
                        origin =
                            self.grow(stage, (source, start), &format!("stages[{}]", self.indices[at]), &mut problems);
                    } else if let Err(failure) = self.check_chain_tokens(source, origin.as_deref()) {
                        problems.push(failure.at(&place));
                    }
                }
            }
        }
        if let Err(failure) = self.check_adapter(stage, &place) {
            problems.push(failure);
        }
        let dataset = format!("{place}.dataset");
        let (data, missing) = data_files::identify(ws, &stage.dataset, &dataset);
        let data_found = missing.is_empty();
        problems.extend(missing);
        self.problems.extend(problems);
        Looked { origin, data, data_found }
    }

    /// The model at the start of a chain with the tokens that the chain and this stage add.
    fn grow(
        &mut self,
        stage: &ResolvedStage,
        (source, start): (&Source, &Source),
        place: &str,
        problems: &mut Vec<Failure>,
    ) -> Option<Rc<Origin>> {
        let (ws, resolved) = (self.ws, self.resolved);
        let mut lists = vocabularies(resolved, source);
        let before = self.origins.grown(ws, resolved, start, &lists, place, problems)?;
        let Some(vocabulary) = &stage.vocabulary else { return Some(before) };
        lists.push(&vocabulary.add_tokens);
        let grown = self.origins.grown(ws, resolved, start, &lists, place, problems)?;
        match vocabulary::look(&vocabulary.add_tokens, &stage.tuning, (&before, &grown)) {
            Err(failure) => {
                problems.push(Failure { message: format!("{place}.{}", failure.message), ..failure });
                None
            }
            Ok((warnings, note)) => {
                self.warnings.extend(warnings.into_iter().map(|sentence| format!("{place}.{sentence}")));
                self.notes.extend(note.map(|sentence| format!("{place}.{sentence}")));
                Some(grown)
            }
        }
    }

    /// A stage's result has the tokens of the model that its chain starts from, and those that its stages add; they must be
    /// the policy's.
    fn check_chain_tokens(&mut self, source: &Source, policy: Option<&Origin>) -> Result<()> {
        let (ws, resolved) = (self.ws, self.resolved);
        let Some(start) = chain_start(resolved, source) else { return Ok(()) };
        // What can't be had is a problem already.
        let mut known = Vec::new();
        let (Some(external), Some(found)) = (
            self.origins.external(ws, resolved, start, "", &mut known),
            self.origins.grown(ws, resolved, start, &vocabularies(resolved, source), "", &mut known),
        ) else {
            return Ok(());
        };
        let name = match source {
            Source::Stage(stage) => format!("{}, which \"{stage}\" starts from", external.uri),
            Source::Model | Source::Uri { .. } => external.uri.clone(),
        };
        same_tokens(policy, &found.tokenizer, &name)
    }

    fn check_adapter(&mut self, stage: &ResolvedStage, place: &str) -> Result<()> {
        let (Some(source), Some(policy), Tuning::Lora(lora)) =
            (stage.inputs.get(&Role::Adapter), stage.inputs.get(&Role::Policy), &stage.tuning)
        else {
            return Ok(());
        };
        let (ws, resolved) = (self.ws, self.resolved);
        // What can't be had is a problem already.
        let mut known = Vec::new();
        let (Some(adapter), Some(model), Some(origin)) = (
            self.origins.external(ws, resolved, source, place, &mut known),
            self.origins.external(ws, resolved, policy, place, &mut known),
            self.origins.origin(ws, resolved, policy, place, &mut known),
        ) else {
            return Ok(());
        };
        let Some(facts) = &origin.model else { return Ok(()) };
        let warning = adapters::check(ws, &adapter, (&model, &facts.config), lora, place)?;
        self.warnings.extend(warning);
        Ok(())
    }

    /// The plan, if every identity is known.
    fn plan(&mut self, looked: &[Looked]) -> Option<Plan> {
        let model = self.origins.digest(&Source::Model)?;
        let mut identities = Identities { model, inputs: BTreeMap::new(), data: BTreeMap::new() };
        for (uri, revision) in self.resolved.external_inputs() {
            let source = Source::Uri { uri: uri.to_owned(), revision: revision.map(str::to_owned) };
            let digest = self.origins.digest(&source)?;
            identities.inputs.insert(medtrain_crds::resolve::locator(uri, revision), digest);
        }
        for (stage, looked) in self.resolved.stages.iter().zip(looked) {
            if !looked.data_found {
                return None;
            }
            identities.data.insert(stage.name.clone(), looked.data.clone());
        }
        match plan(self.resolved, &identities) {
            Ok(mut plan) => {
                self.pin(&mut plan);
                Some(plan)
            }
            Err(errors) => {
                self.problems.extend(errors.into_iter().map(|error| Failure::config(error.to_string())));
                None
            }
        }
    }

    /// Names the commits that were looked at in place of branches, which may move before a stage runs.
    fn pin(&self, plan: &mut Plan) {
        for (stage, planned) in self.resolved.stages.iter().zip(&mut plan.stages) {
            for (role, source) in &stage.inputs {
                let Some(commit) = self.origins.commit(source) else { continue };
                match planned.inputs.get_mut(role) {
                    Some(
                        PlannedInput::External { revision, .. }
                        | PlannedInput::Random { tokenizer_revision: revision, .. },
                    ) => *revision = Some(commit),
                    Some(PlannedInput::Stage { .. }) | None => {}
                }
            }
        }
    }

    /// What the stage will do; `None` if something it needs is missing, which is a problem already.
    fn forecast(
        &mut self,
        at: usize,
        stage: &ResolvedStage,
        planned: Option<&PlannedStage>,
        looked: &Looked,
    ) -> std::result::Result<Option<Forecast>, Vec<Failure>> {
        let place = self.place(at);
        if let Some(planned) = planned.filter(|_| self.output_works)
            && let Some(manifest) = finished(&self.ws.store, &planned.dir()).map_err(|f| vec![f.at(&place)])?
        {
            return Ok(Some(estimate::finished(stage, planned, &manifest)));
        }
        let (Some(origin), true) = (&looked.origin, looked.data_found) else { return Ok(None) };
        let template = match stage.kind {
            StageKind::PT => None,
            _ => {
                let found = ChatTemplate::resolve(stage.train.chat_template.as_deref(), &origin.tokenizer);
                // The message begins with the field's name.
                let in_train =
                    |failure: Failure| Failure { message: format!("{place}.train.{}", failure.message), ..failure };
                Some(found.map_err(|failure| vec![in_train(failure)])?)
            }
        };
        let dataset = PlannedDataset {
            train: looked.data.train.clone(),
            eval: looked.data.eval.clone(),
            eval_fraction: stage.dataset.eval_fraction,
            weights: stage.dataset.weights.clone(),
            format: stage.dataset.format,
        };
        let scan = Some(stage.dataset.max_scan_bytes);
        let request =
            Request { kind: stage.kind, dataset: &dataset, seed: self.resolved.seed, args: &stage.train, scan };
        let data = request.prepare(self.ws, &origin.tokenizer, template.as_ref()).map_err(|first| {
            let problems = request.problems(self.ws, &origin.tokenizer, template.as_ref(), first);
            problems.into_iter().map(|failure| in_dataset(self.ws, failure, &place)).collect::<Vec<_>>()
        })?;
        let Some(model) = &origin.model else { return Ok(None) };
        // The stage looks again, at all rows.
        check_context(stage.kind, &stage.train, stage.ppo.as_ref(), &model.config, &data)
            .map_err(|failure| vec![Failure { message: format!("{place}.{}", failure.message), ..failure }])?;
        for note in origin.tokenizer.notes(stage.kind) {
            // Stages of a chain share their tokenizer.
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        let Some(planned) = planned else { return Ok(None) };
        let tuning = match stage.vocabulary {
            None => stage.tuning.clone(),
            Some(_) => with_vocabulary(&stage.tuning, model.config.tie_word_embeddings),
        };
        let stage = &ResolvedStage { tuning, ..stage.clone() };
        let forecast = estimate::estimate(self.ws, self.resolved, stage, planned, model, &data);
        let warnings = estimate::warnings(self.ws, stage, &forecast, &data);
        self.warnings.extend(warnings.into_iter().map(|warning| format!("{place}.{warning}")));
        Ok(Some(forecast))
    }
}

/// Nothing can be said if the policy is not known.
fn same_tokens(policy: Option<&Origin>, found: &Tokenizer, name: &str) -> Result<()> {
    policy.map_or(Ok(()), |policy| check_same_tokens(&policy.tokenizer, found, name))
}

/// The stage and all that it builds on; empty if there is no such stage.
fn ancestors(resolved: &Resolved, only: &str) -> BTreeSet<String> {
    let mut wanted: BTreeSet<String> = resolved.stage(only).map(|stage| stage.name.clone()).into_iter().collect();
    // A stage comes after those it takes inputs from.
    for stage in resolved.stages.iter().rev() {
        if wanted.contains(&stage.name) {
            wanted.extend(stage.inputs.values().filter_map(|source| match source {
                Source::Stage(name) => Some(name.clone()),
                Source::Model | Source::Uri { .. } => None,
            }));
        }
    }
    wanted
}

/// Messages about files begin with the file, those about the whole with `dataset.train`. A disk that fails is no matter
/// of the stage, and is told once for all of them.
fn in_dataset(ws: &Workspace, failure: Failure, place: &str) -> Failure {
    if matches!(failure.exit, ExitCode::TransientIo | ExitCode::Permission) {
        return ws.explain(failure);
    }
    if failure.message.starts_with("dataset.") {
        return Failure { message: format!("{place}.{}", failure.message), ..failure };
    }
    failure.at(format!("{place}.dataset"))
}

/// Everything that will be read must fit into the positions that the model knows. The longest rows may be outside a
/// sample, where only `maxLength` bounds them.
///
/// # Errors
/// 64; the message begins with the field.
pub fn check_context(
    kind: StageKind,
    train: &TrainArgs,
    ppo: Option<&PpoArgs>,
    config: &ModelConfig,
    data: &Prepared,
) -> Result<()> {
    let context = config.max_position_embeddings as u64;
    let longest = u64::from(data.train_report.max_len.max(data.eval_report.max_len));
    let (field, needed, what) = match (ppo, kind, data.sample) {
        (Some(ppo), _, _) => ("ppo.maxNewTokens", longest + u64::from(ppo.max_new_tokens), "prompt and response reach"),
        (None, StageKind::PT, _) => ("train.blockSize", longest, "blocks reach"),
        (None, _, None) => ("train.maxLength", longest, "rows reach"),
        (None, _, Some(_)) => {
            ("train.maxLength", longest.max(u64::from(train.max_length)), "rows beyond the sample may reach")
        }
    };
    if needed <= context {
        return Ok(());
    }
    Err(Failure::new(
        ExitCode::Config,
        format!(
            "{field}: {what} {needed} tokens, but the model knows {context} positions \
             (max_position_embeddings); make it smaller"
        ),
    ))
}
