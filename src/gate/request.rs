use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::arm::BesideRequest;
use super::progress::Progress;
use super::target::TargetSpec;
use super::watch::{Watch, WatchedStep};
use crate::engine::Slice;
use crate::metrics::{JudgementPlan, RunRecord, ShardRecord, SmokeRecord, SmokeStep};
use crate::scenario::{Scenario, Watching, Webhook};
use crate::secrets::Secrets;
#[cfg(feature = "telemetry")]
use crate::telemetry::TelemetryOptions;
use crate::transport::{Kind, TransportOptions};
use crate::units::Rate;
use crate::verdict::{Allow, Reference, Verdict};

/// One whole run.
pub struct GateRequest {
    pub scenarios: Vec<Scenario>,
    pub secrets: Secrets,
    pub watching: Watching,
    pub target: TargetSpec,
    /// The arm beside which it is judged, if it is.
    pub beside: Option<BesideRequest>,
    /// The run's folder; must not hold another run.
    pub out: PathBuf,
    pub env: String,
    /// Of this run; sorts by time.
    pub id: String,
    /// What people call it.
    pub label: Option<String>,
    /// What is judged, where a project names it.
    pub service: Option<String>,
    /// No further look is begun that would end after it.
    pub budget: Option<Duration>,
    /// Stands for the target's instance where nothing else tells it.
    pub invocation: String,
    pub references: Vec<Reference>,
    /// Why these may not be the newest.
    pub stale_baselines: Option<String>,
    pub plan: JudgementPlan,
    pub restart_hook: Option<String>,
    /// Before the first look too.
    pub restart_first: bool,
    /// How long the target may take to become ready; not asked where `None`.
    pub wait: Option<Duration>,
    pub allow: Allow,
    /// Functional checks before, or instead of, the load.
    pub smoke: bool,
    pub load: bool,
    /// Smoke passes for a while instead of one.
    pub watch: Option<Watch>,
    /// Functional passes of all arms beside the load too, so often: what fails in two of three in a row ends it.
    pub passes_every: Option<Duration>,
    pub transport: TransportOptions,
    /// All features together send no more than this to another machine.
    pub max_rate: Option<Rate>,
    /// One transport for everything; else reqwest for smoke and readiness, `wire` for the load.
    pub kind: Option<Kind>,
    /// Of the load, if not all of it.
    pub shard: Option<ShardRecord>,
    /// Whether each request of the load carries a `traceparent` of its own.
    pub traced: bool,
    /// When the first load begins, if not at once.
    pub start_at: Option<Timestamp>,
    /// Who is told figures while it runs.
    #[cfg(feature = "telemetry")]
    pub telemetry: TelemetryOptions,
}

impl GateRequest {
    pub fn slice(&self) -> Slice {
        Slice::of_shard(self.shard)
    }
}

/// What a caller may want to show while it runs.
pub enum GateEvent<'a> {
    /// For whom, where there are two arms.
    Waiting {
        arm: Option<&'static str>,
    },
    /// On which arm, where there are two.
    SmokeStarted {
        arm: Option<&'static str>,
    },
    WatchStarted(Watch),
    SmokeDone(&'a SmokeRecord),
    /// Two more passes, since one failed on one of the arms.
    SmokeAgain {
        arm: &'static str,
    },
    /// In a later pass of a watch a step went otherwise than in the one before.
    WatchChanged {
        at: Duration,
        step: &'a SmokeStep,
    },
    /// Beside the load of a soak a step went otherwise than in the pass before.
    SoakChanged {
        arm: &'static str,
        at: Duration,
        step: &'a SmokeStep,
    },
    WatchDone {
        passes: u64,
        length: Duration,
        steps: &'a [WatchedStep],
    },
    LookStarted {
        look: u32,
        /// Of how many segments, side by side.
        of: Option<usize>,
    },
    Progress(&'a Progress),
    /// A probe that cannot be read yet.
    ProbeDoubt(&'a str),
    /// Figures that could not be told to who collects them.
    TelemetryDoubt(&'a str),
    /// Everything is ready, and waits for the instant that was given.
    StartAwaited(Timestamp),
    /// What is asked of the whole window is asked now.
    ProbesAwaited,
    /// One after which nothing is decided.
    SegmentDone,
    LookDone {
        look: u32,
        verdict: &'a Verdict,
        again: bool,
    },
}

pub struct GateResult {
    pub record: RunRecord,
    pub verdict: Verdict,
    /// What it was compared with.
    pub references: Vec<Reference>,
    /// Who is to be told, and what must not be.
    pub webhooks: Vec<Webhook>,
    pub secrets: Secrets,
}
