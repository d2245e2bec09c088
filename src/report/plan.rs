use std::fmt::Write as _;

use super::table::grid;
use crate::metrics::EndpointPlan;
use crate::scenario::{Scenario, Stage, Watching};
use crate::units::{RegressionRule, counted, format_ms, visible_change};
use crate::verdict::{LEAST_TAIL_COMPARED, MOST_LOOKS, Outlook, missing_requests};

/// What a run would send, what could be judged with it, and which changes one look would prove against the stored
/// baselines.
#[must_use]
pub fn render_plan(scenarios: &[Scenario], plans: &[EndpointPlan], outlooks: &[Outlook]) -> String {
    let mut out = String::new();
    let rows: Vec<Vec<String>> = plans
        .iter()
        .map(|plan| {
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
    out
}

/// What is watched beside the load, and who is told.
#[must_use]
pub fn render_watching(watching: &Watching) -> String {
    let mut out = String::new();
    let Watching { probes, alerts, webhooks } = watching;
    if !probes.is_empty() {
        out.push_str("\nprobes:\n");
    }
    for plan in probes.iter().map(|probe| &probe.plan) {
        let every = format_ms(plan.every_ms as f64);
        let rule = match (plan.limit, plan.compare) {
            (Some(limit), _) if plan.for_ms > 0 => format!("{limit} for {}", format_ms(plan.for_ms as f64)),
            (Some(limit), _) => limit.to_string(),
            (None, Some(delta)) => {
                format!("real users' errors, at most +{:.2} points (in a canary)", delta.share * 100.0)
            }
            (None, None) => "shown".to_owned(),
        };
        let _ = writeln!(out, "  {}: {rule}; every {every} from {}", plan.name, plan.asks);
    }
    if !alerts.is_empty() {
        out.push_str("\nalerts:\n");
    }
    for rule in alerts {
        let length =
            if rule.for_ms > 0 { format!(" for {}", format_ms(rule.for_ms as f64)) } else { String::new() };
        let _ = writeln!(
            out,
            "  {} ({}): {}{length} → {}",
            rule.name,
            rule.severity.name(),
            rule.told,
            rule.respond
        );
    }
    if !webhooks.is_empty() {
        let told: Vec<&str> = webhooks.iter().map(|webhook| webhook.told.as_str()).collect();
        let _ = writeln!(out, "\ntold: {}", told.join(", "));
    }
    out
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
