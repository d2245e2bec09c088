use super::contrast::Contrasted;
use super::errors::ErrorSeries;
use super::statistics::{conditional_binomial, proportion_upper, t_quantile};
use super::stored::{Compared, Levels};

/// With this probability a change of the smallest detectable size is proven, and a same-build run passes the smallest
/// passable Δ.
const POWER: f64 = 0.95;

/// The smallest change (relative) that this look would prove with 95% probability, with `each` as the level of its test: (t₁₋α/M + t.₉₅)·se,
/// by the sharper of both tests (Cohen 1988, with Bonferroni's level, which Simes' is at least).
pub fn detectable(whole: &Compared, contrast: Option<&Contrasted>, levels: Levels, each: f64) -> Option<f64> {
    if !levels.judges {
        return None;
    }
    let reach = |se: f64, nu: f64| (t_quantile(1.0 - each, nu) + t_quantile(POWER, nu)) * se;
    let own = reach(whole.se, whole.nu);
    let beyond_others =
        contrast.filter(|c| !c.contrast.others_gained).map_or(f64::INFINITY, |c| reach(c.se, c.nu));
    Some(own.min(beyond_others).max(whole.ignore_ln).max(levels.least_fail).exp_m1())
}

/// The smallest Δ (relative) that 95% of same-build runs would pass at this look, where `latencies` of them must: all
/// estimates but 5% lie below t₁₋.₀₅/ₗ·se, and the bound is `t_q`·se above them.
pub fn passable(whole: &Compared, levels: Levels, latencies: usize) -> f64 {
    let chance = t_quantile(1.0 - (1.0 - POWER) / latencies as f64, whole.nu);
    ((t_quantile(levels.q, whole.nu) + chance) * whole.se).exp_m1()
}

/// The smallest difference of error rates that would be proven with 95% probability: the fewest errors that the test
/// rejects with, and the rate at which fewer than these come in 5% of runs only.
pub fn detectable_errors(series: &ErrorSeries, phi: f64, each: f64) -> Option<f64> {
    let (x_b, n_b) = series.baseline.iter().fold((0, 0), |(x, n), (xi, ni)| (x + xi, n + ni));
    let n_c = series.candidate.1;
    if n_c == 0 || n_b == 0 {
        return None;
    }
    let b = x_b as f64 / phi;
    let pi = n_c as f64 / (n_b + n_c) as f64;
    let rejects = |a: f64| conditional_binomial(a, b, pi) <= each;
    let most = (n_c as f64 / phi).floor();
    if !rejects(most) {
        return None;
    }
    let (mut low, mut high) = (0.0, most);
    while high - low > 1.0 {
        let middle = f64::midpoint(low, high).floor();
        if rejects(middle) { high = middle } else { low = middle }
    }
    let rate = proportion_upper(high - 1.0, n_c as f64 / phi, POWER);
    let before = x_b as f64 / n_b as f64;
    Some((rate - before).max(super::errors::negligible(before)))
}

#[cfg(test)]
mod tests {
    use super::super::stored::{compare, tests::series};
    use super::*;

    /// One look at 1%, five baseline instances that differ by 2.9%: by simulation same-build runs pass a Δ of 17%
    /// (VERDICT.md); the latencies are taken as independent here, which asks for a little more.
    #[test]
    fn one_look_could_pass_only_a_wide_delta() {
        let levels = Levels::at(false, 1, 5);
        let spread: Vec<f64> =
            [-1.0, -0.5, 0.0, 0.5, 1.0].iter().map(|z| 200.0 * (0.0367 * z * 1.0f64).exp()).collect();
        let all: Vec<_> = (0..5).map(|f| series(&format!("f{f}"), &spread, &[200.0])).collect();
        let compared = compare(&all, levels);
        let passable = passable(&compared[0], levels, 15);
        assert!((0.15..0.20).contains(&passable), "{passable}");
        let detectable = detectable(&compared[0], None, levels, 0.01 / 20.0).unwrap();
        assert!((0.15..0.25).contains(&detectable), "{detectable}");
        // A look of several proves no latency below 30% at first.
        let first = super::detectable(&compared[0], None, Levels::at(true, 1, 5), 0.0005 / 20.0).unwrap();
        assert!(first >= 0.3 - 1e-9, "{first}");
    }
}
