//! Reductions over the units of a cube, as trees: their order does not depend on anything but the number of units.

use cubecl::prelude::*;

/// What becomes of two values.
#[cube]
pub trait Fold<N: Numeric>: Send + Sync + 'static {
    fn fold(a: N, b: N) -> N;
}

pub struct Sum;
pub struct Greatest;
pub struct Least;

#[cube]
impl<N: Numeric> Fold<N> for Sum {
    fn fold(a: N, b: N) -> N {
        a + b
    }
}

#[cube]
impl<N: Numeric> Fold<N> for Greatest {
    fn fold(a: N, b: N) -> N {
        select(b > a, b, a)
    }
}

#[cube]
impl<N: Numeric> Fold<N> for Least {
    fn fold(a: N, b: N) -> N {
        select(b < a, b, a)
    }
}

/// All units' `value` folded into one, for all of them; `units` is a power of two.
#[cube]
pub fn reduce<N: Numeric, F: Fold<N>>(value: N, shared: &mut SharedMemory<N>, #[comptime] units: u32) -> N {
    shared[UNIT_POS as usize] = value;
    sync_cube();
    let mut stride = (units / 2).runtime();
    while stride > 0 {
        if UNIT_POS < stride {
            let other = shared[(UNIT_POS + stride) as usize];
            let mine = shared[UNIT_POS as usize];
            shared[UNIT_POS as usize] = F::fold(mine, other);
        }
        sync_cube();
        stride /= 2;
    }
    let result = shared[0];
    sync_cube();
    result
}
