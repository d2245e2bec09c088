use super::args::{BaselineArgs, TargetArgs};
use super::canary_args::{CanaryArgs, PairingArg, headers};
use super::resolve::{allow, base_url, duration, fault, gate, notify, without_fragment};
use super::session::{Flags, allowed, gate_of};
use super::telemetry::telling_figures;
use crate::commands::{ArmRequest, CanaryRequest, Gate, Session};
use crate::error::{Error, Result};
use crate::gate::TargetSpec;
use crate::metrics::Pairing;
use crate::project::{Places, Resolved};
use crate::rollout::ArmPlan;

const LENGTH: std::time::Duration = std::time::Duration::from_secs(120);

/// One for each service that is meant.
pub fn canaries(args: &CanaryArgs) -> Result<Vec<CanaryRequest>> {
    let faults = args.faults.len() + args.control_faults.len();
    if faults > 0 && !args.demo {
        return Err(Error::usage_hint("--fault and --control-fault are for the demo alone", "add --demo"));
    }
    let commands = args.control_cmd.is_some() || args.candidate_cmd.is_some();
    if args.ready.is_some() && !commands {
        return Err(Error::usage_hint(
            "--ready is for arms that loadgate starts",
            "give --control-cmd or --candidate-cmd, or --wait for what runs already",
        ));
    }
    let env = args.baselines.env.clone().or_else(|| args.demo.then(|| "demo".to_owned()));
    let none = TargetArgs { target: None, demo: false, faults: Vec::new() };
    let flags = Flags {
        scenarios: args.scenarios.clone(),
        target: none,
        gating: None,
        ceiling: Some(args.ceiling.clone()),
        baselines: Some(BaselineArgs { env: args.baselines.env.clone(), ..args.baselines.clone() }),
        transport: args.transport.clone(),
        output: args.output.clone(),
    };
    let all = flags.services()?;
    all.into_iter().map(|resolved| canary(args, &flags, env.clone(), resolved)).collect()
}

fn canary(
    args: &CanaryArgs,
    flags: &Flags,
    env: Option<String>,
    resolved: Resolved,
) -> Result<CanaryRequest> {
    let settings = resolved.settings.clone();
    // The demo is on both arms, whatever the project says.
    let places = if args.demo { Places::default() } else { resolved.places.clone() };
    let arm =
        |name, url: Option<&str>, command: Option<&str>, faults: &[String], placed: Option<&ArmPlan>| {
            let flagged = target(name, url, command, args, faults)?;
            Ok::<_, Error>(match flagged {
                Some(target) => Some(ArmPlan { target, headers: Vec::new(), vars: Vec::new() }),
                None => placed.cloned(),
            })
        };
    let control = arm(
        "control",
        args.control.as_deref(),
        args.control_cmd.as_deref(),
        &args.control_faults,
        places.control.as_ref(),
    )?;
    let candidate = arm(
        "candidate",
        args.candidate.as_deref(),
        args.candidate_cmd.as_deref(),
        &args.faults,
        places.candidate.as_ref(),
    )?;
    let (mut control, mut candidate) = match (control, candidate) {
        (Some(control), Some(candidate)) => (control, candidate),
        // A build that is held against itself is named once.
        (Some(control), None) if args.calibrate && control.target.is_started() => (control.clone(), control),
        (None, Some(candidate)) if args.calibrate && candidate.target.is_started() => {
            (candidate.clone(), candidate)
        }
        (control, _) => {
            let missing = if control.is_none() { "control" } else { "candidate" };
            let of = resolved.service.as_ref().map(|name| format!(" of {name}")).unwrap_or_default();
            return Err(Error::usage_hint(
                format!("there is no {missing}{of}"),
                format!(
                    "give --{missing} URL or --{missing}-cmd CMD, or --demo for both arms; in a project file an environment's \
                     `{missing}` says it"
                ),
            ));
        }
    };
    control.headers.extend(headers("--control-header", &args.control_headers)?);
    control.vars.extend(args.control_vars.iter().cloned());
    candidate.headers.extend(headers("--candidate-header", &args.candidate_headers)?);
    candidate.vars.extend(args.candidate_vars.iter().cloned());
    let resolved = Resolved {
        places: Places::default(),
        environment: resolved.environment.filter(|_| !args.demo),
        ..resolved
    };
    let mut own = flags.clone().session(resolved)?;
    telling_figures(&args.telemetry, &mut own)?;
    Ok(CanaryRequest {
        session: Session {
            env: env.or(own.env.clone()),
            gate: args.gate.map_or_else(|| gate_of(&settings, Gate::Safety), gate),
            allow: allowed(&settings, allow(&args.allow)),
            notify: notify(args.telling),
            ..own
        },
        control: ArmRequest { target: control.target, headers: control.headers, vars: control.vars },
        candidate: ArmRequest { target: candidate.target, headers: candidate.headers, vars: candidate.vars },
        pairing: args
            .pairing
            .map(|pairing| match pairing {
                PairingArg::Mirror => Pairing::Mirror,
                PairingArg::Split => Pairing::Split,
            })
            .or(settings.pairing),
        length: match &args.length {
            Some(text) => duration("--for", text)?,
            None => settings.length.unwrap_or(LENGTH),
        },
        calibrate: args.calibrate,
    })
}

fn target(
    arm: &str,
    url: Option<&str>,
    command: Option<&str>,
    args: &CanaryArgs,
    faults: &[String],
) -> Result<Option<TargetSpec>> {
    match (url, command) {
        (Some(_), _) if args.demo => Err(Error::usage(format!("give --{arm} or --demo, not both"))),
        (Some(url), _) => {
            base_url(url)?;
            Ok(Some(TargetSpec::Url(without_fragment(url))))
        }
        (None, Some(command)) if !(command.contains("{port}") || command.contains("$PORT")) => {
            Err(Error::usage_hint(
                format!("--{arm}-cmd does not say where it serves"),
                "put {port} into the command, such as `./server --port {port}`; $PORT has it too",
            ))
        }
        (None, Some(command)) => {
            Ok(Some(TargetSpec::Command { command: command.to_owned(), ready: args.ready.clone() }))
        }
        (None, None) if args.demo => {
            for text in faults {
                fault(text)?;
            }
            Ok(Some(TargetSpec::Demo { faults: faults.to_vec() }))
        }
        (None, None) => Ok(None),
    }
}
