use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::run_record::{ErrorExample, LookRecord, RunRecord, SmokeRecord};
use crate::units::Metric;

/// Which arrivals each arm of a side-by-side load gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pairing {
    /// Each arrival goes to both, in random order: each arm has the scenario's whole rate.
    #[default]
    Mirror,
    /// Of each two arrivals one goes to each, at random: for writes and shared stores. Each arm has half of the rate.
    Split,
}

impl Pairing {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mirror => "mirror",
            Self::Split => "split",
        }
    }
}

/// How a candidate is judged beside its control.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SideBySide {
    pub pairing: Pairing,
    /// By how much two instances of one build differ: standard deviation of ln latency.
    pub sigma_dep: f64,
    /// Pairs of instances of one build that this was taken from; 0: it is assumed.
    pub calibrated_pairs: usize,
    /// Both arms have one address, and what tells them apart is what is sent: an instance may serve both.
    pub one_address: bool,
}

/// Stretches of load of equal length that a side-by-side run is made of; after the first, the second and the last of them it is
/// judged, which is after ¼, ½ and all of its length.
pub const SEGMENTS: usize = 4;

/// The other arm: the same requests in the same stretches of time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ControlRecord {
    /// What the arm is called: its address, or the command behind it.
    pub target: String,
    pub smoke: Option<SmokeRecord>,
    pub not_ready: Option<String>,
    pub setup_failed: Option<String>,
    /// One for each of the candidate's, in their order.
    pub runs: Vec<LookRecord>,
    #[serde(default)]
    pub error_examples: Vec<ErrorExample>,
}

/// What ended a side-by-side run before its next look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EarlyStop {
    pub endpoint: String,
    pub metric: Metric,
    /// The mean of all evidence values; it ends the run at 1/α.
    pub evidence: f64,
    /// More than half of the requests failed where the control's did not: no statistics were asked.
    pub breaker: bool,
    /// Share of the candidate's and of the control's requests beyond the threshold, or that failed.
    pub candidate: f64,
    pub control: f64,
    /// The threshold, where it is one of time.
    pub beyond_ms: Option<f64>,
    /// Measured time until then, over all segments.
    pub at_ms: u64,
}

/// Who answered, as the responses' identity headers have it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnsweredBy {
    pub instances: BTreeSet<String>,
    pub builds: BTreeSet<String>,
    pub cohorts: BTreeSet<String>,
    /// Whether the scenarios name any such header.
    pub asked: bool,
}

impl RunRecord {
    /// The control of a side-by-side run as a record of its own.
    #[must_use]
    pub fn of_control(&self) -> Option<Self> {
        let control = self.control.as_deref()?;
        Some(Self {
            target: control.target.clone(),
            smoke: control.smoke.clone(),
            runs: control.runs.clone(),
            error_examples: control.error_examples.clone(),
            not_ready: control.not_ready.clone(),
            setup_failed: control.setup_failed.clone(),
            ..self.without_arms()
        })
    }

    /// All but what was measured.
    fn without_arms(&self) -> Self {
        Self {
            format: self.format,
            id: self.id.clone(),
            loadgate_version: self.loadgate_version.clone(),
            label: self.label.clone(),
            service: self.service.clone(),
            started: self.started.clone(),
            target: String::new(),
            env: self.env.clone(),
            plan: self.plan.clone(),
            environment: self.environment.clone(),
            scenarios: self.scenarios.clone(),
            smoke: None,
            runs: Vec::new(),
            control: None,
            error_examples: Vec::new(),
            interrupted: self.interrupted.clone(),
            not_ready: None,
            setup_failed: None,
            alerts: Vec::new(),
            probes: self.probes.clone(),
            probe_failed: None,
            out_of_time: None,
            stale_baselines: None,
            unverified: false,
            shard: self.shard,
            clock: None,
            merged: None,
        }
    }
}
