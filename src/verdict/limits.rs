use super::model::{Finding, FindingKind, Severity};
use super::quantiles::{LEAST_TAIL_LIMIT, QuantileEstimate, missing_requests, seconds_for};
use super::statistics::{mean, proportion_lower, t_quantile};
use crate::units::{Limit, LimitsOn, Metric, format_ms, format_share};

/// Confidence of each one-sided bound.
const LEVEL: f64 = 0.99;

/// What is known of an endpoint's quantile, one estimate a look.
pub struct QuantileEvidence {
    pub estimates: Vec<QuantileEstimate>,
    /// Samples of all looks together.
    pub samples: u64,
    pub limits_on: LimitsOn,
}

/// Holds a quantile against its limit: proven beyond, at the limit, or too few samples. `None`: within.
pub fn judge_quantile(
    endpoint: &str,
    limit: &Limit,
    evidence: &QuantileEvidence,
    rate_per_s: f64,
) -> Option<Finding> {
    let q = limit.metric.quantile()?;
    let metric = limit.metric;
    let observed_only = evidence.limits_on == LimitsOn::Observed;
    let missing = match evidence.samples {
        0 => 1,
        _ if observed_only => 0,
        samples => missing_requests(samples, q, LEAST_TAIL_LIMIT),
    };
    if missing > 0 || evidence.estimates.is_empty() {
        let needed = evidence.samples + missing;
        let reason = format!(
            "Too few requests to judge {metric} of {endpoint} against its limit: {} of {needed}, {missing} missing.",
            evidence.samples
        );
        let finding = Finding::new(FindingKind::Limit, Severity::Hold, Some(endpoint), reason).about(metric);
        return Some(
            finding.remedy(format!("use `for: {:.0}s` or a higher rate", seconds_for(needed, rate_per_s))),
        );
    }
    let looks = evidence.estimates.len() as f64;
    let y = mean(&evidence.estimates.iter().map(|e| e.y).collect::<Vec<_>>());
    let se = (evidence.estimates.iter().map(|e| e.long_w2).sum::<f64>()).sqrt() / looks;
    let degrees: usize = evidence.estimates.iter().map(|e| e.groups.saturating_sub(1)).sum();
    let bound_ln = limit.below.max(1e-3).ln();
    if y <= bound_ln {
        return None;
    }
    let lower = if degrees == 0 { f64::NEG_INFINITY } else { y - t_quantile(LEVEL, degrees as f64) * se };
    let observed = y.exp();
    let (limit_text, seen) = (format_ms(limit.below), format_ms(observed));
    let one_in = (1.0 / (1.0 - q)).round();
    Some(if observed_only {
        let reason = format!(
            "Too slow: 1 in {one_in} users waits over {seen}, allowed {limit_text}. LIMIT {endpoint} {metric} observed beyond \
             it, not proven (`limits_on: observed`)"
        );
        Finding::new(FindingKind::Limit, Severity::Fail, Some(endpoint), reason).measured(
            metric,
            observed,
            limit.below,
        )
    } else if lower > bound_ln {
        let reason = format!(
            "Too slow: 1 in {one_in} users waits over {seen}, allowed {limit_text}. LIMIT {endpoint} {metric} \
             at least {} with 99% confidence",
            format_ms(lower.exp())
        );
        Finding::new(FindingKind::Limit, Severity::Fail, Some(endpoint), reason).measured(
            metric,
            observed,
            limit.below,
        )
    } else {
        let reason = format!(
            "At the limit: {metric} of {endpoint} was {seen}, allowed {limit_text}, but the excess is within what chance explains."
        );
        Finding::new(FindingKind::Limit, Severity::Hold, Some(endpoint), reason)
            .measured(metric, observed, limit.below)
            .remedy("measure longer, or raise the limit if this level is acceptable")
    })
}

/// Holds an error rate against its limit.
pub fn judge_errors(
    endpoint: &str,
    limit: &Limit,
    errors: u64,
    requests: u64,
    classes: &str,
    limits_on: LimitsOn,
) -> Option<Finding> {
    if requests == 0 {
        let reason = format!("Nothing was measured of {endpoint}: zero requests.");
        let finding = Finding::new(FindingKind::Limit, Severity::Hold, Some(endpoint), reason);
        return Some(finding.about(limit.metric));
    }
    let rate = errors as f64 / requests as f64;
    if rate < limit.below || errors == 0 {
        return None;
    }
    let lower = proportion_lower(errors as f64, requests as f64, LEVEL);
    let text = format!("{errors} of {requests} requests failed ({}; {classes})", format_share(rate));
    Some(if limits_on == LimitsOn::Observed {
        let reason = format!(
            "Too many errors: {text}, allowed {}. LIMIT {endpoint} error_rate observed beyond it, not proven \
             (`limits_on: observed`)",
            format_share(limit.below)
        );
        Finding::new(FindingKind::Limit, Severity::Fail, Some(endpoint), reason).measured(
            Metric::ErrorRate,
            rate,
            limit.below,
        )
    } else if lower > limit.below {
        let reason = format!(
            "Too many errors: {text}, allowed {}. LIMIT {endpoint} error_rate at least {} with 99% confidence",
            format_share(limit.below),
            format_share(lower)
        );
        Finding::new(FindingKind::Limit, Severity::Fail, Some(endpoint), reason).measured(
            Metric::ErrorRate,
            rate,
            limit.below,
        )
    } else {
        let reason = format!(
            "At the limit: of {endpoint}, {text}, allowed {}; too few to tell from chance.",
            format_share(limit.below)
        );
        Finding::new(FindingKind::Limit, Severity::Hold, Some(endpoint), reason)
            .measured(Metric::ErrorRate, rate, limit.below)
            .remedy("measure longer, or look at `error_examples` in run.json")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantile(ms: f64, w: f64, samples: u64, limits_on: LimitsOn) -> Option<Severity> {
        let estimate = QuantileEstimate {
            y: ms.ln(),
            w2: w * w,
            long_w2: w * w,
            half_w2: w * w,
            groups: 15,
            drift: None,
        };
        let evidence = QuantileEvidence { estimates: vec![estimate], samples, limits_on };
        let limit = Limit { metric: Metric::P95, below: 400.0 };
        judge_quantile("f/s", &limit, &evidence, 100.0).map(|f| f.severity)
    }

    #[test]
    fn a_limit_is_kept_reached_or_broken() {
        use LimitsOn::{Observed, Proven};
        assert_eq!(quantile(390.0, 0.02, 3000, Proven), None);
        assert_eq!(quantile(404.0, 0.02, 3000, Proven), Some(Severity::Hold));
        assert_eq!(quantile(480.0, 0.02, 3000, Proven), Some(Severity::Fail));
        assert_eq!(quantile(480.0, 0.02, 199, Proven), Some(Severity::Hold));
        // k6's rule: what was seen counts, however few saw it; but nothing is no pass.
        assert_eq!(quantile(390.0, 0.02, 3000, Observed), None);
        assert_eq!(quantile(404.0, 0.02, 199, Observed), Some(Severity::Fail));
        assert_eq!(quantile(404.0, 0.02, 0, Observed), Some(Severity::Hold));
    }

    #[test]
    fn few_errors_prove_nothing_and_none_are_within() {
        let limit = Limit { metric: Metric::ErrorRate, below: 0.001 };
        let severity =
            |x, n| judge_errors("f/s", &limit, x, n, "status 1", LimitsOn::Proven).map(|f| f.severity);
        assert_eq!(severity(0, 3000), None);
        assert_eq!(severity(2, 3000), None);
        assert_eq!(severity(5, 3000), Some(Severity::Hold));
        assert_eq!(severity(60, 3000), Some(Severity::Fail));
        assert_eq!(severity(0, 0), Some(Severity::Hold));
        let observed = judge_errors("f/s", &limit, 5, 3000, "status 5", LimitsOn::Observed);
        assert_eq!(observed.map(|f| f.severity), Some(Severity::Fail));
    }
}
