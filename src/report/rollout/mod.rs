//! A rollout in words: the line of each thing that happens, where it stands, what is to be done, and its part of the document
//! that people sign.

mod course;
mod ending;
mod status;
mod words;

pub use course::{Course, course};
pub use ending::{render_rollout_ending, render_rollout_plan};
pub use status::{render_rollout, render_rollout_json};
pub use words::{rollout_line, rollout_summary};

use std::path::Path;

use crate::rollout::{Entry, State};

/// What is known of a rollout.
pub struct RolloutView<'a> {
    pub state: &'a State,
    pub entries: &'a [Entry],
    /// Whether some process goes on with it now.
    pub controlled: bool,
    pub plan: &'a Path,
}
