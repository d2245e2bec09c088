use crate::metrics::{BUCKETS, BlockGrid, Histogram, LookRecord, RunRecord, TimelineBlock, bucket_ms, rank};
use crate::units::Metric;

use super::statistics::{mean, squared_deviations};

/// A quantile is compared with stored runs only if at least this many samples lie beyond it.
pub const LEAST_TAIL_COMPARED: f64 = 50.0;
/// A quantile is held against a limit only if at least this many samples lie beyond it.
pub const LEAST_TAIL_LIMIT: f64 = 10.0;
const GROUPS: usize = 15;

/// One quantile of one endpoint in one look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantileEstimate {
    /// ln of the quantile in milliseconds.
    pub y: f64,
    /// Its variance within the run, as far as groups of blocks are independent.
    pub w2: f64,
    /// The same with the correlation of neighbouring groups: for what is proven of this one run.
    pub long_w2: f64,
    /// Likewise, around the mean of each half: for the drift between them.
    pub half_w2: f64,
    /// Groups that the variance rests on.
    pub groups: usize,
    /// ln Q of the second half of the blocks minus that of the first.
    pub drift: Option<f64>,
}

/// How many requests are missing for `n·(1−p) ≥ least`; 0 where there are enough.
#[must_use]
pub fn missing_requests(requests: u64, quantile: f64, least: f64) -> u64 {
    let needed = (least / (1.0 - quantile) - 1e-6).ceil() as u64;
    needed.saturating_sub(requests)
}

/// Fewer blocks than this say nothing about steadiness.
pub const LEAST_BLOCKS: u64 = 10;

/// How long a stage must last for `requests` at this rate, and for enough blocks.
#[must_use]
pub fn seconds_for(requests: u64, rate_per_s: f64) -> f64 {
    // One request in 100 s, where nothing came at all.
    let rate_per_s = rate_per_s.max(0.01);
    let block_s = BlockGrid::new(rate_per_s, u64::MAX).length_ns as f64 / 1e9;
    (requests as f64 / rate_per_s).max(LEAST_BLOCKS as f64 * block_s).ceil()
}

/// The estimates of a record that its judgement asks for, each made once.
pub struct Evidence {
    /// By look, endpoint and the place of the metric in `metrics`.
    looks: Vec<Vec<Vec<Option<QuantileEstimate>>>>,
    metrics: Vec<Metric>,
}

impl Evidence {
    /// Of every quantile that a rule of the record names, and of those that steadiness is judged by.
    #[must_use]
    pub fn of(record: &RunRecord) -> Self {
        let mut metrics = vec![Metric::P50, Metric::P95];
        for rules in record.scenarios.iter().flat_map(|s| &s.endpoints).map(|plan| &plan.rules) {
            metrics.extend(rules.limits.iter().map(|limit| limit.metric));
            metrics.extend(rules.regression.iter().map(|rule| rule.metric));
        }
        metrics.retain(|metric| metric.quantile().is_some());
        metrics.sort_unstable();
        metrics.dedup();
        let endpoints = |look: &LookRecord| {
            (0..look.endpoints.len()).map(|endpoint| estimates(look, endpoint, &metrics)).collect()
        };
        Self { looks: record.runs.iter().map(endpoints).collect(), metrics }
    }

    /// `look` counts from 0.
    #[must_use]
    pub fn at(&self, look: usize, endpoint: usize, metric: Metric) -> Option<QuantileEstimate> {
        let place = self.metrics.binary_search(&metric).ok()?;
        *self.looks.get(look)?.get(endpoint)?.get(place)?
    }
}

/// Estimates quantiles with their variance: that of the delete-group jackknife over up to fifteen groups of neighbouring
/// blocks, so that correlation within a group counts (Künsch 1989), but at least that of independent samples. `None`
/// without samples.
#[must_use]
pub fn estimates(look: &LookRecord, endpoint: usize, metrics: &[Metric]) -> Vec<Option<QuantileEstimate>> {
    let Some(record) = look.endpoints.get(endpoint) else { return vec![None; metrics.len()] };
    let split = Split::new(look.blocks.iter().filter(|b| b.endpoint == endpoint));
    metrics
        .iter()
        .map(|metric| {
            let q = metric.quantile()?;
            let y = ln_quantile(&record.response, q)?;
            let left_out = split.without_each(q);
            let count = left_out.len();
            let share = if count < 2 { 0.0 } else { (count as f64 - 1.0) / count as f64 };
            let independent = independent_variance(&record.response, q).unwrap_or(0.0);
            let neighbours = neighbours(&left_out);
            let w2 = (share * squared_deviations(&left_out)).max(independent);
            Some(QuantileEstimate {
                y,
                w2,
                long_w2: w2 * neighbours,
                half_w2: (share * within_halves(&left_out)).max(independent) * neighbours,
                groups: count,
                drift: split.drift(q),
            })
        })
        .collect()
}

/// What the correlation of neighbours adds to the variance of a mean: 1 + 2·max(0, r₁), the lags beyond the first left out.
/// Load that swings over seconds makes neighbouring groups alike. At most double: more than that is a trend.
fn neighbours(values: &[f64]) -> f64 {
    let centre = mean(values);
    let products: f64 = values.windows(2).map(|pair| (pair[0] - centre) * (pair[1] - centre)).sum();
    let squares = squared_deviations(values);
    if squares > 0.0 { 1.0 + 2.0 * (products / squares).clamp(0.0, 0.5) } else { 1.0 }
}

/// Squared deviations from the mean of each half: a step from one to the other must not be its own yardstick.
fn within_halves(values: &[f64]) -> f64 {
    let (first, second) = values.split_at(values.len() / 2);
    let squares: f64 =
        [first, second].into_iter().filter(|half| !half.is_empty()).map(squared_deviations).sum();
    squares * (values.len() as f64 - 1.0) / (values.len() as f64 - 2.0).max(1.0)
}

/// The blocks of an endpoint, counted by bucket and group; so that leaving out one group after the other is one pass.
struct Split {
    /// The lowest bucket in use.
    from: usize,
    counts: Vec<[u32; GROUPS]>,
    totals: [u64; GROUPS],
    groups: usize,
    halves: [Vec<u32>; 2],
}

impl Split {
    fn new<'a>(blocks: impl Iterator<Item = &'a TimelineBlock>) -> Self {
        let blocks: Vec<&TimelineBlock> = blocks.collect();
        let (mut from, mut to) = (BUCKETS, 0);
        for block in &blocks {
            block.histogram.each_bucket(|number, _| {
                from = from.min(number);
                to = to.max(number + 1);
            });
        }
        let groups = GROUPS.min(blocks.len());
        let used = to.saturating_sub(from);
        let mut split = Self {
            from,
            counts: vec![[0; GROUPS]; used],
            totals: [0; GROUPS],
            groups,
            halves: [vec![0; used], vec![0; used]],
        };
        // Group g holds the blocks from g·n/G on.
        let group_of = |at: usize, of: usize| ((at + 1) * of - 1) / blocks.len();
        for (at, block) in blocks.iter().enumerate() {
            let (group, half) = (group_of(at, groups), group_of(at, 2));
            block.histogram.each_bucket(|number, count| {
                split.counts[number - from][group] += count as u32;
                split.totals[group] += count;
                split.halves[half][number - from] += count as u32;
            });
        }
        split
    }

    /// ln `Q_q` without each of the groups, where anything is left.
    fn without_each(&self, q: f64) -> Vec<f64> {
        let all: u64 = self.totals.iter().sum();
        let mut wanted: Vec<(usize, u64)> = (0..self.groups)
            .filter(|group| all > self.totals[*group])
            .map(|group| (group, rank(q, all - self.totals[group])))
            .collect();
        let mut found = vec![f64::NAN; self.groups];
        let mut seen = [0u64; GROUPS];
        let mut seen_all = 0u64;
        for (at, counts) in self.counts.iter().enumerate() {
            if wanted.is_empty() {
                break;
            }
            for (seen, count) in seen.iter_mut().zip(counts) {
                *seen += u64::from(*count);
                seen_all += u64::from(*count);
            }
            wanted.retain(|(group, rank)| {
                let reached = seen_all - seen[*group] >= *rank;
                if reached {
                    found[*group] = ln_ms(bucket_ms(self.from + at));
                }
                !reached
            });
        }
        found.retain(|y| !y.is_nan());
        found
    }

    fn drift(&self, q: f64) -> Option<f64> {
        let [first, second] = &self.halves;
        Some(self.half(second, q)? - self.half(first, q)?)
    }

    fn half(&self, counts: &[u32], q: f64) -> Option<f64> {
        let all: u64 = counts.iter().map(|count| u64::from(*count)).sum();
        let rank = rank(q, all);
        let mut seen = 0;
        let at = counts.iter().position(|count| {
            seen += u64::from(*count);
            seen >= rank
        })?;
        Some(ln_ms(bucket_ms(self.from + at)))
    }
}

/// Variance of a quantile's logarithm were the samples independent, from the order statistics one standard error to either side
/// (Woodruff 1952). Correlation only adds to it, so it is a floor under a jackknife that a few groups made too small.
fn independent_variance(histogram: &Histogram, q: f64) -> Option<f64> {
    let reach = (q * (1.0 - q) / histogram.count() as f64).sqrt();
    let (low, high) = ((q - reach).max(0.0), (q + reach).min(1.0));
    let half = (ln_quantile(histogram, high)? - ln_quantile(histogram, low)?) / 2.0;
    Some(half * half)
}

/// ln of the quantile in milliseconds.
pub fn ln_quantile(histogram: &Histogram, q: f64) -> Option<f64> {
    histogram.quantile_ms(q).map(ln_ms)
}

fn ln_ms(ms: f64) -> f64 {
    ms.max(1e-3).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_requests_are_named() {
        assert_eq!(missing_requests(75, 0.95, LEAST_TAIL_COMPARED), 925);
        assert_eq!(missing_requests(1000, 0.95, LEAST_TAIL_COMPARED), 0);
        assert_eq!(missing_requests(0, 0.99, LEAST_TAIL_COMPARED), 5000);
        assert_eq!(missing_requests(200, 0.95, LEAST_TAIL_LIMIT), 0);
        assert_eq!(seconds_for(1000, 100.0), 10.0);
        assert_eq!(seconds_for(200, 95.0), 8.0);
    }

    /// One pass over counted buckets says what leaving out one group after the other says.
    #[test]
    fn leaving_out_is_what_merging_the_others_is() {
        let blocks: Vec<TimelineBlock> = (0..37u64)
            .map(|index| {
                let mut histogram = Histogram::default();
                (0..50).for_each(|i| {
                    histogram.record(50_000_000 + (i * i * 7_919 + index * 104_729) % 200_000_000);
                });
                let (start_ms, len_ms, endpoint) = (index, 1, 0);
                TimelineBlock {
                    start_ms,
                    len_ms,
                    endpoint,
                    planned: 50,
                    done: 50,
                    histogram,
                    ..TimelineBlock::default()
                }
            })
            .collect();
        let split = Split::new(blocks.iter());
        for q in [0.5, 0.95, 0.99] {
            let expected: Vec<f64> = (0..GROUPS)
                .map(|group| {
                    let out = group * 37 / GROUPS..(group + 1) * 37 / GROUPS;
                    let mut rest = Histogram::default();
                    let kept = blocks.iter().enumerate().filter(|(at, _)| !out.contains(at));
                    kept.for_each(|(_, block)| rest.merge(&block.histogram));
                    ln_quantile(&rest, q).unwrap()
                })
                .collect();
            assert_eq!(split.without_each(q), expected);
        }
    }
}
