//! Matrix products over the `gemm` crate, on row-major slices.
//!
//! Its blocking over the inner dimension depends on shapes and caches alone, so a product has the same bits at any number
//! of threads (tested in `ops/tests.rs`).

use gemm::Parallelism;

/// `C = [C +] scale · A B` with `A` `[m, k]`, `B` `[k, n]`, `C` `[m, n]`.
#[derive(Clone, Copy)]
pub struct Product {
    size: [usize; 3],
    /// (row stride, column stride) of each operand.
    left: (usize, usize),
    right: (usize, usize),
    out_stride: usize,
    scale: f32,
    add: bool,
    parallelism: Parallelism,
}

impl Product {
    /// Dense row-major operands of `[m, k, n]`, on all threads.
    pub fn new([m, k, n]: [usize; 3]) -> Self {
        Self {
            size: [m, k, n],
            left: (k, 1),
            right: (n, 1),
            out_stride: n,
            scale: 1.0,
            add: false,
            parallelism: Parallelism::Rayon(0),
        }
    }

    /// `A` is stored as `[k, m]`.
    pub fn left_transposed(mut self) -> Self {
        self.left = (1, self.size[0]);
        self
    }

    /// `B` is stored as `[n, k]`.
    pub fn right_transposed(mut self) -> Self {
        self.right = (1, self.size[1]);
        self
    }

    pub fn left_strides(mut self, row: usize, column: usize) -> Self {
        self.left = (row, column);
        self
    }

    pub fn right_strides(mut self, row: usize, column: usize) -> Self {
        self.right = (row, column);
        self
    }

    pub fn out_stride(mut self, stride: usize) -> Self {
        self.out_stride = stride;
        self
    }

    pub fn scale(mut self, scale: f32) -> Self {
        self.scale = scale;
        self
    }

    /// Adds to what `C` holds.
    pub fn add(mut self) -> Self {
        self.add = true;
        self
    }

    /// On the calling thread only.
    pub fn single(mut self) -> Self {
        self.parallelism = Parallelism::None;
        self
    }

    pub fn run(self, a: &[f32], b: &[f32], c: &mut [f32]) {
        let [m, _, n] = self.size;
        assert!(m == 0 || n == 0 || (m - 1) * self.out_stride + n <= c.len(), "result too short");
        // SAFETY: the assert keeps every write inside `c`, which is borrowed mutably.
        unsafe { self.run_at(a, b, c.as_mut_ptr()) }
    }

    /// As [`Self::run`], for a result whose rows other threads' columns lie between.
    ///
    /// # Safety
    /// `c` is valid for `m` rows of `n` values at the result's stride, and nobody else touches these meanwhile.
    pub unsafe fn run_at(self, a: &[f32], b: &[f32], c: *mut f32) {
        let [m, k, n] = self.size;
        if m == 0 || n == 0 {
            return;
        }
        let last =
            |rows: usize, columns: usize, (row, column): (usize, usize)| (rows - 1) * row + (columns - 1) * column;
        if k > 0 {
            assert!(last(m, k, self.left) < a.len() && last(k, n, self.right) < b.len(), "operand too short");
        }
        // SAFETY: the assert above keeps reads inside the operands; the writes are the caller's promise.
        unsafe {
            gemm::gemm(
                m,
                n,
                k,
                c,
                1,
                self.out_stride as isize,
                self.add,
                a.as_ptr(),
                self.left.1 as isize,
                self.left.0 as isize,
                b.as_ptr(),
                self.right.1 as isize,
                self.right.0 as isize,
                1.0,
                self.scale,
                false,
                false,
                false,
                self.parallelism,
            );
        }
    }
}
