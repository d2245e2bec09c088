use jiff::Timestamp;

use crate::digest::sha256_hex;
use crate::engine::{EndpointSpec, Layout, Slice};
use crate::machine;
use crate::metrics::{EndpointPlan, Environment, Pairing, ScenarioRecord};
use crate::scenario::{Action, Scenario, Step};
use crate::secrets::without_userinfo;
use crate::units::Rules;

/// A name for this invocation that sorts by time.
#[must_use]
pub fn run_id() -> String {
    let now = Timestamp::now();
    let entropy = format!("{}-{}", now.as_nanosecond(), std::process::id());
    format!("{}-{}", now.strftime("%Y%m%dT%H%M%SZ"), &sha256_hex(entropy.as_bytes())[..6])
}

/// What the record says of the scenarios: everything that judging them again takes.
#[must_use]
pub fn scenario_records(scenarios: &[Scenario], slice: Slice) -> Vec<ScenarioRecord> {
    scenario_records_of(scenarios, slice, None)
}

/// The same of the candidate's part of a side-by-side load.
#[must_use]
pub fn scenario_records_of(
    scenarios: &[Scenario],
    slice: Slice,
    pairing: Option<Pairing>,
) -> Vec<ScenarioRecord> {
    let seed = seed(scenarios);
    let (layout, first) = match pairing {
        None => (Layout::new(scenarios, seed, slice, None), 0),
        Some(_) => (Layout::new(&[scenarios, scenarios].concat(), seed, slice, pairing), scenarios.len()),
    };
    scenarios
        .iter()
        .enumerate()
        .map(|(number, scenario)| ScenarioRecord {
            file: scenario.path.display().to_string(),
            feature: scenario.feature.clone(),
            owner: scenario.owner.clone(),
            digest: scenario.digest.clone(),
            endpoints: layout
                .endpoints
                .iter()
                .filter(|spec| spec.scenario == first + number)
                .map(|spec| endpoint_plan(&scenario.steps[spec.step], spec))
                .collect(),
        })
        .collect()
}

fn endpoint_plan(step: &Step, spec: &EndpointSpec) -> EndpointPlan {
    let request = step.action.request();
    let kind = match step.action {
        Action::Poll { .. } if spec.attempts => "attempt ",
        Action::Poll { .. } => "poll ",
        Action::Events { .. } => "sse ",
        Action::Socket { .. } => "websocket ",
        Action::Request(_) => "",
    };
    EndpointPlan {
        endpoint: spec.name.clone(),
        digest: step.digest.clone(),
        request: format!("{kind}{} {}", request.method, without_userinfo(&request.url.canonical())),
        line: step.place.line,
        rate_per_s: spec.rate_per_s,
        planned: spec.planned,
        rules: if spec.judged { step.rules.clone() } else { Rules::default() },
        users: spec.users,
        length_ms: spec.length_ns / 1_000_000,
        shown_only: !spec.judged,
        whole: spec.whole,
        conditional: !step.when.is_empty(),
    }
}

/// The same scenarios give the same seed, on every look and shard.
#[must_use]
pub fn seed(scenarios: &[Scenario]) -> u64 {
    let digests: String = scenarios.iter().filter(|s| s.load.is_some()).map(|s| s.digest.as_str()).collect();
    u64::from_str_radix(&sha256_hex(digests.as_bytes())[..16], 16).unwrap_or_default()
}

pub fn environment() -> Environment {
    let variable =
        |names: &[&str]| names.iter().find_map(|name| std::env::var(name).ok()).filter(|v| !v.is_empty());
    Environment {
        cpu_model: machine::cpu_model(),
        cores: machine::cores(),
        kernel: machine::kernel(),
        ci_run: variable(&["GITHUB_RUN_ID", "CI_PIPELINE_ID", "BUILDKITE_BUILD_ID", "BUILD_TAG"]),
        git_commit: variable(&["GITHUB_SHA", "CI_COMMIT_SHA", "BUILDKITE_COMMIT", "GIT_COMMIT"]),
    }
}
