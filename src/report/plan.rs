use std::fmt::Write as _;

use super::table::grid;
use crate::metrics::EndpointPlan;
use crate::scenario::Scenario;
use crate::units::{Metric, RegressionRule};
use crate::verdict::{LEAST_TAIL_COMPARED, LEAST_TAIL_LIMIT, missing_requests};

/// What a run would send and what could be judged with it. The second value: rules that cannot be judged.
#[must_use]
pub fn render_plan(scenarios: &[Scenario], plans: &[EndpointPlan]) -> (String, Vec<String>) {
    let mut out = String::new();
    let mut hopeless = Vec::new();
    let rows: Vec<Vec<String>> = plans
        .iter()
        .map(|plan| {
            let short = |rules: Vec<(Metric, f64)>| short_of_samples(plan, &rules);
            let limits = plan.rules.limits.iter().map(|l| (l.metric, LEAST_TAIL_LIMIT)).collect();
            let explicit = |r: &&RegressionRule| r.explicit;
            let compared = plan
                .rules
                .regression
                .iter()
                .filter(explicit)
                .map(|r| (r.metric, LEAST_TAIL_COMPARED))
                .collect();
            hopeless.extend(short(limits));
            hopeless.extend(short(compared));
            let names =
                |metrics: Vec<String>| if metrics.is_empty() { "–".to_owned() } else { metrics.join(" ") };
            let judged = |r: &&RegressionRule| {
                r.metric
                    .quantile()
                    .is_none_or(|q| missing_requests(plan.planned, q, LEAST_TAIL_COMPARED) == 0)
            };
            vec![
                plan.endpoint.clone(),
                plan.planned.to_string(),
                format!("{:.0}/s", plan.rate_per_s),
                names(plan.rules.limits.iter().map(|l| l.metric.to_string()).collect()),
                names(plan.rules.regression.iter().filter(judged).map(|r| r.metric.to_string()).collect()),
            ]
        })
        .collect();
    if !rows.is_empty() {
        let _ = writeln!(out, "{}", grid(&["endpoint", "requests", "rate", "limits", "compared"], &rows));
    }
    let steps: usize = scenarios.iter().map(|s| s.steps.iter().filter(|step| step.in_smoke()).count()).sum();
    let seconds = scenarios
        .iter()
        .filter_map(|s| s.load.as_ref())
        .map(|load| (load.window_ns + load.warmup.least_ns()) as f64 / 1e9)
        .fold(0.0, f64::max);
    let _ = writeln!(
        out,
        "\n{} scenarios, {steps} smoke steps, one look of at least {seconds:.0} s",
        scenarios.len()
    );
    (out, hopeless)
}

fn short_of_samples(plan: &EndpointPlan, rules: &[(Metric, f64)]) -> Vec<String> {
    rules
        .iter()
        .filter_map(|(metric, least)| {
            let missing = missing_requests(plan.planned, metric.quantile()?, *least);
            let needed = plan.planned + missing;
            (missing > 0).then(|| {
                let seconds = (needed as f64 / plan.rate_per_s).ceil();
                format!(
                    "{metric} of {}: {} of {needed} requests; use `for: {seconds:.0}s`",
                    plan.endpoint, plan.planned
                )
            })
        })
        .collect()
}
