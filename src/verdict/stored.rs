use std::collections::BTreeMap;

use super::model::{Comparison, Settled};
use super::quantiles::{LEAST_TAIL_COMPARED, QuantileEstimate, missing_requests};
use super::reference::{Reference, ReferenceRun};
use super::statistics::{mean, median, squared_deviations, t_quantile, t_upper_tail};
use crate::units::{Metric, RegressionRule, Tolerance};

/// Levels of one decision: how much evidence fails, how much passes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Levels {
    /// For the whole verdict at this look.
    pub alpha: f64,
    /// Of each upper bound.
    pub q: f64,
    /// A latency fails only from this change (ln) on; 0 where any proven one counts.
    pub least_fail: f64,
    /// Whether this look may decide at all.
    pub judges: bool,
}

const ALPHA: [f64; 5] = [0.0005, 0.0015, 0.002, 0.002, 0.004];
const Q: [f64; 5] = [0.99, 0.99, 0.98, 0.975, 0.95];
/// The most looks that a plan with restarts takes.
pub const MOST_LOOKS: usize = 5;

impl Levels {
    /// DESIGN §5, step 4: five looks share α = 1%; one look has it all.
    pub fn at(sequential: bool, look: usize, baseline_instances: usize) -> Self {
        if !sequential {
            return Self { alpha: 0.01, q: 0.95, least_fail: 0.0, judges: true };
        }
        let at = look.clamp(1, MOST_LOOKS) - 1;
        Self {
            alpha: ALPHA[at],
            q: Q[at],
            least_fail: if at == 0 { 1.3f64.ln() } else { 0.0 },
            judges: at > 0 || baseline_instances > 2,
        }
    }
}

/// Noise of a quantile between runs where there is a single run on each side: p50, p95, p99.
const UNKNOWN_NOISE: [(Metric, f64); 3] = [(Metric::P50, 0.05), (Metric::P95, 0.05), (Metric::P99, 0.07)];
/// No run repeats better than this.
const NOISE_FLOOR: f64 = 0.01;

/// One metric of one endpoint, both sides, ready to be compared.
#[derive(Clone, Debug)]
pub struct Series {
    pub endpoint: String,
    pub rule: RegressionRule,
    pub ignore: Tolerance,
    /// ln `Q_p` of each instance.
    pub baseline: Vec<f64>,
    pub candidate: Vec<f64>,
    /// Mean variance within a run.
    pub w2: f64,
}

/// Runs of one instance are averaged first: they share their run effect.
pub fn baseline_instances(reference: &Reference, metric: Metric) -> (Vec<f64>, Vec<f64>) {
    let Metric::Quantile(key) = metric else { return (Vec::new(), Vec::new()) };
    let q = f64::from(key) / 1e4;
    let enough = |run: &&ReferenceRun| missing_requests(run.response.count(), q, LEAST_TAIL_COMPARED) == 0;
    let values = reference.runs.iter().filter(enough).filter_map(|run| {
        let y = super::quantiles::ln_quantile(&run.response, q)?;
        Some((run.instance_id.as_str(), y, run.w2.get(&key).copied().unwrap_or(0.0)))
    });
    averaged(values)
}

/// See [`baseline_instances`].
pub fn candidate_instances<'a>(
    looks: impl Iterator<Item = (&'a str, QuantileEstimate)>,
) -> (Vec<f64>, Vec<f64>) {
    averaged(looks.map(|(instance, estimate)| (instance, estimate.y, estimate.w2)))
}

fn averaged<'a>(values: impl Iterator<Item = (&'a str, f64, f64)>) -> (Vec<f64>, Vec<f64>) {
    let mut instances: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut w2 = Vec::new();
    for (instance, y, variance) in values {
        instances.entry(instance).or_default().push(y);
        w2.push(variance);
    }
    (instances.values().map(|ys| mean(ys)).collect(), w2)
}

/// A comparison with what decides about it.
#[derive(Clone, Debug)]
pub struct Compared {
    pub comparison: Comparison,
    /// δ and Δ as differences of logarithms.
    pub ignore_ln: f64,
    pub delta_ln: f64,
    pub theta: f64,
    pub upper: f64,
}

/// DESIGN §5, step 1: Student's t on instance means, the variance half the endpoint's own and half pooled over
/// endpoints, floored by what one run can resolve.
pub fn compare(all: &[Series], levels: Levels) -> Vec<Compared> {
    let mut own_variances: BTreeMap<Metric, Vec<f64>> = BTreeMap::new();
    for series in all {
        if let Some(s2) = pooled_variance(series) {
            own_variances.entry(series.rule.metric).or_default().push(s2);
        }
    }
    all.iter().map(|series| compare_one(series, own_variances.get(&series.rule.metric), levels)).collect()
}

fn degrees(series: &Series) -> usize {
    series.baseline.len() + series.candidate.len() - 2
}

fn pooled_variance(series: &Series) -> Option<f64> {
    let nu = degrees(series);
    (nu > 0)
        .then(|| (squared_deviations(&series.baseline) + squared_deviations(&series.candidate)) / nu as f64)
}

fn compare_one(series: &Series, variances: Option<&Vec<f64>>, levels: Levels) -> Compared {
    let theta = mean(&series.candidate) - mean(&series.baseline);
    let (v, nu) = match (pooled_variance(series), variances) {
        (Some(s2), Some(all)) => {
            let nu = degrees(series) as f64;
            let endpoints = all.len() as f64;
            if s2 > 4.0 * median(&mut all.clone()) && all.len() > 1 {
                (s2, nu)
            } else {
                (0.5 * s2 + 0.5 * mean(all), nu * (4.0 * endpoints / (endpoints + 3.0)).min(2.0))
            }
        }
        _ => {
            let noise = UNKNOWN_NOISE
                .iter()
                .find(|(metric, _)| *metric == series.rule.metric)
                .map_or(0.07, |(_, n)| *n);
            (noise * noise, 4.0)
        }
    };
    let v = v.max(series.w2 + NOISE_FLOOR * NOISE_FLOOR);
    let se = (v * (1.0 / series.baseline.len() as f64 + 1.0 / series.candidate.len() as f64)).sqrt();
    let reference_ms = mean(&series.baseline).exp();
    let ignore_ln = series.ignore.ln_at(reference_ms);
    let delta_ln = series.rule.delta.ln_at(reference_ms);
    let reach = t_quantile(levels.q, nu) * se;
    let upper = theta + reach;
    let p = if theta < ignore_ln || theta < levels.least_fail { 1.0 } else { t_upper_tail(theta / se, nu) };
    let comparison = Comparison {
        endpoint: series.endpoint.clone(),
        metric: series.rule.metric,
        observed: mean(&series.candidate).exp(),
        reference: reference_ms,
        change: theta.exp_m1(),
        interval: [(theta - reach).exp_m1(), upper.exp_m1()],
        level: 2.0 * levels.q - 1.0,
        delta: delta_ln.exp_m1(),
        noise: v.sqrt().exp_m1(),
        p,
        baseline_instances: series.baseline.len(),
        candidate_instances: series.candidate.len(),
        settled: if upper < delta_ln { Settled::Within } else { Settled::Open },
    };
    Compared { comparison, ignore_ln, delta_ln, theta, upper }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(endpoint: &str, baseline: &[f64], candidate: &[f64]) -> Series {
        Series {
            endpoint: endpoint.into(),
            rule: RegressionRule {
                metric: Metric::P95,
                delta: Tolerance { share: 0.10, floor_ms: 5.0 },
                explicit: true,
            },
            ignore: Tolerance { share: 0.03, floor_ms: 1.0 },
            baseline: baseline.iter().map(|ms| f64::ln(*ms)).collect(),
            candidate: candidate.iter().map(|ms| f64::ln(*ms)).collect(),
            w2: 0.0001,
        }
    }

    #[test]
    fn a_same_build_passes_and_a_slow_one_is_proven() {
        let levels = Levels::at(true, 1, 5);
        let baseline = [200.0, 202.0, 199.0, 201.0, 200.5];
        let same = &compare(&[series("a", &baseline, &[201.0])], levels)[0];
        assert_eq!(same.comparison.settled, Settled::Within);
        assert_eq!(same.comparison.p, 1.0);
        let slow = &compare(&[series("a", &baseline, &[320.0])], levels)[0];
        assert_eq!(slow.comparison.settled, Settled::Open);
        assert!(slow.comparison.p < 1e-5, "{}", slow.comparison.p);
        assert!((slow.comparison.change - 0.596).abs() < 0.01);
    }

    #[test]
    fn the_first_of_several_looks_fails_only_a_large_change() {
        let baseline = [200.0, 202.0, 199.0, 201.0, 200.5];
        let at = |levels| compare(&[series("a", &baseline, &[240.0])], levels)[0].comparison.p;
        assert_eq!(at(Levels::at(true, 1, 5)), 1.0);
        assert!(at(Levels::at(true, 2, 5)) < 1e-3);
        assert!(at(Levels::at(false, 1, 5)) < 1e-3);
        assert!(!Levels::at(true, 1, 2).judges && Levels::at(true, 2, 2).judges);
    }

    /// VERDICT.md, corner ν₁ = 0: one run on each side has the noise that is assumed.
    #[test]
    fn one_run_on_each_side_assumes_the_noise() {
        let compared = &compare(&[series("a", &[200.0], &[210.0])], Levels::at(false, 1, 1))[0];
        assert!((compared.comparison.noise - 0.05f64.exp_m1()).abs() < 1e-9);
        let reach = t_quantile(0.95, 4.0) * 0.05 * 2.0f64.sqrt();
        assert!((compared.upper - (1.05f64.ln() + reach)).abs() < 1e-9);
    }

    #[test]
    fn one_noisy_endpoint_is_judged_by_its_own_noise() {
        let quiet = |name| series(name, &[200.0, 201.0, 200.0, 201.0, 200.0], &[200.0]);
        let noisy = series("noisy", &[200.0, 260.0, 180.0, 230.0, 210.0], &[240.0]);
        let compared = compare(&[quiet("a"), quiet("b"), quiet("c"), noisy], Levels::at(false, 1, 5));
        assert!(compared[3].comparison.noise > 0.12, "{}", compared[3].comparison.noise);
        assert!(compared[0].comparison.noise < 0.08, "{}", compared[0].comparison.noise);
    }
}
