use super::signals::block_on;
use crate::error::Result;
use crate::gate;

/// Holds a command of `canary` until standard input closes: returns the command's exit code.
///
/// # Errors
/// If it cannot be run.
pub fn supervise(command: &str) -> Result<u8> {
    block_on(async {
        let code = gate::supervise(command).await?;
        // A thread still reads standard input, and a runtime that is let go of would wait for it.
        std::process::exit(code.into())
    })
}
