//! From a run record and references to an outcome. Pure: no I/O, no clock, the same inputs give the same bytes.

mod endpoint;
mod errors;
mod judge;
mod limits;
mod model;
mod quantiles;
mod reference;
mod statistics;
mod stored;
mod summary;
mod validity;

pub use judge::{Allow, Judgement, judge};
pub use model::{
    Action, Cause, Comparison, EndpointSummary, Finding, FindingKind, GeneratorSummary, Outcome,
    PhaseSummary, Settled, Severity, VERDICT_FORMAT, Verdict,
};
pub use quantiles::{
    LEAST_BLOCKS, LEAST_TAIL_COMPARED, LEAST_TAIL_LIMIT, QuantileEstimate, estimate, missing_requests,
    seconds_for,
};
pub use reference::{Reference, ReferenceRun};
