//! A row as the model sees it, for `--preview`: the one place where row contents are shown, to who asked for them.

use std::fmt::Write;

use crate::data::{Example, PreferencePair, Tokenizer};
use crate::failure::Result;

/// Green on terminals that take colour, `«…»` elsewhere.
fn marks(color: bool) -> (&'static str, &'static str) {
    if color { ("\x1b[32m", "\x1b[0m") } else { ("«", "»") }
}

/// What the marks of [`preview`] and [`preview_pair`] mean.
pub fn legend(color: bool) -> String {
    let (open, close) = marks(color);
    format!("{open}marked{close}: tokens that carry loss; of a preference, what is compared")
}

/// The example decoded with its special tokens, loss-bearing tokens marked, segments apart.
///
/// # Errors
/// As [`Tokenizer::decode`].
pub fn preview(example: &Example, tokenizer: &Tokenizer, color: bool) -> Result<String> {
    let (open, close) = marks(color);
    let mut out = String::new();
    let mut start = 0;
    for (number, segment) in example.segments.iter().enumerate() {
        if number > 0 {
            let _ = writeln!(out, "\n--- segment {} ---", number + 1);
        }
        let end = start + *segment as usize;
        let tokens: Vec<(u32, bool)> =
            example.ids[start..end].iter().copied().zip(example.loss_mask[start..end].iter().copied()).collect();
        for run in tokens.chunk_by(|a, b| a.1 == b.1) {
            let ids: Vec<u32> = run.iter().map(|(id, _)| *id).collect();
            let text = tokenizer.decode(&ids, false)?;
            match run[0].1 {
                true => out.extend([open, &text, close]),
                false => out.push_str(&text),
            }
        }
        start = end;
    }
    let _ = write!(out, "\n[{} tokens, {} with loss]", example.ids.len(), example.loss_tokens());
    Ok(out)
}

/// Both sides of a preference; what is compared (everything after the shared prompt) is marked.
///
/// # Errors
/// As [`Tokenizer::decode`].
pub fn preview_pair(pair: &PreferencePair, tokenizer: &Tokenizer, color: bool) -> Result<String> {
    let (open, close) = marks(color);
    let mut out = tokenizer.decode(&pair.chosen[..pair.prompt_len], false)?;
    for (name, ids) in [("chosen", &pair.chosen), ("rejected", &pair.rejected)] {
        let answer = tokenizer.decode(&ids[pair.prompt_len..], false)?;
        let _ = write!(out, "\n--- {name} ---\n{open}{answer}{close}");
    }
    let _ = write!(out, "\n[{} and {} tokens, {} shared]", pair.chosen.len(), pair.rejected.len(), pair.prompt_len);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::fixture::tiny_tokenizer;

    #[test]
    fn loss_bearing_tokens_are_marked_and_special_tokens_shown() {
        let tokenizer = tiny_tokenizer();
        let ids = tokenizer.encode("<|im_start|>the发热<|im_end|>", false).unwrap();
        let mask = (0..ids.len()).map(|token| token > 1).collect();
        let example = Example::single(ids, mask);
        let shown = preview(&example, &tokenizer, false).unwrap();
        assert_eq!(shown, "<|im_start|>the«发热<|im_end|>»\n[9 tokens, 7 with loss]");
        assert!(preview(&example, &tokenizer, true).unwrap().contains("\x1b[32m发热<|im_end|>\x1b[0m"));
    }

    #[test]
    fn segments_stand_apart() {
        let tokenizer = tiny_tokenizer();
        let ids = tokenizer.encode("ab", false).unwrap();
        let example = Example { ids, loss_mask: vec![false; 2], segments: vec![1, 1], prompt_len: 0, roles: vec![] };
        assert_eq!(preview(&example, &tokenizer, false).unwrap(), "a\n--- segment 2 ---\nb\n[2 tokens, 0 with loss]");
    }

    #[test]
    fn a_pair_shows_its_prompt_once() {
        let tokenizer = tiny_tokenizer();
        let encode = |text| tokenizer.encode(text, false).unwrap();
        let pair = PreferencePair { chosen: encode("ab"), rejected: encode("acd"), prompt_len: 1 };
        let shown = preview_pair(&pair, &tokenizer, false).unwrap();
        assert_eq!(shown, "a\n--- chosen ---\n«b»\n--- rejected ---\n«cd»\n[2 and 3 tokens, 1 shared]");
    }
}
