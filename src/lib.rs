//! loadgate decides whether a deployment may be promoted: it sends load, measures what the target did, compares that
//! with limits and stored baselines, and answers by exit code.
//!
//! The way from a file to an exit code, each room importing only from rows below its own:
//!
//! ```text
//! cli        flags become requests
//! commands   one file a use case; the only place that prints
//! report     pure rendering of what was decided
//! project    services, environments, profiles    serve   gates that are asked for over HTTP
//! rollout    phase by phase: shift, soak, load, decision
//! gate       smoke, looks, judgement
//! baseline   accepted runs as references    notify    who is told what a run came to    import   what others recorded    telemetry   figures while it runs
//! engine     schedules, sends, records      verdict   statistics and rules, pure      probes   figures read beside it
//! scenario   YAML to a plan                 store     atomic files, journals          remote   a client for all else
//! metrics    samples to records   transport one exchange   checks   assertions   demo   the embedded target
//! logging
//! secrets, credentials
//! units, exit_code, error, error_class, digest, machine, random, phases
//! ```

pub mod baseline;
pub mod checks;
pub mod cli;
pub mod commands;
pub mod credentials;
pub mod demo;
pub mod digest;
pub mod engine;
pub mod error;
pub mod error_class;
pub mod exit_code;
pub mod gate;
pub mod import;
pub mod logging;
pub mod machine;
pub mod metrics;
pub mod notify;
pub mod phases;
pub mod probes;
pub mod project;
pub mod random;
pub mod remote;
pub mod report;
pub mod rollout;
pub mod scenario;
pub mod secrets;
pub mod serve;
pub mod store;
#[cfg(feature = "telemetry")]
pub mod telemetry;
pub mod transport;
pub mod units;
pub mod verdict;
