//! The pipeline: smoke, looks, judgement; with a journal, so that nothing measured is lost.

mod arm;
mod clock;
mod early;
#[cfg(feature = "telemetry")]
mod figures;
mod journal;
mod look;
mod permitted;
mod pipeline;
mod progress;
mod record;
mod request;
mod seal;
mod soak;
mod target;
mod watch;
mod watching;

pub use arm::BesideRequest;
pub use journal::{read_record, write_results};
pub use permitted::{Sends, permit, permit_scenarios};
pub use pipeline::run_gate;
pub use progress::{NearLimit, Progress};
pub use record::{run_id, scenario_records, scenario_records_of};
pub use request::{GateEvent, GateRequest, GateResult};
pub use seal::unbroken;
pub use target::{TargetSpec, supervise};
pub use watch::{Watch, WatchedStep};
