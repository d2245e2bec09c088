use std::collections::BTreeMap;

use crate::metrics::{Block, Histogram, bucket_ms};

/// Of exponential histograms: 32 buckets an order of magnitude to the base 2, each 2.2% wide.
pub const SCHEMA: i32 = 5;
const BUCKETS_A_DOUBLING: f64 = 32.0;

/// What tells one endpoint's figures from another's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointLabels {
    pub feature: String,
    pub step: String,
    pub method: String,
    /// As it stands in the scenario, variables and all.
    pub url_template: String,
    pub server: String,
    pub port: u16,
    /// Of two arms; `None`: there is one.
    pub arm: Option<&'static str>,
}

/// Counts by bucket: number `i` holds values above 2^((i−1)/32) seconds, up to 2^(i/32).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exponential {
    pub buckets: BTreeMap<i32, u64>,
    pub count: u64,
    pub sum_s: f64,
}

impl Exponential {
    pub fn add(&mut self, histogram: &Histogram) {
        histogram.each_bucket(|number, count| {
            let seconds = bucket_ms(number) / 1e3;
            *self.buckets.entry(number_of(seconds)).or_default() += count;
            self.count += count;
            self.sum_s += seconds * count as f64;
        });
    }

    /// How many values are at most 2^(`doublings`/4) seconds.
    pub fn at_most_quarter(&self, quarters: i32) -> u64 {
        self.buckets.range(..=quarters * 8).map(|(_, count)| count).sum()
    }
}

fn number_of(seconds: f64) -> i32 {
    (seconds.log2() * BUCKETS_A_DOUBLING).ceil() as i32
}

/// One endpoint's figures since the run began, of the warm-up or of what is measured.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// From the planned instant; successes, and timeouts and cuts with the time that they took at least.
    pub response: Exponential,
    /// From sending on, of all requests.
    pub service: Exponential,
    pub requests: u64,
    pub errors: BTreeMap<&'static str, u64>,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct AllSeries {
    /// By endpoint, and whether it is of the warm-up.
    pub series: BTreeMap<(usize, bool), Series>,
}

impl AllSeries {
    pub fn add(&mut self, block: &Block) {
        let own = self.series.entry((block.endpoint, block.warmup)).or_default();
        own.requests += block.planned;
        own.response.add(&block.response);
        own.service.add(&block.service);
        for (class, count) in &block.errors {
            *own.errors.entry(class.name()).or_default() += count;
        }
        if block.cut > 0 {
            *own.errors.entry("cut").or_default() += block.cut;
        }
    }
}

/// `warmup` or `measured`.
pub fn phase(warmup: bool) -> &'static str {
    if warmup { "warmup" } else { "measured" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_the_bucket_that_ends_at_or_above_it() {
        for (seconds, number) in [(1.0, 0), (1.000_001, 1), (2.0, 32), (0.5, -32), (0.001, -318), (60.0, 190)]
        {
            assert_eq!(number_of(seconds), number, "{seconds}");
            assert!(2f64.powf(f64::from(number) / 32.0) >= seconds * 0.999_999);
        }
        let mut histogram = Histogram::default();
        for ms in [1, 10, 100, 1000] {
            histogram.record(ms * 1_000_000);
        }
        let mut exponential = Exponential::default();
        exponential.add(&histogram);
        assert_eq!(exponential.count, 4);
        assert!((exponential.sum_s - 1.111).abs() < 0.002, "{exponential:?}");
        // Up to 0.125 s, which is 2^-3.
        assert_eq!(exponential.at_most_quarter(-12), 3);
        assert_eq!(exponential.at_most_quarter(4), 4);
    }
}
