//! Files that are whole or not there: atomic writes, a journal that survives `kill -9`, a ledger that survives the machine,
//! and locks that do not survive who holds them.

mod atomic;
mod journal;
mod ledger;
mod lock;

pub use atomic::write_atomic;
pub use journal::{Journal, read_journal};
pub use ledger::Ledger;
pub use lock::Lock;
