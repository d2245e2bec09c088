//! Putting together what the workers say of themselves.

use std::collections::BTreeMap;

use super::stop::StopCause;
use crate::metrics::{ErrorExample, Histogram};

const EXAMPLES_A_CLASS: usize = 20;

pub fn larger(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    }
}

/// An interrupt outweighs a cut drain, which outweighs a clean end.
pub fn graver(a: StopCause, b: Option<StopCause>) -> StopCause {
    let weight = |cause| match cause {
        StopCause::Done => 0,
        StopCause::DrainDeadline => 1,
        StopCause::Interrupt => 2,
    };
    b.filter(|b| weight(*b) > weight(a)).unwrap_or(a)
}

pub fn p99_us(histogram: &Histogram) -> Option<f64> {
    histogram.quantile_ns(0.99).map(|ns| ns as f64 / 1e3)
}

/// At most twenty examples of a class.
pub fn limited(examples: Vec<ErrorExample>) -> Vec<ErrorExample> {
    let mut kept: BTreeMap<_, usize> = BTreeMap::new();
    examples
        .into_iter()
        .filter(|example| {
            let count = kept.entry(example.class).or_default();
            *count += 1;
            *count <= EXAMPLES_A_CLASS
        })
        .collect()
}
