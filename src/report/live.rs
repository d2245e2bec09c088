use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::paint::Paint;
use super::smoke::{render_smoke, render_step};
use super::watch::{clock, render_watch};
use crate::gate::{GateEvent, Progress};
use crate::units::format_ms;

const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// What is shown on standard error while a run goes on: one moving line in a terminal, a line now and then elsewhere.
pub struct Live {
    quiet: bool,
    paint: Paint,
    bar: Option<ProgressBar>,
    next_plain: Instant,
    look: u32,
    /// Failures of a watch that were shown.
    told: std::collections::HashSet<String>,
}

impl Live {
    #[must_use]
    pub fn new(quiet: bool, paint: Paint) -> Self {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(
                ProgressStyle::with_template("{spinner} {wide_msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            bar
        });
        Self {
            quiet,
            paint,
            bar,
            next_plain: Instant::now(),
            look: 0,
            told: std::collections::HashSet::default(),
        }
    }

    pub fn show(&mut self, event: &GateEvent<'_>) {
        if self.quiet {
            return;
        }
        match event {
            GateEvent::Waiting => self.line("waiting for the target"),
            GateEvent::SmokeStarted => self.line("smoke: one pass over every step"),
            GateEvent::SmokeDone(smoke) => self.line(render_smoke(smoke, self.paint).trim_end()),
            GateEvent::WatchStarted(watch) => {
                let (length, every) = (watch.length, watch.every.as_secs_f64());
                self.line(&format!(
                    "smoke: a pass every {every} s for {}; after the first, only what changes",
                    clock(length)
                ));
            }
            GateEvent::WatchChanged { at, step } => {
                // What was shown whole once is not shown whole again.
                let message = step.message.clone().unwrap_or_default();
                let known = !message.is_empty() && !self.told.insert(format!("{} {message}", step.endpoint));
                let text = render_step(step, self.paint);
                let text = if known { text.lines().take(2).collect::<Vec<_>>().join("\n") } else { text };
                self.line(&format!("{}  {}", clock(*at), text.trim_end()));
            }
            GateEvent::WatchDone { passes, length, steps } => {
                self.line(render_watch(*passes, *length, steps).trim_end());
            }
            GateEvent::LookStarted { look } => {
                self.look = *look;
                self.next_plain = Instant::now();
                self.line(&format!("look {look}: load"));
            }
            GateEvent::Progress(progress) => self.progress(progress),
            GateEvent::LookDone { look, verdict, again } => {
                let next = if *again { "; looking again" } else { "" };
                self.line(&format!("look {look} done: {}{next}", verdict.summary.trim_end_matches('.')));
                if let Some(bar) = &self.bar {
                    bar.set_message("");
                }
            }
        }
    }

    /// Takes the moving line away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => plain(text),
        }
    }

    fn progress(&mut self, progress: &Progress) {
        let text = progress_text(self.look, progress);
        if let Some(bar) = &self.bar {
            bar.set_message(text);
            bar.tick();
        } else if Instant::now() >= self.next_plain {
            self.next_plain = Instant::now() + PLAIN_EVERY;
            plain(&text);
        }
    }
}

/// A reader of standard error that has gone away is no reason to stop measuring.
fn plain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn progress_text(look: u32, progress: &Progress) -> String {
    let phase = if progress.warming_up { "warming up" } else { "measuring" };
    let left = progress.remaining_ms.map(|ms| format!(", {:.0} s left", ms as f64 / 1e3)).unwrap_or_default();
    let p95 = progress.p95_ms.map(|ms| format!(", p95 {}", format_ms(ms))).unwrap_or_default();
    format!(
        "look {look}: {phase}, {:.0} s{left}, {} requests, {} errors{p95}, {} in flight",
        progress.elapsed_ms as f64 / 1e3,
        progress.requests,
        progress.errors,
        progress.in_flight
    )
}
