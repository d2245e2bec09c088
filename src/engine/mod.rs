//! Sends when it says, measures what the target did, and knows how it fared itself. Never prints, never judges.

mod arrival;
mod closed_model;
mod event;
mod health;
mod iteration;
mod layout;
mod load;
mod local;
mod open_model;
mod pacer;
mod recent;
mod smoke;
mod stop;
mod warmup;
mod window;
mod worker;

pub use arrival::Slice;
pub use event::Event;
pub use layout::{EndpointSpec, Layout};
pub use load::{LoadOutcome, LoadRequest, run_load};
pub use smoke::run_smoke;
pub use stop::{Interrupt, StopCause};
