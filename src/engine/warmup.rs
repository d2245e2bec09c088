use std::collections::BTreeMap;

use crate::metrics::{Block, Histogram};

/// How far p50 may move between the last two thirds of the warm-up.
const STEADY: f64 = 0.10;
/// An endpoint with fewer samples in a third says nothing about steadiness.
const LEAST_SAMPLES: u64 = 50;

/// Of the standard error of a difference between medians: less is chance.
const NOISE: f64 = 3.0;
/// As in the verdict, less is not worth naming.
const LEAST_MOVE_MS: f64 = 1.0;

/// Standard error of ln p50, from the order statistics one standard error to either side (Woodruff 1952).
fn spread(histogram: &Histogram) -> Option<f64> {
    let reach = 0.5 / (histogram.count() as f64).sqrt();
    let (low, high) = (histogram.quantile_ms(0.5 - reach)?, histogram.quantile_ms(0.5 + reach)?);
    Some((high / low).ln() / 2.0)
}

/// Tells when a load has become steady.
#[derive(Default)]
pub struct SteadyState {
    pieces: BTreeMap<(usize, u64), Histogram>,
}

impl SteadyState {
    pub fn add(&mut self, block: &Block) {
        self.pieces.entry((block.endpoint, block.start_ms)).or_default().merge(&block.response);
    }

    /// The second and the last third between two instants of the warm-up, of endpoints that have samples enough.
    fn thirds(&self, from_ms: u64, to_ms: u64) -> impl Iterator<Item = (usize, [Histogram; 2])> {
        let mut thirds: BTreeMap<usize, [Histogram; 2]> = BTreeMap::new();
        for ((endpoint, start_ms), histogram) in &self.pieces {
            let Some(since_ms) = start_ms.checked_sub(from_ms) else { continue };
            let third = since_ms * 3 / (to_ms - from_ms).max(1);
            if (1..=2).contains(&third) {
                thirds.entry(*endpoint).or_default()[third as usize - 1].merge(histogram);
            }
        }
        thirds.into_iter().filter(|(_, [second, last])| second.count().min(last.count()) >= LEAST_SAMPLES)
    }

    /// Whether there is anything to tell it by.
    #[must_use]
    pub fn can_tell(&self, from_ms: u64, to_ms: u64) -> bool {
        self.thirds(from_ms, to_ms).next().is_some()
    }

    /// What still moves between two instants of the warm-up: an endpoint's index and p50 (ms) in the second and last third.
    #[must_use]
    pub fn unsteady(&self, from_ms: u64, to_ms: u64) -> Option<(usize, f64, f64)> {
        self.thirds(from_ms, to_ms).find_map(|(endpoint, [second, last])| {
            let (before, after) = (second.quantile_ms(0.5)?, last.quantile_ms(0.5)?);
            let chance = NOISE * (spread(&second)?.powi(2) + spread(&last)?.powi(2)).sqrt();
            let moved = (after / before).ln().abs();
            (moved >= STEADY.ln_1p().max(chance) && (after - before).abs() >= LEAST_MOVE_MS)
                .then_some((endpoint, before, after))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moving_median_is_told_from_a_settled_one() {
        let mut state = SteadyState::default();
        for start_ms in (0..6000).step_by(250) {
            let mut response = Histogram::default();
            let ms = if start_ms < 4000 { 300 } else { 200 };
            (0..40).for_each(|_| response.record(ms * 1_000_000));
            state.add(&Block { endpoint: 3, start_ms, response, warmup: true, ..Block::default() });
        }
        assert_eq!(state.unsteady(0, 6000).map(|(endpoint, ..)| endpoint), Some(3));
        assert_eq!(state.unsteady(0, 3000), None);
        assert_eq!(state.unsteady(4000, 6000), None, "what came before is a ramp");
    }
}
