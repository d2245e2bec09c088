//! Distributions and tests, each with its source. Special functions come from statrs.

use statrs::distribution::{ContinuousCDF as _, StudentsT};
use statrs::function::beta::{beta_reg, ln_beta};
use statrs::function::erf::erfc;

/// P(T ≥ t) for Student's t with `nu` degrees of freedom.
pub fn t_upper_tail(t: f64, nu: f64) -> f64 {
    // Neither distance nor spread: nothing is shown.
    if t.is_nan() {
        return 1.0;
    }
    StudentsT::new(0.0, 1.0, nu).map_or(1.0, |distribution| distribution.sf(t))
}

/// The `q` quantile of Student's t with `nu` degrees of freedom.
pub fn t_quantile(q: f64, nu: f64) -> f64 {
    StudentsT::new(0.0, 1.0, nu).map_or(f64::INFINITY, |distribution| distribution.inverse_cdf(q))
}

/// Upper `level` bound of a proportion, `x` of `n` (Clopper & Pearson 1934; effective counts may be fractions).
pub fn proportion_upper(x: f64, n: f64, level: f64) -> f64 {
    if n <= 0.0 || x >= n { 1.0 } else { beta_quantile(x + 1.0, n - x, level) }
}

/// Lower `level` bound of a proportion, `x` of `n` (Clopper & Pearson 1934).
pub fn proportion_lower(x: f64, n: f64, level: f64) -> f64 {
    // A record may say that more failed than was asked; all of it is the most that can be.
    let x = x.min(n);
    if x <= 0.0 || n <= 0.0 { 0.0 } else { beta_quantile(x, n - x + 1.0, 1.0 - level) }
}

/// The `q` quantile of the beta distribution by bisection: statrs' own inverse never ends for millions of trials.
fn beta_quantile(a: f64, b: f64, q: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        if beta_reg(a, b, middle) < q { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// P(X ≥ a) where `a` of `a + b` events fell to an arm that had the share `pi` of all trials: the conditional binomial
/// test of two Poisson or rare binomial rates (Przyborowski & Wilenski 1940), `I_π(a`, b+1).
pub fn conditional_binomial(a: f64, b: f64, pi: f64) -> f64 {
    if a <= 0.0 { 1.0 } else { beta_reg(a, b + 1.0, pi) }
}

/// ln Φ(z).
pub fn ln_phi(z: f64) -> f64 {
    let tail = 0.5 * erfc(-z / std::f64::consts::SQRT_2);
    // Far below zero erfc is nothing any more, and Mills' ratio holds.
    if tail > 1e-300 { tail.ln() } else { -z * z / 2.0 - (-z).ln() - 0.5 * (2.0 * std::f64::consts::PI).ln() }
}

/// ln of `B(a, b) I_½(b, a)`: the part of the beta integral above one half.
pub fn ln_beta_tail(a: f64, b: f64) -> f64 {
    ln_beta(a, b) + beta_reg(b, a, 0.5).max(1e-300).ln()
}

/// Which of the hypotheses are rejected together at `alpha` (Benjamini & Hochberg 1995; the global test is Simes 1986).
pub fn benjamini_hochberg(p: &[f64], alpha: f64) -> Vec<bool> {
    let order = ascending(p);
    let count = p.len() as f64;
    let last = order
        .iter()
        .enumerate()
        .filter(|(i, at)| p[**at] <= (*i as f64 + 1.0) * alpha / count)
        .map(|(i, _)| i)
        .max();
    let mut rejected = vec![false; p.len()];
    if let Some(last) = last {
        order[..=last].iter().for_each(|at| rejected[*at] = true);
    }
    rejected
}

/// Which hypotheses are rejected one by one with the family-wise error at `alpha` (Holm 1979).
pub fn holm(p: &[f64], alpha: f64) -> Vec<bool> {
    let mut rejected = vec![false; p.len()];
    for (i, at) in ascending(p).into_iter().enumerate() {
        if p[at] > alpha / (p.len() - i) as f64 {
            break;
        }
        rejected[at] = true;
    }
    rejected
}

fn ascending(p: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    order
}

pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        n if n % 2 == 0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

/// Sum of squared deviations from the mean.
pub fn squared_deviations(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|v| (v - mean).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 + b.abs() * 1e-7
    }

    /// Found by fuzzing: it ended the process.
    #[test]
    fn more_errors_than_requests_are_all_of_them() {
        assert_eq!(proportion_lower(9.0, 5.0, 0.99), proportion_lower(5.0, 5.0, 0.99));
        assert_eq!(proportion_upper(9.0, 5.0, 0.99), 1.0);
    }

    #[test]
    fn the_ends_of_the_scales() {
        assert!((proportion_upper(0.0, 2e7, 0.99) / (4.605_170_186 / 2e7) - 1.0).abs() < 1e-5);
        assert_eq!(conditional_binomial(0.0, 5.0, 0.2), 1.0);
        assert_eq!(proportion_lower(0.0, 100.0, 0.99), 0.0);
        assert_eq!(proportion_upper(5.0, 5.0, 0.99), 1.0);
    }

    #[test]
    fn the_set_and_the_names() {
        let p = [0.001, 0.2, 0.012, 0.9];
        assert_eq!(benjamini_hochberg(&p, 0.05), [true, false, true, false]);
        assert_eq!(holm(&p, 0.05), [true, false, true, false]);
        let near = [0.02, 0.02, 0.02];
        assert_eq!(benjamini_hochberg(&near, 0.05), [true, true, true]);
        assert_eq!(holm(&near, 0.05), [false, false, false]);
        assert!(benjamini_hochberg(&[], 0.05).is_empty());
        assert!(close(median(&mut [3.0, 1.0, 2.0, 10.0]), 2.5));
    }
}
