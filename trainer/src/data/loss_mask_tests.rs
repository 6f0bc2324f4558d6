use std::collections::BTreeMap;

use super::*;
use crate::data::roles::RoleRun;

fn run(role: TokenRole, tokens: u32) -> RoleRun {
    RoleRun { role, tokens }
}

/// Three rows: `[1 2 | 3*]`, `[4 | 5* 6*]` and, of no role, `[7 8*]`; `*` is trained, `|` parts user and assistant.
fn data() -> TokenizedDataset {
    let row = |ids: &[u32], trained: usize, roles| {
        let mask = (0..ids.len()).map(|place| place >= ids.len() - trained).collect();
        Example { roles, ..Example::single(ids.to_vec(), mask) }
    };
    let rows = [
        row(&[1, 2, 3], 1, vec![run(TokenRole::User, 2), run(TokenRole::Assistant, 1)]),
        row(&[4, 5, 6], 2, vec![run(TokenRole::User, 1), run(TokenRole::Assistant, 2)]),
        row(&[7, 8], 1, vec![]),
    ];
    TokenizedDataset::of(&rows, false)
}

fn certificate(steps: &[&[usize]]) -> LossMask {
    let counts = SplitCounts {
        truncated: 4,
        dropped: BTreeMap::from([("overlong".into(), 2), ("noLossTokens".into(), 3)]),
        ..SplitCounts::default()
    };
    certify(&data(), steps.iter().map(|rows| rows.to_vec()), &counts).unwrap()
}

#[test]
fn tokens_count_as_often_as_steps_take_their_rows() {
    let mask = certificate(&[&[0, 1], &[1, 2], &[1]]);
    let tokens = |seen, trained| RoleTokens { seen, trained };
    let roles = [
        (TokenRole::Text, tokens(2, 1)),
        (TokenRole::User, tokens(2 + 3, 0)),
        (TokenRole::Assistant, tokens(1 + 3 * 2, 1 + 3 * 2)),
    ];
    assert_eq!(mask.roles, BTreeMap::from(roles));
    assert_eq!((mask.tokens_seen, mask.tokens_trained), (14, 8));
    assert_eq!((mask.truncated_rows, mask.dropped_rows), (4, 5));
}

/// The bytes as the contract writes them down, made by hand.
#[test]
fn the_digest_is_over_the_documented_bytes() {
    let mut bytes = b"medtrain batches 1\n".to_vec();
    let mut words = |words: &[i64]| words.iter().for_each(|&word| bytes.extend((word as i32).to_le_bytes()));
    words(&[2]); // rows of the first step
    words(&[1, 3, 1, 2, 3, -100, -100, 3]); // segments, length, ids, labels
    words(&[1, 2, 7, 8, -100, 8]);
    words(&[1]);
    words(&[1, 3, 4, 5, 6, -100, 5, 6]);
    let mask = certificate(&[&[0, 2], &[1]]);
    assert_eq!(mask.first_batches, FirstBatches { steps: 2, sha256: hex::encode(Sha256::digest(&bytes)) });
}

#[test]
fn the_digest_tells_orders_and_steps_apart_and_ends_with_the_eighth_step() {
    let digest = |steps: &[&[usize]]| certificate(steps).first_batches.sha256;
    let base = digest(&[&[0, 1], &[2]]);
    for other in [&[&[1, 0][..], &[2]][..], &[&[0], &[1, 2]], &[&[0, 1, 2]], &[&[0, 1]]] {
        assert_ne!(digest(other), base, "{other:?}");
    }
    let eight = [&[0][..]; 8];
    let more = [&eight[..], &[&[1]]].concat();
    assert_eq!(certificate(&more).first_batches, certificate(&eight).first_batches);
    assert_ne!(certificate(&more).tokens_seen, certificate(&eight).tokens_seen);
}

#[test]
fn segments_are_row_boundaries() {
    let digest = |segments: Vec<u32>| {
        let row = Example { segments, ..Example::single(vec![1, 2, 3, 4], vec![false; 4]) };
        let data = TokenizedDataset::of(&[row], false);
        certify(&data, [vec![0]].into_iter(), &SplitCounts::default()).unwrap().first_batches.sha256
    };
    assert_ne!(digest(vec![2, 2]), digest(vec![1, 3]));
}
