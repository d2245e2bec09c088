use serde::{Deserialize, Serialize};

use super::alerts::FiredAlert;
use super::probe_summary::ProbeSummary;
use crate::units::Metric;

pub const VERDICT_FORMAT: u32 = 1;
/// Of `verdict.json`, draft-07.
pub const VERDICT_SCHEMA: &str = include_str!("../../schema/verdict.json");

/// The answer, as `verdict.json` has it. Latencies in ms, rates, changes and intervals as fractions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verdict {
    pub format: u32,
    pub run_id: String,
    pub started: String,
    pub outcome: Outcome,
    pub cause: Option<Cause>,
    pub action: Action,
    pub exit_code: u8,
    pub gate: String,
    pub summary: String,
    pub looks: usize,
    pub findings: Vec<Finding>,
    pub endpoints: Vec<EndpointSummary>,
    pub comparisons: Vec<Comparison>,
    /// What fired, the most severe first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<FiredAlert>,
    /// What was read beside the load.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<ProbeSummary>,
    pub generator: GeneratorSummary,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Pass,
    Fail,
    Inconclusive,
    NoBaseline,
    Interrupted,
    /// One shard of a load: judged after the merge.
    Partial,
}

/// Why an outcome is inconclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The measurement cannot be trusted.
    Invalid,
    /// It can, but does not settle the question.
    Unresolved,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Go,
    Hold,
    RollBack,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    Check,
    Limit,
    Regression,
    Errors,
    Validity,
    Baseline,
    Creep,
    Probe,
    Alert,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Fail,
    Hold,
    Warn,
    Info,
}

/// How the warning begins of a run that believed whoever answered.
pub const UNVERIFIED: &str = "No certificate was verified (--insecure)";

/// One thing worth saying, in plain words first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    pub kind: FindingKind,
    pub severity: Severity,
    /// Holds on its own, not only as one of a set.
    pub confirmed: bool,
    pub endpoint: Option<String>,
    pub metric: Option<Metric>,
    /// The name of the probe that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<String>,
    /// Milliseconds or a fraction.
    pub observed: Option<f64>,
    /// The limit or the baseline's level, in the same unit.
    pub reference: Option<f64>,
    /// Relative for latencies, a difference for error rates.
    pub change: Option<f64>,
    pub interval: Option<[f64; 2]>,
    /// Confidence of the interval.
    pub level: Option<f64>,
    pub reason: String,
    pub remedy: Option<String>,
}

impl Finding {
    #[must_use]
    pub fn new(
        kind: FindingKind,
        severity: Severity,
        endpoint: Option<&str>,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            severity,
            confirmed: true,
            endpoint: endpoint.map(str::to_owned),
            metric: None,
            probe: None,
            observed: None,
            reference: None,
            change: None,
            interval: None,
            level: None,
            reason: reason.into(),
            remedy: None,
        }
    }

    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// For one metric that has no value to tell.
    #[must_use]
    pub fn about(mut self, metric: Metric) -> Self {
        self.metric = Some(metric);
        self
    }

    #[must_use]
    pub fn measured(mut self, metric: Metric, observed: f64, reference: f64) -> Self {
        (self.metric, self.observed, self.reference) = (Some(metric), Some(observed), Some(reference));
        self
    }
}

/// All looks of an endpoint together.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EndpointSummary {
    pub feature: String,
    pub step: String,
    pub requests: u64,
    pub errors: u64,
    pub error_rate: Option<f64>,
    pub cut: u64,
    pub skipped: u64,
    pub mean_ms: Option<f64>,
    pub p50_ms: Option<f64>,
    pub p90_ms: Option<f64>,
    pub p95_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub p999_ms: Option<f64>,
    pub max_ms: Option<f64>,
    pub service_p50_ms: Option<f64>,
    pub service_p95_ms: Option<f64>,
    pub service_p99_ms: Option<f64>,
    pub service_p999_ms: Option<f64>,
    pub service_mean_ms: Option<f64>,
    pub service_max_ms: Option<f64>,
    /// Where the time went; a phase that no request had is left out.
    #[serde(default)]
    pub phases: Vec<PhaseSummary>,
    pub rate_offered: f64,
    pub rate_achieved: f64,
}

/// One phase of an endpoint's requests.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PhaseSummary {
    /// `dns`, `connect`, `tls`, `first_byte` or `body`.
    pub phase: String,
    /// Requests that had it.
    pub count: u64,
    pub p50_ms: Option<f64>,
    pub p95_ms: Option<f64>,
    pub p99_ms: Option<f64>,
}

/// One metric of one endpoint against its baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    pub endpoint: String,
    pub metric: Metric,
    /// Milliseconds or a fraction; the geometric mean of the instances for a latency.
    pub observed: f64,
    pub reference: f64,
    pub change: f64,
    pub interval: [f64; 2],
    pub level: f64,
    /// Δ here: the change that must be caught, its floor taken into account.
    pub delta: f64,
    /// δ here: a change not worth naming.
    #[serde(default)]
    pub ignore: f64,
    /// Run-to-run noise, relative; 0 for error rates.
    pub noise: f64,
    /// Of "no worse than the baseline".
    pub p: f64,
    /// What the whole verdict could spend on false alarms at this look.
    #[serde(default)]
    pub alpha: f64,
    /// Beyond what the other features did in the same runs, where four or more ran together.
    #[serde(default)]
    pub contrast: Option<Contrast>,
    /// The smallest change that would have been proven with 95% probability.
    #[serde(default)]
    pub detectable: Option<f64>,
    /// The smallest Δ that 95% of same-build runs would have passed at this look.
    #[serde(default)]
    pub passable: Option<f64>,
    pub baseline_instances: usize,
    pub candidate_instances: usize,
    /// What the reference is of, where the set holds several builds: `build B`, or `the runs accepted AT`.
    #[serde(default)]
    pub reference_of: Option<String>,
    /// Baseline instances that were unlike all others.
    #[serde(default)]
    pub left_out: Vec<String>,
    pub settled: Settled,
}

/// An endpoint's change beyond the mean change of the other features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contrast {
    pub change: f64,
    pub interval: [f64; 2],
    /// The mean change of the others.
    pub others: f64,
    /// They gained so clearly that standing still would look like a loss; so this is not used.
    pub others_gained: bool,
    pub p: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settled {
    /// A change of Δ is excluded.
    Within,
    /// Proven worse.
    Worse,
    /// Neither.
    Open,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GeneratorSummary {
    pub healthy: bool,
    pub send_lag_p99_us: Option<f64>,
    pub cpu_busy: Option<f64>,
    pub dropped_arrivals: u64,
    #[serde(default)]
    pub unsent_arrivals: u64,
    pub reasons: Vec<String>,
}
