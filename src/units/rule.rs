use serde::{Deserialize, Serialize};

use super::duration::{parse_duration_ns, parse_share};
use super::metric::Metric;

/// An absolute limit that a metric must stay below.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    pub metric: Metric,
    /// Milliseconds for a quantile, a fraction for the error rate.
    pub below: f64,
}

/// What breaks a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitsOn {
    /// A value that is proven beyond it; one that is only observed there holds.
    #[default]
    Proven,
    /// The observed value, as k6 has it.
    Observed,
}

/// How much of a change: both parts must be exceeded for it to count.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tolerance {
    /// A fraction of the reference (0.10 is 10%); for the error rate, an absolute difference (0.005 is 0.5 points).
    pub share: f64,
    /// Milliseconds; 0 for the error rate.
    pub floor_ms: f64,
}

impl Tolerance {
    /// The tolerance as a difference of logarithms around a reference level (ms).
    #[must_use]
    pub fn ln_at(self, reference_ms: f64) -> f64 {
        self.share.ln_1p().max((self.floor_ms / reference_ms).ln_1p())
    }
}

/// Which change against the baseline must be caught.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegressionRule {
    pub metric: Metric,
    /// Δ: the change that must be caught.
    pub delta: Tolerance,
    /// Written in the scenario, as opposed to taken from the defaults: such a rule must be judged or named.
    pub explicit: bool,
}

/// All rules that hold for one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    pub limits: Vec<Limit>,
    #[serde(default)]
    pub limits_on: LimitsOn,
    /// Empty: limits only.
    pub regression: Vec<RegressionRule>,
    /// δ: a change not worth naming.
    pub ignore: Option<Tolerance>,
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.metric {
            Metric::ErrorRate => write!(f, "{} < {}%", self.metric, (self.below * 1e7).round() / 1e5),
            Metric::Quantile(_) => write!(f, "{} < {}", self.metric, super::format_ms(self.below)),
        }
    }
}

impl Rules {
    /// δ where the scenario names none.
    pub const DEFAULT_IGNORE: Tolerance = Tolerance { share: 0.03, floor_ms: 1.0 };

    /// The rules of `regression: default`.
    #[must_use]
    pub fn default_regression() -> Vec<RegressionRule> {
        let rule = |metric, share, floor_ms| RegressionRule {
            metric,
            delta: Tolerance { share, floor_ms },
            explicit: false,
        };
        vec![
            rule(Metric::P50, 0.10, 2.0),
            rule(Metric::P95, 0.10, 5.0),
            rule(Metric::P99, 0.20, 10.0),
            rule(Metric::ErrorRate, 0.005, 0.0),
        ]
    }

    #[must_use]
    pub fn ignore(&self) -> Tolerance {
        self.ignore.unwrap_or(Self::DEFAULT_IGNORE)
    }
}

/// Parses `< 400ms` (quantiles) or `< 0.1%` (error rate).
///
/// # Errors
/// Says what form was expected.
pub fn parse_limit(metric: Metric, text: &str) -> Result<Limit, String> {
    let example = if metric == Metric::ErrorRate { "< 0.1%" } else { "< 400ms" };
    let Some(value) = text.trim().strip_prefix('<').map(|v| v.trim_start_matches('=').trim()) else {
        return Err(format!("`{text}` is not a limit; expected `<` and a value, such as `{example}`"));
    };
    Ok(Limit { metric, below: level(metric, text, value)? })
}

/// Parses `> 2s` (quantiles) or `> 50%` (error rate): milliseconds, or a fraction.
///
/// # Errors
/// Says what form was expected.
pub fn parse_above(metric: Metric, text: &str) -> Result<f64, String> {
    let example = if metric == Metric::ErrorRate { "> 50%" } else { "> 2s" };
    let Some(value) = text.trim().strip_prefix('>').map(|v| v.trim_start_matches('=').trim()) else {
        return Err(format!("expected `>` and a value after the metric, such as `{metric} {example}`"));
    };
    level(metric, text.trim(), value)
}

fn level(metric: Metric, text: &str, value: &str) -> Result<f64, String> {
    Ok(match metric {
        Metric::ErrorRate if value.ends_with('%') => parse_share(value)?,
        // A bare number would be a fraction to some and a percentage to others.
        Metric::ErrorRate => {
            let sign = &text.trim()[..1];
            return Err(format!("`{text}` has no unit; expected a percentage such as `{sign} {value}%`"));
        }
        Metric::Quantile(_) => parse_duration_ns(value)? as f64 / super::NS_PER_MS,
    })
}

/// Parses `10% and 2ms`, `10%` (quantiles) or `0.5pp` (error rate).
///
/// # Errors
/// Says what form was expected.
pub fn parse_tolerance(metric: Metric, text: &str) -> Result<Tolerance, String> {
    if metric == Metric::ErrorRate {
        let expected = || {
            format!(
                "`{text}` is not a difference of error rates; expected percentage points, such as `0.5pp`"
            )
        };
        let points = text.trim().strip_suffix("pp").ok_or_else(expected)?;
        let points: f64 = points.trim().parse().map_err(|_| expected())?;
        return if points > 0.0 && points <= 100.0 {
            Ok(Tolerance { share: points / 100.0, floor_ms: 0.0 })
        } else {
            Err(expected())
        };
    }
    let expected =
        || format!("`{text}` is not a tolerance; expected a percentage and a floor, such as `10% and 5ms`");
    let (share, floor) = match text.split_once(" and ") {
        Some((share, floor)) => (share, Some(floor)),
        None => (text, None),
    };
    let share = share.trim().strip_suffix('%').ok_or_else(expected)?;
    let share: f64 = share.trim().parse().map_err(|_| expected())?;
    if !(0.0..=1000.0).contains(&share) {
        return Err(expected());
    }
    let floor_ms = floor.map_or(Ok(0), parse_duration_ns).map_err(|_| expected())? as f64 / super::NS_PER_MS;
    Ok(Tolerance { share: share / 100.0, floor_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_tolerances_as_people_write_them() {
        assert_eq!(parse_limit(Metric::P95, "< 400ms").unwrap().below, 400.0);
        assert_eq!(parse_limit(Metric::ErrorRate, "<0.1%").unwrap().below, 0.001);
        assert!(parse_limit(Metric::ErrorRate, "< 0.5").unwrap_err().contains("< 0.5%"));
        assert!(parse_limit(Metric::P95, "400ms").is_err() && parse_limit(Metric::P95, "< 4%").is_err());
        let wide = parse_limit(Metric::ErrorRate, "\u{3000}< 0.5");
        assert!(wide.unwrap_err().contains("< 0.5%"), "a wide blank in front was once cut in two");
        assert_eq!(
            parse_tolerance(Metric::P50, "10% and 2ms").unwrap(),
            Tolerance { share: 0.1, floor_ms: 2.0 }
        );
        assert_eq!(parse_tolerance(Metric::ErrorRate, "0.5pp").unwrap().share, 0.005);
        assert!(
            parse_tolerance(Metric::ErrorRate, "0.5%").is_err()
                && parse_tolerance(Metric::P50, "2ms").is_err()
        );
    }

    #[test]
    fn the_larger_of_share_and_floor_counts() {
        let tolerance = Tolerance { share: 0.10, floor_ms: 5.0 };
        assert!((tolerance.ln_at(100.0) - 1.1f64.ln()).abs() < 1e-12);
        assert!((tolerance.ln_at(10.0) - 1.5f64.ln()).abs() < 1e-12);
    }
}
