use std::path::Path;

use crate::report::inert::line;
use crate::report::terminal::Screen;
use crate::rollout::{ActKind, Ending, Entry, Event, Held, Part, State, Work, between};
use crate::units::{counted, format_ms};
use crate::verdict::Action;

/// `12.3 s`, `1 h 52 min`.
#[must_use]
pub fn told_length(length: std::time::Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..120 => format_ms(length.as_millis() as f64),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// The hour of a moment, UTC.
#[must_use]
pub fn clock(at: &str) -> &str {
    at.get(11..19).unwrap_or(at)
}

fn length(from: &str, to: &str) -> String {
    between(from, to).map_or_else(|| "–".to_owned(), told_length)
}

/// Which part of the phase at hand comes next, or goes on.
#[must_use]
pub fn told_work(state: &State) -> &'static str {
    match state.work {
        Work::Approval => "waits for approval",
        Work::Shift => "shift",
        Work::Soak => "soak",
        Work::Load => "load",
        Work::Done => "done",
    }
}

/// Where a rollout stands, in one line: for the terminal, the status, whoever is told.
#[must_use]
pub fn rollout_summary(state: &State, entries: &[Entry]) -> String {
    let Some(begun) = &state.begun else { return "NOT BEGUN.".to_owned() };
    let (name, release) = (&begun.rollout, &begun.release);
    let why = state.rollback.as_ref();
    let phase = why.map_or(state.phase_name(), |decision| &decision.from);
    let reason = why.map_or(String::new(), |decision| {
        let by = if decision.by == "loadgate" { String::new() } else { format!(" ({})", decision.by) };
        // A verdict's own first word is said already.
        format!(" {}{by}", line(decision.reason.trim_start_matches("ROLL BACK. ")))
    });
    match &state.ended {
        Some((Ending::Complete, at)) => format!(
            "COMPLETE. {name} {release} serves {}% after {} in {}.",
            state.percent,
            counted(begun.phases.len(), "phase"),
            length(&state.since, at)
        ),
        Some((Ending::RolledBack { end }, at)) => {
            let took = why.and_then(|decision| between(&decision.at, at)).unwrap_or_default();
            // Clocks may have been set meanwhile.
            let took = took.max(std::time::Duration::from_millis(end.took_ms));
            let within = begun.within_ms.map(std::time::Duration::from_millis);
            let (word, of) = match within {
                Some(within) if took > within => ("ROLLED BACK, LATE", told_length(within)),
                Some(within) => ("ROLLED BACK", told_length(within)),
                None => ("ROLLED BACK", "any time".to_owned()),
            };
            format!("{word}, from {phase}, in {} of {of}.{reason}", told_length(took))
        }
        Some((Ending::RolledBackByHand, _)) => format!("ROLLED BACK BY HAND, from {phase}.{reason}"),
        Some((Ending::RollbackFailed { end }, _)) => format!(
            "ROLLBACK FAILED. {name} {release} MAY STILL SERVE {}%: {}. Do it by hand, now.{reason}",
            told_percent(state, entries),
            end.told()
        ),
        Some((Ending::Stopped, _)) => format!("STOPPED in {phase}, before anything was shifted.{reason}"),
        None if why.is_some() => format!("ROLLING BACK, from {phase}.{reason}"),
        None => match &state.held {
            Some(hold) => {
                let what = match hold.what {
                    Held::Verdict => told_work(state),
                    Held::Shift => "shift",
                    Held::Approval => "approval",
                };
                format!("HELD at {phase}, {what}, since {}: {}", clock(&hold.at), line(&hold.reason))
            }
            None => {
                let (now, most) = (state.percent, told_percent(state, entries));
                // Of a shift that has not ended well nobody knows how far it came.
                let serves = if most > now { format!("{now}% to {most}%") } else { format!("{now}%") };
                format!("UNDER WAY: {phase}, {}; {release} serves {serves}.", told_work(state))
            }
        },
    }
}

/// What the release may serve: a shift of which nobody knows counts.
fn told_percent(state: &State, entries: &[Entry]) -> u8 {
    let shapes = state.begun.as_ref().map_or(&[][..], |begun| &begun.phases);
    let asked = entries.iter().filter_map(|entry| match entry.event {
        Event::Acting { kind: ActKind::Shift, phase, .. } => shapes.get(phase).map(|shape| shape.percent),
        _ => None,
    });
    asked.max().unwrap_or(state.percent)
}

/// What has just happened, for a terminal or a log; `None`: it is told otherwise.
#[must_use]
pub fn rollout_line(state: &State, event: &Event, plan: &Path, screen: Screen) -> Option<String> {
    let shapes = state.begun.as_ref().map_or(&[][..], |begun| &begun.phases);
    let name = |phase: usize| line(shapes.get(phase).map_or("", |shape| shape.name.as_str()));
    let (paint, plan) = (screen.paint, plan.display());
    let text = match event {
        Event::Begun(begun) => {
            let phases: Vec<&str> = begun.phases.iter().map(|shape| shape.name.as_str()).collect();
            format!("{} {} begins: {}", begun.rollout, begun.release, phases.join(" → "))
        }
        Event::Controller { .. } | Event::Completed => return None,
        Event::Asked { phase } => paint.caution(&format!(
            "{} begins once somebody says so: loadgate rollout approve {plan}",
            name(*phase)
        )),
        Event::Acting { kind: ActKind::Shift, phase, command, .. } => {
            format!("{}: shifting by `{}`", name(*phase), line(command))
        }
        Event::Acting { kind: ActKind::Rollback, command, .. } => {
            paint.bad(&format!("ROLLING BACK by `{}`", line(command)))
        }
        Event::Acted { act, end } if end.is_good() => {
            let what = if act == "rollback" { "the rollback" } else { "the shift" };
            format!("{what} took {}", format_ms(end.took_ms.max(1) as f64))
        }
        Event::Acted { end, .. } => {
            let said: Vec<String> =
                end.said.iter().map(|said| format!("\n            | {}", line(said))).collect();
            paint.bad(&format!("the command failed: {}{}", line(&end.told()), said.concat()))
        }
        Event::Judging { phase, part, run } => {
            let what = match part {
                Part::Soak => "soak",
                Part::Load => "load",
            };
            format!("{}: {what} (runs/{run})", name(*phase))
        }
        Event::Judged { phase, part, outcome, .. } => {
            let what = format!("{} {}", name(*phase), part.name());
            match outcome.action {
                Action::RollBack => paint.bad(&format!("{what}: roll back")),
                _ if outcome.interrupted => format!("{what}: broken off"),
                Action::Go if state.phase == *phase && told_work(state) == part.name() => {
                    format!("{what}: go, and one more round as asked for")
                }
                Action::Go => paint.good(&format!("{what}: go")),
                Action::Hold if state.held.is_none() && state.rollback.is_none() && state.extensions > 0 => {
                    let extend = state.begun.as_ref().map_or(0, |begun| begun.extend);
                    paint.caution(&format!(
                        "{what}: hold, so one more round ({} of {extend})",
                        state.extensions
                    ))
                }
                Action::Hold => paint.caution(&format!("{what}: hold")),
            }
        }
        Event::CutOff { run } => {
            format!("runs/{run} was cut off with its controller; what it measured is kept there")
        }
        Event::Requested(request) => {
            let reason = request.reason.as_deref().map(|why| format!(": {}", line(why))).unwrap_or_default();
            format!("{} by {}{reason}", request.kind.name(), line(&request.by))
        }
        Event::Unanswered { phase } => paint.caution(&format!("nobody said that {} may begin", name(*phase))),
        Event::Stopped { cause } => format!("stopped by {cause}; `loadgate rollout run {plan}` goes on"),
    };
    Some(format!("{}  {text}", clock(&state.last)))
}
