use super::model::{Comparison, Settled};
use super::statistics::{conditional_binomial, mean, proportion_lower, proportion_upper, squared_deviations};
use super::stored::Levels;
use crate::units::{Metric, RegressionRule};

/// Differences below this are never proven.
const LEAST_DIFFERENCE: f64 = 0.001;
/// Errors come in clumps: at least this factor over independent ones.
pub const LEAST_OVERDISPERSION: f64 = 1.25;
pub const UNKNOWN_OVERDISPERSION: f64 = 2.0;

/// Errors and requests of one endpoint, each baseline instance by itself and the candidate's looks together.
#[derive(Clone, Debug)]
pub struct ErrorSeries {
    pub endpoint: String,
    pub rule: RegressionRule,
    /// (errors, requests) of each instance.
    pub baseline: Vec<(u64, u64)>,
    pub candidate: (u64, u64),
    pub candidate_instances: usize,
}

/// φ: how much more the baseline's error counts vary than independent errors would (Pearson's χ² over its degrees of
/// freedom; `McCullagh` & Nelder 1989, §4.5).
pub fn overdispersion(all: &[ErrorSeries]) -> f64 {
    let (mut sum, mut degrees) = (0.0, 0usize);
    for series in all {
        let counts: Vec<f64> = series.baseline.iter().map(|(x, _)| *x as f64).collect();
        if counts.len() > 1 {
            sum += squared_deviations(&counts) / mean(&counts).max(0.5);
            degrees += counts.len() - 1;
        }
    }
    if degrees == 0 { UNKNOWN_OVERDISPERSION } else { (sum / degrees as f64).max(LEAST_OVERDISPERSION) }
}

/// Below this, a difference from a baseline rate of `before` is never proven.
pub fn negligible(before: f64) -> f64 {
    LEAST_DIFFERENCE.max(0.5 * before)
}

/// DESIGN §5, step 5.
pub fn compare(series: &ErrorSeries, phi: f64, levels: Levels) -> Comparison {
    let (x_b, n_b) = series.baseline.iter().fold((0, 0), |(x, n), (xi, ni)| (x + xi, n + ni));
    let (x_c, n_c) = series.candidate;
    let rate = |x: u64, n: u64| if n == 0 { 0.0 } else { x as f64 / n as f64 };
    let (before, after) = (rate(x_b, n_b), rate(x_c, n_c));
    // Effective counts need not be whole: the beta function goes on between them.
    let (a, b) = (x_c as f64 / phi, x_b as f64 / phi);
    let pi = n_c as f64 / ((n_b + n_c) as f64).max(1.0);
    let p = if after - before < negligible(before) { 1.0 } else { conditional_binomial(a, b, pi) };
    let (x_effective, n_effective) = (x_c as f64 / phi, n_c as f64 / phi);
    let upper = proportion_upper(x_effective, n_effective, levels.q) - before;
    let lower = proportion_lower(x_effective, n_effective, levels.q) - before;
    Comparison {
        endpoint: series.endpoint.clone(),
        metric: Metric::ErrorRate,
        observed: after,
        reference: before,
        change: after - before,
        interval: [lower, upper],
        level: 2.0 * levels.q - 1.0,
        delta: series.rule.delta.share,
        ignore: negligible(before),
        noise: 0.0,
        p,
        alpha: levels.alpha,
        contrast: None,
        detectable: None,
        passable: None,
        baseline_instances: series.baseline.len(),
        candidate_instances: series.candidate_instances,
        reference_of: None,
        left_out: Vec::new(),
        settled: if upper < series.rule.delta.share { Settled::Within } else { Settled::Open },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Tolerance;

    fn series(baseline: &[(u64, u64)], candidate: (u64, u64)) -> ErrorSeries {
        let delta = Tolerance { share: 0.005, floor_ms: 0.0 };
        let rule = RegressionRule { metric: Metric::ErrorRate, delta, explicit: true };
        ErrorSeries {
            endpoint: "a".into(),
            rule,
            baseline: baseline.to_vec(),
            candidate,
            candidate_instances: 1,
        }
    }

    #[test]
    fn errors_are_compared_in_every_corner() {
        let levels = Levels::at(false, 1, 5);
        let none = [(0, 3000); 5];
        let clean = compare(&series(&none, (0, 3000)), 1.25, levels);
        assert_eq!((clean.p, clean.settled), (1.0, Settled::Within));
        let burst = compare(&series(&none, (60, 3000)), 1.25, levels);
        assert!(burst.p < 1e-12 && burst.settled == Settled::Open);
        // One error where there were none is neither proven nor worth naming.
        assert_eq!(compare(&series(&none, (1, 3000)), 1.25, levels).p, 1.0);
        let better = compare(&series(&[(30, 3000); 5], (0, 3000)), 1.25, levels);
        assert_eq!((better.p, better.settled), (1.0, Settled::Within));
        // DESIGN §5: half a point needs about 1,150 requests without an error.
        let strict = Levels { q: 0.99, ..levels };
        assert_eq!(compare(&series(&none, (0, 1100)), 1.25, strict).settled, Settled::Open);
        assert_eq!(compare(&series(&none, (0, 1160)), 1.25, strict).settled, Settled::Within);
    }

    #[test]
    fn clumped_errors_raise_the_bar() {
        assert_eq!(overdispersion(&[series(&[(0, 1000); 5], (0, 1000))]), 1.25);
        assert_eq!(overdispersion(&[series(&[(4, 1000)], (4, 1000))]), 2.0);
        let clumped = overdispersion(&[series(&[(0, 1000), (20, 1000), (0, 1000), (19, 1000)], (0, 1000))]);
        assert!(clumped > 10.0, "{clumped}");
    }
}
