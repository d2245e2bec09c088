use serde::{Deserialize, Serialize};

use super::model::{Finding, Severity};
use crate::metrics::{ProbePlan, RunRecord};
use crate::units::{Threshold, format_figure};

/// What a probe read over all looks, as `verdict.json` has it. Percentages are fractions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeSummary {
    pub name: String,
    /// `candidate` or `control`.
    pub arm: String,
    pub limit: Option<Threshold>,
    pub for_ms: u64,
    /// Within the measured windows.
    pub readings: usize,
    pub mean: Option<f64>,
    /// The highest, or where the limit is a floor the lowest.
    pub worst: Option<f64>,
    pub standing: ProbeStanding,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeStanding {
    Held,
    /// Beyond its limit for a time, and back.
    NearMiss,
    Broken,
    /// Still beyond its limit at the end.
    Open,
    /// Missing, or of another unit.
    NotKnown,
    /// It has no limit.
    Shown,
}

impl ProbeStanding {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Held => "within",
            Self::NearMiss => "near-miss",
            Self::Broken => "BROKEN",
            Self::Open => "not back",
            Self::NotKnown => "not known",
            Self::Shown => "shown",
        }
    }
}

/// What each probe read, for whoever reads the reports.
#[must_use]
pub fn summaries(record: &RunRecord, findings: &[Finding]) -> Vec<ProbeSummary> {
    let mut all = Vec::new();
    let control = record.control.as_ref().map_or(&[][..], |control| &control.runs);
    for (number, plan) in record.probes.iter().enumerate() {
        for (arm, runs) in [("candidate", record.runs.as_slice()), ("control", control)] {
            if runs.is_empty() || (arm == "control" && !plan.of_arm) || plan.compare.is_some() {
                continue;
            }
            let values: Vec<f64> =
                runs.iter().flat_map(|look| look.figures(number)).map(|(_, v)| v).collect();
            let worse = |a: f64, b: f64| plan.limit.map_or(a.max(b), |limit| limit.worse(a, b));
            let count = values.len();
            all.push(ProbeSummary {
                name: plan.name.clone(),
                arm: arm.to_owned(),
                limit: plan.limit,
                for_ms: plan.for_ms,
                readings: count,
                mean: (count > 0).then(|| values.iter().sum::<f64>() / count as f64),
                worst: values.into_iter().reduce(worse),
                standing: standing(plan, arm, count, findings),
            });
        }
    }
    all
}

/// What probes read of whole runs, before anything is judged.
#[must_use]
pub fn probe_means(records: &[RunRecord]) -> Vec<ProbeSummary> {
    let mut all: Vec<ProbeSummary> = Vec::new();
    for own in records.iter().flat_map(|record| summaries(record, &[])).filter(|one| one.arm == "candidate") {
        match all.iter_mut().find(|known| known.name == own.name) {
            None => all.push(own),
            Some(known) => {
                let (a, b) = (known.readings as f64, own.readings as f64);
                let mean = known.mean.zip(own.mean).map(|(x, y)| (x * a + y * b) / (a + b).max(1.0));
                (known.mean, known.readings) =
                    (mean.or(known.mean).or(own.mean), known.readings + own.readings);
            }
        }
    }
    all
}

fn standing(plan: &ProbePlan, arm: &str, readings: usize, findings: &[Finding]) -> ProbeStanding {
    if plan.limit.is_none() || arm == "control" {
        return ProbeStanding::Shown;
    }
    // A warning is of the control, or of an alert.
    let of = |f: &&Finding| f.probe.as_ref() == Some(&plan.name) && f.severity != Severity::Warn;
    let own = || findings.iter().filter(of);
    let missing = own().any(|f| f.severity == Severity::Hold && f.observed.is_none());
    match own().map(|f| f.severity).min() {
        Some(Severity::Fail) => ProbeStanding::Broken,
        Some(Severity::Hold) if !missing => ProbeStanding::Open,
        Some(Severity::Hold) => ProbeStanding::NotKnown,
        _ if readings == 0 => ProbeStanding::NotKnown,
        Some(Severity::Info) => ProbeStanding::NearMiss,
        _ => ProbeStanding::Held,
    }
}

/// A figure in the unit of its limit.
#[must_use]
pub fn told_figure(limit: Option<Threshold>, value: f64) -> String {
    limit.map_or_else(|| format_figure(value), |limit| limit.told(value))
}
