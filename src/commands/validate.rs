use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::report::ReportFormat;
use super::run::within_budget;
use super::session::{complain, print, tell, warn_of_the_unseen};
use crate::baseline::Library;
use crate::engine::Slice;
use crate::error::{Diagnostic, Error, Result};
use crate::exit_code::ExitCode;
use crate::gate::scenario_records;
use crate::metrics::{DEFAULT_INSTANCES, EndpointPlan, ShardRecord};
use crate::report::{self, render_plan, render_watching};
use crate::scenario::{LoadOptions, Loaded, load};
use crate::store::Shelf;
use crate::transport::Kind;
use crate::units::{Rate, Rules};
use crate::verdict::{Outlook, never_judged, outlook};

pub struct ValidateRequest {
    /// Of the project.
    pub service: Option<String>,
    pub paths: Vec<PathBuf>,
    pub vars: Vec<(String, String)>,
    /// The same for scenarios that have such a variable.
    pub defaults: Vec<(String, String)>,
    pub only: Vec<String>,
    pub probes: Option<PathBuf>,
    pub shard: Option<ShardRecord>,
    pub rate: Option<Rate>,
    /// What a run may take.
    pub budget: Option<Duration>,
    /// Where the noise of earlier runs is known from, which says what a look can tell.
    pub baselines: Shelf,
    pub env: String,
    pub format: ReportFormat,
}

/// Reads the scenarios of one service, or of many, and prints what a run would do and could judge. Sends nothing.
///
/// # Errors
/// Every mistake in the files, or rules that could never be judged.
pub fn validate_services(requests: &[ValidateRequest]) -> Result<u8> {
    if let [one] = requests {
        return validate(one);
    }
    if requests.iter().any(|request| request.format == ReportFormat::Json) {
        let hint = "name one with --service";
        return Err(Error::usage_hint("--format json is for one service at a time", hint));
    }
    let mut worst = 0;
    for request in requests {
        tell(&format!("── {}\n", request.service.as_deref().unwrap_or_default()))?;
        match validate(request) {
            Ok(code) => worst = worst.max(code),
            Err(error) if error.is_input() => {
                complain(&format!("{error}\n"));
                worst = ExitCode::Usage.code();
            }
            Err(error) => return Err(error),
        }
    }
    Ok(worst)
}

fn validate(request: &ValidateRequest) -> Result<u8> {
    let json = request.format == ReportFormat::Json;
    match planned(request, json) {
        Err(error) if json && error.is_input() => {
            let found = match &error {
                Error::Invalid(found) => diagnostics(found),
                // Of no place in a scenario.
                other => json!([{"severity": "error", "message": other.to_string()}]),
            };
            print_json(&json!({"format": 1, "valid": false, "diagnostics": found}))?;
            Ok(ExitCode::Usage.code())
        }
        other => other,
    }
}

fn planned(request: &ValidateRequest, json: bool) -> Result<u8> {
    let options = LoadOptions {
        vars: request.vars.clone(),
        defaults: request.defaults.clone(),
        require_secrets: false,
        only: request.only.clone(),
        transport: Kind::Wire.name(),
        rate: request.rate,
        watching: request.probes.clone(),
    };
    let Loaded { scenarios, warnings, watching, .. } = load(&request.paths, &options)?;
    within_budget(&scenarios, request.budget, 1)?;
    let records = scenario_records(&scenarios, Slice::of_shard(request.shard));
    let library = Library::new(&request.baselines, &request.env);
    let references = library.references_of(&records, DEFAULT_INSTANCES)?;
    let plans: Vec<EndpointPlan> = records.into_iter().flat_map(|s| s.endpoints).collect();
    let ruled: Vec<_> = references
        .iter()
        .filter_map(|reference| {
            let same =
                |plan: &&EndpointPlan| plan.endpoint == reference.endpoint && plan.digest == reference.digest;
            let rules: &Rules = &plans.iter().find(same)?.rules;
            Some((reference, rules.clone()))
        })
        .collect();
    let outlooks = if ruled.is_empty() { Vec::new() } else { outlook(&ruled) };
    // What is judged is what all shards sent together.
    let whole: Vec<EndpointPlan> = plans.iter().cloned().map(EndpointPlan::of_all_shards).collect();
    let hopeless = never_judged(&whole);
    if json {
        print_json(&json!({
            "format": 1,
            "valid": hopeless.is_empty(),
            "diagnostics": diagnostics(&warnings),
            "never_judged": hopeless,
            "endpoints": plans.iter().map(|plan| of_endpoint(plan, &outlooks)).collect::<Value>(),
        }))?;
        return Ok(if hopeless.is_empty() { 0 } else { ExitCode::Usage.code() });
    }
    for warning in &warnings {
        complain(&format!("{}\n", warning.render()));
    }
    tell(&render_plan(&scenarios, &plans, &outlooks))?;
    tell(&render_watching(&watching))?;
    warn_of_the_unseen(&scenarios, &watching, 1);
    if hopeless.is_empty() {
        return Ok(0);
    }
    Err(Error::usage(format!("these rules could never be judged:\n  {}", hopeless.join("\n  "))))
}

fn print_json(value: &Value) -> Result<()> {
    print(&report::json(value).map_err(|e| Error::harness(e.to_string()))?)
}

fn diagnostics(found: &[Diagnostic]) -> Value {
    found
        .iter()
        .map(|one| {
            let [(line, column), (end_line, end_column)] = one.range();
            json!({
                "severity": if one.warning { "warning" } else { "error" },
                "file": one.source.path.display().to_string(),
                "line": line, "column": column, "end_line": end_line, "end_column": end_column,
                "message": one.message, "label": one.label, "help": one.help,
            })
        })
        .collect()
}

fn of_endpoint(plan: &EndpointPlan, outlooks: &[Outlook]) -> Value {
    let detectable: serde_json::Map<String, Value> = outlooks
        .iter()
        .filter(|outlook| outlook.endpoint == plan.endpoint)
        .map(|outlook| (outlook.metric.to_string(), json!(outlook.detectable)))
        .collect();
    json!({
        "endpoint": plan.endpoint,
        "line": plan.line,
        "request": plan.request,
        "requests": plan.users.is_none().then_some(plan.planned),
        "rate_per_s": plan.users.is_none().then_some(plan.rate_per_s),
        "users": plan.users,
        "limits": plan.rules.limits.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "compared": plan.rules.regression.iter().map(|r| r.metric.to_string()).collect::<Vec<_>>(),
        "detectable": detectable,
    })
}
