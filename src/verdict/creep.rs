use super::model::{Finding, FindingKind, Severity};
use super::reference::Reference;
use super::statistics::t_quantile;
use super::stored::{Compared, Series};
use crate::units::{Metric, format_ms};

/// Confidence that a level beyond the anchor's is no chance.
const LEVEL: f64 = 0.99;

/// Whether an endpoint stands beyond Δ over the best level that was ever accepted, though each step on the way was small.
pub fn judge(series: &Series, compared: &Compared, reference: &Reference) -> Option<Finding> {
    let Metric::Quantile(key) = series.rule.metric else { return None };
    let anchor = reference.anchor.get(&key)?;
    let best = anchor.ln;
    let observed = compared.comparison.observed.ln();
    let theta = observed - best;
    let (_, delta) = series.tolerances(best);
    let v = (compared.comparison.noise.ln_1p()).powi(2);
    let se = (v * (1.0 / anchor.instances.max(1) as f64 + 1.0 / series.candidate.len() as f64)).sqrt();
    if theta < delta || theta - t_quantile(LEVEL, compared.nu) * se <= 0.0 {
        return None;
    }
    let (metric, endpoint) = (series.rule.metric, &series.endpoint);
    let day: String = anchor.recorded.chars().take(10).collect();
    // What was accepted so far may be the best level itself; then this is one step, and not a small one.
    let crept = compared.comparison.reference.ln() - best >= compared.ignore_ln;
    let (words, how) =
        if crept { ("Crept up", ", in steps that each were allowed") } else { ("Not at its best", "") };
    let text = format!(
        "{words}: {metric} of {endpoint} is {}, {:+.1}% over the best accepted level ({} of {day}){how}.",
        format_ms(observed.exp()),
        theta.exp_m1() * 100.0,
        format_ms(best.exp()),
    );
    let mut finding = Finding::new(FindingKind::Creep, Severity::Warn, Some(endpoint), text)
        .measured(metric, observed.exp(), best.exp())
        .remedy("find what it costs, or accept the level: `loadgate baseline refresh --accept \"reason\"`");
    finding.change = Some(theta.exp_m1());
    Some(finding)
}
