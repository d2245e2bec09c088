//! One file a use case. Commands print; what they print is rendered in `report`.

mod baseline;
mod compare;
mod demo;
mod run;
mod session;
mod signals;
mod validate;

pub use baseline::{RecordRequest, ShowRequest, record, show};
pub use compare::{CompareRequest, ReportFormat, ReportRequest, compare, report};
pub use demo::{DemoRequest, demo};
pub use run::{QuickRequest, RunKind, quick, run};
pub use session::{Gate, Session};
pub use validate::{ValidateRequest, validate};
