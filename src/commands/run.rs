use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Duration;

use super::notify::{prepare, tell_of};
use super::publish::Outlet;
use super::report::{stored_verdict, write_reports};
use super::session::{Session, complain, learn_header, paint, print};
use super::signals::{block_on, listen};
use crate::credentials::{in_query, may_hold_one};
use crate::error::{Error, Result};
use crate::exit_code::ExitCode;
use crate::gate::{GateEvent, GateRequest, GateResult, read_record, run_gate, run_id, scenario_records};
use crate::logging::{Level, log, tells};
use crate::report::{
    Detail, Live, ReportModel, Screen, json, render_annotations, render_closing, render_latencies,
    render_markdown, render_terminal, told_event,
};
use crate::scenario::{Loaded, QuickOptions, Scenario, kept_yaml, quick as quick_scenario};
use crate::secrets::{Secrets, without_userinfo};
use crate::units::format_ms;
use crate::verdict::{DEFAULT_IMPACT, never_judged};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunKind {
    SmokeAndLoad,
    SmokeOnly,
}

/// `run` and `smoke`: returns the exit code.
///
/// # Errors
/// As documented for the exit codes 2 and 5.
pub fn run(session: &Session, kind: RunKind) -> Result<u8> {
    let loaded = session.loaded()?;
    let scenarios = &loaded.scenarios;
    if kind == RunKind::SmokeAndLoad && scenarios.iter().all(|s| s.load.is_none()) {
        return Err(Error::usage_hint(
            "no scenario has a `load:`",
            "`loadgate smoke` runs functional checks alone",
        ));
    }
    if kind == RunKind::SmokeAndLoad {
        within_budget(scenarios, session.budget, 1)?;
    }
    let references = session.references(scenarios)?;
    // A shard judges nothing by itself.
    if kind == RunKind::SmokeAndLoad && !session.quiet && session.shard.is_none() {
        let plans: Vec<_> =
            scenario_records(scenarios, session.slice()).into_iter().flat_map(|s| s.endpoints).collect();
        for rule in never_judged(&plans) {
            complain(&format!("warning: this rule cannot be judged by this run, which will hold: {rule}"));
        }
    }
    match kind {
        RunKind::SmokeAndLoad => session.warn_of_the_unseen(&loaded, 1),
        RunKind::SmokeOnly => session.warn_of_idle_probes(&loaded),
    }
    let id = run_id();
    let out = session.outlet(&id)?;
    let mut request = session.request(loaded, references, &id, &out.folder)?;
    request.load = kind == RunKind::SmokeAndLoad;
    let result = watched(session, request)?;
    conclude(session, &result, &out, None)
}

/// Refuses what could not end in time, where so many loads follow each other.
pub fn within_budget(scenarios: &[Scenario], budget: Option<Duration>, in_a_row: u32) -> Result<()> {
    let loads = scenarios.iter().filter_map(|scenario| scenario.load.as_ref());
    let least_ns =
        loads.map(|load| load.lead_ns() + load.warmup.least_ns() + load.window_ns()).max().unwrap_or(0);
    let least = Duration::from_nanos(least_ns) * in_a_row;
    match budget {
        Some(budget) if least > budget => {
            let told = |length: Duration| format_ms(length.as_secs_f64() * 1e3);
            let hint = "raise the budget, shorten `for`, or send a part of the features with --only";
            Err(Error::usage_hint(
                format!("the load takes {} at least, the budget is {}", told(least), told(budget)),
                hint,
            ))
        }
        _ => Ok(()),
    }
}

/// Reports into the run's folder, then the verdict, what it rests on (with `detail` instead of the table of endpoints), and
/// where everything is: returns the exit code.
pub fn conclude(session: &Session, result: &GateResult, outlet: &Outlet, detail: Option<&str>) -> Result<u8> {
    let out = outlet.folder.as_path();
    let outbox = prepare(result, out, session.notify)?;
    let model = ReportModel::new(&result.record, &result.verdict, &result.references, DEFAULT_IMPACT);
    let written = write_reports(out, &model);
    if !session.one_of_many {
        append_job_summary(&model);
    }
    let screen = session.stdout().screen();
    let silent = session.quiet && session.one_of_many;
    let detail = Detail { instead: detail, steps_shown: !session.quiet };
    let mut ended = if silent { Ok(()) } else { print(&render_terminal(&model, screen, detail)) };
    ended = ended.and(written);
    if ended.is_ok() && !silent {
        ended = close(&model, out, screen);
    }
    // The verdict is told even where it can neither be shown nor its files be written.
    tell_of(result, outbox, &session.transport);
    though(result.verdict.exit_code, ended.and_then(|()| outlet.publish()))
}

/// What is proven stays so, whatever became of its files.
pub fn though(code: u8, ended: Result<()>) -> Result<u8> {
    match ended {
        Ok(()) => Ok(code),
        Err(error) if code == ExitCode::Fail.code() => {
            complain(&format!("error: {error}"));
            Ok(code)
        }
        Err(error) => Err(error),
    }
}

/// Where everything is, and what GitHub shows beside the code.
pub fn close(model: &ReportModel, out: &Path, screen: Screen) -> Result<()> {
    if std::env::var("GITHUB_ACTIONS").is_ok_and(|value| value == "true") {
        let root = std::env::var("GITHUB_WORKSPACE").ok();
        print(&render_annotations(model, root.as_deref()))?;
    }
    let there: Vec<&str> = FILES.into_iter().filter(|name| out.join(name).exists()).collect();
    print(&format!("\n{}", render_closing(model, &out.display().to_string(), &there, screen, true)))
}

/// What a run leaves behind, the most readable first.
pub const FILES: [&str; 6] =
    ["report.html", "report.md", "junit.xml", "verdict.json", "run.json", "latency.hlog"];

/// Where GitHub Actions asks for one. That it cannot be had changes no verdict.
pub fn append_job_summary(model: &ReportModel) {
    append_to_job_summary(&render_markdown(model));
}

/// The same of any text in Markdown.
pub fn append_to_job_summary(text: &str) {
    let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) else { return };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    if let Err(e) = file.and_then(|mut file| file.write_all(text.as_bytes())) {
        complain(&format!("warning: cannot append the job's summary to {}: {e}", Path::new(&path).display()));
    }
}

/// Says aloud that nobody knows who answers.
pub fn warn_unverified(request: &GateRequest) {
    if request.transport.insecure {
        complain(
            "WARNING: --insecure: no certificate is verified; whoever answers is believed and is sent what is secret",
        );
    }
}

/// Runs with the live view on standard error, and with signals heard.
pub fn watched(session: &Session, request: GateRequest) -> Result<GateResult> {
    let out = request.out.clone();
    warn_unverified(&request);
    log(Level::Info, "run", || {
        format!("{} of {}, into {}", request.id, without_userinfo(&request.target.told()), out.display())
    });
    let mut live = Live::new(session.quiet, paint(session.no_color, std::io::stderr().is_terminal()));
    let result = block_on(async {
        let interrupt = listen()?;
        run_gate(request, interrupt, &mut |event| {
            log_event(&event);
            live.show(&event);
        })
        .await
    });
    live.finish();
    if result.as_ref().is_err_and(|e| !e.is_input()) && out.join("verdict.json").exists() {
        if let (Ok(record), Ok(Some(verdict))) = (read_record(&out), stored_verdict(&out)) {
            // The fault itself is what is to be told; that its reports could not be written either is not.
            let _ = write_reports(&out, &ReportModel::new(&record, &verdict, &[], DEFAULT_IMPACT));
        }
        complain(&format!("what was measured until then is in {}", out.display()));
    }
    result
}

fn log_event(event: &GateEvent<'_>) {
    if !tells(Level::Info) {
        return;
    }
    let text = match event {
        GateEvent::SmokeDone(smoke) if smoke.passed() => Some("smoke: passed".to_owned()),
        GateEvent::SmokeDone(_) => Some("smoke: failed".to_owned()),
        GateEvent::LookDone { look, verdict, again } => {
            let more = if *again { "; another look follows" } else { "" };
            Some(format!("look {look} is done: {}{more}", verdict.summary))
        }
        other => told_event(other),
    };
    if let Some(text) = text {
        log(Level::Info, "gate", || text);
    }
}

pub struct QuickRequest {
    pub session: Session,
    pub options: QuickOptions,
    /// Print `verdict.json` instead of the table.
    pub json: bool,
    /// Print the scenario file and send nothing.
    pub emit_scenario: bool,
}

/// One URL from flags: limits only, never compared with a baseline.
///
/// # Errors
/// As [`run`].
pub fn quick(request: &QuickRequest) -> Result<u8> {
    if request.emit_scenario {
        quick_scenario(&request.options, request.session.transport_name())?;
        let transport = &request.session.transport;
        for (flag, given) in [("--http2", transport.http2), ("--insecure", transport.insecure)] {
            if given {
                print(&format!("# run with {flag}\n"))?;
            }
        }
        return print(&kept_yaml(&request.options)).map(|()| 0);
    }
    let session = &request.session;
    let scenario = quick_scenario(&request.options, request.session.transport_name())?;
    // Credentials in headers and in the address are as secret here as in a scenario.
    let secrets = Secrets::default();
    for (name, value) in request.options.headers.iter().filter(|(name, value)| may_hold_one(name, value)) {
        learn_header(&secrets, name, value, 0);
    }
    for (name, value) in in_query(&request.options.url) {
        secrets.learn(&name, &value);
    }
    let id = run_id();
    let outlet = session.outlet(&id)?;
    let out = outlet.folder.clone();
    let gate = session.request(
        Loaded { scenarios: vec![scenario], secrets, ..Loaded::default() },
        Vec::new(),
        &id,
        &out,
    )?;
    let result = watched(session, gate)?;
    if request.json {
        let model = ReportModel::new(&result.record, &result.verdict, &result.references, DEFAULT_IMPACT);
        let written = write_reports(&out, &model);
        append_job_summary(&model);
        let shown = json(&result.verdict).map_err(|e| Error::harness(e.to_string()));
        let ended = shown.and_then(|shown| print(&shown)).and(written).and_then(|()| outlet.publish());
        return though(result.verdict.exit_code, ended);
    }
    conclude(session, &result, &outlet, Some(&render_latencies(&result.verdict)))
}
