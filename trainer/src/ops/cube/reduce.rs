//! Reductions over the units of a cube, as trees: their order does not depend on anything but the number of units.

use cubecl::prelude::*;

/// The sum of all units' `value`, for all of them.
#[cube]
pub fn sum(value: f32, shared: &mut SharedMemory<f32>, #[comptime] units: u32) -> f32 {
    shared[UNIT_POS as usize] = value;
    sync_cube();
    let mut stride = (units / 2).runtime();
    while stride > 0 {
        if UNIT_POS < stride {
            let other = shared[(UNIT_POS + stride) as usize];
            shared[UNIT_POS as usize] += other;
        }
        sync_cube();
        stride /= 2;
    }
    let total = shared[0];
    sync_cube();
    total
}

/// The greatest of all units' `value`, for all of them.
#[cube]
pub fn max(value: f32, shared: &mut SharedMemory<f32>, #[comptime] units: u32) -> f32 {
    shared[UNIT_POS as usize] = value;
    sync_cube();
    let mut stride = (units / 2).runtime();
    while stride > 0 {
        if UNIT_POS < stride {
            let other = shared[(UNIT_POS + stride) as usize];
            let mine = shared[UNIT_POS as usize];
            shared[UNIT_POS as usize] = select(other > mine, other, mine);
        }
        sync_cube();
        stride /= 2;
    }
    let most = shared[0];
    sync_cube();
    most
}

/// The least of all units' `value`, for all of them.
#[cube]
pub fn min(value: u32, shared: &mut SharedMemory<u32>, #[comptime] units: u32) -> u32 {
    shared[UNIT_POS as usize] = value;
    sync_cube();
    let mut stride = (units / 2).runtime();
    while stride > 0 {
        if UNIT_POS < stride {
            let other = shared[(UNIT_POS + stride) as usize];
            let mine = shared[UNIT_POS as usize];
            shared[UNIT_POS as usize] = select(other < mine, other, mine);
        }
        sync_cube();
        stride /= 2;
    }
    let least = shared[0];
    sync_cube();
    least
}
