//! What happens within, line by line on standard error, for whoever asks with `--log`: without secrets.

use std::io::Write as _;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::secrets::known;

/// How much is told; each level has those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    #[default]
    Off,
    /// What is done, step by step.
    Info,
    /// Each request of a functional pass, each failure under load, connections, files, commands.
    Debug,
    /// What is sent and what comes back, headers and bodies; each request under load.
    Trace,
}

static LEVEL: AtomicU8 = AtomicU8::new(Level::Off as u8);

pub fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// Whether `level` is told at all; cheap enough to be asked for each request.
#[must_use]
pub fn tells(level: Level) -> bool {
    LEVEL.load(Ordering::Relaxed) >= level as u8
}

/// One entry, made only where it is told.
pub fn log(level: Level, room: &str, text: impl FnOnce() -> String) {
    if !tells(level) {
        return;
    }
    let now = jiff::Timestamp::now().strftime("%H:%M:%S%.3f");
    let name = match level {
        Level::Off => return,
        Level::Info => "INFO ",
        Level::Debug => "DEBUG",
        Level::Trace => "TRACE",
    };
    let line = format!("{now} {name} {room}: {}\n", harmless(&known().scrub(&text())));
    // A reader that has gone away is no reason to stop.
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

/// What others wrote moves no cursor, and every further line stands apart.
fn harmless(text: &str) -> String {
    // `##[` begins a command of GitHub Actions wherever it stands.
    let text = text.replace("##[", "## [");
    let mut out = String::with_capacity(text.len());
    for c in text.trim_end().chars() {
        match c {
            '\n' => out.push_str("\n    | "),
            '\t' => out.push('\t'),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_others_stand_apart_and_move_no_cursor() {
        assert_eq!(harmless("a\nb\u{1b}[2J\r\n"), "a\n    | b\\u{1b}[2J");
    }

    #[test]
    fn levels_have_those_before_them() {
        assert!(Level::Off < Level::Info && Level::Debug < Level::Trace && !tells(Level::Info));
    }
}
