use std::fmt::Write as _;

use super::table::grid;
use crate::metrics::{BlockGrid, EndpointPlan};
use crate::scenario::{Scenario, Stage};
use crate::units::{Metric, RegressionRule, counted, visible_change};
use crate::verdict::{
    LEAST_BLOCKS, LEAST_TAIL_COMPARED, LEAST_TAIL_LIMIT, MOST_LOOKS, Outlook, missing_requests, seconds_for,
};

/// What a run would send, what could be judged with it, and which changes one look would prove against the stored
/// baselines. The second value: rules that cannot be judged.
#[must_use]
pub fn render_plan(
    scenarios: &[Scenario],
    plans: &[EndpointPlan],
    outlooks: &[Outlook],
) -> (String, Vec<String>) {
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
                if unplanned(plan) { "–".into() } else { plan.planned.to_string() },
                match plan.users {
                    Some(users) => format!("{users} users"),
                    None if unplanned(plan) => "–".into(),
                    None => format!("{:.0}/s", plan.rate_per_s),
                },
                if plan.rules.limits.is_empty() { "–".into() } else { limits_text(plan) },
                names(plan.rules.regression.iter().filter(judged).map(|r| r.metric.to_string()).collect()),
                proves(plan, outlooks),
            ]
        })
        .collect();
    if !rows.is_empty() {
        let _ = writeln!(
            out,
            "{}",
            grid(&["endpoint", "requests", "rate", "limits", "compared", "one look proves"], &rows)
        );
    }
    if rows.is_empty() {
        out.push_str("no `load:`: functional checks only\n");
    }
    let steps: usize = scenarios.iter().map(|s| s.steps.iter().filter(|step| step.in_smoke()).count()).sum();
    let seconds = scenarios
        .iter()
        .filter_map(|s| s.load.as_ref())
        .map(|load| (load.lead_ns() + load.window_ns() + load.warmup.least_ns()) as f64 / 1e9)
        .fold(0.0, f64::max);
    let _ = writeln!(
        out,
        "\n{}, {}, one look of at least {seconds:.0} s, {} at most",
        counted(scenarios.len(), "scenario"),
        counted(steps, "smoke step"),
        most(scenarios)
    );
    let looks = format!("up to {MOST_LOOKS} looks, {:.0} s or more", MOST_LOOKS as f64 * seconds);
    if plans.iter().any(|plan| !plan.rules.regression.is_empty()) {
        let _ = writeln!(
            out,
            "with a restart between them (--restart-hook), {looks}: as few as settle the question"
        );
    }
    (out, hopeless)
}

/// How many requests there will be is the target's doing.
fn unplanned(plan: &EndpointPlan) -> bool {
    plan.users.is_some() || plan.planned == 0
}

/// The smallest change of each compared quantile that a single look would prove with 95% probability.
fn proves(plan: &EndpointPlan, outlooks: &[Outlook]) -> String {
    if plan.rules.regression.is_empty() {
        return "–".into();
    }
    let own: Vec<String> = outlooks
        .iter()
        .filter(|outlook| outlook.endpoint == plan.endpoint)
        .filter_map(|outlook| Some(format!("{} {}", outlook.metric, visible_change(outlook.detectable?, 0))))
        .collect();
    if own.is_empty() { "no baseline yet".into() } else { own.join(" ") }
}

/// What all scenarios send together where each is at its highest.
fn most(scenarios: &[Scenario]) -> String {
    let (mut rate, mut users) = (0.0, 0);
    for scenario in scenarios {
        let Some(load) = &scenario.load else { continue };
        let shares = scenario.shares();
        let a_request: f64 = scenario.load_steps().map(|(step, _)| shares[step]).sum();
        let ends = |stage: &Stage| stage.level.rates().0.max(stage.level.rates().1);
        rate += a_request * load.stages.iter().map(ends).fold(0.0, f64::max);
        users += load.stages.iter().map(|s| s.level.users().0.max(s.level.users().1)).max().unwrap_or(0);
    }
    let mut parts = Vec::new();
    if rate > 0.0 || users == 0 {
        parts.push(format!("{rate:.0} requests/s"));
    }
    if users > 0 {
        parts.push(counted(users as usize, "virtual user"));
    }
    parts.join(" and ")
}

fn limits_text(plan: &EndpointPlan) -> String {
    plan.rules.limits.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
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
