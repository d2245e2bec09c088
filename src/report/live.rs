use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::inert::line;
use super::paint::Paint;
use super::progress::{told_errors, told_latencies, told_near, told_phase, told_plain, told_rate};
use super::smoke::{render_smoke, render_step};
use super::watch::{clock, render_watch};
use crate::gate::{GateEvent, Progress};
use crate::logging::{Level, tells};

const PLAIN_EVERY: Duration = Duration::from_secs(10);
/// The first line waits for the first answers, but no longer than this.
const LATE_MS: u64 = 5_000;

/// What is shown on standard error while a run goes on: moving lines in a terminal, a line now and then elsewhere.
pub struct Live {
    quiet: bool,
    paint: Paint,
    moving: Option<Moving>,
    next_plain: Instant,
    /// `look 2`, or `segment 2 of 4`.
    look: String,
    /// Failures of a watch that were shown.
    told: std::collections::HashSet<String>,
}

/// The phase with its bar, and below it rate, response times, errors, limits.
struct Moving {
    all: MultiProgress,
    bar: ProgressBar,
    lines: [ProgressBar; 4],
}

impl Moving {
    fn new() -> Self {
        let all = MultiProgress::new();
        let line = |template: &str| {
            let style = ProgressStyle::with_template(template);
            let bar = ProgressBar::new(1000);
            all.add(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
        };
        let bar = line("{spinner} [{bar:24}] {wide_msg}");
        let lines = ["rate    ", "response", "errors  ", "limits  "]
            .map(|name| line(&format!("  {name} {{wide_msg}}")));
        Self { all, bar, lines }
    }

    fn show(&self, look: &str, progress: &Progress) {
        let whole_ms = progress.remaining_ms.map_or(0, |left| left + progress.elapsed_ms);
        self.bar.set_length(whole_ms.max(1));
        self.bar.set_position(if whole_ms == 0 { 0 } else { progress.elapsed_ms });
        self.bar.set_message(told_phase(look, progress));
        let near = told_near(&progress.near).unwrap_or_else(|| "none near".to_owned());
        let texts = [told_rate(progress), told_latencies(progress), told_errors(progress), near];
        for (line, text) in self.lines.iter().zip(texts) {
            line.set_message(text);
            line.tick();
        }
        self.bar.tick();
    }

    fn rest(&self) {
        self.bar.set_position(0);
        for line in self.lines.iter().chain([&self.bar]) {
            line.set_message("");
        }
    }
}

impl Live {
    #[must_use]
    pub fn new(quiet: bool, paint: Paint) -> Self {
        // Between the lines of a log moving ones would be torn apart.
        let moving = !quiet && !tells(Level::Info) && std::io::stderr().is_terminal();
        let moving = moving.then(Moving::new);
        Self {
            quiet,
            paint,
            moving,
            next_plain: Instant::now(),
            look: String::new(),
            told: std::collections::HashSet::default(),
        }
    }

    pub fn show(&mut self, event: &GateEvent<'_>) {
        if self.quiet {
            return;
        }
        match event {
            GateEvent::SmokeDone(smoke) => self.line(render_smoke(smoke, self.paint).trim_end()),
            GateEvent::WatchChanged { at, step } => {
                // What was shown whole once is not shown whole again.
                let message = step.message.clone().unwrap_or_default();
                let known = !message.is_empty() && !self.told.insert(format!("{} {message}", step.endpoint));
                let text = render_step(step, self.paint);
                let text = if known { text.lines().take(2).collect::<Vec<_>>().join("\n") } else { text };
                self.line(&format!("{}  {}", clock(*at), text.trim_end()));
            }
            GateEvent::SoakChanged { arm, at, step } => {
                let text = render_step(step, self.paint);
                let text = text.lines().take(2).collect::<Vec<_>>().join("\n");
                self.line(&format!("{} {arm}  {}", clock(*at), text.trim_end()));
            }
            GateEvent::WatchDone { passes, length, steps } => {
                self.line(render_watch(*passes, *length, steps).trim_end());
            }
            GateEvent::LookStarted { look, of } => {
                self.next_plain = Instant::now();
                self.look = told_look(*look, *of);
                self.tell(event);
            }
            GateEvent::Progress(progress) => self.progress(progress),
            GateEvent::SegmentDone => self.line(&format!("{} done: no look here", self.look)),
            GateEvent::LookDone { verdict, again, .. } => {
                // The last look's verdict is the run's own, which follows.
                let summary = line(verdict.summary.trim_end_matches('.'));
                let side = self.look.starts_with("segment");
                let told = if *again && side {
                    ": not settled yet".to_owned()
                } else if *again {
                    format!(": {summary}; looking again")
                } else {
                    String::new()
                };
                self.line(&format!("{} done{told}", self.look));
                if let Some(moving) = &self.moving {
                    moving.rest();
                }
            }
            _ => self.tell(event),
        }
    }

    fn tell(&self, event: &GateEvent<'_>) {
        if let Some(text) = told_event(event) {
            self.line(&text);
        }
    }

    /// Takes the moving lines away.
    pub fn finish(&self) {
        if let Some(moving) = &self.moving {
            // A terminal that has gone away is no reason to fail.
            let _ = moving.all.clear();
        }
    }

    fn line(&self, text: &str) {
        match &self.moving {
            Some(moving) => drop(moving.all.println(text)),
            None => plain(text),
        }
    }

    fn progress(&mut self, progress: &Progress) {
        if let Some(moving) = &self.moving {
            moving.show(&self.look, progress);
        } else if Instant::now() >= self.next_plain && (progress.answered() || progress.elapsed_ms >= LATE_MS)
        {
            self.next_plain = Instant::now() + PLAIN_EVERY;
            plain(&told_plain(&self.look, progress));
        }
    }
}

fn told_look(look: u32, of: Option<usize>) -> String {
    of.map_or_else(|| format!("look {look}"), |of| format!("segment {look} of {of}"))
}

/// An event of which one line says all, for the log as for a person.
#[must_use]
pub fn told_event(event: &GateEvent<'_>) -> Option<String> {
    Some(match event {
        GateEvent::Waiting { arm } => format!("waiting for the {}", arm.unwrap_or("target")),
        GateEvent::SmokeStarted { arm } => {
            let of = arm.map(|arm| format!(" of the {arm}")).unwrap_or_default();
            format!("smoke{of}: one pass over every step")
        }
        GateEvent::SmokeAgain { arm } => {
            format!("smoke of the {arm}: two more passes, to tell an accident from a fault")
        }
        GateEvent::WatchStarted(watch) => {
            let (length, every) = (watch.length, watch.every.as_secs_f64());
            format!("smoke: a pass every {every} s for {}; after the first, only what changes", clock(length))
        }
        GateEvent::LookStarted { look, of } => {
            let arms = if of.is_some() { " on both arms; figures are the candidate's" } else { "" };
            format!("{}: load{arms}", told_look(*look, *of))
        }
        GateEvent::StartAwaited(at) => format!("ready; the load begins at {at}"),
        GateEvent::ProbeDoubt(text) => format!("probe {}", line(text)),
        GateEvent::TelemetryDoubt(text) => format!("telemetry: {}", line(text)),
        GateEvent::ProbesAwaited => "reading what probes tell of the measured window".to_owned(),
        _ => return None,
    })
}

/// A reader of standard error that has gone away is no reason to stop measuring.
fn plain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
