//! One file a use case. Commands print; what they print is rendered in `report`.

mod baseline;
mod compare;
mod demo;
mod refresh;
mod run;
mod session;
mod signals;
mod validate;

pub use baseline::{PruneRequest, RecordRequest, SetRequest, VerifyRequest, prune, record, show, verify};
pub use compare::{CompareRequest, ReportFormat, ReportRequest, compare, report};
pub use demo::{DemoRequest, demo};
pub use refresh::{RefreshRequest, refresh};
pub use run::{QuickRequest, RunKind, quick, run};
pub use session::{Gate, Session};
pub use validate::{ValidateRequest, validate};
