//! A stage from plan to manifest: build, train or resume, write the artifact, commit.
//!
//! Holds: nothing is written to the store before inputs and data are known to be good; the manifest comes last, and a
//! stage whose manifest is there is never run again.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use medtrain_crds::{
    contract::{CONTRACT_VERSION, CheckpointManifest, EarlyStop, ExitCode, Manifest, Phase, Pointer, Timings, layout},
    resolve::{Plan, PlannedStage},
    stage::LoraArgs,
};

use super::{
    build::{Job, build},
    finish::{self, Artifact},
    monitor::Monitor,
    outputs,
    task::{Tuned, Watch},
    training::{Checkpoints, Ended},
};
use crate::{
    adapter::BaseRecord,
    artifact::{self, Committed, RunId, Store, upload_dir},
    checkpoint::{self, Draft, State},
    device::Device,
    failure::{Failure, Result},
    model::{ModelConfig, Parameters},
    ops::LmBackend,
    preflight::Workspace,
    telemetry::{StopSignal, TrainerState},
};

/// One attempt at one stage.
pub struct StageRun<'a> {
    pub workspace: &'a Workspace,
    pub plan: &'a Plan,
    pub stage: &'a PlannedStage,
    pub run: RunId,
    pub attempt: u32,
    pub fencing_token: Option<String>,
    pub device: Device,
    pub stop: &'a StopSignal,
}

/// How a stage ended well.
pub enum StageEnd {
    /// Its manifest was there before anything was done.
    Cached(Box<Manifest>),
    Done(Box<Manifest>),
}

impl StageEnd {
    pub fn manifest(&self) -> &Manifest {
        match self {
            Self::Cached(manifest) | Self::Done(manifest) => manifest,
        }
    }
}

impl StageRun<'_> {
    /// Runs the stage unless it is done.
    ///
    /// # Errors
    /// As the exit codes say; 85 after a checkpoint on a stop request.
    pub fn run<B: LmBackend>(&self, monitor: &mut Monitor, device: &B::Device) -> Result<StageEnd> {
        let store = &self.workspace.store;
        if let Some(manifest) = artifact::finished(store, &self.stage.dir())? {
            // Left there if the process that finished the stage died right after.
            checkpoint::prune_finished(store, &self.stage.dir(), self.kept())?;
            self.point(&manifest)?;
            return Ok(StageEnd::Cached(Box::new(manifest)));
        }
        let started_at = jiff::Timestamp::now().to_string();
        let mut seconds = BTreeMap::new();
        let mut clock = Instant::now();
        let mut lap = |name: &str| {
            seconds.insert(name.to_owned(), clock.elapsed().as_secs_f64());
            clock = Instant::now();
        };
        self.stop.check()?;
        let mut job = build::<B>(self.workspace, self.stage, monitor, device)?;
        let _awaited = self.stop.awaited();
        store.probe()?;
        let scratch = Scratch::new(&self.workspace.workdir, self.stage, &self.run)?;
        let bit_exact = self.resume(&mut job, &scratch.0, monitor, device)?;
        lap("prepare");

        self.train(&mut job, &scratch.0, bit_exact, monitor)?;
        job.training.load_best(&self.stage.train, device)?;
        lap("train");

        monitor.phase(Phase::Merging);
        let folder = scratch.0.join("artifact");
        // The events were written there while training; everything else comes now.
        let Artifact { metrics, merge_check, loss_mask } = finish::write(&mut job, self.plan, self.stage, &folder)?;
        monitor.phase(Phase::Uploading);
        let prefix = layout::attempt_dir(self.attempt, self.run.as_str());
        let files = upload_dir(store, &folder, &self.stage.dir(), &prefix)
            .inspect_err(|failure| self.make_room(failure, &format!("{}/{prefix}", self.stage.dir())))?;
        lap("finish");
        let (step, total_steps) = (job.training.step, job.task.as_task().total_steps());
        let manifest = Manifest {
            contract: CONTRACT_VERSION,
            key: self.stage.key.clone(),
            kind: self.stage.kind,
            stage: self.stage.name.clone(),
            recipe: self.stage.recipe,
            seed: self.stage.seed,
            inputs: finish::inputs(&job),
            base_model: finish::chain_start(&job),
            prefix,
            files,
            final_step: step,
            metrics,
            data: job.counts.clone(),
            loss_mask: Some(loss_mask),
            best_model: job.training.best.record(&self.stage.train),
            early_stop: (step < total_steps).then_some(EarlyStop { step, total_steps }),
            merge_check,
            bit_exact,
            trainer: finish::build_info(),
            attempt: self.attempt,
            fencing_token: self.fencing_token.clone(),
            timings: Timings { started_at, finished_at: jiff::Timestamp::now().to_string(), seconds },
        };
        let manifest = match artifact::commit(store, &self.stage.dir(), &manifest)? {
            Committed::Won => manifest,
            Committed::Lost(theirs) => *theirs,
        };
        checkpoint::prune_finished(store, &self.stage.dir(), self.kept())?;
        self.point(&manifest)?;
        monitor.phase(Phase::Done);
        monitor.finish();
        Ok(StageEnd::Done(Box::new(manifest)))
    }

    /// Takes back what did not fit on a disk whole. If that fails too, it changes nothing about the failure.
    fn make_room(&self, failure: &Failure, path: &str) {
        let store = &self.workspace.store;
        if failure.exit == ExitCode::TransientIo && store.local_path(path).is_some() {
            let _ = store.delete(path);
        }
    }

    /// Checkpoints to keep.
    fn kept(&self) -> Option<usize> {
        self.stage.train.save_total_limit.map(|limit| limit as usize)
    }

    /// Pointers for people and tools; links in a local store.
    fn point(&self, manifest: &Manifest) -> Result<()> {
        let store = &self.workspace.store;
        let pointer = Pointer::new(self.stage.kind, self.stage.key.clone());
        let path = layout::pointer_path(&self.plan.namespace, &self.plan.training, &self.stage.name);
        artifact::write_pointer(store, &path, &pointer)?;
        let home = format!("{}/{}", self.stage.dir(), manifest.prefix);
        artifact::link_latest(store, &self.stage.name, &home)?;
        artifact::link_merged(store, &self.stage.dir(), &manifest.prefix)
    }

    /// Goes on from the newest checkpoint, if there is one. Returns whether the bits will be those of an undisturbed run.
    fn resume<B: LmBackend>(
        &self,
        job: &mut Job<B>,
        scratch: &Path,
        monitor: &mut Monitor,
        device: &B::Device,
    ) -> Result<bool> {
        let restored = checkpoint::restore(&self.workspace.store, &self.stage.dir(), &scratch.join("restored"))?;
        let events = scratch.join("artifact").join("runs");
        std::fs::create_dir_all(&events).map_err(|error| Failure::io(&events, &error))?;
        let configuration = finish::configuration(self.stage)?;
        if self.stage.train.log_samples {
            monitor.show_samples(Arc::clone(&job.tokenizer));
        }
        let Some(restored) = restored else {
            monitor.record(&events, &self.run, None, &configuration)?;
            return Ok(true);
        };
        restored.skipped.iter().for_each(|sentence| monitor.warn(sentence));
        let state = checkpoint::load(&restored.folder)?;
        let same_passes = job.training.restore(&state, job.task.as_task(), &self.stage.train, device)?;
        copy_events(&restored.folder.join("runs"), &events)?;
        monitor.record(&events, &self.run, Some(state.step), &configuration)?;
        let before = &restored.reference.manifest;
        let same_program = before.trainer == finish::build_info();
        Ok(before.bit_exact && same_passes && same_program && before.device == self.device.model())
    }

    fn train<B: LmBackend>(
        &self,
        job: &mut Job<B>,
        scratch: &Path,
        bit_exact: bool,
        monitor: &mut Monitor,
    ) -> Result<()> {
        let adapter = match (&job.training.tuned, &job.base_record) {
            (Tuned::Lora { base, lora }, Some(record)) => Some((lora.clone(), base.config().clone(), record.clone())),
            _ => None,
        };
        let mut checkpoints = StoreCheckpoints {
            run: self,
            scratch: scratch.join("checkpoints"),
            events: scratch.join("artifact").join("runs"),
            adapter,
            bit_exact,
        };
        let mut watch = Watch { monitor, stop: self.stop };
        let ended = job.training.run(job.task.as_task(), &self.stage.train, &mut checkpoints, &mut watch)?;
        match ended {
            Ended::Finished => Ok(()),
            Ended::Stopped => Err(Failure::new(
                ExitCode::Checkpointed,
                format!(
                    "{}: stopped at step {}; a checkpoint is written, run the same command again to go on",
                    self.stage.name, job.training.step
                ),
            )),
        }
    }
}

/// A folder of the working directory that is gone when the attempt ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(workdir: &Path, stage: &PlannedStage, run: &RunId) -> Result<Self> {
        let path = workdir.join("scratch").join(format!("{}-{}", stage.key.key12(), run.as_str()));
        if path.exists() {
            std::fs::remove_dir_all(&path).map_err(|error| Failure::io(&path, &error))?;
        }
        std::fs::create_dir_all(&path).map_err(|error| Failure::io(&path, &error))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Scratch that can't be deleted does no harm and the next attempt has another name.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Writes checkpoints to the working directory, then to the store, and prunes this run's old ones.
struct StoreCheckpoints<'a> {
    run: &'a StageRun<'a>,
    scratch: PathBuf,
    events: PathBuf,
    /// The adapter, the model that it is part of, what it is trained over; `None` where all weights are trained.
    adapter: Option<(LoraArgs, ModelConfig, BaseRecord)>,
    bit_exact: bool,
}

impl<B: LmBackend> Checkpoints<B> for StoreCheckpoints<'_> {
    fn save(&mut self, state: State, total: u64, parameters: &Parameters<B>, history: &TrainerState) -> Result<()> {
        let StageRun { workspace, stage, run, .. } = self.run;
        let step = state.step;
        let draft = Draft::new(&self.scratch, state)?;
        history.save(draft.path())?;
        copy_events(&self.events, &draft.path().join("runs"))?;
        if let Some((lora, config, base)) = &self.adapter {
            outputs::write_adapter(draft.path(), stage.kind, (lora, config), parameters, base)?;
        }
        let folder = draft.finish()?;
        let manifest = CheckpointManifest {
            contract: CONTRACT_VERSION,
            key: stage.key.clone(),
            kind: stage.kind,
            recipe: stage.recipe,
            step,
            total_steps: total,
            run8: run.as_str().to_owned(),
            attempt: self.run.attempt,
            files: Vec::new(),
            bit_exact: self.bit_exact,
            device: self.run.device.model(),
            trainer: finish::build_info(),
        };
        let store: &Store = &workspace.store;
        let unfinished = format!("{}/{}", stage.dir(), layout::checkpoint_dir(step, run.as_str()));
        checkpoint::publish(store, &stage.dir(), &folder, manifest)
            .inspect_err(|failure| self.run.make_room(failure, &unfinished))?;
        std::fs::remove_dir_all(&folder).map_err(|error| Failure::io(&folder, &error))?;
        checkpoint::prune(store, &stage.dir(), run, self.run.kept())
    }
}

/// Event files of one folder copied to another; none are no error.
fn copy_events(from: &Path, to: &Path) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(from) else { return Ok(()) };
    std::fs::create_dir_all(to).map_err(|error| Failure::io(to, &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| Failure::io(from, &error))?;
        let target = to.join(entry.file_name());
        std::fs::copy(entry.path(), &target).map_err(|error| Failure::io(&target, &error))?;
    }
    Ok(())
}
