//! Presets: defaults of a PPO stage that are changed together.
//!
//! Holds: a preset states only defaults that differ from the table's; a value that a stage writes wins over it; a stage
//! with a preset has the key of one that writes the preset's values out.

use serde_json::{Map, Value};

use super::{Literal, PpoPreset, Section};

/// One default that a preset changes.
#[derive(Debug)]
pub struct PresetValue {
    pub section: Section,
    pub name: &'static str,
    pub value: Literal,
    /// Where the old stack has it.
    pub source: &'static str,
}

const fn value(section: Section, name: &'static str, value: Literal, source: &'static str) -> PresetValue {
    PresetValue { section, name, value, source }
}

/// TRL of June 2023 (0.4) as MedicalGPT's script of the time called it. Equal to our defaults, so not listed: k1
/// penalty, adaptive coefficient 0.2 to target 6, both clips 0.2, vfCoef 0.1, gamma 1, lam 0.95, rewards not whitened,
/// no decay.
static TRL_2023: &[PresetValue] = &[
    value(Section::Train, "lrSchedulerType", Literal::Text("constant"), "PPOTrainer without lr_scheduler"),
    value(Section::Train, "adamEpsilon", Literal::Decimal(1e-8), "torch.optim.Adam"),
    value(Section::Train, "maxGradNorm", Literal::Decimal(0.0), "PPOConfig.max_grad_norm None"),
    value(Section::Ppo, "earlyStoppingAfterStep", Literal::Bool(true), "PPOTrainer.step"),
    value(Section::Ppo, "vHeadInitStrategy", Literal::Text("uniform"), "ValueHead: torch.nn.Linear"),
    value(Section::Ppo, "missingEosPenalty", Literal::Decimal(0.0), "there is none"),
    value(Section::Ppo, "minNewTokens", Literal::Int(0), "the script's generation_kwargs"),
    value(Section::Ppo, "batchSize", Literal::Int(8), "the script's per_device_train_batch_size"),
    value(Section::Ppo, "miniBatchSize", Literal::Int(1), "the script's mini_batch_size"),
    value(Section::Ppo, "numPpoEpochs", Literal::Int(3), "the script's num_train_epochs"),
];

impl PpoPreset {
    pub const ALL: [Self; 1] = [Self::Trl2023];

    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trl2023 => "trl-2023",
        }
    }

    pub fn values(self) -> &'static [PresetValue] {
        match self {
            Self::Trl2023 => TRL_2023,
        }
    }

    /// Its defaults in `section`, by name.
    pub fn defaults(self, section: Section) -> Map<String, Value> {
        let of_section = self.values().iter().filter(|value| value.section == section);
        of_section.map(|value| (value.name.to_string(), value.value.to_json())).collect()
    }
}
