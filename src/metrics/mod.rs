//! What is measured and how it is kept: samples become blocks, blocks become a run record.
//! Counts and histograms merge without loss, in any order.

mod alert_record;
mod block;
mod generator;
mod histogram;
mod interchange;
mod interval_log;
mod look_builder;
mod merge;
mod phase;
mod probe_record;
mod recorder;
mod run_record;
mod sample;
mod shards;
mod side_by_side;
mod slow_request;

pub use alert_record::{AlertCondition, AlertRule, AlertSeverity, AlertVerdict};
pub use block::{Block, BlockGrid};
pub use generator::{Environment, GeneratorRecord};
pub use histogram::{BUCKETS, Histogram, bucket_ms, rank};
pub use interval_log::interval_log;
pub use look_builder::LookBuilder;
pub use merge::{Mismatch, merge_shards};
pub use phase::PhaseHistograms;
pub use probe_record::{ProbePlan, Reading};
pub use recorder::{EndpointOwn, Recorder};
pub use run_record::{
    AbortRecord, DEFAULT_INSTANCES, EndpointPlan, EndpointRecord, ErrorExample, Evidence, JudgementPlan,
    LookRecord, RECORD_FORMAT, RECORD_SCHEMA, Repeat, ResponseExcerpt, RunRecord, ScenarioRecord,
    SmokeRecord, SmokeStatus, SmokeStep, TimelineBlock, WarmupRecord,
};
pub use sample::{Outcome, Sample};
pub use shards::{
    ClockRecord, MOST_SHARDS, MergedRecord, SentRecord, ShardLook, ShardPart, ShardRecord, WholePlan,
};
pub use side_by_side::{AnsweredBy, ControlRecord, EarlyStop, Pairing, SEGMENTS, SideBySide};
pub use slow_request::SlowRequest;
