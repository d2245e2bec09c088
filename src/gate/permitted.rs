use super::request::GateRequest;
use super::target::TargetSpec;
use crate::engine::{host_of, is_loopback, permitted};
use crate::error::{Diagnostic, Error, Result};
use crate::scenario::{LoadPlan, Scenario, Step};
use crate::secrets::Secrets;
use crate::units::Rate;

/// Refuses what would reach hosts that nobody named, or more than was meant, before anything is sent.
///
/// # Errors
/// With the steps that lead to other hosts; with the rate.
pub fn permit(request: &GateRequest) -> Result<()> {
    let beside = request.beside.as_ref().map(|beside| (&beside.target, beside.scenarios.as_slice()));
    let arms = [(&request.target, request.scenarios.as_slice())];
    for (target, scenarios) in arms.into_iter().chain(beside) {
        let outside = outside(scenarios, target, &request.secrets);
        if !outside.is_empty() {
            return Err(Error::Invalid(outside));
        }
        if request.load {
            below_ceiling(scenarios, target, request.max_rate)?;
        }
    }
    Ok(())
}

/// Where what is sent to it begins; what loadgate starts serves on loopback.
fn address(target: &TargetSpec) -> &str {
    match target {
        TargetSpec::Url(url) => url,
        TargetSpec::Demo { .. } | TargetSpec::Command { .. } => "http://127.0.0.1",
    }
}

/// Steps whose URLs begin with a host that is neither the target's nor named. One that is known only in an iteration is
/// refused there.
fn outside(scenarios: &[Scenario], target: &TargetSpec, secrets: &Secrets) -> Vec<Diagnostic> {
    let of = |scenario: &Scenario, step: &Step| {
        let url = step.action.request().url.beginning();
        let host = known_host(&url).filter(|host| !permitted(scenario, address(target), host))?;
        let host = secrets.scrub(host);
        Some(Diagnostic {
            source: scenario.source.clone(),
            span: step.place.start..step.place.end,
            message: format!("`{}` leads to `{host}`, which is not the target", step.name),
            label: format!("it would be put under load beside {}", host_of(address(target))),
            help: Some(format!("if its owners know of that: `allow_hosts: [ {host} ]`")),
            warning: false,
        })
    };
    scenarios.iter().flat_map(|own| own.steps.iter().filter_map(move |step| of(own, step))).collect()
}

/// The host with which a URL begins, where all of it is known.
fn known_host(beginning: &str) -> Option<&str> {
    let is_url =
        ["http://", "https://", "ws://", "wss://"].iter().any(|scheme| beginning.starts_with(scheme));
    let host = host_of(beginning);
    (is_url && !host.is_empty()).then_some(host)
}

fn below_ceiling(scenarios: &[Scenario], target: &TargetSpec, most: Rate) -> Result<()> {
    let hosts = scenarios.iter().flat_map(|scenario| &scenario.allow_hosts).map(String::as_str);
    if hosts.chain([host_of(address(target))]).all(is_loopback) {
        return Ok(());
    }
    let highest: f64 = scenarios.iter().filter_map(|s| s.load.as_ref()).map(LoadPlan::highest_per_s).sum();
    if highest <= most.per_second() * (1.0 + 1e-9) {
        return Ok(());
    }
    let told = format!("{:.0}/s", highest.ceil());
    Err(Error::usage_hint(
        format!("the load rises to {told}; no more than {most} goes to another machine unless that is meant"),
        format!(
            "--max-rate {told} (LOADGATE_MAX_RATE, in a project file `max_rate`) says so; do the target's owners know?"
        ),
    ))
}
