use super::quantiles::{LEAST_BLOCKS, LEAST_TAIL_COMPARED, LEAST_TAIL_LIMIT, missing_requests, seconds_for};
use crate::metrics::{AlertRule, BlockGrid, EndpointPlan, ProbePlan};
use crate::units::{Metric, Rules, format_ms};

/// The rules that a run by these plans could never settle, each with what would be enough.
#[must_use]
pub fn never_judged(plans: &[EndpointPlan]) -> Vec<String> {
    let of = |plan: &EndpointPlan| {
        let limits = plan.rules.limits.iter().map(|limit| (limit.metric, LEAST_TAIL_LIMIT));
        let explicit = plan.rules.regression.iter().filter(|rule| rule.explicit);
        let compared = explicit.map(|rule| (rule.metric, LEAST_TAIL_COMPARED));
        short_of_samples(plan, &limits.chain(compared).collect::<Vec<_>>())
    };
    plans.iter().flat_map(of).collect()
}

/// Takes away the rules of percentiles that so many loads by this plan could not settle together; hands out what they were.
pub fn without_unjudged(rules: &mut Rules, plan: &EndpointPlan, times: u64) -> Vec<String> {
    let blocks = match plan.users {
        Some(_) => BlockGrid::of_users(plan.length_ms * 1_000_000).count,
        None => BlockGrid::new(plan.rate_per_s, plan.length_ms * 1_000_000).count,
    };
    let enough = |metric: Metric, least: f64| {
        metric.quantile().is_none_or(|q| {
            let counted = plan.users.is_some() || missing_requests(plan.planned * times, q, least) == 0;
            counted && blocks * times >= LEAST_BLOCKS
        })
    };
    let mut gone = Vec::new();
    let mut keeps = |metric: Metric, least: f64, kind: &str| {
        let kept = enough(metric, least);
        if !kept {
            gone.push(format!("{kind} {metric} of {}", plan.endpoint));
        }
        kept
    };
    rules.limits.retain(|limit| keeps(limit.metric, LEAST_TAIL_LIMIT, "limit"));
    rules.regression.retain(|rule| keeps(rule.metric, LEAST_TAIL_COMPARED, "regression") || !rule.explicit);
    gone
}

/// What a load of this length could never show: limits that last longer than its window, alerts that look at more of it.
#[must_use]
pub fn never_seen(window_ms: u64, probes: &[ProbePlan], alerts: &[AlertRule]) -> Vec<String> {
    let window = format_ms(window_ms as f64);
    let long =
        |for_ms: u64| format!("{} is longer than the load is measured ({window})", format_ms(for_ms as f64));
    let limits = probes.iter().filter(|plan| plan.limit.is_some() && plan.for_ms > window_ms).map(|plan| {
        let why = long(plan.for_ms);
        format!(
            "probe `{}` ({}): {why}, so that a breach would hold and never be proven",
            plan.name, plan.place
        )
    });
    let short = alerts.iter().filter(|rule| rule.for_ms > window_ms);
    let rules = short
        .map(|rule| format!("alert `{}` ({}) cannot fire: {}", rule.name, rule.place, long(rule.for_ms)));
    let seldom = probes.iter().filter(|plan| plan.is_judged() && 4 * plan.every_ms > window_ms).map(|plan| {
        format!(
            "probe `{}` ({}) is read every {}, which is too seldom to tell much of a load of {window}",
            plan.name,
            plan.place,
            format_ms(plan.every_ms as f64)
        )
    });
    limits.chain(seldom).chain(rules).collect()
}

/// The rules that this many requests, or blocks, cannot settle.
fn short_of_samples(plan: &EndpointPlan, rules: &[(Metric, f64)]) -> Vec<String> {
    // Without rules there may be no plan either, as for the attempts of a poll.
    if rules.is_empty() {
        return Vec::new();
    }
    let window_ns = plan.length_ms * 1_000_000;
    if plan.users.is_some() {
        // How many requests there will be is not known; only the time is.
        let blocks = BlockGrid::of_users(window_ns).count;
        let short = |(metric, _): &(Metric, f64)| metric.quantile().is_some() && blocks < LEAST_BLOCKS;
        let told = |(metric, _): &(Metric, f64)| {
            format!("{metric} of {}: {blocks} of {LEAST_BLOCKS} blocks; use `for: 3s` or more", plan.endpoint)
        };
        return rules.iter().filter(|rule| short(rule)).map(told).collect();
    }
    let blocks = BlockGrid::new(plan.rate_per_s, window_ns).count;
    rules
        .iter()
        .filter_map(|(metric, least)| {
            let missing = missing_requests(plan.planned, metric.quantile()?, *least);
            let needed = plan.planned + missing;
            let seconds = seconds_for(needed, plan.rate_per_s);
            let short = if missing > 0 {
                format!("{} of {needed} requests", plan.planned)
            } else if blocks < LEAST_BLOCKS {
                format!("{blocks} of {LEAST_BLOCKS} blocks (a block takes ¼ s or 50 requests, whichever is longer)")
            } else {
                return None;
            };
            Some(format!("{metric} of {}: {short}; use `for: {seconds:.0}s`", plan.endpoint))
        })
        .collect()
}
