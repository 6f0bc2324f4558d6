//! Row boundaries of flat, unpadded per-token values: row 0's tokens, then row 1's, and so on.
//!
//! Holds: the ranges of [`Rows::ranges`] are in order, do not overlap and cover `0..tokens()`.

use std::ops::Range;

use crate::failure::{Failure, Result};

/// Lengths of concatenated rows; in PPO a row is one response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    ends: Vec<usize>,
}

impl Rows {
    pub fn new(lengths: impl IntoIterator<Item = usize>) -> Self {
        let ends = lengths
            .into_iter()
            .scan(0, |end, length| {
                *end += length;
                Some(*end)
            })
            .collect();
        Self { ends }
    }

    /// Number of rows.
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// Tokens of all rows together.
    pub fn tokens(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    pub fn ranges(&self) -> impl DoubleEndedIterator<Item = Range<usize>> + ExactSizeIterator {
        (0..self.ends.len()).map(|row| if row == 0 { 0 } else { self.ends[row - 1] }..self.ends[row])
    }
}

/// Fails unless every named slice has `expected` entries.
///
/// # Errors
/// Internal (70): only a caller's mistake leads here, never data.
pub(super) fn same_length(expected: usize, named: &[(&str, usize)]) -> Result<()> {
    match named.iter().find(|(_, length)| *length != expected) {
        None => Ok(()),
        Some((name, length)) => Err(Failure::internal(format!("{name} has {length} entries, expected {expected}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_all_tokens_in_order_and_rows_may_be_empty() {
        let rows = Rows::new([2, 0, 3]);
        assert_eq!(rows.ranges().collect::<Vec<_>>(), [0..2, 2..2, 2..5]);
        assert_eq!((rows.count(), rows.tokens()), (3, 5));
        assert_eq!(Rows::new([]).tokens(), 0);
    }

    #[test]
    fn a_length_that_differs_is_named() {
        let error = same_length(3, &[("values", 3), ("returns", 2)]).unwrap_err();
        assert_eq!(error.message, "returns has 2 entries, expected 3");
    }
}
