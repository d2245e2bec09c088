//! Files that are whole or not there: atomic writes, a journal that survives `kill -9`, a ledger that survives the machine,
//! locks that do not survive who holds them, and shelves that several machines share.

mod atomic;
#[cfg(feature = "object-store")]
mod faults;
mod journal;
mod ledger;
mod lock;
#[cfg(feature = "object-store")]
mod objects;
mod plausible;
mod shelf;

pub use atomic::{read_json, write_atomic, write_private};
pub use journal::{Journal, read_journal};
pub use ledger::Ledger;
pub use lock::Lock;
pub use plausible::Plausible;
pub use shelf::{Shelf, is_remote};
