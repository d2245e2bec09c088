use std::collections::BTreeMap;

use crate::metrics::{Block, Histogram};

/// How far p50 may move between the last two thirds of the warm-up.
const STEADY: f64 = 0.10;
/// The same for all endpoints together, where it would go on over what is measured; at the end of the longest warm-up twice that.
const LEAST_TREND: f64 = 0.03;
const AT_LAST: f64 = 0.06;
/// A histogram's buckets are this wide.
const LEAST_SPREAD: f64 = 0.001;
/// An endpoint with fewer samples in a third says nothing about steadiness.
const LEAST_SAMPLES: u64 = 50;
/// Beside others it may say something with fewer.
const LEAST_BESIDE: u64 = 10;

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

    /// The second and the last third between two instants of the warm-up, of endpoints that say something at least beside others.
    fn thirds(&self, from_ms: u64, to_ms: u64) -> impl Iterator<Item = (usize, [Histogram; 2])> {
        let mut thirds: BTreeMap<usize, [Histogram; 2]> = BTreeMap::new();
        for ((endpoint, start_ms), histogram) in &self.pieces {
            let Some(since_ms) = start_ms.checked_sub(from_ms) else { continue };
            let third = since_ms * 3 / (to_ms - from_ms).max(1);
            if (1..=2).contains(&third) {
                thirds.entry(*endpoint).or_default()[third as usize - 1].merge(histogram);
            }
        }
        thirds.into_iter().filter(|(_, [second, last])| second.count().min(last.count()) >= LEAST_BESIDE)
    }

    /// Whether there is anything to tell it by.
    #[must_use]
    pub fn can_tell(&self, from_ms: u64, to_ms: u64) -> bool {
        let samples = self.thirds(from_ms, to_ms).map(|(_, [second, last])| second.count().min(last.count()));
        samples.sum::<u64>() >= LEAST_SAMPLES
    }

    /// What still moves between two instants of the warm-up: an endpoint's index and p50 (ms) in the second and last third. It
    /// moves by itself, or with all others: together they tell a trend that each alone would take for chance. `half_ms`
    /// is half of what will be measured, over which a trend would go on; `None`: there is no more time to wait.
    #[must_use]
    pub fn unsteady(&self, from_ms: u64, to_ms: u64, half_ms: Option<u64>) -> Option<(usize, f64, f64)> {
        let moves: Vec<Move> = self.thirds(from_ms, to_ms).filter_map(Move::of).collect();
        let third_ms = ((to_ms - from_ms) as f64 / 3.0).max(1.0);
        // As far as it would go on, it must stay below what the verdict takes for drift.
        let trend = half_ms
            .map_or(AT_LAST, |half| (STEADY * third_ms / half.max(1) as f64).clamp(LEAST_TREND, STEADY));
        let alone = moves.iter().find(|own| {
            own.samples >= LEAST_SAMPLES
                && own.ln.abs() >= STEADY.ln_1p().max(NOISE * own.se)
                && (own.after - own.before).abs() >= LEAST_MOVE_MS
        });
        let weight: f64 = moves.iter().map(|own| 1.0 / own.se.powi(2)).sum();
        let mean = moves.iter().map(|own| own.ln / own.se.powi(2)).sum::<f64>() / weight;
        let together = mean.abs() >= trend.ln_1p().max(NOISE / weight.sqrt());
        let most = || {
            let named = moves.iter().filter(|own| (own.after - own.before).abs() >= LEAST_MOVE_MS);
            named.max_by(|a, b| a.ln.abs().total_cmp(&b.ln.abs()))
        };
        let enough = moves.iter().map(|own| own.samples).sum::<u64>() >= LEAST_SAMPLES;
        let told = alone.or_else(|| most().filter(|_| together && enough));
        told.map(|own| (own.endpoint, own.before, own.after))
    }
}

/// How p50 of one endpoint moved from the second to the last third.
struct Move {
    endpoint: usize,
    before: f64,
    after: f64,
    ln: f64,
    se: f64,
    /// In the third that has fewer.
    samples: u64,
}

impl Move {
    fn of((endpoint, [second, last]): (usize, [Histogram; 2])) -> Option<Self> {
        let (before, after) = (second.quantile_ms(0.5)?, last.quantile_ms(0.5)?);
        // Times that all fall into one bucket have a spread all the same.
        let se = spread(&second)?.hypot(spread(&last)?).max(LEAST_SPREAD);
        let samples = second.count().min(last.count());
        Some(Self { endpoint, before, after, ln: (after / before).ln(), se, samples })
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
        assert_eq!(state.unsteady(0, 6000, Some(15_000)).map(|(endpoint, ..)| endpoint), Some(3));
        assert_eq!(state.unsteady(0, 3000, Some(15_000)), None);
        assert_eq!(state.unsteady(4000, 6000, Some(15_000)), None, "what came before is a ramp");
    }

    /// Ten endpoints at 20/s: none moves beyond chance by itself while caches get warm over 20 s, all together do.
    #[test]
    fn a_slow_trend_of_all_endpoints_is_no_steady_state() {
        let made = |warm_ms: f64| {
            let mut state = SteadyState::default();
            for start_ms in (0..60_000u64).step_by(250) {
                for endpoint in 0..10 {
                    let mut response = Histogram::default();
                    let cold = 1.0 + 2.0 * (1.0 - start_ms as f64 / warm_ms).max(0.0);
                    for k in 0..5u64 {
                        // A spread of a third, in an order that has nothing to do with time.
                        let draw = ((start_ms / 250 * 7 + k * 23 + endpoint as u64 * 5) % 60) as f64 / 60.0;
                        response.record((cold * (100.0 + 33.0 * draw) * 1e6) as u64);
                    }
                    state.add(&Block { endpoint, start_ms, response, warmup: true, ..Block::default() });
                }
            }
            state
        };
        let steady = |state: &SteadyState, to_ms| state.unsteady(0, to_ms, Some(15_000)).is_none();
        let cold = made(20_000.0);
        assert!(!steady(&cold, 4_500) && !steady(&cold, 12_000) && !steady(&cold, 40_000));
        assert!(steady(&cold, 60_000), "the last two thirds are warm");
        let warm = made(1.0);
        assert!([4_500, 6_000, 12_000, 60_000].into_iter().all(|to_ms| steady(&warm, to_ms)));
        // One that gets warm over three minutes is not steady after the longest warm-up either.
        assert!(made(180_000.0).unsteady(0, 60_000, None).is_some());
    }
}
