//! Documents into blocks for pre-training.
//!
//! Holds: no block is longer than `blockSize`; a document is one segment, or, when it is split, several, each of which
//! repeats the last token of the one before as context. So every token but a document's first is predicted exactly
//! once, whatever the block size.

use crate::data::example::Example;

/// Fills blocks with documents, in order.
pub struct BlockPacker {
    block_size: usize,
    ids: Vec<u32>,
    segments: Vec<u32>,
}

impl BlockPacker {
    /// `block_size` below 2 would leave nothing to predict; it counts as 2.
    pub fn new(block_size: usize) -> Self {
        Self { block_size: block_size.max(2), ids: Vec::new(), segments: Vec::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Adds a document, separator included, of at least two tokens; gives the blocks that it fills.
    pub fn push(&mut self, document: &[u32]) -> Vec<Example> {
        let mut full = Vec::new();
        let mut rest = document;
        while rest.len() > 1 {
            let room = self.block_size - self.ids.len();
            if room >= 2 {
                let piece = &rest[..rest.len().min(room)];
                self.ids.extend_from_slice(piece);
                self.segments.push(piece.len() as u32);
                rest = &rest[piece.len() - 1..];
            }
            if self.block_size - self.ids.len() < 2 {
                full.extend(self.finish());
            }
        }
        full
    }

    /// The block begun, if any.
    pub fn finish(&mut self) -> Option<Example> {
        if self.ids.is_empty() {
            return None;
        }
        let (ids, segments) = (std::mem::take(&mut self.ids), std::mem::take(&mut self.segments));
        let mut loss_mask = vec![true; ids.len()];
        let mut start = 0;
        for segment in &segments {
            loss_mask[start] = false;
            start += *segment as usize;
        }
        Some(Example { ids, loss_mask, segments, prompt_len: 0, roles: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(block_size: usize, documents: &[Vec<u32>]) -> Vec<Example> {
        let mut packer = BlockPacker::new(block_size);
        let mut blocks: Vec<Example> = documents.iter().flat_map(|document| packer.push(document)).collect();
        blocks.extend(packer.finish());
        blocks
    }

    fn predicted(blocks: &[Example]) -> Vec<u32> {
        let marked = blocks.iter().flat_map(|block| block.ids.iter().zip(&block.loss_mask));
        marked.filter(|(_, marked)| **marked).map(|(id, _)| *id).collect()
    }

    #[test]
    fn every_token_but_a_documents_first_is_predicted_once_at_any_block_size() {
        let documents = [vec![1, 2, 3, 4, 5, 6, 7, 0], vec![10, 11, 0], (20..60).collect()];
        let wanted: Vec<u32> = documents.iter().flat_map(|document| document[1..].to_vec()).collect();
        for block_size in 2..70 {
            let blocks = blocks(block_size, &documents);
            assert_eq!(predicted(&blocks), wanted, "block size {block_size}");
            for block in &blocks {
                assert!(block.ids.len() <= block_size);
                assert_eq!(block.segments.iter().sum::<u32>() as usize, block.ids.len());
                assert!(block.segments.iter().all(|length| *length >= 2));
            }
        }
    }

    #[test]
    fn documents_are_segments_and_the_last_block_is_short() {
        let blocks = blocks(8, &[vec![1, 2, 0], vec![3, 4, 5, 0], vec![6, 0]]);
        assert_eq!(blocks.len(), 2);
        assert_eq!(
            (blocks[0].ids.as_slice(), blocks[0].segments.as_slice()),
            (&[1, 2, 0, 3, 4, 5, 0][..], &[3, 4][..])
        );
        assert_eq!((blocks[1].ids.as_slice(), blocks[1].segments.as_slice()), (&[6, 0][..], &[2][..]));
    }
}
