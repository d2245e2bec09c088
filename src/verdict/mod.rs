//! From a run record and references to an outcome. Pure: no I/O, no clock, the same inputs give the same bytes.

mod alerts;
mod arms;
mod calibration;
mod combined;
mod contrast;
mod creep;
mod endpoint;
mod errors;
mod feasibility;
mod impact;
mod judge;
#[cfg(test)]
mod known_answers;
mod limits;
mod model;
mod outliers;
mod outlook;
mod power;
mod probe_series;
mod probe_summary;
mod probes;
mod provenance;
mod quantiles;
mod reference;
mod regression;
mod resources;
mod rules;
mod sequential;
mod shards;
mod side_by_side;
mod statistics;
mod stored;
mod summary;
mod transients;
mod users;
mod validity;

pub use alerts::FiredAlert;
pub use calibration::{ASSUMED_SIGMA_DEP, Spread, sigma_dep, spreads};
pub use combined::{Combined, One, WORST, combine};
pub use feasibility::{never_judged, never_seen, without_unjudged};
pub use impact::{Acceptance, DEFAULT_IMPACT, Impact, ImpactMetric, acceptance, impact};
pub use judge::{Allow, Judgement, judge, sort_findings};
pub use model::{
    Action, Cause, Comparison, Contrast, EndpointSummary, Finding, FindingKind, GeneratorSummary, Outcome,
    PhaseSummary, Settled, Severity, VERDICT_FORMAT, VERDICT_SCHEMA, Verdict,
};
pub use outlook::{Outlook, outlook, reference_level};
pub use probe_summary::{ProbeStanding, ProbeSummary, probe_means, told_figure};
pub use quantiles::{
    LEAST_BLOCKS, LEAST_TAIL_COMPARED, LEAST_TAIL_LIMIT, QuantileEstimate, estimates, missing_requests,
    seconds_for,
};
pub use reference::{Anchor, AnchorLevel, Reference, ReferenceRun, instance_key};
pub use resources::{ResourceImpact, resource_impacts};
pub use rules::{RuleKind, RuleResult, RuleStatus, Standing, doubt, rule_results, standing};
pub use sequential::{Piece, Sequential};
pub use shards::unsound;
pub use side_by_side::decides_after;
pub use stored::MOST_LOOKS;
pub use summary::interruption;
pub use transients::{Disturbed, Transient, transients};
