use super::model::{Finding, FindingKind, Severity};
use super::quantiles::{LEAST_TAIL_COMPARED, missing_requests};
use super::side_by_side::{difference, pairs, whole};
use super::statistics::mean;
use crate::metrics::{EndpointPlan, RunRecord, SideBySide};
use crate::units::counted;

/// By how much two instances of one build are taken to differ (ln latency) until blue was held against blue.
pub const ASSUMED_SIGMA_DEP: f64 = 0.005;

/// One pair of instances of one build, told by one metric: θ̂² and what of it the blocks explain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub squared: f64,
    pub explained: f64,
}

/// What a run of one build against itself says of how much its instances differ, segment by segment.
#[must_use]
pub fn spreads(record: &RunRecord) -> Vec<Spread> {
    let Some(control) = &record.control else { return Vec::new() };
    let plans: Vec<&EndpointPlan> = record.scenarios.iter().flat_map(|s| &s.endpoints).collect();
    let mut found = Vec::new();
    let segments = record.runs.chunks(1).zip(control.runs.chunks(1));
    for (candidate, control) in segments {
        for (i, _) in plans.iter().enumerate().filter(|(_, plan)| !plan.shown_only) {
            let both = pairs(candidate, control, i);
            let (own, beside) = (whole(candidate, i), whole(control, i));
            // The far tail says more of itself than of instances.
            for q in [0.5, 0.95] {
                let enough = missing_requests(own.count().min(beside.count()), q, LEAST_TAIL_COMPARED) == 0;
                let Some(d) = enough.then(|| difference(&both, (&own, &beside), q, (0.0, 1))).flatten()
                else {
                    continue;
                };
                found.push(Spread { squared: d.theta().powi(2), explained: d.within.powi(2) });
            }
        }
    }
    found
}

/// `σ_dep` = √(max(0, mean(θ̂² − V/f̂²))/2) over pairs of instances of one build (VERDICT.md): a difference has the deviations of
/// two instances in it.
#[must_use]
pub fn sigma_dep(spreads: &[Spread]) -> f64 {
    if spreads.is_empty() {
        return ASSUMED_SIGMA_DEP;
    }
    let excess: Vec<f64> = spreads.iter().map(|s| s.squared - s.explained).collect();
    (mean(&excess).max(0.0) / 2.0).sqrt()
}

/// Whether the deviation that it was judged by was measured, in words for the report.
#[must_use]
pub fn calibration(plan: &SideBySide) -> Finding {
    let sigma = plan.sigma_dep * 100.0;
    let text = if plan.calibrated_pairs == 0 {
        format!("Uncalibrated: two instances of one build are taken to differ by {sigma:.1}%.")
    } else {
        format!(
            "Calibrated: in {} of instances of one build, these differed by {sigma:.2}%.",
            counted(plan.calibrated_pairs, "pair")
        )
    };
    let finding = Finding::new(FindingKind::Baseline, Severity::Info, None, text);
    if plan.calibrated_pairs > 0 {
        return finding;
    }
    finding.remedy(
        "measure it once: the same `loadgate canary` command with one build on both arms, and `--calibrate`",
    )
}
