use super::args::{BaselineArgs, CeilingArgs, FormatArg, OutputArgs, TargetArgs, TransportArgs};
use super::resolve::{allow, fault, notify};
use super::rollout_args::{PlanArgs, RolloutCommand, RolloutRunArgs, SteerArgs};
use super::session::bare;
use crate::commands::{self, RolloutRequest, RolloutRunRequest, Session, StatusFormat, SteerRequest};
use crate::error::{Error, Result};
use crate::project::Resolved;
use crate::rollout::RequestKind;

pub fn rollout(command: RolloutCommand) -> Result<u8> {
    match command {
        RolloutCommand::Run(args) => run(*args),
        RolloutCommand::Status { of, format } => commands::rollout_status(
            &request(of),
            match format {
                FormatArg::Table => StatusFormat::Table,
                FormatArg::Json => StatusFormat::Json,
            },
        ),
        RolloutCommand::Approve(args) => steer(args, RequestKind::Approve),
        RolloutCommand::Extend(args) => steer(args, RequestKind::Extend),
        RolloutCommand::Rollback(args) => steer(args, RequestKind::Rollback),
    }
}

fn request(of: PlanArgs) -> RolloutRequest {
    let PlanArgs { plan, release, state, vars, no_color } = of;
    RolloutRequest { plan, vars, release, state, no_color }
}

fn run(args: RolloutRunArgs) -> Result<u8> {
    if !(args.time_scale > 0.0 && args.time_scale <= 100.0) {
        return Err(Error::usage(format!(
            "--time-scale {}: expected more than 0, at most 100",
            args.time_scale
        )));
    }
    for text in &args.faults {
        fault(text)?;
    }
    let own = measuring(
        args.of.no_color,
        args.quiet,
        args.only,
        Some((args.baselines, args.ceiling)),
        args.transport,
    )?;
    let session = Session { allow: allow(&args.allow), notify: notify(args.telling), ..own };
    commands::rollout(&RolloutRunRequest {
        of: request(args.of),
        session,
        faults: args.faults,
        time_scale: args.time_scale,
        dry_run: args.dry_run,
    })
}

fn steer(args: SteerArgs, kind: RequestKind) -> Result<u8> {
    let own = measuring(args.of.no_color, true, Vec::new(), None, args.transport)?;
    commands::steer(&SteerRequest {
        session: Session { notify: notify(args.telling), ..own },
        of: request(args.of),
        kind,
        by: args.by,
        reason: args.reason,
    })
}

/// What its parts are measured with; the plan says the rest.
fn measuring(
    no_color: bool,
    quiet: bool,
    only: Vec<String>,
    sending: Option<(BaselineArgs, CeilingArgs)>,
    transport: TransportArgs,
) -> Result<Session> {
    let none = TargetArgs { target: None, demo: false, faults: Vec::new() };
    let output = OutputArgs { out: None, wait: None, label: None, quiet, no_color };
    let (baselines, ceiling) = sending.unzip();
    let session = bare(none, baselines, ceiling, transport, output).session(Resolved::default())?;
    Ok(Session { only, ..session })
}
