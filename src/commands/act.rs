use std::path::Path;

use super::signals::block_on;
use crate::error::Result;
use crate::rollout::Act;

/// Runs a command of a rollout, once.
///
/// # Errors
/// If its files cannot be read or written.
pub fn act(folder: &Path, name: &str) -> Result<u8> {
    block_on(Act::new(folder, name).run()).map(|()| 0)
}
