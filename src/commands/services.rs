use std::path::Path;

use super::canary::{CanaryRequest, canary, side_by_side};
use super::combine::{CombinedFormat, combined, rendered, rows, write_combined};
use super::publish::Outlet;
use super::run::{RunKind, append_to_job_summary, run, though, within_budget};
use super::session::{Session, complain, print};
use crate::error::{Error, Result};
use crate::exit_code::ExitCode;
use crate::gate::{Sends, permit, permit_scenarios, run_id};
use crate::report::{CombinedRow, render_combined};
use crate::secrets::known;
use crate::verdict::Outcome;

/// `run` and `smoke` of one service, or of many one after the other: returns the exit code of all.
///
/// # Errors
/// Before anything is sent: every mistake in the files of all of them.
pub fn run_services(sessions: Vec<Session>, kind: RunKind) -> Result<u8> {
    match <[Session; 1]>::try_from(sessions) {
        Ok([one]) => run(&one, kind),
        Err(many) => {
            let (outlet, sessions) =
                prepared(&many.iter().collect::<Vec<_>>(), kind == RunKind::SmokeAndLoad)?;
            if kind == RunKind::SmokeAndLoad {
                for session in &sessions {
                    let quiet = Session { quiet: true, ..session.clone() };
                    within_budget(&quiet.loaded()?.scenarios, session.budget, 1)?;
                }
            }
            all_of(&outlet, &sessions, |session| session, |session| run(session, kind))
        }
    }
}

/// The same of canaries.
///
/// # Errors
/// Likewise.
pub fn canary_services(requests: Vec<CanaryRequest>) -> Result<u8> {
    match <[CanaryRequest; 1]>::try_from(requests) {
        Ok([one]) => canary(&one),
        Err(mut many) => {
            let (root, plans) = prepared(&many.iter().map(|own| &own.session).collect::<Vec<_>>(), true)?;
            for (request, session) in many.iter_mut().zip(plans) {
                request.session = session;
            }
            for request in &many {
                let session = Session { quiet: true, ..request.session.clone() };
                let quiet = CanaryRequest { session, ..request.clone() };
                permit(&side_by_side(&quiet, "", Path::new("."))?.0)?;
            }
            all_of(&root, &many, |request| &request.session, canary)
        }
    }
}

/// Each with a folder of its own below a common one; all files are read before anything is sent.
fn prepared(many: &[&Session], loads: bool) -> Result<(Outlet, Vec<Session>)> {
    let mut mistakes = Vec::new();
    for session in many {
        match session.loaded() {
            Ok(loaded) => {
                if let Some(target) = &session.target {
                    let sends = if loads { Sends::Load(session.max_rate) } else { Sends::Passes };
                    permit_scenarios(target, &loaded.scenarios, &loaded.secrets, sends)?;
                }
            }
            Err(Error::Invalid(mut found)) => mistakes.append(&mut found),
            Err(other) => return Err(other),
        }
    }
    if !mistakes.is_empty() {
        // Services may share a file.
        let mut told = std::collections::BTreeSet::new();
        mistakes.retain(|mistake| told.insert(mistake.render()));
        return Err(Error::Invalid(mistakes));
    }
    let given = many.first().and_then(|session| session.out.clone());
    let root = Outlet::of(given.as_deref(), &run_id())?;
    let folder = &root.folder;
    if folder.join("combined.json").exists() || folder.join("run.json").exists() {
        let message = format!("{} already holds a run", folder.display());
        return Err(Error::usage_hint(message, "choose another --out"));
    }
    for session in many {
        let own = folder.join(session.service.clone().unwrap_or_default());
        // What an earlier invocation left there must not be taken for what this one measured.
        if own.join("run.json").exists() || own.join("journal").exists() {
            let message = format!("{} already holds a run", own.display());
            return Err(Error::usage_hint(message, "choose another --out"));
        }
    }
    let own = |session: &&Session| {
        let name = session.service.clone().unwrap_or_default();
        Session { out: Some(folder.join(name)), one_of_many: true, ..(*session).clone() }
    };
    let sessions = many.iter().map(own).collect();
    Ok((root, sessions))
}

/// What keeps one from being measured keeps no other from it; a signal ends them all.
fn all_of<T>(
    outlet: &Outlet,
    many: &[T],
    session: impl Fn(&T) -> &Session,
    measure: impl Fn(&T) -> Result<u8>,
) -> Result<u8> {
    let root = outlet.folder.as_path();
    let mut failed: Vec<CombinedRow> = Vec::new();
    let mut cut_off: Vec<(String, String)> = Vec::new();
    let mut ended = None;
    let (mut runs, mut names) = (Vec::new(), Vec::new());
    for (number, one) in (1..).zip(many) {
        let own = session(one);
        let name = own.service.clone().unwrap_or_default();
        names.push(name.clone());
        if ended.is_some() {
            continue;
        }
        if !own.quiet {
            complain(&format!("\n── {name} ({number} of {})", many.len()));
        }
        let folder = own.out.clone().unwrap_or_default();
        match measure(one) {
            Ok(code) => {
                let signals = [ExitCode::Interrupted.code(), ExitCode::Terminated.code()];
                ended = signals.contains(&code).then_some(code);
            }
            Err(error) => {
                complain(&format!("error: {name}: {error}"));
                let reason = known().scrub(&error.to_string());
                if folder.join("run.json").exists() {
                    cut_off.push((name, reason));
                } else {
                    let folder = folder.display().to_string();
                    failed.push(CombinedRow { name, folder, verdict: Err(reason) });
                    continue;
                }
            }
        }
        runs.push(folder);
    }
    let expect: Vec<String> =
        names.into_iter().filter(|name| !failed.iter().any(|row| row.name == *name)).collect();
    let (mut rows, mut models) = rows(&runs, &expect)?;
    // What it failed to write may be what matters; only what was proven before is proven.
    for (name, reason) in cut_off {
        let passes = |row: &CombinedRow| {
            row.verdict.as_ref().is_ok_and(|v| matches!(v.outcome, Outcome::Pass | Outcome::NoBaseline))
        };
        if let Some(row) = rows.iter_mut().find(|row| row.name == name && passes(row)) {
            row.verdict = Err(reason);
            // No green case of what holds.
            models.retain(|model| model.record.service.as_ref() != Some(&name));
        }
    }
    rows.append(&mut failed);
    let all = combined(&rows);
    let written = write_combined(root, &rows, &models, &all);
    append_to_job_summary(&rendered(
        &rows,
        &models,
        &all,
        CombinedFormat::Markdown,
        crate::report::Screen::FILE,
    )?);
    let told = match many.first().map(|one| session(one).stdout().screen()) {
        Some(screen) => print(&format!("\n{}", render_combined(&rows, &all, screen))),
        None => Ok(()),
    };
    let told = told.and(written).and_then(|()| {
        print(&format!("\nsummary.md, junit.xml and combined.json are in {}\n", root.display()))
    });
    let ended_by = ended.unwrap_or(all.exit_code);
    though(ended_by, told.and_then(|()| outlet.publish()))
}
