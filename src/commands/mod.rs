//! One file a use case. Commands print; what they print is rendered in `report`.

mod act;
mod baseline;
mod canary;
mod compare;
mod demo;
mod init;
mod notify;
mod refresh;
mod report;
mod rollout;
mod rollout_hands;
mod run;
mod schema;
mod session;
mod signals;
mod steer;
mod supervise;
mod validate;
mod watch;

pub use act::act;
pub use baseline::{PruneRequest, RecordRequest, SetRequest, VerifyRequest, prune, record, show, verify};
pub use canary::{ArmRequest, CanaryRequest, canary};
pub use compare::{CompareRequest, compare};
pub use demo::{DemoRequest, demo};
pub use init::{InitRequest, init};
pub use notify::{Notify, NotifyRequest, notify};
pub use refresh::{RefreshRequest, refresh};
pub use report::{ReportFormat, ReportRequest, report};
pub use rollout::{RolloutRequest, RolloutRunRequest, StatusFormat, rollout, rollout_status};
pub use run::{QuickRequest, RunKind, quick, run};
pub use schema::{SchemaOf, schema};
pub use session::{Gate, Session, Stdout};
pub use steer::{SteerRequest, steer};
pub use supervise::supervise;
pub use validate::{ValidateRequest, validate};
pub use watch::{WatchRequest, watch};
