//! Sends when it says, measures what the target did, and knows how it fared itself. Never prints, never judges.

mod arms;
mod arrival;
mod build;
mod closed_model;
mod event;
mod evidence;
mod examine;
mod functional;
mod health;
mod iteration;
mod layout;
mod load;
mod local;
mod notes;
mod open_model;
mod pacer;
mod recent;
mod redirect;
mod sampling;
mod session;
mod stop;
mod streaming;
mod token;
mod values;
mod warmup;
mod window;
mod worker;

pub use arms::{ArmTarget, CANDIDATE, CONTROL};
pub use arrival::Slice;
pub use event::Event;
pub use functional::{Bracket, Functional, run_part, run_smoke};
pub use layout::{EndpointSpec, Layout};
pub use load::{ArmOutcome, LoadOutcome, LoadRequest, READY_WITHIN, run_load};
pub use stop::{Interrupt, StopCause};
pub use token::Tokens;
pub use values::Captured;
