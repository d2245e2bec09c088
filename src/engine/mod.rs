//! Sends when it says, measures what the target did, and knows how it fared itself. Never prints, never judges.

mod arrival;
mod event;
mod health;
mod iteration;
mod open_model;
mod pacer;
mod smoke;
mod stop;
mod warmup;
mod worker;

pub use event::Event;
pub use open_model::{LoadOutcome, LoadRequest, run_load};
pub use smoke::run_smoke;
pub use stop::{Interrupt, StopCause};
