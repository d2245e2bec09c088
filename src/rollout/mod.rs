//! A deployment phase by phase: shift, soak, load, decision; resumable, steerable from another terminal.
//!
//! `state` is a pure fold over the journal, and says what comes next; `controller` does it; `act` runs a command of theirs at
//! most once, whatever becomes of the controller; `folder` is where all of it is kept.

mod act;
mod arm;
mod controller;
mod event;
mod folder;
#[cfg(test)]
mod nights;
mod plan;
mod read;
mod state;

pub use act::{Act, ActStanding, own_program};
pub use arm::read_arm;
pub use controller::{Ask, Controller, Hands, Left, ROLLBACK_AVAILABLE, between, request, since};
pub use event::{ActEnd, ActKind, Begun, Entry, Event, Judged, Part, Request, RequestKind, Shape};
pub use folder::{Place, Rollout};
pub use plan::{Against, ArmPlan, CommandLine, Load, OnHold, Phase, Plan, Rollback, Soak};
pub use read::{PLAN_SCHEMA, checked_name, read_plan, read_plan_as};
pub use state::{Decision, Ending, Held, Hold, State, Step, Work};
