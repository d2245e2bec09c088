//! Gates that a controller asks for over HTTP: begun by the first question for a key, one after the other, and answered from
//! files, so that answers outlive the process.
//!
//! `ask` is what a question says, and the command that it becomes; `gates` begins, waits and reads what they came to; `answer`
//! is HTTP.

mod answer;
mod ask;
mod gates;

pub use answer::{Serving, bind, serve};
pub use ask::{Template, checked_key};
pub use gates::{Gates, News, Standing, State};
