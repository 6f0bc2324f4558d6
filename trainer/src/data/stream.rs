//! Decoding token by token, for people who watch.
//!
//! Holds: the pieces joined are the decoding of all tokens; no piece ends inside a character.

use crate::data::Tokenizer;
use crate::failure::Result;

/// Ids decoded as they come; a piece is handed out only once its last character is whole.
pub struct DecodeStream<'t> {
    tokenizer: &'t Tokenizer,
    skip_special: bool,
    /// Ids since `printed` began; a few are kept from before, as decoders treat the first token of a text specially.
    ids: Vec<u32>,
    /// How many of `ids` have been handed out.
    printed: usize,
}

impl<'t> DecodeStream<'t> {
    pub fn new(tokenizer: &'t Tokenizer, skip_special: bool) -> Self {
        Self { tokenizer, skip_special, ids: Vec::new(), printed: 0 }
    }

    /// The text that `id` completes, if it completes any.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn push(&mut self, id: u32) -> Result<Option<String>> {
        self.ids.push(id);
        let (before, text) = self.texts()?;
        if text.len() <= before.len() || text.ends_with(char::REPLACEMENT_CHARACTER) {
            return Ok(None);
        }
        let piece = text.get(before.len()..).map(str::to_owned);
        self.ids.drain(..self.printed);
        self.printed = self.ids.len();
        Ok(piece)
    }

    /// What is left: bytes of a character that was never finished come out as U+FFFD.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn finish(self) -> Result<String> {
        let (before, text) = self.texts()?;
        Ok(text.get(before.len()..).unwrap_or_default().to_owned())
    }

    fn texts(&self) -> Result<(String, String)> {
        let before = self.tokenizer.decode(&self.ids[..self.printed], self.skip_special)?;
        Ok((before, self.tokenizer.decode(&self.ids, self.skip_special)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::fixture::tiny_tokenizer;

    fn pieces(text: &str, skip_special: bool) -> Vec<String> {
        let tokenizer = tiny_tokenizer();
        let mut stream = DecodeStream::new(&tokenizer, skip_special);
        let ids = tokenizer.encode(text, false).unwrap();
        let mut pieces: Vec<String> = ids.iter().filter_map(|id| stream.push(*id).unwrap()).collect();
        pieces.push(stream.finish().unwrap());
        pieces
    }

    #[test]
    fn pieces_join_to_the_text_and_never_split_a_character() {
        for text in ["the patient", "发热。咳嗽", "👩‍⚕️🩺 ok", "a\u{301}é \n"] {
            let pieces = pieces(text, true);
            assert_eq!(pieces.concat(), text);
            assert!(pieces.iter().all(|piece| !piece.contains('\u{FFFD}')), "{pieces:?}");
        }
    }

    #[test]
    fn special_tokens_are_shown_or_skipped_as_asked() {
        assert_eq!(pieces("the<|im_end|>", true).concat(), "the");
        assert_eq!(pieces("the<|im_end|>", false).concat(), "the<|im_end|>");
    }

    #[test]
    fn an_unfinished_character_comes_out_only_at_the_end() {
        let tokenizer = tiny_tokenizer();
        let ids = tokenizer.encode("热", false).unwrap();
        let mut stream = DecodeStream::new(&tokenizer, true);
        assert_eq!(stream.push(ids[0]).unwrap(), None);
        assert_eq!(stream.finish().unwrap(), "\u{FFFD}");
    }
}
