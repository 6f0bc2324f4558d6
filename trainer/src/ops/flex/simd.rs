//! Row kernels, compiled for AVX-512, AVX2 and the baseline, chosen at run time.
//!
//! Sums run in 16 fixed lanes and use fused multiply-add everywhere, so every variant gives the same bits.

use half::bf16;

/// Defines a function whose body is compiled once per instruction set.
macro_rules! dispatched {
    ($(#[$doc:meta])* pub fn $name:ident($($arg:ident : $type:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$doc])*
        pub fn $name($($arg: $type),*) $(-> $ret)? {
            #[inline(always)]
            fn body($($arg: $type),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,fma,avx2")]
                fn avx512($($arg: $type),*) $(-> $ret)? { body($($arg),*) }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $type),*) $(-> $ret)? { body($($arg),*) }
                if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl") && is_x86_feature_detected!("avx512bw") {
                    // SAFETY: the features were detected just now.
                    return unsafe { avx512($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: the features were detected just now.
                    return unsafe { avx2($($arg),*) };
                }
            }
            body($($arg),*)
        }
    };
}

const LANES: usize = 16;

/// `e^x` to 1 ulp or so between -87 and 88 (range reduction by ln 2 in two parts, degree-6 polynomial; Cephes `expf`).
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2^23: adding it rounds to an integer
    let x = x.clamp(-87.0, 88.0);
    let t = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = t - ROUND;
    let r = n.mul_add(-0.693_359_4, x);
    let r = n.mul_add(2.121_944_4e-4, r);
    let p = 1.987_569_1e-4_f32;
    let p = p.mul_add(r, 1.398_199_9e-3);
    let p = p.mul_add(r, 8.333_452e-3);
    let p = p.mul_add(r, 4.166_579_6e-2);
    let p = p.mul_add(r, 1.666_666_5e-1);
    let p = p.mul_add(r, 0.5);
    let p = p.mul_add(r * r, r + 1.0);
    let exponent = (t.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32).wrapping_add(127) << 23;
    p * f32::from_bits(exponent as u32)
}

#[inline(always)]
fn sum_by(length: usize, term: impl Fn(usize, f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let whole = length / LANES * LANES;
    let mut start = 0;
    while start < whole {
        for (lane, total) in lanes.iter_mut().enumerate() {
            *total = term(start + lane, *total);
        }
        start += LANES;
    }
    let mut total = 0.0;
    for lane in lanes {
        total += lane;
    }
    for index in whole..length {
        total = term(index, total);
    }
    total
}

#[inline(always)]
fn largest(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let mut chunks = x.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = if *value > *lane { *value } else { *lane };
        }
    }
    let mut best = f32::NEG_INFINITY;
    for &value in lanes.iter().chain(chunks.remainder()) {
        best = if value > best { value } else { best };
    }
    best
}

dispatched! {
    /// The same values as f32.
    pub fn widen(out: &mut [f32], x: &[bf16]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = f32::from_bits(u32::from(x.to_bits()) << 16);
        }
    }
}

dispatched! {
    /// `x += y`.
    pub fn add(x: &mut [f32], y: &[f32]) {
        for (x, y) in x.iter_mut().zip(y) {
            *x += y;
        }
    }
}

dispatched! {
    /// `x += factor · y`.
    pub fn add_scaled(x: &mut [f32], y: &[f32], factor: f32) {
        for (x, y) in x.iter_mut().zip(y) {
            *x = y.mul_add(factor, *x);
        }
    }
}

dispatched! {
    pub fn dot(a: &[f32], b: &[f32]) -> f32 {
        let n = a.len();
        let b = &b[..n];
        sum_by(n, |i, total| a[i].mul_add(b[i], total))
    }
}

dispatched! {
    /// Sum of squares in double precision, in 16 lanes.
    pub fn sum_squares(x: &[f32]) -> f64 {
        let mut lanes = [0.0_f64; LANES];
        let mut chunks = x.chunks_exact(LANES);
        for chunk in &mut chunks {
            for (lane, &value) in lanes.iter_mut().zip(chunk) {
                *lane = f64::from(value).mul_add(f64::from(value), *lane);
            }
        }
        let mut total: f64 = 0.0;
        for lane in lanes {
            total += lane;
        }
        for &value in chunks.remainder() {
            total = f64::from(value).mul_add(f64::from(value), total);
        }
        total
    }
}

dispatched! {
    /// RMS norm of a row; returns the reciprocal root mean square.
    pub fn rms_norm(x: &[f32], gain: &[f32], y: &mut [f32], eps: f32) -> f32 {
        let n = x.len();
        let (gain, y) = (&gain[..n], &mut y[..n]);
        let squares = sum_by(n, |i, total| x[i].mul_add(x[i], total));
        let rstd = 1.0 / (squares / n as f32 + eps).sqrt();
        for i in 0..n {
            y[i] = x[i] * rstd * gain[i];
        }
        rstd
    }
}

dispatched! {
    /// `dx += rms norm's backward` of a row.
    pub fn rms_norm_backward(x: &[f32], gain: &[f32], dy: &[f32], rstd: f32, dx: &mut [f32]) {
        let n = x.len();
        let (gain, dy, dx) = (&gain[..n], &dy[..n], &mut dx[..n]);
        let dot = sum_by(n, |i, total| (dy[i] * gain[i]).mul_add(x[i], total));
        let shrink = dot * rstd * rstd / n as f32;
        for i in 0..n {
            dx[i] += rstd * (dy[i] * gain[i] - x[i] * shrink);
        }
    }
}

dispatched! {
    /// `total += dy · x · rstd`, a row's share of the gain's gradient.
    pub fn gain_grad(total: &mut [f32], dy: &[f32], x: &[f32], rstd: f32) {
        let n = total.len();
        let (dy, x) = (&dy[..n], &x[..n]);
        for i in 0..n {
            total[i] += dy[i] * x[i] * rstd;
        }
    }
}

dispatched! {
    pub fn swiglu(gate: &[f32], up: &[f32], y: &mut [f32]) {
        let n = gate.len();
        let (up, y) = (&up[..n], &mut y[..n]);
        for i in 0..n {
            y[i] = gate[i] / (1.0 + exp(-gate[i])) * up[i];
        }
    }
}

dispatched! {
    /// Replaces `gate` and `up` by their gradients.
    pub fn swiglu_backward(gate: &mut [f32], up: &mut [f32], dy: &[f32]) {
        let n = gate.len();
        let (up, dy) = (&mut up[..n], &dy[..n]);
        for i in 0..n {
            let sigmoid = 1.0 / (1.0 + exp(-gate[i]));
            let d_up = dy[i] * gate[i] * sigmoid;
            gate[i] = dy[i] * up[i] * sigmoid * gate[i].mul_add(1.0 - sigmoid, 1.0);
            up[i] = d_up;
        }
    }
}

dispatched! {
    /// Softmax of `scale · s` in place; returns the log-sum-exp.
    pub fn softmax(s: &mut [f32], scale: f32) -> f32 {
        let n = s.len();
        let highest = largest(s) * scale;
        for value in s.iter_mut() {
            *value = exp(value.mul_add(scale, -highest));
        }
        let total = sum_by(n, |i, total| total + s[i]);
        let inverse = 1.0 / total;
        for value in s.iter_mut() {
            *value *= inverse;
        }
        highest + total.ln()
    }
}

dispatched! {
    /// `s = exp(scale · s - lse)`: probabilities from scores and a known log-sum-exp.
    pub fn exp_minus(s: &mut [f32], scale: f32, lse: f32) {
        for value in s.iter_mut() {
            *value = exp(value.mul_add(scale, -lse));
        }
    }
}

dispatched! {
    /// `dp = p · (dp - delta) · scale`: softmax's backward.
    pub fn softmax_backward(p: &[f32], dp: &mut [f32], delta: f32, scale: f32) {
        let n = p.len();
        let dp = &mut dp[..n];
        for i in 0..n {
            dp[i] = p[i] * (dp[i] - delta) * scale;
        }
    }
}

dispatched! {
    /// Rotates one head: `(a, b) -> (a·cos - b·sin, b·cos + a·sin)` over the two halves.
    pub fn rotate(x: &mut [f32], cos: &[f32], sin: &[f32], sign: f32) {
        let half = x.len() / 2;
        let (a, b) = x.split_at_mut(half);
        let (b, cos, sin) = (&mut b[..half], &cos[..half], &sin[..half]);
        for i in 0..half {
            let (first, second, sin) = (a[i], b[i], sin[i] * sign);
            a[i] = first * cos[i] - second * sin;
            b[i] = second * cos[i] + first * sin;
        }
    }
}

/// What [`log_softmax`] finds in one row of logits.
pub struct RowScore {
    pub logprob: f32,
    pub entropy: f32,
    pub correct: bool,
    /// Reciprocal of the sum of the exponentials that are left in the row.
    pub inverse: f32,
}

dispatched! {
    /// Turns a row of logits into `exp(logit·scale - max)` and scores `target`.
    pub fn log_softmax(row: &mut [f32], target: usize, scale: f32) -> RowScore {
        let n = row.len();
        let highest = largest(row);
        let at_target = row[target];
        let mut lanes = [0.0_f32; LANES];
        let mut weighted = [0.0_f32; LANES];
        let whole = n / LANES * LANES;
        let shift = highest * scale;
        let mut start = 0;
        while start < whole {
            for lane in 0..LANES {
                let z = row[start + lane].mul_add(scale, -shift);
                let e = exp(z);
                row[start + lane] = e;
                lanes[lane] += e;
                weighted[lane] = e.mul_add(z, weighted[lane]);
            }
            start += LANES;
        }
        let (mut total, mut dot) = (0.0_f32, 0.0_f32);
        for lane in 0..LANES {
            total += lanes[lane];
            dot += weighted[lane];
        }
        for value in &mut row[whole..] {
            let z = value.mul_add(scale, -shift);
            *value = exp(z);
            total += *value;
            dot = value.mul_add(z, dot);
        }
        let log_total = total.ln();
        RowScore {
            logprob: at_target.mul_add(scale, -shift) - log_total,
            entropy: log_total - dot / total,
            correct: at_target == highest,
            inverse: 1.0 / total,
        }
    }
}

dispatched! {
    /// `x *= factor`.
    pub fn scale(x: &mut [f32], factor: f32) {
        for value in x {
            *value *= factor;
        }
    }
}

dispatched! {
    /// `y = x · mask`, the dropout mask of one row.
    pub fn drop_row(x: &[f32], y: &mut [f32], row_key: u32, module_key: u32, threshold: u32, keep: f32) {
        let n = x.len();
        let y = &mut y[..n];
        for i in 0..n {
            y[i] = x[i] * crate::ops::Dropout::factor(row_key, module_key, i as u32, threshold, keep);
        }
    }
}

dispatched! {
    /// `y += x · mask`.
    pub fn add_dropped_row(x: &[f32], y: &mut [f32], row_key: u32, module_key: u32, threshold: u32, keep: f32) {
        let n = x.len();
        let y = &mut y[..n];
        for i in 0..n {
            y[i] += x[i] * crate::ops::Dropout::factor(row_key, module_key, i as u32, threshold, keep);
        }
    }
}

/// The constants of one AdamW step, ready for the inner loop.
pub struct AdamWFactors {
    pub gradient_scale: f32,
    pub beta1: f32,
    pub beta2: f32,
    pub one_minus_beta1: f32,
    pub one_minus_beta2: f32,
    pub decay: f32,
    pub step_size: f32,
    pub inverse_correction2: f32,
    pub epsilon: f32,
}

dispatched! {
    pub fn adamw(parameter: &mut [f32], first: &mut [f32], second: &mut [f32], gradient: &[f32], f: &AdamWFactors) {
        let n = parameter.len();
        let (first, second, gradient) = (&mut first[..n], &mut second[..n], &gradient[..n]);
        for i in 0..n {
            let g = gradient[i] * f.gradient_scale;
            let m = first[i].mul_add(f.beta1, g * f.one_minus_beta1);
            let v = second[i].mul_add(f.beta2, g * g * f.one_minus_beta2);
            first[i] = m;
            second[i] = v;
            parameter[i] = parameter[i] * f.decay - f.step_size * m / ((v * f.inverse_correction2).sqrt() + f.epsilon);
        }
    }
}
