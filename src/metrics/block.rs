use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::histogram::Histogram;
use super::sample::{Outcome, Sample};
use crate::error_class::ErrorClass;

const QUARTER_NS: u64 = 250_000_000;
const LEAST_REQUESTS: f64 = 50.0;

/// How an endpoint's stage of the measured window is cut into blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockGrid {
    /// From the window's beginning to the stage's.
    pub origin_ns: u64,
    pub length_ns: u64,
    /// Blocks in the window; later requests belong to the last one.
    pub count: u64,
}

impl BlockGrid {
    /// The smallest multiple of ¼ s that plans at least 50 requests, at most the window itself.
    #[must_use]
    pub fn new(rate_per_s: f64, window_ns: u64) -> Self {
        let quarters = (LEAST_REQUESTS / rate_per_s / 0.25 - 1e-9).ceil().max(1.0) as u64;
        let length_ns = (quarters * QUARTER_NS).min(window_ns.max(1));
        Self { origin_ns: 0, length_ns, count: (window_ns / length_ns).max(1) }
    }

    /// Closed model: how many requests there will be is not known, so about sixty blocks of ¼ s to 5 s.
    #[must_use]
    pub fn of_users(window_ns: u64) -> Self {
        let quarters = (window_ns / 60).div_ceil(QUARTER_NS).clamp(1, 20);
        let length_ns = (quarters * QUARTER_NS).min(window_ns.max(1));
        Self { origin_ns: 0, length_ns, count: (window_ns / length_ns).max(1) }
    }

    /// Where it is not even known how long it will take: ¼ s each.
    #[must_use]
    pub fn of_quarters(window_ns: u64) -> Self {
        Self { origin_ns: 0, length_ns: QUARTER_NS, count: (window_ns / QUARTER_NS).max(1) }
    }

    #[must_use]
    pub fn starting_at(self, origin_ns: u64) -> Self {
        Self { origin_ns, ..self }
    }

    #[must_use]
    pub fn index(self, since_window_ns: u64) -> u64 {
        (since_window_ns.saturating_sub(self.origin_ns) / self.length_ns).min(self.count - 1)
    }

    /// Where block `index` begins, in nanoseconds since the window did.
    #[must_use]
    pub fn start_ns(self, index: u64) -> u64 {
        self.origin_ns + index * self.length_ns
    }
}

/// What happened to the requests of one endpoint whose planned instant lies in one stretch of time.
/// Pieces of the same block from several workers add up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// Index into the look's endpoints.
    pub endpoint: usize,
    pub index: u64,
    /// Since the measured window began; negative blocks are kept apart as warm-up.
    pub start_ms: u64,
    pub len_ms: u64,
    pub warmup: bool,
    /// Requests whose planned instant lies here.
    pub planned: u64,
    /// Requests that got a complete response, good or bad.
    pub done: u64,
    pub errors: BTreeMap<ErrorClass, u64>,
    pub cut: u64,
    pub censored: u64,
    /// Steps never tried because an earlier one of their iteration failed.
    pub skipped: u64,
    /// Successes, and the lower bounds of timeouts and cuts.
    pub response: Histogram,
    pub service: Histogram,
    /// Response times of the other failures, kept apart so that a fast error never improves a percentile.
    pub error: Histogram,
}

impl Block {
    pub fn add(&mut self, sample: &Sample) {
        self.planned += 1;
        match sample.outcome {
            Outcome::Ok => self.done += 1,
            Outcome::Cut => self.cut += 1,
            Outcome::Failed(class) => {
                *self.errors.entry(class).or_default() += 1;
                self.done += u64::from(matches!(
                    class,
                    ErrorClass::Status | ErrorClass::Check | ErrorClass::PersonalData
                ));
            }
        }
        self.censored += u64::from(sample.is_censored());
        self.service.record(sample.service_ns());
        if sample.outcome == Outcome::Ok || sample.is_censored() {
            self.response.record(sample.response_ns());
        } else {
            self.error.record(sample.response_ns());
        }
    }

    /// Adds another piece of the same block.
    pub fn merge(&mut self, other: &Self) {
        self.planned += other.planned;
        self.done += other.done;
        self.cut += other.cut;
        self.censored += other.censored;
        self.skipped += other.skipped;
        for (class, count) in &other.errors {
            *self.errors.entry(*class).or_default() += count;
        }
        self.response.merge(&other.response);
        self.service.merge(&other.service);
        self.error.merge(&other.error);
    }

    #[must_use]
    pub fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_quarter_seconds_with_fifty_requests() {
        for (rate, window_s, length_ms, count) in [
            (200.0, 30, 250, 120),
            (100.0, 30, 500, 60),
            (60.0, 10, 1000, 10),
            (10.0, 30, 5000, 6),
            (1.0, 10, 10_000, 1),
        ] {
            let grid = BlockGrid::new(rate, window_s * 1_000_000_000);
            assert_eq!(
                (grid.length_ns / 1_000_000, grid.count),
                (length_ms, count),
                "{rate}/s for {window_s} s"
            );
        }
    }

    #[test]
    fn virtual_users_have_about_sixty_blocks() {
        for (window_s, length_ms, count) in [(10, 250, 40), (30, 500, 60), (120, 2000, 60), (3600, 5000, 720)]
        {
            let grid = BlockGrid::of_users(window_s * 1_000_000_000);
            assert_eq!((grid.length_ns / 1_000_000, grid.count), (length_ms, count), "{window_s} s");
        }
    }

    #[test]
    fn a_request_after_the_window_belongs_to_the_last_block() {
        let grid = BlockGrid::new(200.0, 1_000_000_000);
        assert_eq!(grid.index(999_999_999), 3);
        assert_eq!(grid.index(5_000_000_000), 3);
    }
}
