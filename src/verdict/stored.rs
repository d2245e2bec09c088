use std::collections::BTreeMap;

use super::model::{Comparison, Settled};
use super::statistics::{mean, median, squared_deviations, t_quantile, t_upper_tail};
use crate::units::{Metric, RegressionRule, Tolerance};

/// Levels of one decision: how much evidence fails, how much passes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Levels {
    /// For the whole verdict at this look.
    pub alpha: f64,
    /// The errors' part of it where they are a family of their own.
    pub errors_apart: Option<f64>,
    /// Of each upper bound.
    pub q: f64,
    /// A latency fails only from this change (ln) on; 0 where any proven one counts.
    pub least_fail: f64,
    /// Whether this look may decide about latencies at all.
    pub judges: bool,
}

const ALPHA: [f64; 5] = [0.001, 0.0015, 0.002, 0.002, 0.0035];
/// With one or two baseline instances little can be proven before the last look, so it has the most.
const ALPHA_OF_FEW: [f64; 5] = [0.0005, 0.0005, 0.001, 0.002, 0.006];
/// As few baseline instances as these say nothing with a single look.
const FEW: usize = 2;
const Q: [f64; 5] = [0.99, 0.99, 0.98, 0.975, 0.95];
/// The most looks that a plan with restarts takes.
pub const MOST_LOOKS: usize = 5;

impl Levels {
    /// DESIGN §5, step 4: five looks share α = 1%; one look has it all. At the first of several, where latencies fail
    /// only from 30% on, half of its share (with a short history all) is for the errors alone, which one look can well prove.
    pub fn at(sequential: bool, look: usize, baseline_instances: usize) -> Self {
        if !sequential {
            return Self { alpha: 0.01, errors_apart: None, q: 0.95, least_fail: 0.0, judges: true };
        }
        let at = look.clamp(1, MOST_LOOKS) - 1;
        let few = baseline_instances <= FEW;
        Self {
            alpha: if few { ALPHA_OF_FEW[at] } else { ALPHA[at] },
            errors_apart: (at == 0).then_some(if few { 1.0 } else { 0.5 }),
            q: Q[at],
            least_fail: if at == 0 { 1.3f64.ln() } else { 0.0 },
            judges: at > 0 || !few,
        }
    }
}

impl Levels {
    /// The level of the least of so many tests of latencies, and of error rates (Bonferroni, which Simes' is at least).
    pub fn each(self, latencies: usize, errors: usize) -> (f64, f64) {
        match self.errors_apart {
            None => {
                let each = self.alpha / (latencies + errors) as f64;
                (each, each)
            }
            Some(part) => (self.alpha * (1.0 - part) / latencies as f64, self.alpha * part / errors as f64),
        }
    }
}

/// Noise of a quantile between runs where there is a single run on each side: p50, p95, p99.
const UNKNOWN_NOISE: [(Metric, f64); 3] = [(Metric::P50, 0.05), (Metric::P95, 0.05), (Metric::P99, 0.07)];
/// No run repeats better than this.
const NOISE_FLOOR: f64 = 0.01;
/// An endpoint this many times as noisy (in variance) as the median is judged by its own noise alone.
const APART: f64 = 4.0;

/// One metric of one instance; its runs are averaged, since they share their run effect.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    pub id: String,
    /// What is taken for one build, in words; see [`ReferenceRun::group`](super::ReferenceRun::group).
    pub group: Option<String>,
    /// The runs that measured it, in order; endpoints with equal runs were measured together.
    pub runs: Vec<String>,
    /// ln `Q_p`.
    pub y: f64,
    /// Variance within a run.
    pub w2: f64,
}

impl Instance {
    /// Averages the runs of each instance, in the order in which the instances first appear.
    pub fn averaged(runs: impl Iterator<Item = Self>) -> Vec<Self> {
        let mut all: Vec<(Self, f64)> = Vec::new();
        for run in runs {
            match all.iter_mut().find(|(known, _)| known.id == run.id) {
                Some((known, count)) => {
                    known.y += run.y;
                    known.w2 += run.w2;
                    known.runs.extend(run.runs);
                    *count += 1.0;
                }
                None => all.push((run, 1.0)),
            }
        }
        all.into_iter().map(|(sum, n)| Self { y: sum.y / n, w2: sum.w2 / n, ..sum }).collect()
    }
}

/// One metric of one endpoint, both sides, ready to be compared.
#[derive(Clone, Debug)]
pub struct Series {
    pub endpoint: String,
    pub feature: String,
    pub rule: RegressionRule,
    pub ignore: Tolerance,
    pub baseline: Vec<Instance>,
    pub candidate: Vec<Instance>,
    /// Baseline instances that were unlike all others.
    pub left_out: Vec<String>,
}

impl Series {
    /// δ and Δ as differences of logarithms, at the reference's level.
    pub fn tolerances(&self, reference_ln: f64) -> (f64, f64) {
        let ms = reference_ln.exp();
        (self.ignore.ln_at(ms), self.rule.delta.ln_at(ms))
    }

    pub fn w2(&self) -> f64 {
        mean(&self.baseline.iter().chain(&self.candidate).map(|i| i.w2).collect::<Vec<_>>())
    }

    pub fn difference(&self) -> Difference {
        let baseline: Vec<_> = self.baseline.iter().map(|i| (i.group.as_deref(), i.y)).collect();
        let candidate: Vec<f64> = self.candidate.iter().map(|i| i.y).collect();
        Difference::between(&baseline, &candidate)
    }
}

/// Means of both sides, and how much instances of one build differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    pub reference: f64,
    pub observed: f64,
    /// Instances that the means are of.
    pub baseline: usize,
    pub candidate: usize,
    /// Variance between instances, pooled within groups; `None` where none repeats.
    pub s2: Option<f64>,
    /// Its degrees of freedom.
    pub nu: f64,
    /// The build that the reference is of, where it is not of all.
    pub group: Option<String>,
}

impl Difference {
    /// Two accepted builds may lie at two levels, which is no noise: instances are pooled within their build where builds
    /// repeat, and the newest build is the reference if it does. Builds of one instance each are taken as one group.
    pub fn between(baseline: &[(Option<&str>, f64)], candidate: &[f64]) -> Self {
        let mut builds: Vec<(Option<&str>, Vec<f64>)> = Vec::new();
        for (build, y) in baseline {
            match builds.iter_mut().find(|(known, _)| known == build) {
                Some((_, ys)) => ys.push(*y),
                None => builds.push((*build, vec![*y])),
            }
        }
        let all: Vec<f64> = baseline.iter().map(|(_, y)| *y).collect();
        let within = all.len() - builds.len();
        let newest = baseline.last().and_then(|(build, _)| builds.iter().find(|(known, _)| known == build));
        let newest = newest.filter(|(_, ys)| builds.len() > 1 && ys.len() > 1);
        let by_build = builds.len() > 1 && 2 * within + 1 >= all.len();
        let (deviations, nu) = if by_build {
            (builds.iter().map(|(_, ys)| squared_deviations(ys)).sum(), within)
        } else {
            (squared_deviations(&all), all.len() - 1)
        };
        let nu = nu + candidate.len() - 1;
        let reference = newest.filter(|_| by_build).map_or(&all, |(_, ys)| ys);
        Self {
            reference: mean(reference),
            observed: mean(candidate),
            baseline: reference.len(),
            candidate: candidate.len(),
            s2: (nu > 0).then(|| (deviations + squared_deviations(candidate)) / nu as f64),
            nu: nu as f64,
            group: newest.filter(|_| by_build).and_then(|(build, _)| build.map(str::to_owned)),
        }
    }

    /// θ̂
    pub fn theta(&self) -> f64 {
        self.observed - self.reference
    }

    /// Standard error of θ̂ with variance `v` between instances.
    pub fn se(&self, v: f64) -> f64 {
        (v * (1.0 / self.baseline as f64 + 1.0 / self.candidate as f64)).sqrt()
    }
}

/// The variance to judge by and its degrees of freedom: half the series' own and half the mean over all (shrinkage towards
/// the common variance, as in Smyth 2004 with a fixed weight), the degrees at most doubled by the others' evidence; a
/// series far noisier than the rest by its own alone; an assumed one where nothing repeats.
pub fn variance(metric: Metric, difference: &Difference, all: &[f64]) -> (f64, f64) {
    match difference.s2 {
        Some(s2) if !all.is_empty() => {
            let count = all.len() as f64;
            if all.len() > 1 && s2 > APART * median(&mut all.to_vec()) {
                (s2, difference.nu)
            } else {
                (f64::midpoint(s2, mean(all)), difference.nu * (4.0 * count / (count + 3.0)).min(2.0))
            }
        }
        _ => {
            let noise = UNKNOWN_NOISE.iter().find(|(known, _)| *known == metric).map_or(0.07, |(_, n)| *n);
            (noise * noise, 4.0)
        }
    }
}

/// The variance within a run, and what no run repeats better than.
pub fn floor(w2: f64) -> f64 {
    w2 + NOISE_FLOOR * NOISE_FLOOR
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
    pub se: f64,
    pub nu: f64,
}

/// DESIGN §5, step 1: Student's t on instance means.
pub fn compare(all: &[Series], levels: Levels) -> Vec<Compared> {
    let differences: Vec<Difference> = all.iter().map(Series::difference).collect();
    let mut variances: BTreeMap<Metric, Vec<f64>> = BTreeMap::new();
    for (series, difference) in all.iter().zip(&differences) {
        variances.entry(series.rule.metric).or_default().extend(difference.s2);
    }
    all.iter()
        .zip(&differences)
        .map(|(series, difference)| compare_one(series, difference, &variances[&series.rule.metric], levels))
        .collect()
}

fn compare_one(series: &Series, difference: &Difference, variances: &[f64], levels: Levels) -> Compared {
    let metric = series.rule.metric;
    let (v, nu) = variance(metric, difference, variances);
    let v = v.max(floor(series.w2()));
    let (theta, se) = (difference.theta(), difference.se(v));
    let (ignore_ln, delta_ln) = series.tolerances(difference.reference);
    let reach = t_quantile(levels.q, nu) * se;
    let upper = theta + reach;
    let p = if theta < ignore_ln || theta < levels.least_fail { 1.0 } else { t_upper_tail(theta / se, nu) };
    let comparison = Comparison {
        endpoint: series.endpoint.clone(),
        metric,
        observed: difference.observed.exp(),
        reference: difference.reference.exp(),
        change: theta.exp_m1(),
        interval: [(theta - reach).exp_m1(), upper.exp_m1()],
        level: 2.0 * levels.q - 1.0,
        delta: delta_ln.exp_m1(),
        ignore: ignore_ln.exp_m1(),
        noise: v.sqrt().exp_m1(),
        p,
        alpha: levels.alpha,
        contrast: None,
        detectable: None,
        passable: None,
        baseline_instances: difference.baseline,
        candidate_instances: difference.candidate,
        reference_of: difference.group.clone(),
        left_out: series.left_out.clone(),
        settled: if levels.judges && upper < delta_ln { Settled::Within } else { Settled::Open },
    };
    Compared { comparison, ignore_ln, delta_ln, theta, upper, se, nu }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn instances(ms: &[f64]) -> Vec<Instance> {
        let of = |(k, ms): (usize, &f64)| Instance {
            id: format!("i{k}"),
            group: None,
            runs: vec![format!("r{k}")],
            y: ms.ln(),
            w2: 0.0001,
        };
        ms.iter().enumerate().map(of).collect()
    }

    pub fn series(endpoint: &str, baseline: &[f64], candidate: &[f64]) -> Series {
        Series {
            endpoint: endpoint.into(),
            feature: endpoint.into(),
            rule: RegressionRule {
                metric: Metric::P95,
                delta: Tolerance { share: 0.10, floor_ms: 5.0 },
                explicit: true,
            },
            ignore: Tolerance { share: 0.03, floor_ms: 1.0 },
            baseline: instances(baseline),
            candidate: instances(candidate),
            left_out: Vec::new(),
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

    /// VERDICT.md, corner: two builds in one set. A step that was accepted between them is no noise.
    #[test]
    fn two_builds_in_one_set_do_not_inflate_the_noise() {
        let of = |ys: &[(&'static str, f64)]| {
            Difference::between(&ys.iter().map(|(b, ms)| (Some(*b), ms.ln())).collect::<Vec<_>>(), &[5.3])
        };
        let one = of(&[("a", 200.0), ("a", 201.0), ("a", 199.0), ("a", 200.0), ("a", 201.0)]);
        let two = of(&[("a", 188.0), ("a", 189.0), ("a", 187.0), ("b", 200.0), ("b", 201.0)]);
        assert!((two.s2.unwrap() / one.s2.unwrap()) < 1.5, "{two:?}");
        assert_eq!((two.baseline, two.nu, two.group.as_deref()), (2, 3.0, Some("b")));
        assert!((two.reference - 200.5f64.ln()).abs() < 1e-4, "the newest build is the reference: {two:?}");
        // Builds of one instance each say nothing about noise but together.
        let singles = of(&[("a", 200.0), ("b", 205.0), ("c", 195.0)]);
        assert_eq!((singles.baseline, singles.nu, singles.group), (3, 2.0, None));
        // The newest alone is no level to judge by.
        assert_eq!(of(&[("a", 200.0), ("a", 201.0), ("a", 202.0), ("b", 230.0)]).baseline, 4);
    }

    #[test]
    fn runs_of_one_instance_are_averaged() {
        let mut runs = instances(&[100.0, 110.0, 120.0]);
        runs[2].id = "i0".into();
        let averaged = Instance::averaged(runs.into_iter());
        assert_eq!(averaged.len(), 2);
        assert!((averaged[0].y - (100.0f64 * 120.0).ln() / 2.0).abs() < 1e-12);
        assert_eq!(averaged[0].runs, ["r0", "r2"]);
    }

    /// Unequal arms: the standard error is that of both sides.
    #[test]
    fn arms_of_unequal_size() {
        let few = compare(
            &[series("a", &[200.0, 204.0], &[206.0, 208.0, 207.0, 205.0, 206.0])],
            Levels::at(true, 5, 2),
        );
        let own = Difference::between(
            &[(None, 200.0f64.ln()), (None, 204.0f64.ln())],
            &[206.0f64, 208.0, 207.0, 205.0, 206.0].map(f64::ln),
        );
        assert_eq!((few[0].nu, own.nu), (5.0, 5.0));
        assert!((few[0].se - own.se(floor(0.0001).max(own.s2.unwrap()))).abs() < 1e-12);
    }
}
