//! Putting together what the workers say of themselves.

use crate::metrics::Histogram;

pub fn larger(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    }
}

/// p99 in microseconds; of fewer than 1,000 samples the highest quantile with ten of them beyond it, so that a single
/// hiccup of the machine decides nothing.
pub fn p99_us(histogram: &Histogram) -> Option<f64> {
    let q = (1.0 - 10.0 / histogram.count().max(1) as f64).clamp(0.5, 0.99);
    histogram.quantile_ns(q).map(|ns| ns as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_late_request_of_a_hundred_decides_nothing_and_eleven_do() {
        let lag = |late: u64, of: u64| {
            let mut histogram = Histogram::default();
            (0..of).for_each(|i| histogram.record(if i < late { 23_000_000 } else { 50_000 }));
            p99_us(&histogram).unwrap() > 2_000.0
        };
        assert!(!lag(1, 100) && !lag(10, 100) && lag(11, 100));
        assert!(!lag(10, 1000) && lag(11, 1000) && lag(110, 10_000));
    }
}
