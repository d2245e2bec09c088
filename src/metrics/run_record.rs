use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::alert_record::AlertRule;
use super::generator::{Environment, GeneratorRecord};
use super::histogram::Histogram;
use super::phase::PhaseHistograms;
use super::probe_record::{ProbePlan, Reading};
use super::shards::{ClockRecord, MergedRecord, ShardRecord, WholePlan};
use super::side_by_side::{AnsweredBy, ControlRecord, EarlyStop, SideBySide};
use super::slow_request::SlowRequest;
use crate::error_class::ErrorClass;
use crate::units::{Metric, Rules};

/// The version of `run.json` that this build writes. Later builds read every earlier one.
pub const RECORD_FORMAT: u32 = 1;
/// Of `run.json`, draft-07.
pub const RECORD_SCHEMA: &str = include_str!("../../schema/run.json");

/// All that one invocation measured; `run.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunRecord {
    pub format: u32,
    pub id: String,
    pub loadgate_version: String,
    /// What people call it, such as the phase of a rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What was judged, where a project names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// UTC, RFC 3339.
    pub started: String,
    /// The base URL, or `demo`.
    pub target: String,
    /// Names the baseline set.
    pub env: String,
    pub plan: JudgementPlan,
    pub environment: Environment,
    pub scenarios: Vec<ScenarioRecord>,
    pub smoke: Option<SmokeRecord>,
    /// Of the candidate, which in a run without a control is the only arm.
    pub runs: Vec<LookRecord>,
    /// The arm beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Box<ControlRecord>>,
    pub error_examples: Vec<ErrorExample>,
    /// The signal that ended it early, if any.
    pub interrupted: Option<String>,
    /// Why the target never became ready, if it did not.
    pub not_ready: Option<String>,
    /// What failed of the setup before a load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup_failed: Option<String>,
    /// When somebody is to be told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<AlertRule>,
    /// What was read beside the load.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<ProbePlan>,
    /// Why a probe can never be read, if so: then nothing was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_failed: Option<String>,
    /// Why the baselines that it was compared with may not be the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_baselines: Option<String>,
    /// No certificate was verified: whoever answered was believed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unverified: bool,
    /// The budget that a further look would have exceeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_of_time: Option<String>,
    /// Which part of the load this is, if it is not all of it.
    #[serde(default)]
    pub shard: Option<ShardRecord>,
    /// Of a shard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<ClockRecord>,
    /// The shards that it was put together from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged: Option<MergedRecord>,
}

/// How many baseline instances a verdict compares with.
pub const DEFAULT_INSTANCES: usize = 5;

fn default_instances() -> usize {
    DEFAULT_INSTANCES
}

/// How the run is to be judged; `compare` replays it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JudgementPlan {
    /// `regression` or `safety`.
    pub gate: String,
    pub repeat: Repeat,
    /// Whether the target is started afresh for each look.
    pub restarts: bool,
    /// Baselines from another kind of machine make it invalid.
    #[serde(default)]
    pub same_host: bool,
    /// An endpoint without a baseline holds even where it has no rule to compare by.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_baseline: bool,
    /// How many of the newest baseline instances count.
    #[serde(default = "default_instances")]
    pub instances: usize,
    /// Judged beside a control instead of against stored runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side_by_side: Option<SideBySide>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeat {
    /// Up to five looks, as few as settle the question.
    Auto,
    Times(u32),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScenarioRecord {
    pub file: String,
    pub feature: String,
    pub owner: Option<String>,
    /// Of the whole file as it was read.
    pub digest: String,
    pub endpoints: Vec<EndpointPlan>,
}

/// What was to be measured of one endpoint, and by which rules it is judged.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EndpointPlan {
    /// `feature/step name`.
    pub endpoint: String,
    /// Equal digests mean comparable measurements.
    pub digest: String,
    pub request: String,
    /// The scenario's line, for annotations.
    pub line: usize,
    /// Mean of the stage; 0 in the closed model.
    pub rate_per_s: f64,
    /// Requests in one look's measured window; 0 in the closed model, where they are not known beforehand.
    pub planned: u64,
    pub rules: Rules,
    /// Virtual users, in the closed model.
    #[serde(default)]
    pub users: Option<u32>,
    /// Length of the stage; 0 where a record of an earlier version does not say.
    #[serde(default)]
    pub length_ms: u64,
    /// A ramp: shown, not judged.
    #[serde(default)]
    pub shown_only: bool,
    /// Of a shard: what all of them together plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<WholePlan>,
    /// Sent only where its `when` holds, or what it needs was captured: that may be never.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub conditional: bool,
}

impl EndpointPlan {
    /// Of a shard: as if it were all of them.
    #[must_use]
    pub fn of_all_shards(mut self) -> Self {
        if let Some(whole) = self.whole.take() {
            (self.rate_per_s, self.planned) = (whole.rate_per_s, whole.planned);
        }
        self
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SmokeRecord {
    pub steps: Vec<SmokeStep>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SmokeStep {
    pub endpoint: String,
    /// `file:line` of the step.
    pub place: String,
    pub status: SmokeStatus,
    pub elapsed_ms: f64,
    /// Method and URL, where it failed.
    #[serde(default)]
    pub request: Option<String>,
    /// What was expected and what came, or what the first try met in a near-miss.
    pub message: Option<String>,
    /// Of the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<ErrorClass>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Box<Evidence>>,
}

/// What shows why a step failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Of the check in the scenario file, both from 1.
    pub line: usize,
    pub column: usize,
    /// In characters.
    pub width: usize,
    /// That line of the file.
    pub source: String,
    /// Method and URL.
    pub request: Option<String>,
    pub response: Option<ResponseExcerpt>,
    /// A command that sends the same.
    pub reproduce: Option<String>,
    /// Other checks of the step that did not hold either, each with its line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResponseExcerpt {
    pub status: u16,
    /// Bytes of the body.
    pub size: u64,
    pub headers: Vec<String>,
    pub body: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SmokeStatus {
    Passed,
    /// Passed on the second try.
    NearMiss,
    Failed,
    Skipped,
}

impl SmokeRecord {
    #[must_use]
    pub fn passed(&self) -> bool {
        // One that is skipped has its reason: a condition of its own, or a failure that stands beside it.
        self.steps.iter().all(|s| s.status != SmokeStatus::Failed)
    }
}

/// One measured look at one instance of the target.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LookRecord {
    pub look: u32,
    /// `candidate` or `control`.
    pub arm: String,
    /// The identity header's values, else the restart's or the invocation's id.
    pub instance_id: String,
    pub build_id: Option<String>,
    pub seed: u64,
    pub started: String,
    /// What a reader should know of this look, such as an identity header that never came.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What is no flaw, such as checks on a sample of the responses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// When the measured window began, where it did. UTC, RFC 3339, by this machine's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_started: Option<String>,
    /// Length of the measured window.
    pub window_ms: u64,
    pub stages: Vec<String>,
    /// Why the load ended: `done`, `interrupt`, or `crash` where the journal breaks off.
    pub stop: String,
    pub warmup: WarmupRecord,
    pub endpoints: Vec<EndpointRecord>,
    pub blocks: Vec<TimelineBlock>,
    pub generator: GeneratorRecord,
    /// The rule that ended the load early.
    #[serde(default)]
    pub abort: Option<AbortRecord>,
    /// The evidence that ended a side-by-side run before its next look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stop: Option<EarlyStop>,
    /// What probes read, in the order of time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readings: Vec<Reading>,
    /// Of a side-by-side run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<AnsweredBy>,
}

/// What an `abort_when` rule saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AbortRecord {
    pub endpoint: String,
    pub metric: Metric,
    /// Milliseconds or a fraction.
    pub above: f64,
    pub observed: f64,
    /// Within the rule's window.
    pub requests: u64,
    pub errors: u64,
    pub window_ms: u64,
    /// Since the load began.
    pub at_ms: u64,
}

/// Shown, never judged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WarmupRecord {
    pub length_ms: u64,
    pub requests: u64,
    pub errors: u64,
    pub p50_ms: Option<f64>,
    /// Of its first two seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_p50_ms: Option<f64>,
    /// Why the load never settled, if it did not.
    pub unsteady: Option<String>,
    /// Whether steadiness was looked at: not where the length is fixed or samples were few. Earlier records do not say.
    #[serde(default)]
    pub examined: Option<bool>,
    /// What the medians are of, where they are to be those of all shards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Histogram>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Histogram>,
}

impl WarmupRecord {
    /// Whether it is known that the load had settled.
    #[must_use]
    pub fn settled(&self) -> bool {
        self.unsteady.is_none() && self.examined != Some(false)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EndpointRecord {
    pub endpoint: String,
    pub requests: u64,
    pub errors: BTreeMap<ErrorClass, u64>,
    pub cut: u64,
    pub censored: u64,
    pub skipped: u64,
    pub rate_offered: f64,
    pub rate_achieved: f64,
    pub response: Histogram,
    pub service: Histogram,
    pub error: Histogram,
    /// Of an endpoint that starts an iteration; with few samples a lower quantile stands in.
    pub lag_p99_us: Option<f64>,
    #[serde(default)]
    pub phases: PhaseHistograms,
    /// The slowest requests, where they carried a trace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slowest: Vec<SlowRequest>,
}

impl EndpointRecord {
    /// One endpoint over several looks: counts, times and errors added; its rate is the mean.
    #[must_use]
    pub fn of_looks(looks: &[&Self]) -> Self {
        let mut all = Self::default();
        for look in looks {
            all.requests += look.requests;
            all.cut += look.cut;
            all.skipped += look.skipped;
            for (class, count) in &look.errors {
                *all.errors.entry(*class).or_default() += count;
            }
            all.response.merge(&look.response);
            all.service.merge(&look.service);
            all.phases.merge(&look.phases);
            all.slowest.extend(look.slowest.iter().cloned());
            all.rate_achieved += look.rate_achieved / looks.len() as f64;
        }
        SlowRequest::keep(&mut all.slowest);
        all
    }

    #[must_use]
    pub fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }

    #[must_use]
    pub fn error_rate(&self) -> Option<f64> {
        (self.requests > 0).then(|| self.error_count() as f64 / self.requests as f64)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TimelineBlock {
    /// Since the measured window began.
    pub start_ms: u64,
    pub len_ms: u64,
    /// Index into the look's endpoints.
    pub endpoint: usize,
    pub planned: u64,
    pub done: u64,
    pub errors: u64,
    /// The errors by class, where there are any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub classes: BTreeMap<ErrorClass, u64>,
    pub histogram: Histogram,
}

/// A failed request, scrubbed and cut.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorExample {
    pub endpoint: String,
    pub class: ErrorClass,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Box<Evidence>>,
}

impl ErrorExample {
    /// So many of a class are kept.
    pub const A_CLASS: usize = 20;

    /// The first ones of each class.
    #[must_use]
    pub fn limited(mut examples: Vec<Self>) -> Vec<Self> {
        let mut kept = BTreeMap::<_, usize>::new();
        examples.retain(|example| {
            let count = kept.entry(example.class).or_default();
            *count += 1;
            *count <= Self::A_CLASS
        });
        examples
    }
}
