//! Files that are whole or not there: atomic writes, and a journal that survives `kill -9`.

mod atomic;
mod journal;

pub use atomic::write_atomic;
pub use journal::{Journal, read_journal};
