//! A loaded model with the rules of its answers: from dialogues to completions.

use serde_json::{Value, json};

use crate::{
    adapter::Adapter,
    data::{ChatTemplate, Message, Tokenizer},
    failure::{Failure, Result},
    generate::{Completion, FinishReason, Generation, NewToken, Request, SamplingArgs, StopRules},
    model::Decoder,
    ops::LmBackend,
};

/// Who answers, and how.
pub struct Speaker<'a, B: LmBackend> {
    pub model: &'a Decoder<B>,
    pub adapter: Option<Adapter<B>>,
    pub tokenizer: &'a Tokenizer,
    /// `None`: a message is continued as it stands (base models).
    pub template: Option<ChatTemplate>,
    /// Put in front of dialogues that bring no system message.
    pub system: Option<String>,
    pub sampling: SamplingArgs,
    pub stop: StopRules,
}

impl<B: LmBackend> Speaker<'_, B> {
    /// Tokens after which the answer to `messages` begins.
    ///
    /// # Errors
    /// 66 when the template refuses the dialogue, or without a template when it is more than one message.
    pub fn encode(&self, messages: &[Message], tools: Option<&Value>) -> Result<Vec<u32>> {
        let Some(template) = &self.template else {
            return match messages {
                [one] => self.tokenizer.encode(&one.content, true),
                _ => Err(Failure::data("--raw continues plain text, but this is a dialogue; leave --raw out")),
            };
        };
        match &self.system {
            Some(system) if messages.first().is_none_or(|first| first.role != "system") => {
                let whole: Vec<Message> =
                    std::iter::once(Message::system(system)).chain(messages.iter().cloned()).collect();
                template.encode_prompt(self.tokenizer, &whole, tools)
            }
            _ => template.encode_prompt(self.tokenizer, messages, tools),
        }
    }

    /// As [`Generation::run`].
    pub fn answer(
        &self,
        requests: &[Request],
        batch: usize,
        on_token: &mut dyn FnMut(NewToken),
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<Completion>>> {
        let generation = Generation {
            model: self.model,
            adapter: self.adapter.as_ref(),
            args: &self.sampling,
            stop: &self.stop,
            tokenizer: Some(self.tokenizer),
            batch,
        };
        generation.run(requests, on_token, interrupted)
    }
}

/// One answer as `--json` and predictions files hold it; `finish` is `None` for one that was interrupted.
pub fn record(prompt: &str, response: &str, finish: Option<FinishReason>, new_tokens: usize) -> Value {
    json!({
        "prompt": prompt,
        "response": response,
        "finishReason": finish.map_or("interrupted", FinishReason::name),
        "newTokens": new_tokens,
    })
}
