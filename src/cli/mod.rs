//! Flags become requests; errors become exit codes.

mod args;
mod baseline_args;
mod canary;
mod canary_args;
mod project;
mod resolve;
mod rollout;
mod rollout_args;
mod serve;
mod session;
mod shard;
mod stored_args;
mod telemetry;

use clap::Parser as _;

use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::report::inert;

/// The whole program: parses, dispatches, and returns the exit code. The one place where an error becomes a code.
#[must_use]
pub fn run() -> u8 {
    let args = args::Args::parse();
    match std::panic::catch_unwind(|| resolve::dispatch(args)) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            eprintln!("{}", inert(&message(&error)));
            if error.is_input() { ExitCode::Usage.code() } else { ExitCode::Harness.code() }
        }
        Err(_) => ExitCode::Harness.code(),
    }
}

/// Diagnostics bring their own `error:`.
fn message(error: &Error) -> String {
    match error {
        Error::Invalid(_) => error.to_string(),
        _ => format!("error: {error}"),
    }
}
