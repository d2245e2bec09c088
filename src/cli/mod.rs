//! Flags become requests; errors become exit codes.

mod args;
mod baseline_args;
mod canary;
mod canary_args;
mod manual;
mod project;
mod quick_args;
mod resolve;
mod rollout;
mod rollout_args;
mod serve;
mod session;
mod shard;
mod stored_args;
mod telemetry;

use crate::commands::{self, complain};
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::logging::{Level, log};
use crate::secrets::known;

/// The whole program: parses, dispatches, and returns the exit code. The one place where an error becomes a code.
#[must_use]
pub fn run() -> u8 {
    crate::machine::outlive_file_size_limit();
    std::panic::set_hook(Box::new(|info| complain(&fault(info))));
    let work = || own_child().unwrap_or_else(|| resolve::dispatch(manual::parsed()));
    let code = match std::panic::catch_unwind(work) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            complain(&known().scrub(&message(&error)));
            if error.is_input() { ExitCode::Usage.code() } else { ExitCode::Harness.code() }
        }
        Err(_) => ExitCode::Harness.code(),
    };
    log(Level::Info, "loadgate", || format!("exit code {code}"));
    code
}

/// What loadgate starts of itself, which is nobody else's to call: no part of the help, the manual, or what completes.
fn own_child() -> Option<crate::error::Result<u8>> {
    let words: Vec<std::ffi::OsString> = std::env::args_os().skip(1).collect();
    match words.as_slice() {
        [name, command] if name == "supervise" => Some(commands::supervise(&command.to_string_lossy())),
        [name, folder, act] if name == "act" => {
            Some(commands::act(std::path::Path::new(folder), &act.to_string_lossy()))
        }
        _ => None,
    }
}

/// What a panic says may be about anything, secrets included.
fn fault(info: &std::panic::PanicHookInfo<'_>) -> String {
    let at = info.location().map(|at| format!(" ({}:{})", at.file(), at.line())).unwrap_or_default();
    let payload = info.payload();
    let said = payload.downcast_ref::<&str>().copied();
    let said = said.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let said = said.unwrap_or("it did not say why");
    let trace = std::backtrace::Backtrace::capture();
    let trace = match trace.status() {
        std::backtrace::BacktraceStatus::Captured => format!("\n{trace}"),
        _ => "\n  hint: RUST_BACKTRACE=1 shows where it came from; please report it with that".to_owned(),
    };
    known().scrub(&format!("error: loadgate failed by a fault of its own{at}: {said}{trace}"))
}

/// Diagnostics bring their own `error:`.
fn message(error: &Error) -> String {
    match error {
        Error::Invalid(_) => error.to_string(),
        _ => format!("error: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::secrets::Secrets;

    #[test]
    fn a_panic_tells_no_secret() {
        static SAID: Mutex<String> = Mutex::new(String::new());
        let _secrets = Secrets::new(vec![("T".into(), "pan1c-s3cret".into())]);
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(|info| *SAID.lock().unwrap() = fault(info)));
        let went = std::panic::catch_unwind(|| panic!("cannot use {}", String::from("pan1c-s3cret")));
        std::panic::set_hook(before);
        let said = SAID.lock().unwrap();
        assert!(went.is_err() && said.contains("cannot use $T") && !said.contains("pan1c"), "{said}");
    }
}
