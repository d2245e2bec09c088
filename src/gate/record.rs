use jiff::Timestamp;

use crate::digest::sha256_hex;
use crate::machine;
use crate::metrics::{EndpointPlan, Environment, ScenarioRecord};
use crate::scenario::{Action, Scenario};

/// A name for this invocation that sorts by time.
#[must_use]
pub fn run_id() -> String {
    let now = Timestamp::now();
    let entropy = format!("{}-{}", now.as_nanosecond(), std::process::id());
    format!("{}-{}", now.strftime("%Y%m%dT%H%M%SZ"), &sha256_hex(entropy.as_bytes())[..6])
}

/// What the record says of the scenarios: everything that judging them again takes.
#[must_use]
pub fn scenario_records(scenarios: &[Scenario]) -> Vec<ScenarioRecord> {
    scenarios
        .iter()
        .map(|scenario| ScenarioRecord {
            file: scenario.path.display().to_string(),
            feature: scenario.feature.clone(),
            owner: scenario.owner.clone(),
            digest: scenario.digest.clone(),
            endpoints: scenario
                .load_steps()
                .filter_map(|(_, step)| {
                    let load = scenario.load.as_ref()?;
                    let request = step.action.request();
                    let poll = if matches!(step.action, Action::Poll { .. }) { "poll " } else { "" };
                    Some(EndpointPlan {
                        endpoint: step.endpoint.clone(),
                        digest: step.digest.clone(),
                        request: format!("{poll}{} {}", request.method, request.url.canonical()),
                        line: step.line,
                        rate_per_s: load.rate.per_second(),
                        planned: load.arrivals(),
                        rules: step.rules.clone(),
                    })
                })
                .collect(),
        })
        .collect()
}

/// The same scenarios give the same seed, on every look and shard.
pub fn seed(scenarios: &[Scenario]) -> u64 {
    let digests: String = scenarios.iter().map(|s| s.digest.as_str()).collect();
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
