use super::limits::percent;
use super::model::{Finding, FindingKind, GeneratorSummary, Severity};
use super::quantiles::{
    LEAST_BLOCKS, LEAST_TAIL_COMPARED, LEAST_TAIL_LIMIT, QuantileEstimate, estimate, missing_requests,
};
use crate::metrics::{EndpointPlan, LookRecord, RunRecord};
use crate::units::{Metric, format_ns};

const BUSY: f64 = 0.90;
const LEAST_ACHIEVED: f64 = 0.95;
const MOST_CUT: f64 = 0.01;
const LAG_FLOOR_US: f64 = 2_000.0;
const LAG_SHARE: f64 = 0.05;

fn invalid(endpoint: Option<&str>, reason: String, remedy: &str) -> Finding {
    Finding::new(FindingKind::Validity, Severity::Hold, endpoint, reason).remedy(remedy)
}

/// Whether the looks can be trusted: everything that speaks against it.
pub fn judge(record: &RunRecord, plans: &[&EndpointPlan]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for look in &record.runs {
        if let Some(reason) = &look.warmup.unsteady {
            findings.push(invalid(
                None,
                format!("The target {reason}."),
                "raise `warmup_max`, or find out what still moves",
            ));
        }
        for (i, plan) in plans.iter().enumerate() {
            findings.extend(judge_endpoint(look, i, plan));
        }
    }
    findings
}

fn judge_endpoint(look: &LookRecord, index: usize, plan: &EndpointPlan) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(endpoint) = look.endpoints.get(index) else { return findings };
    let name = Some(plan.endpoint.as_str());
    let cut = endpoint.cut as f64 / endpoint.requests.max(1) as f64;
    if cut > MOST_CUT && look.stop != "interrupt" {
        let reason = format!(
            "{} of the requests to {} were cut before they were answered.",
            percent(cut),
            plan.endpoint
        );
        findings.push(invalid(
            name,
            reason,
            "the target answers too late at this rate; lower it or give it more time",
        ));
    }
    let enough = |metric: Metric, least| {
        metric.quantile().is_some_and(|q| missing_requests(endpoint.response.count(), q, least) == 0)
    };
    // A rule without its samples is named elsewhere; more blocks alone would not help it.
    let judges_quantiles = plan.rules.limits.iter().any(|l| enough(l.metric, LEAST_TAIL_LIMIT))
        || plan.rules.regression.iter().any(|r| r.explicit && enough(r.metric, LEAST_TAIL_COMPARED));
    if !judges_quantiles || endpoint.requests == 0 || look.stop == "interrupt" {
        return findings;
    }
    let blocks = look.blocks.iter().filter(|b| b.endpoint == index).count();
    if (blocks as u64) < LEAST_BLOCKS {
        let reason = format!(
            "{} was measured for {blocks} blocks, at least {LEAST_BLOCKS} are needed.",
            plan.endpoint
        );
        findings.push(invalid(
            name,
            reason,
            "measure longer: a block takes ¼ s or 50 requests, whichever is longer",
        ));
        return findings;
    }
    for metric in [Metric::P50, Metric::P95] {
        // A move that is not worth naming between builds is none within a run: microseconds on loopback do that.
        if let Some(QuantileEstimate { y, drift: Some(drift), w2, .. }) = estimate(look, index, metric)
            && drift.abs() > 8.0 * w2.sqrt()
            && drift.abs() > plan.rules.ignore().ln_at(y.exp()).max(0.05)
        {
            let reason = format!(
                "{metric} of {} moved by {} between the halves of the measurement: it was not steady.",
                plan.endpoint,
                percent(drift.exp_m1())
            );
            findings.push(invalid(
                name,
                reason,
                "warm up longer, or measure when the target is not disturbed",
            ));
            break;
        }
    }
    findings
}

/// How the load generator fared over all looks, in words where it fell short.
pub fn generator(record: &RunRecord, plans: &[&EndpointPlan]) -> GeneratorSummary {
    let mut summary = GeneratorSummary { healthy: true, ..GeneratorSummary::default() };
    for look in &record.runs {
        let own = &look.generator;
        summary.dropped_arrivals += own.dropped_arrivals;
        summary.send_lag_p99_us = max(summary.send_lag_p99_us, own.send_lag_p99_us);
        summary.cpu_busy = max(summary.cpu_busy, own.cpu_busy);
        if own.dropped_arrivals > 0 {
            let count = own.dropped_arrivals;
            summary
                .reasons
                .push(format!("{count} arrivals were dropped: too many requests were in flight at once"));
        }
        if own.local_failures > 0 {
            let count = own.local_failures;
            summary
                .reasons
                .push(format!("{count} connections failed on this machine: out of descriptors or ports"));
        }
        if let Some(busy) = own.cpu_busy.filter(|busy| *busy > BUSY) {
            summary.reasons.push(format!("its busiest load worker was {} busy", percent(busy)));
        }
        if look.stop == "interrupt" || look.stop == "crash" {
            continue;
        }
        for (i, plan) in plans.iter().enumerate() {
            let Some(endpoint) = look.endpoints.get(i) else { continue };
            let Some(lag_us) = endpoint.lag_p99_us else { continue };
            let allowed =
                LAG_FLOOR_US.max(LAG_SHARE * endpoint.response.quantile_ns(0.5).unwrap_or(0) as f64 / 1e3);
            if lag_us > allowed {
                let (lag, most) = (format_ns(lag_us * 1e3), format_ns(allowed * 1e3));
                summary.reasons.push(format!(
                    "it sent late: 1 in 100 requests of {} by over {lag}, allowed {most}",
                    plan.endpoint
                ));
            }
            let sent = endpoint.requests as f64 / plan.planned.max(1) as f64;
            if sent < LEAST_ACHIEVED {
                let (sent, planned) = (endpoint.requests, plan.planned);
                summary
                    .reasons
                    .push(format!("it sent {sent} of {planned} planned requests of {}", plan.endpoint));
            }
        }
    }
    summary.reasons.dedup();
    summary.healthy = summary.reasons.is_empty();
    summary
}

fn max(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    }
}
