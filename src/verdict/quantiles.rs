use crate::metrics::{BlockGrid, Histogram, LookRecord};
use crate::units::Metric;

use super::statistics::mean;

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
    /// Its variance within the run.
    pub w2: f64,
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

/// Estimates a quantile with its variance: that of the delete-group jackknife over up to fifteen groups of neighbouring
/// blocks, so that correlation within a group counts (Künsch 1989), but at least that of independent samples. `None`
/// without samples.
#[must_use]
pub fn estimate(look: &LookRecord, endpoint: usize, metric: Metric) -> Option<QuantileEstimate> {
    let q = metric.quantile()?;
    let total = &look.endpoints.get(endpoint)?.response;
    let y = ln_quantile(total, q)?;
    let blocks: Vec<&Histogram> =
        look.blocks.iter().filter(|b| b.endpoint == endpoint).map(|b| &b.histogram).collect();
    let groups = grouped(&blocks, GROUPS.min(blocks.len()));
    let left_out: Vec<f64> =
        groups.iter().filter_map(|group| ln_quantile(&total.without(group)?, q)).collect();
    let count = left_out.len();
    let w2 = if count < 2 {
        0.0
    } else {
        let centre = mean(&left_out);
        (count as f64 - 1.0) / count as f64 * left_out.iter().map(|y| (y - centre).powi(2)).sum::<f64>()
    };
    let w2 = w2.max(independent_variance(total, q).unwrap_or(0.0));
    let halves = grouped(&blocks, 2.min(blocks.len()));
    let drift = match halves.as_slice() {
        [first, second] => ln_quantile(second, q).zip(ln_quantile(first, q)).map(|(b, a)| b - a),
        _ => None,
    };
    Some(QuantileEstimate { y, w2, groups: count, drift })
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
    histogram.quantile_ms(q).map(|ms| ms.max(1e-3).ln())
}

fn grouped(blocks: &[&Histogram], count: usize) -> Vec<Histogram> {
    (0..count)
        .map(|group| {
            let mut sum = Histogram::default();
            blocks[group * blocks.len() / count..(group + 1) * blocks.len() / count]
                .iter()
                .for_each(|b| sum.merge(b));
            sum
        })
        .collect()
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
}
