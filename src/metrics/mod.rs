//! What is measured and how it is kept: samples become blocks, blocks become a run record.
//! Counts and histograms merge without loss, in any order.

mod block;
mod histogram;
mod recorder;
mod run_record;
mod sample;

pub use block::{Block, BlockGrid};
pub use histogram::Histogram;
pub use recorder::Recorder;
pub use run_record::{
    EndpointPlan, EndpointRecord, Environment, ErrorExample, GeneratorRecord, JudgementPlan, LookRecord,
    RECORD_FORMAT, Repeat, RunRecord, ScenarioRecord, SmokeRecord, SmokeStatus, SmokeStep, TimelineBlock,
    WarmupRecord,
};
pub use sample::{Outcome, Sample};
