use super::args::{BaselineArgs, TargetArgs};
use super::canary_args::{CanaryArgs, PairingArg};
use super::resolve::{allow, base_url, duration, fault, gate, notify, session};
use crate::commands::{ArmRequest, CanaryRequest, Session};
use crate::error::{Error, Result};
use crate::gate::TargetSpec;
use crate::metrics::Pairing;

pub fn canary(args: CanaryArgs) -> Result<CanaryRequest> {
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
    let control =
        target("control", args.control.as_deref(), args.control_cmd.as_deref(), &args, &args.control_faults)?;
    let candidate =
        target("candidate", args.candidate.as_deref(), args.candidate_cmd.as_deref(), &args, &args.faults)?;
    let (control, candidate) = match (control, candidate) {
        (Some(control), Some(candidate)) => (control, candidate),
        // A build that is held against itself is named once.
        (Some(control), None) if args.calibrate && control.is_started() => (control.clone(), control),
        (None, Some(candidate)) if args.calibrate && candidate.is_started() => (candidate.clone(), candidate),
        (control, _) => {
            let missing = if control.is_none() { "control" } else { "candidate" };
            return Err(Error::usage_hint(
                format!("there is no {missing}"),
                format!("give --{missing} URL or --{missing}-cmd CMD, or --demo for both arms"),
            ));
        }
    };
    let env = args.baselines.env.clone().or_else(|| args.demo.then(|| "demo".to_owned()));
    let baselines = BaselineArgs { env, ..args.baselines };
    let none = TargetArgs { target: None, demo: false, faults: Vec::new() };
    let own = session(args.scenarios, &none, None, Some(baselines), args.transport, args.output)?;
    Ok(CanaryRequest {
        session: Session {
            gate: gate(args.gate),
            allow: allow(&args.allow),
            notify: notify(args.telling),
            ..own
        },
        control: ArmRequest { target: control, headers: args.control_headers, vars: args.control_vars },
        candidate: ArmRequest {
            target: candidate,
            headers: args.candidate_headers,
            vars: args.candidate_vars,
        },
        pairing: args.pairing.map(|pairing| match pairing {
            PairingArg::Mirror => Pairing::Mirror,
            PairingArg::Split => Pairing::Split,
        }),
        length: duration("--for", &args.length)?,
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
            Ok(Some(TargetSpec::Url(url.to_owned())))
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
