use std::io::IsTerminal as _;
use std::path::Path;

use super::session::{Session, print};
use super::signals::{block_on, listen};
use crate::error::{Error, Result};
use crate::gate::{GateRequest, GateResult, run_gate, run_id, scenario_records};
use crate::report::{Live, render_latencies, render_verdict};
use crate::scenario::{QuickOptions, quick as quick_scenario, quick_yaml};
use crate::secrets::Secrets;
use crate::verdict::never_judged;

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
    let (scenarios, secrets) = session.scenarios()?;
    if kind == RunKind::SmokeAndLoad && scenarios.iter().all(|s| s.load.is_none()) {
        return Err(Error::usage_hint(
            "no scenario has a `load:`",
            "`loadgate smoke` runs functional checks alone",
        ));
    }
    let references = session.references(&scenarios)?;
    if kind == RunKind::SmokeAndLoad && !session.quiet {
        let plans: Vec<_> =
            scenario_records(&scenarios, session.slice()).into_iter().flat_map(|s| s.endpoints).collect();
        for rule in never_judged(&plans) {
            eprintln!("warning: this rule cannot be judged by this run, which will hold: {rule}");
        }
    }
    let id = run_id();
    let out = session.out(&id);
    let mut request = session.request(scenarios, secrets, references, &id, &out)?;
    request.load = kind == RunKind::SmokeAndLoad;
    let result = watched(session, request)?;
    conclude(session, &result, &out)
}

/// The verdict, and where the files are: returns the exit code.
pub fn conclude(session: &Session, result: &GateResult, out: &Path) -> Result<u8> {
    print(&render_verdict(&result.verdict, &result.record, session.stdout_paint()))?;
    print(&format!("results in {}\n", out.display()))?;
    Ok(result.verdict.exit_code)
}

/// Runs with the live view on standard error, and with signals heard.
pub fn watched(session: &Session, request: GateRequest) -> Result<GateResult> {
    let out = request.out.clone();
    let mut live = Live::new(session.quiet, session.paint(std::io::stderr().is_terminal()));
    let result = block_on(async {
        let interrupt = listen()?;
        run_gate(request, interrupt, &mut |event| live.show(&event)).await
    });
    live.finish();
    if result.as_ref().is_err_and(|e| !e.is_input()) && out.join("verdict.json").exists() {
        eprintln!("what was measured until then is in {}", out.display());
    }
    result
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
        print(&quick_yaml(&request.options))?;
        return Ok(0);
    }
    let session = &request.session;
    let scenario = quick_scenario(&request.options, request.session.transport_name())?;
    // Credentials in headers are as secret here as in a scenario.
    let secrets = Secrets::new(request.options.headers.clone());
    let id = run_id();
    let out = session.out(&id);
    let gate = session.request(vec![scenario], secrets, Vec::new(), &id, &out)?;
    let result = watched(session, gate)?;
    if request.json {
        let text =
            serde_json::to_string_pretty(&result.verdict).map_err(|e| Error::harness(e.to_string()))?;
        print(&format!("{text}\n"))?;
        return Ok(result.verdict.exit_code);
    }
    print(&render_latencies(&result.verdict))?;
    conclude(session, &result, &out)
}
