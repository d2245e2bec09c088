use std::collections::{BTreeMap, VecDeque};

use crate::error_class::ErrorClass;
use crate::metrics::{Block, BlockGrid, EndpointPlan, Histogram};
use crate::units::Metric;

/// What "now" means, where blocks are no longer than half of it.
const RECENT_MS: u64 = 10_000;
/// Longer without an answer is worth telling.
const SILENT_MS: u64 = 3_000;
/// Nobody reads faster, and the load has the better use for the processor.
const ANEW_MS: u64 = 500;
/// A limit is near from this share of it on.
const NEAR: f64 = 0.9;
/// Fewer requests beyond a percentile, or fewer errors, say nothing yet.
const LEAST_BEYOND: f64 = 5.0;

/// How a look goes, for whoever watches.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    pub warming_up: bool,
    /// Since the load began.
    pub elapsed_ms: u64,
    /// How long the measured window is open.
    pub measured_ms: Option<u64>,
    /// To the end of the measured window, once that is known.
    pub remaining_ms: Option<u64>,
    /// Measured so far.
    pub requests: u64,
    pub errors: BTreeMap<ErrorClass, u64>,
    pub in_flight: usize,
    /// What recent figures are over: ten seconds, or two blocks where those take longer, or all there is yet.
    pub recent_over_ms: u64,
    /// Requests a second lately, of those that are settled: planned, and answered.
    pub rate_offered: f64,
    pub rate_achieved: f64,
    /// p50, p95 and p99 of the response time lately.
    pub recent_ms: [Option<f64>; 3],
    /// For how long no stretch of the load was answered whole, where that is long.
    pub silent_ms: Option<u64>,
    /// The nearest first.
    pub near: Vec<NearLimit>,
}

impl Progress {
    /// Whether there are response times to tell.
    #[must_use]
    pub fn answered(&self) -> bool {
        self.recent_ms.iter().any(Option::is_some)
    }
}

/// A limit that is nearly reached, or beyond.
#[derive(Clone, Debug, PartialEq)]
pub struct NearLimit {
    pub endpoint: String,
    pub metric: Metric,
    /// Milliseconds or a fraction.
    pub observed: f64,
    pub below: f64,
}

/// What came back so far, kept small: the load goes on meanwhile.
pub struct Seen {
    plans: Vec<EndpointPlan>,
    totals: Vec<Total>,
    recent: VecDeque<Recent>,
    now: Progress,
    /// When the last block came, and how long the longest may be: until it closes, nobody hears of its answers.
    last_ms: u64,
    longest_ms: u64,
    /// When rates, response times and limits were last worked out.
    worked_out_ms: Option<u64>,
}

#[derive(Clone, Default)]
struct Total {
    requests: u64,
    errors: u64,
    response: Histogram,
}

/// One block, or a worker's piece of one.
struct Recent {
    at_ms: u64,
    endpoint: usize,
    warmup: bool,
    /// Since the warm-up or the window began.
    start_ms: u64,
    len_ms: u64,
    planned: u64,
    done: u64,
    response: Histogram,
}

/// One endpoint over the last seconds: of its window, or of the warm-up before there is any.
struct Lately {
    warmup: bool,
    from_ms: u64,
    to_ms: u64,
    planned: u64,
    done: u64,
}

impl Lately {
    fn new(warmup: bool) -> Self {
        Self { warmup, from_ms: u64::MAX, to_ms: 0, planned: 0, done: 0 }
    }

    /// Requests a second, over a second at least: blocks without requests are not told.
    fn rate(&self, requests: u64) -> f64 {
        requests as f64 * 1e3 / self.to_ms.saturating_sub(self.from_ms).max(1_000) as f64
    }
}

impl Seen {
    pub fn new(plans: Vec<EndpointPlan>) -> Self {
        let totals = vec![Total::default(); plans.len()];
        let longest_ms = plans.iter().map(longest_block_ms).max().unwrap_or(0);
        let recent = VecDeque::new();
        Self { plans, totals, recent, now: Progress::default(), last_ms: 0, longest_ms, worked_out_ms: None }
    }

    pub fn add(&mut self, blocks: &[Block]) {
        for block in blocks {
            self.last_ms = self.now.elapsed_ms;
            self.recent.push_back(Recent {
                at_ms: self.now.elapsed_ms,
                endpoint: block.endpoint,
                warmup: block.warmup,
                start_ms: block.start_ms,
                len_ms: block.len_ms,
                planned: block.planned,
                done: block.done,
                response: block.response.clone(),
            });
            if block.warmup {
                continue;
            }
            self.now.requests += block.planned;
            for (class, count) in &block.errors {
                *self.now.errors.entry(*class).or_default() += count;
            }
            if let Some(total) = self.totals.get_mut(block.endpoint) {
                total.requests += block.planned;
                total.errors += block.error_count();
                total.response.merge(&block.response);
            }
        }
    }

    /// The measured window lies between the two times, once they are known.
    pub fn progress(
        &mut self,
        elapsed_ms: u64,
        window_ms: Option<(u64, u64)>,
        in_flight: usize,
    ) -> &Progress {
        self.now.warming_up = window_ms.is_none_or(|(from, _)| elapsed_ms < from);
        self.now.elapsed_ms = elapsed_ms;
        self.now.measured_ms = window_ms.and_then(|(from, _)| elapsed_ms.checked_sub(from));
        self.now.remaining_ms = window_ms.map(|(_, to)| to.saturating_sub(elapsed_ms));
        self.now.in_flight = in_flight;
        if self.worked_out_ms.is_none_or(|at| elapsed_ms >= at + ANEW_MS) {
            self.worked_out_ms = Some(elapsed_ms);
            let over_ms = RECENT_MS.max(2 * self.longest_ms);
            self.now.recent_over_ms = over_ms.min(elapsed_ms);
            let oldest_ms = elapsed_ms.saturating_sub(over_ms);
            let silent_ms = elapsed_ms.saturating_sub(self.last_ms);
            let long = in_flight > 0 && self.last_ms > 0 && silent_ms >= SILENT_MS + self.longest_ms;
            self.now.silent_ms = long.then_some(silent_ms);
            while self.recent.front().is_some_and(|piece| piece.at_ms < oldest_ms) {
                self.recent.pop_front();
            }
            self.look_at_recent();
            self.now.near = self.near();
        }
        &self.now
    }

    fn look_at_recent(&mut self) {
        let mut response = Histogram::default();
        let mut lately: BTreeMap<usize, Lately> = BTreeMap::new();
        for piece in &self.recent {
            response.merge(&piece.response);
            let own = lately.entry(piece.endpoint).or_insert_with(|| Lately::new(piece.warmup));
            if own.warmup && !piece.warmup {
                *own = Lately::new(false);
            }
            if own.warmup == piece.warmup {
                own.from_ms = own.from_ms.min(piece.start_ms);
                own.to_ms = own.to_ms.max(piece.start_ms + piece.len_ms);
                own.planned += piece.planned;
                own.done += piece.done;
            }
        }
        // Not `sum`, which makes -0 of nothing.
        (self.now.rate_offered, self.now.rate_achieved) =
            lately.values().fold((0.0, 0.0), |(offered, achieved), own| {
                (offered + own.rate(own.planned), achieved + own.rate(own.done))
            });
        self.now.recent_ms = [0.5, 0.95, 0.99].map(|q| response.quantile_ms(q));
    }

    fn near(&self) -> Vec<NearLimit> {
        let mut near: Vec<NearLimit> = Vec::new();
        for (plan, total) in self.plans.iter().zip(&self.totals) {
            for limit in &plan.rules.limits {
                let observed = match limit.metric.quantile() {
                    Some(q) if (total.response.count() as f64) * (1.0 - q) >= LEAST_BEYOND => {
                        total.response.quantile_ms(q)
                    }
                    Some(_) => None,
                    None => (total.errors as f64 >= LEAST_BEYOND)
                        .then(|| total.errors as f64 / total.requests.max(1) as f64),
                };
                near.extend(observed.filter(|value| *value >= NEAR * limit.below).map(|observed| {
                    NearLimit {
                        endpoint: plan.endpoint.clone(),
                        metric: limit.metric,
                        observed,
                        below: limit.below,
                    }
                }));
            }
        }
        near.sort_by(|a, b| (b.observed / b.below).total_cmp(&(a.observed / a.below)));
        near
    }
}

/// The last block of a window takes what is left of it, up to twice the others' length.
fn longest_block_ms(plan: &EndpointPlan) -> u64 {
    let window_ns = plan.length_ms.max(1) * 1_000_000;
    let grid = match plan.users {
        None if plan.rate_per_s > 0.0 => BlockGrid::new(plan.rate_per_s, window_ns),
        _ => BlockGrid::of_users(window_ns),
    };
    window_ns.saturating_sub(grid.start_ns(grid.count - 1)).max(grid.length_ns) / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Limit, Rules};

    const WINDOW: Option<(u64, u64)> = Some((2_000, 60_000));

    fn plan() -> EndpointPlan {
        let limits = vec![
            Limit { metric: Metric::P95, below: 100.0 },
            Limit { metric: Metric::ErrorRate, below: 0.1 },
        ];
        serde_json::from_value(serde_json::json!({
            "endpoint": "f/s", "digest": "", "request": "", "line": 1, "rate_per_s": 100.0, "planned": 1000,
            "length_ms": 58_000,
            "rules": Rules { limits, ..Rules::default() },
        }))
        .unwrap()
    }

    /// Half of what two workers send in a second, each answered after so many milliseconds.
    fn piece(index: u64, planned: u64, done: u64, ms: u64) -> Block {
        let mut block =
            Block { index, start_ms: index * 1000, len_ms: 1000, planned, done, ..Block::default() };
        (0..done).for_each(|_| block.response.record(ms * 1_000_000));
        block
    }

    #[test]
    fn pieces_of_one_block_count_its_time_once_and_what_is_old_is_forgotten() {
        let mut seen = Seen::new(vec![plan()]);
        assert!(seen.progress(1_000, None, 3).warming_up, "until it is known when the window begins");
        seen.add(&[Block { warmup: true, ..piece(0, 50, 50, 900) }]);
        let now = seen.progress(1_600, WINDOW, 3);
        assert!(now.warming_up && now.requests == 0 && now.rate_offered == 50.0 && now.near.is_empty());
        seen.progress(14_000, WINDOW, 3);
        seen.add(&[piece(2, 50, 40, 20), piece(2, 50, 40, 20), piece(3, 50, 40, 20), piece(3, 50, 40, 20)]);
        let now = seen.progress(14_500, WINDOW, 3);
        assert_eq!((now.rate_offered, now.rate_achieved, now.requests), (100.0, 80.0, 200));
        assert!(now.near.is_empty() && now.remaining_ms == Some(45_500) && !now.warming_up, "{now:?}");
        seen.progress(30_000, WINDOW, 3);
        seen.add(&[piece(29, 50, 50, 95), piece(29, 50, 50, 95)]);
        let now = seen.progress(30_500, WINDOW, 3);
        assert!(now.recent_ms[0].is_some_and(|p50| p50 > 94.0), "only what is recent: {:?}", now.recent_ms);
        assert_eq!(now.near.len(), 1, "p95 over all is within a tenth of its limit");
    }

    #[test]
    fn a_target_that_hangs_is_told_and_slow_load_is_no_hanging() {
        let mut seen = Seen::new(vec![plan()]);
        seen.progress(3_000, WINDOW, 9);
        seen.add(&[piece(2, 50, 50, 20)]);
        assert_eq!(seen.progress(5_000, WINDOW, 9).silent_ms, None);
        assert_eq!(seen.progress(9_000, WINDOW, 9).silent_ms, Some(6_000));
        assert_eq!(seen.progress(9_500, WINDOW, 0).silent_ms, None, "nothing is waited for");
        // At 2/s a block takes 25 s, though those of the warm-up were short.
        let mut slow = Seen::new(vec![EndpointPlan { rate_per_s: 2.0, ..plan() }]);
        slow.progress(1_000, None, 1);
        slow.add(&[Block { warmup: true, len_ms: 250, ..piece(0, 1, 1, 20) }]);
        let now = slow.progress(30_000, WINDOW, 1);
        assert_eq!(now.silent_ms, None);
        assert!(now.answered() && now.rate_offered > 0.0, "what came is not forgotten after ten seconds");
        assert!(slow.progress(45_000, WINDOW, 1).silent_ms.is_some());
    }

    #[test]
    fn errors_are_counted_by_class_and_the_nearest_limit_stands_first() {
        let mut seen = Seen::new(vec![plan()]);
        let mut failing = piece(2, 200, 200, 96);
        failing.errors = [(ErrorClass::Status, 30), (ErrorClass::Timeout, 10)].into();
        seen.progress(3_000, WINDOW, 0);
        seen.add(&[failing]);
        let early = seen.progress(3_400, WINDOW, 0);
        assert!(early.near.is_empty(), "worked out twice a second");
        let now = seen.progress(3_500, WINDOW, 0);
        assert_eq!(now.errors, [(ErrorClass::Status, 30), (ErrorClass::Timeout, 10)].into());
        let near: Vec<_> = now.near.iter().map(|one| (one.metric, one.observed >= one.below)).collect();
        assert_eq!(near, [(Metric::ErrorRate, true), (Metric::P95, false)]);
        let mut few = Seen::new(vec![plan()]);
        few.add(&[Block { errors: [(ErrorClass::Status, 4)].into(), ..piece(2, 20, 20, 500) }]);
        assert!(few.progress(3_000, WINDOW, 0).near.is_empty(), "neither p95 nor an error rate to tell yet");
    }
}
