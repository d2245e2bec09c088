use std::fmt::Write as _;

use serde_json::{Value, json};

use super::RolloutView;
use super::words::{clock, rollout_summary, told_length, told_work};
use crate::report::inert::{json as inert_json, line};
use crate::report::table::fitted;
use crate::report::terminal::Screen;
use crate::rollout::{ActKind, Ending, Event, Held, Part, RequestKind, State, Work, between};
use crate::verdict::Action;

const USUAL_WIDTH: usize = 100;

/// One phase of a rollout as it went.
#[derive(Default)]
pub struct Row {
    pub name: String,
    pub percent: u8,
    pub began: Option<String>,
    pub shift: Option<String>,
    /// What each round came to: part, word, run.
    pub rounds: Vec<(Part, String, String)>,
    /// Who let it begin, or go on.
    pub approved: Vec<String>,
}

/// What became of each phase.
#[must_use]
pub fn rows(view: &RolloutView<'_>) -> Vec<Row> {
    let Some(begun) = &view.state.begun else { return Vec::new() };
    let mut rows: Vec<Row> = begun
        .phases
        .iter()
        .map(|shape| Row { name: shape.name.clone(), percent: shape.percent, ..Row::default() })
        .collect();
    let mut state = State::default();
    for entry in view.entries {
        let at = state.phase.min(rows.len() - 1);
        let index = match &entry.event {
            Event::Acting { kind: ActKind::Shift, phase, .. }
            | Event::Judging { phase, .. }
            | Event::Judged { phase, .. }
            | Event::Asked { phase } => *phase,
            _ => at,
        };
        if let Some(row) = rows.get_mut(index) {
            match &entry.event {
                Event::Acting { kind: ActKind::Shift, .. } => {
                    row.began.get_or_insert_with(|| entry.at.clone());
                    row.shift = Some("begun".into());
                }
                Event::Acted { end, act } if act != "rollback" => {
                    row.shift = Some(match (end.is_good(), end.unknown) {
                        (true, _) => told_length(std::time::Duration::from_millis(end.took_ms)),
                        (_, true) => "NOT KNOWN".into(),
                        _ => "FAILED".into(),
                    });
                }
                Event::Judging { part, run, .. } => {
                    row.began.get_or_insert_with(|| entry.at.clone());
                    row.rounds.push((*part, "going on".into(), run.clone()));
                }
                Event::Judged { run, outcome, .. } => {
                    let word = match outcome.action {
                        Action::RollBack => "roll back",
                        _ if outcome.interrupted => "broken off",
                        Action::Go => "go",
                        Action::Hold => "hold",
                    };
                    if let Some(round) = row.rounds.iter_mut().find(|round| round.2 == *run) {
                        round.1 = word.into();
                    }
                }
                Event::CutOff { run } => {
                    if let Some(round) = row.rounds.iter_mut().find(|round| round.2 == *run) {
                        round.1 = "cut off".into();
                    }
                }
                Event::Requested(request) if request.kind == RequestKind::Approve => {
                    let what = match state.held.as_ref().map(|hold| hold.what) {
                        _ if state.ended.is_some() => "rolled back by hand",
                        Some(Held::Verdict) => "although held",
                        Some(Held::Shift) => "as shifted",
                        _ => "to begin",
                    };
                    row.approved.push(format!("{what}, by {}", request.by));
                }
                _ => {}
            }
        }
        state.take(entry);
    }
    rows
}

fn rounds(row: &Row, part: Part, to_come: bool) -> String {
    let all: Vec<&str> =
        row.rounds.iter().filter(|round| round.0 == part).map(|round| round.1.as_str()).collect();
    match (all.is_empty(), to_come) {
        (true, true) => "to come".into(),
        (true, false) => "–".into(),
        _ => all.join(", "),
    }
}

/// Where it stands, phase by phase, and what can be done about it.
#[must_use]
pub fn render_rollout(view: &RolloutView<'_>, screen: Screen) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}\n", headline(view, screen));
    let _ = writeln!(out, "{}\n", table(view, screen));
    let shapes = view.state.begun.as_ref().map_or(0.0, |begun| begun.time_scale);
    if shapes != 1.0 && view.state.begun.is_some() {
        let _ = writeln!(out, "Soaks took {shapes} of the plan's time (--time-scale).");
    }
    if view.state.ended.is_none() {
        let who = if view.controlled { "A controller goes on with it." } else { "No controller runs." };
        let _ = writeln!(out, "{who}");
    }
    for (command, what) in remedies(view) {
        let _ = writeln!(out, "  loadgate rollout {command:<34} {what}");
    }
    out
}

/// The first line, painted.
#[must_use]
pub fn headline(view: &RolloutView<'_>, screen: Screen) -> String {
    let text = screen.wrapped(&rollout_summary(view.state, view.entries), 0, 2);
    match &view.state.ended {
        Some((Ending::Complete, _)) => screen.paint.good(&text),
        Some(_) => screen.paint.bad(&text),
        None if view.state.rollback.is_some() => screen.paint.bad(&text),
        None if view.state.held.is_some() => screen.paint.caution(&text),
        None => text,
    }
}

#[must_use]
pub fn table(view: &RolloutView<'_>, screen: Screen) -> String {
    let shapes = view.state.begun.as_ref().map_or(&[][..], |begun| &begun.phases);
    let open = view.state.ended.is_none() && view.state.rollback.is_none();
    let cells: Vec<Vec<String>> = rows(view)
        .iter()
        .zip(shapes)
        .map(|(row, shape)| {
            vec![
                line(&row.name),
                format!("{}%", row.percent),
                row.began.as_deref().map_or("–", clock).to_owned(),
                row.shift.clone().unwrap_or_else(|| if shape.shift && open { "to come" } else { "–" }.into()),
                rounds(row, Part::Soak, shape.soak && open),
                rounds(row, Part::Load, shape.load && open),
                if row.approved.is_empty() { "–".into() } else { line(&row.approved.join("; ")) },
            ]
        })
        .collect();
    let header = ["phase", "traffic", "began", "shift", "soak", "load", "approved"];
    fitted(&header, &cells, screen.width.unwrap_or(USUAL_WIDTH), &["approved", "traffic", "began"])
}

/// What people can do as things stand.
#[must_use]
pub fn remedies(view: &RolloutView<'_>) -> Vec<(String, &'static str)> {
    let (state, plan) = (view.state, view.plan.display());
    let mut all = Vec::new();
    let can = |kind| state.refuses(kind).is_none();
    let hold = state.held.as_ref().map(|hold| hold.what);
    if can(RequestKind::Approve) {
        all.push(match (&state.ended, hold) {
            (Some(_), _) => (format!("approve {plan} --reason …"), "it was rolled back by hand"),
            (None, Some(Held::Verdict)) => {
                (format!("approve {plan} --reason …"), "go on although nothing was settled")
            }
            (None, Some(Held::Shift)) => {
                (format!("approve {plan} --reason …"), "the traffic is shifted, go on")
            }
            _ => (format!("approve {plan}"), "let it begin"),
        });
    }
    if can(RequestKind::Extend) {
        all.push(match hold {
            Some(Held::Shift) => (format!("extend {plan} --reason …"), "run the shift's command once more"),
            Some(Held::Verdict) => (format!("extend {plan}"), "one more round"),
            Some(Held::Approval) => (format!("extend {plan}"), "wait once more"),
            None => (format!("extend {plan}"), "one more round of what goes on, after this one"),
        });
    }
    if can(RequestKind::Rollback) {
        all.push((format!("rollback {plan}"), "take the traffic back"));
    }
    if state.ended.is_none() && !view.controlled {
        all.push((
            format!("run {plan}"),
            if hold.is_some() { "go on, once that is decided" } else { "go on" },
        ));
    }
    all
}

/// For programs.
///
/// # Errors
/// If it cannot be written as JSON.
pub fn render_rollout_json(view: &RolloutView<'_>) -> serde_json::Result<String> {
    let state = view.state;
    let name = match (&state.ended, &state.rollback, &state.held) {
        (Some((Ending::Complete, _)), ..) => "complete",
        (Some((Ending::RolledBack { .. } | Ending::RolledBackByHand, _)), ..) => "rolled_back",
        (Some((Ending::RollbackFailed { .. }, _)), ..) => "rollback_failed",
        (Some((Ending::Stopped, _)), ..) => "stopped",
        (None, Some(_), _) => "rolling_back",
        (None, None, Some(_)) => "held",
        (None, None, None) => "under_way",
    };
    let rollback_ms = state
        .rollback
        .as_ref()
        .zip(state.ended.as_ref())
        .and_then(|(decision, (_, at))| Some(between(&decision.at, at)?.as_millis() as u64));
    let phases: Vec<Value> = rows(view)
        .iter()
        .map(|row| {
            let rounds: Vec<Value> = row
                .rounds
                .iter()
                .map(|(part, word, run)| json!({ "part": part, "outcome": word, "run": run }))
                .collect();
            json!({
                "name": row.name, "percent": row.percent, "began": row.began, "shift": row.shift, "rounds": rounds,
                "approved": row.approved,
            })
        })
        .collect();
    let begun = state.begun.as_ref();
    inert_json(&json!({
        "format": 1,
        "rollout": begun.map(|begun| &begun.rollout),
        "release": begun.map(|begun| &begun.release),
        "state": name,
        "summary": rollout_summary(state, view.entries),
        "phase": state.phase_name(),
        "work": (state.work != Work::Done).then(|| told_work(state)),
        "percent": state.percent,
        "began": state.since,
        "last": state.last,
        "controlled": view.controlled,
        "time_scale": begun.map(|begun| begun.time_scale),
        "rollback_ms": rollback_ms,
        "rollback_within_ms": begun.and_then(|begun| begun.within_ms),
        "phases": phases,
    }))
}
