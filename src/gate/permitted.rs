use serde_json::Value;

use super::request::GateRequest;
use super::target::TargetSpec;
use crate::engine::{host_of, is_loopback, part, permitted};
use crate::error::{Diagnostic, Error, Result};
use crate::metrics::Pairing;
use crate::scenario::{Scenario, Step};
use crate::secrets::{Secrets, without_userinfo};
use crate::units::Rate;

/// More than a mistyped rate should do to somebody's service on another machine.
const MAX_RATE: Rate = Rate { count_milli: 10_000_000, per_ns: 1_000_000_000 };

/// What is to be sent.
#[derive(Clone, Copy, Debug)]
pub enum Sends {
    Passes,
    /// Load, up to the rate that was given.
    Load(Option<Rate>),
}

/// One side of what is asked: where it goes, and what is sent there.
type Arm<'a> = (&'a TargetSpec, &'a [Scenario]);

/// Refuses what would reach hosts that nobody named, or more than was meant, before anything is sent.
///
/// # Errors
/// With the steps that lead to other hosts; with the rate.
pub fn permit(request: &GateRequest) -> Result<()> {
    let arms: Vec<Arm<'_>> = arms(request).collect();
    let sends = if request.load { Sends::Load(request.max_rate) } else { Sends::Passes };
    permit_arms(&arms, &request.secrets, sends, pairing(request))
}

/// As [`permit`], of a target alone and of what may be sent to it.
///
/// # Errors
/// As [`permit`].
pub fn permit_scenarios(
    target: &TargetSpec,
    scenarios: &[Scenario],
    secrets: &Secrets,
    sends: Sends,
) -> Result<()> {
    permit_arms(&[(target, scenarios)], secrets, sends, None)
}

fn permit_arms(arms: &[Arm<'_>], secrets: &Secrets, sends: Sends, pairing: Option<Pairing>) -> Result<()> {
    for (target, scenarios) in arms {
        joined_to(target, scenarios)?;
        let outside = outside(scenarios, target, secrets);
        if !outside.is_empty() {
            return Err(Error::Invalid(outside));
        }
    }
    match sends {
        Sends::Passes => Ok(()),
        Sends::Load(given) => below_ceiling(arms, given, pairing),
    }
}

fn pairing(request: &GateRequest) -> Option<Pairing> {
    request.beside.as_ref().map(|beside| beside.pairing)
}

fn arms(request: &GateRequest) -> impl Iterator<Item = Arm<'_>> {
    let beside = request.beside.as_ref().map(|beside| (&beside.target, beside.scenarios.as_slice()));
    [(&request.target, request.scenarios.as_slice())].into_iter().chain(beside)
}

/// Where what is sent to it begins; what loadgate starts serves on loopback.
fn address(target: &TargetSpec) -> &str {
    match target {
        TargetSpec::Url(url) => url,
        TargetSpec::Demo { .. } | TargetSpec::Command { .. } => "http://127.0.0.1",
    }
}

/// Paths are put behind a target's address, where a query has no place unless they are the value that it lacks.
fn joined_to(target: &TargetSpec, scenarios: &[Scenario]) -> Result<()> {
    let address = address(target).split('#').next().unwrap_or_default();
    let Some((before, query)) = address.split_once('?') else { return Ok(()) };
    let mut steps = scenarios.iter().flat_map(|scenario| &scenario.steps);
    if query.ends_with('=') || !steps.any(|step| step.action.request().url.beginning().starts_with('/')) {
        return Ok(());
    }
    let shown = without_userinfo(before);
    let hint = "give the steps a `query`";
    Err(Error::usage_hint(
        format!("the target {shown} has a query, where paths are to be put behind it"),
        hint,
    ))
}

fn is_url(beginning: &str) -> bool {
    ["http://", "https://", "ws://", "wss://"].iter().any(|scheme| beginning.starts_with(scheme))
}

/// Steps whose URLs begin with a host that is neither the target's nor named. One that is known only in an iteration is
/// refused there.
fn outside(scenarios: &[Scenario], target: &TargetSpec, secrets: &Secrets) -> Vec<Diagnostic> {
    let of = |scenario: &Scenario, step: &Step| {
        let url = step.action.request().url.beginning();
        if let Some(Value::String(whole)) = step.action.request().url.constant().filter(|_| is_url(&url))
            && let Err(e @ url::ParseError::InvalidPort) = url::Url::parse(&whole)
        {
            return Some(Diagnostic {
                source: scenario.source.clone(),
                span: step.place.start..step.place.end,
                message: format!("`{}` has no address: {e}", step.name),
                label: "nothing can be sent there".to_owned(),
                help: None,
                warning: false,
            });
        }
        let host = known_host(&url).filter(|host| !permitted(scenario, address(target), host))?;
        let host = secrets.scrub(host);
        Some(Diagnostic {
            source: scenario.source.clone(),
            span: step.place.start..step.place.end,
            message: format!("`{}` leads to `{host}`, which is not the target", step.name),
            label: format!("it would be put under load beside {}", host_of(address(target))),
            help: Some(if host.contains(':') {
                format!("if its owners know of that: `allow_hosts: [ \"{host}\" ]`")
            } else {
                format!("if its owners know of that: `allow_hosts: [ {host} ]`")
            }),
            warning: false,
        })
    };
    scenarios.iter().flat_map(|own| own.steps.iter().filter_map(move |step| of(own, step))).collect()
}

/// The host with which a URL begins, where all of it is known.
fn known_host(beginning: &str) -> Option<&str> {
    let host = host_of(beginning);
    (is_url(beginning) && !host.is_empty()).then_some(host)
}

fn stays_here((target, scenarios): &Arm<'_>) -> bool {
    let hosts = scenarios.iter().flat_map(|scenario| &scenario.allow_hosts).map(String::as_str);
    hosts.chain([host_of(address(target))]).all(is_loopback)
}

/// Requests a second that the open loads of an arm rise to, all of them at their highest.
fn highest((_, scenarios): &Arm<'_>, pairing: Option<Pairing>) -> f64 {
    let of = |scenario: &Scenario| {
        let Some(load) = &scenario.load else { return 0.0 };
        let length_ns = load.lead_ns() + load.window_ns();
        load.highest_per_s() * part(pairing) * scenario.requests_with_tries(length_ns)
    };
    scenarios.iter().map(of).sum()
}

/// What virtual users may send a second, whose rate nobody knows beforehand: what the open loads leave of it. `None`: all of
/// it stays on this machine, and nobody gave a rate.
pub fn users_ceiling(request: &GateRequest) -> Option<f64> {
    let arms: Vec<Arm<'_>> = arms(request).collect();
    let here = arms.iter().all(stays_here);
    let most = request.max_rate.or((!here).then_some(MAX_RATE))?;
    Some(most.per_second() - highest_at_a_host(&arms, pairing(request)))
}

/// What the open loads of all arms send a second to the host that gets most.
fn highest_at_a_host(arms: &[Arm<'_>], pairing: Option<Pairing>) -> f64 {
    let host = |arm: &Arm<'_>| host_of(address(arm.0)).to_ascii_lowercase();
    let at = |own: &Arm<'_>| -> f64 {
        arms.iter().filter(|arm| host(arm) == host(own)).map(|arm| highest(arm, pairing)).sum()
    };
    arms.iter().map(at).fold(0.0, f64::max)
}

fn below_ceiling(arms: &[Arm<'_>], given: Option<Rate>, pairing: Option<Pairing>) -> Result<()> {
    let away: Vec<Arm<'_>> = arms.iter().copied().filter(|arm| given.is_some() || !stays_here(arm)).collect();
    let most = given.unwrap_or(MAX_RATE);
    let highest = highest_at_a_host(&away, pairing);
    let closed = |(_, scenarios): &Arm<'_>| {
        scenarios.iter().filter_map(|scenario| scenario.load.as_ref()).any(|load| !load.is_open())
    };
    if away.iter().any(closed) && highest > most.per_second() * 0.9 {
        return Err(Error::usage_hint(
            format!(
                "loads with a rate rise to {highest:.0}/s requests, which leaves next to nothing of {most} to virtual users"
            ),
            format!("--max-rate {:.0}/s, or files of their own for virtual users", 2.0 * highest.ceil()),
        ));
    }
    if highest <= most.per_second() * (1.0 + 1e-9) {
        return Ok(());
    }
    let told = format!("{:.0}/s", highest.ceil());
    Err(Error::usage_hint(
        match given {
            Some(_) => format!("the load rises to {told} requests, above the --max-rate of {most}"),
            None => format!(
                "the load rises to {told} requests; no more than {most} go to another machine unless that is meant"
            ),
        },
        format!(
            "--max-rate {told} (LOADGATE_MAX_RATE, in a project file `max_rate`) says so; do the target's owners know?"
        ),
    ))
}
