//! The embedded target: five features of a property-management platform over HTTP, with faults on demand.
//! It stands in for a deployment in examples and tests, and shares no code with the load engine.

mod export;
mod faults;
mod figures;
mod live;
mod routes;
mod server;

pub use faults::{Broken, FEATURES, Fault};
pub use server::{DemoOptions, serve};
