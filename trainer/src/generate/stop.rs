//! When a response ends: end-of-sequence tokens, stop strings in the text, a limit of tokens.
//!
//! Holds: what is shown and why it ended do not depend on how the text was cut into tokens; shown text never holds a
//! stop string nor the beginning of one that completes later.

use crate::failure::{Failure, Result};

/// Why a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model gave an end-of-sequence token.
    Eos,
    /// The text holds a stop string.
    StopString,
    /// `max_new_tokens` was reached, or the end of the model's context.
    Length,
}

impl FinishReason {
    /// As written to results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Eos => "eos",
            Self::StopString => "stopString",
            Self::Length => "length",
        }
    }

    /// Whether the model ended the response itself; if not, PPO takes `missingEosPenalty` off its score.
    pub fn is_eos(self) -> bool {
        self == Self::Eos
    }
}

/// The rules of a generation, shared by its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopRules {
    eos: Vec<u32>,
    stop_strings: Vec<String>,
    max_new_tokens: u32,
}

impl StopRules {
    /// # Errors
    /// Config (64) for an empty stop string or a limit of 0 tokens.
    pub fn new(eos: Vec<u32>, stop_strings: Vec<String>, max_new_tokens: u32) -> Result<Self> {
        if stop_strings.iter().any(String::is_empty) {
            return Err(Failure::config("stop strings: one is empty and would end every response at once; drop it"));
        }
        if max_new_tokens == 0 {
            return Err(Failure::config("maxNewTokens: 0 leaves nothing to generate; set 1 or more"));
        }
        Ok(Self { eos, stop_strings, max_new_tokens })
    }

    /// The tokens that end a response.
    pub fn eos(&self) -> &[u32] {
        &self.eos
    }

    /// Whether text is needed to tell when a response ends.
    pub fn reads_text(&self) -> bool {
        !self.stop_strings.is_empty()
    }

    pub fn max_new_tokens(&self) -> u32 {
        self.max_new_tokens
    }

    /// State for one response.
    pub fn start(&self) -> StopState<'_> {
        self.start_within(u32::MAX)
    }

    /// State for one response for which the model's context has room for `room` tokens.
    pub fn start_within(&self, room: u32) -> StopState<'_> {
        StopState { rules: self, limit: self.max_new_tokens.min(room), tokens: 0, held: String::new(), finish: None }
    }
}

/// What a token adds to the response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopStep {
    /// Text that may be shown now.
    pub text: String,
    /// Set with the last token.
    pub finish: Option<FinishReason>,
}

/// One response on its way.
#[derive(Clone, Debug)]
pub struct StopState<'a> {
    rules: &'a StopRules,
    limit: u32,
    tokens: u32,
    /// The end of the text so far that may be the beginning of a stop string.
    held: String,
    finish: Option<FinishReason>,
}

impl StopState<'_> {
    /// Takes the next token and the text it added (empty while a character is incomplete).
    ///
    /// A stop string ends the response where it first completes, and neither it nor anything after is shown; one that
    /// completes with the last allowed token counts as a stop string. An end-of-sequence token's own text is not shown.
    /// After the end, nothing more is taken.
    pub fn push(&mut self, token: u32, text: &str) -> StopStep {
        if self.finish.is_some() {
            return StopStep { text: String::new(), finish: self.finish };
        }
        self.tokens += 1;
        if self.ends_with(token) {
            return self.finish_with(FinishReason::Eos);
        }
        let seen = self.held.len();
        self.held.push_str(text);
        if let Some(start) = self.first_stop(seen) {
            self.held.truncate(start);
            return self.finish_with(FinishReason::StopString);
        }
        if self.tokens >= self.limit {
            return self.finish_with(FinishReason::Length);
        }
        let keep = self.possible_beginning();
        let rest = self.held.split_off(self.held.len() - keep);
        StopStep { text: std::mem::replace(&mut self.held, rest), finish: None }
    }

    /// Whether `token` is an end of sequence.
    pub fn ends_with(&self, token: u32) -> bool {
        self.rules.eos.contains(&token)
    }

    /// Tokens taken, end of sequence included.
    pub fn tokens(&self) -> u32 {
        self.tokens
    }

    pub fn finish(&self) -> Option<FinishReason> {
        self.finish
    }

    fn finish_with(&mut self, reason: FinishReason) -> StopStep {
        self.finish = Some(reason);
        StopStep { text: std::mem::take(&mut self.held), finish: self.finish }
    }

    /// Where the stop string begins that completes first after byte `seen`; of several, the longest.
    fn first_stop(&self, seen: usize) -> Option<usize> {
        let held = self.held.as_bytes();
        (seen + 1..=held.len()).find_map(|end| {
            let matching = self.rules.stop_strings.iter().filter(|stop| held[..end].ends_with(stop.as_bytes()));
            matching.map(|stop| end - stop.len()).min()
        })
    }

    /// Length of the longest end of the held text that begins a stop string without completing it.
    fn possible_beginning(&self) -> usize {
        let held = self.held.as_bytes();
        let beginning = |stop: &String| {
            let longest = held.len().min(stop.len() - 1);
            (1..=longest).rev().find(|&n| held.ends_with(&stop.as_bytes()[..n])).unwrap_or(0)
        };
        self.rules.stop_strings.iter().map(beginning).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules(stop_strings: &[&str], max_new_tokens: u32) -> StopRules {
        StopRules::new(vec![0, 9], stop_strings.iter().map(ToString::to_string).collect(), max_new_tokens).unwrap()
    }

    fn run(rules: &StopRules, pieces: &[(u32, &str)]) -> (String, Option<FinishReason>, u32) {
        let mut state = rules.start();
        let shown = pieces.iter().map(|(token, text)| state.push(*token, text).text).collect();
        (shown, state.finish(), state.tokens())
    }

    #[test]
    fn any_eos_token_ends_and_its_own_text_is_not_shown() {
        let out = run(&rules(&[], 10), &[(5, "Hi"), (9, "</s>"), (5, "more")]);
        assert_eq!(out, ("Hi".into(), Some(FinishReason::Eos), 2));
    }

    #[test]
    fn the_limit_counts_tokens_and_eos_as_the_last_one_is_still_eos() {
        assert_eq!(run(&rules(&[], 2), &[(5, "a"), (5, "b")]), ("ab".into(), Some(FinishReason::Length), 2));
        assert_eq!(run(&rules(&[], 2), &[(5, "a"), (0, "")]), ("a".into(), Some(FinishReason::Eos), 2));
    }

    #[test]
    fn a_full_context_ends_a_response_as_the_limit_does() {
        let rules = rules(&["END"], 5);
        let mut state = rules.start_within(2);
        assert_eq!(state.push(5, "an E").finish, None);
        assert_eq!(state.push(5, "N"), StopStep { text: "EN".into(), finish: Some(FinishReason::Length) });
    }

    #[test]
    fn a_stop_string_over_several_tokens_ends_and_is_not_shown() {
        let pieces = [(5, "Take rest.\n"), (5, "#"), (5, "## In"), (5, "struction")];
        let out = run(&rules(&["\n### Instruction"], 10), &pieces);
        assert_eq!(out, ("Take rest.".into(), Some(FinishReason::StopString), 4));
    }

    #[test]
    fn text_held_back_for_a_stop_string_that_never_comes_is_shown() {
        assert_eq!(run(&rules(&["END"], 10), &[(5, "an EN"), (5, "T doctor")]).0, "an ENT doctor");
        assert_eq!(run(&rules(&["END"], 2), &[(5, "an EN"), (5, "")]).0, "an EN", "at the limit");
        assert_eq!(run(&rules(&["END"], 9), &[(5, "an EN"), (0, "")]).0, "an EN", "at the end of sequence");
    }

    #[test]
    fn nothing_that_may_become_a_stop_string_is_shown_early() {
        let rules = rules(&["END"], 10);
        let mut state = rules.start();
        assert_eq!(state.push(5, "an E").text, "an ");
        assert_eq!(state.push(5, "N").text, "");
        assert_eq!(state.push(5, "EN").text, "EN");
    }

    #[test]
    fn a_stop_string_in_the_last_allowed_token_is_a_stop_string() {
        assert_eq!(run(&rules(&["b"], 2), &[(5, "a"), (5, "bc")]), ("a".into(), Some(FinishReason::StopString), 2));
    }

    #[test]
    fn of_stop_strings_that_complete_together_the_longest_is_hidden() {
        assert_eq!(
            run(&rules(&["b", "ab"], 9), &[(5, "xa"), (5, "b")]),
            ("x".into(), Some(FinishReason::StopString), 2)
        );
    }

    #[test]
    fn stop_strings_work_in_scripts_of_several_bytes_a_character() {
        let out = run(&rules(&["医生："], 10), &[(5, "多喝水。医"), (5, "院。医生"), (5, "：您好")]);
        assert_eq!(out, ("多喝水。医院。".into(), Some(FinishReason::StopString), 3));
    }

    #[test]
    fn useless_rules_are_refused_with_the_way_out() {
        let error = StopRules::new(vec![0], vec![String::new()], 5).unwrap_err();
        assert_eq!(error.message, "stop strings: one is empty and would end every response at once; drop it");
        let error = StopRules::new(vec![0], vec![], 0).unwrap_err();
        assert_eq!(error.message, "maxNewTokens: 0 leaves nothing to generate; set 1 or more");
    }

    proptest! {
        #[test]
        fn the_result_does_not_depend_on_how_text_is_cut(
            text in "[ab]{0,12}", stops in prop::collection::vec("[ab]{1,4}", 0..3),
            cuts in prop::collection::vec(0_usize..13, 0..5),
        ) {
            let rules = StopRules::new(vec![0], stops.clone(), 1000).unwrap();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let mut pieces: Vec<(u32, &str)> = cuts.windows(2).map(|w| (5, &text[w[0]..w[1]])).collect();
            pieces.push((0, ""));
            let (shown, finish, _) = run(&rules, &pieces);
            let (whole, whole_finish, _) = run(&rules, &[(5, &text), (0, "")]);
            prop_assert_eq!(&shown, &whole);
            prop_assert_eq!(finish, whole_finish);
            prop_assert!(text.starts_with(&shown));
            prop_assert!(!stops.iter().any(|stop| shown.contains(stop.as_str())));
            prop_assert_eq!(finish == Some(FinishReason::Eos), !stops.iter().any(|stop| text.contains(stop.as_str())));
        }
    }
}
