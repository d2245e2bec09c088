//! Figures that others measure, read beside the load by a thread of its own: whatever happens there, no request waits for it.

mod command;
mod json;
mod prober;
mod prometheus;
mod reading;

pub use prober::{Asked, Prober, examine};
pub use reading::{Figure, Problem, Taken, Whose};
