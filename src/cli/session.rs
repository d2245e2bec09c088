//! What the commands that measure have in common: flags first, then what the project says, then the defaults.

use std::path::PathBuf;

use super::args::{
    BaselineArgs, CeilingArgs, GateArgs, OutputArgs, ScenarioArgs, TargetArgs, TransportArg, TransportArgs,
};
use super::project::services;
use super::resolve::{allow, duration, gate, rate, target_spec, transport_options};
use crate::commands::{Gate, Notify, Session};
use crate::error::{Error, Result};
use crate::metrics::{DEFAULT_INSTANCES, Repeat};
use crate::project::{Resolved, Settings};
use crate::rollout::ArmPlan;
use crate::store::Shelf;
use crate::transport::Kind;
use crate::units::{Rate, parse_rate};
use crate::verdict::Allow;

/// The flags of a command that measures.
#[derive(Clone)]
pub struct Flags {
    pub scenarios: ScenarioArgs,
    pub target: TargetArgs,
    pub gating: Option<GateArgs>,
    pub ceiling: Option<CeilingArgs>,
    pub baselines: Option<BaselineArgs>,
    pub transport: TransportArgs,
    pub output: OutputArgs,
}

impl Flags {
    /// One for each service that is meant.
    pub fn sessions(self) -> Result<Vec<Session>> {
        self.services()?.into_iter().map(|resolved| self.clone().session(resolved)).collect()
    }

    pub fn services(&self) -> Result<Vec<Resolved>> {
        let env = self.baselines.as_ref().and_then(|own| own.env.as_deref());
        services(&self.scenarios, env, true)
    }

    /// What flags say counts before what the project says.
    pub fn session(self, resolved: Resolved) -> Result<Session> {
        let ScenarioArgs { paths, vars: given, only, total_rate, probes, .. } = self.scenarios;
        let Resolved { service, settings, environment, places, project_vars, .. } = resolved;
        let (env, baselines) = self.baselines.map_or((None, None), |own| (own.env, own.baselines));
        let flagged = target_spec(&self.target)?;
        let placed = places.target.filter(|_| flagged.is_none());
        placed.as_ref().map_or(Ok(()), no_headers)?;
        let mut vars = resolved.vars;
        vars.extend(placed.iter().flat_map(|arm| arm.vars.clone()));
        vars.extend(given.into_iter().filter(|(name, _)| !project_vars.contains(name)));
        // The demo is no deployment of any environment.
        let environment = environment.filter(|_| !self.target.demo);
        let repeat = self.gating.as_ref().and_then(|own| own.repeat.as_deref()).map(repeat).transpose()?;
        let budget = self.gating.as_ref().and_then(|own| own.budget.as_deref());
        let budget = budget.map(|text| duration("--budget", text)).transpose()?;
        let mut session = Session {
            paths: if paths.is_empty() { resolved.scenarios } else { paths },
            vars,
            defaults: resolved.defaults,
            only: if only.is_empty() { resolved.only } else { only },
            probes: probes.or(settings.probes.clone()),
            watching: None,
            secrets: resolved.secrets,
            target: flagged.or(placed.map(|arm| arm.target)),
            env: env.or(environment),
            baselines: Shelf::at(
                &baselines
                    .or_else(|| settings.baselines.clone().map(PathBuf::from))
                    .unwrap_or_else(|| PathBuf::from("baselines")),
            )?,
            out: self.output.out,
            gate: Gate::Regression,
            repeat: Repeat::Auto,
            budget: None,
            restart_hook: None,
            same_host: false,
            require_baseline: false,
            instances: DEFAULT_INSTANCES,
            wait: self.output.wait.map(|text| duration("--wait", &text)).transpose()?.or(settings.wait),
            allow: Allow::default(),
            kind: self
                .transport
                .transport
                .map(|arg| match arg {
                    TransportArg::Http => Kind::Http,
                    TransportArg::Wire => Kind::Wire,
                })
                .or(settings.transport),
            transport: transport_options(self.transport)?,
            max_rate: ceiling(self.ceiling)?.or(settings.max_rate),
            shard: None,
            start_at: None,
            traced: false,
            #[cfg(feature = "telemetry")]
            telemetry: crate::telemetry::TelemetryOptions::default(),
            rate: total_rate.as_deref().map(rate).transpose()?.or(settings.rate),
            label: self.output.label,
            service,
            one_of_many: false,
            notify: Notify::Off,
            quiet: self.output.quiet,
            no_color: self.output.no_color,
        };
        if let Some(args) = self.gating {
            session.gate = args.gate.map_or_else(|| gate_of(&settings, Gate::Regression), gate);
            session.repeat = repeat.or(settings.repeat).unwrap_or(Repeat::Auto);
            session.budget = budget.or(settings.budget);
            session.restart_hook = args.restart_hook.or_else(|| settings.restart_hook.clone());
            session.require_baseline = args.require_baseline;
            session.same_host = args.same_host || settings.same_host.unwrap_or(false);
            session.instances =
                args.instances.map(usize::from).or(settings.instances).unwrap_or(DEFAULT_INSTANCES);
            session.allow = allowed(&settings, allow(&args.allow));
        }
        Ok(session)
    }
}

/// Of a command that no project speaks for.
pub fn bare(
    target: TargetArgs,
    baselines: Option<BaselineArgs>,
    ceiling: Option<CeilingArgs>,
    transport: TransportArgs,
    output: OutputArgs,
) -> Flags {
    let scenarios = ScenarioArgs {
        paths: Vec::new(),
        vars: Vec::new(),
        only: Vec::new(),
        project: None,
        services: Vec::new(),
        profile: None,
        total_rate: None,
        probes: None,
    };
    Flags { scenarios, target, gating: None, ceiling, baselines, transport, output }
}

fn ceiling(args: Option<CeilingArgs>) -> Result<Option<Rate>> {
    let given = args.and_then(|own| own.max_rate);
    given
        .map(|text| parse_rate(&text).map_err(|reason| Error::usage(format!("--max-rate: {reason}"))))
        .transpose()
}

pub fn gate_of(settings: &Settings, otherwise: Gate) -> Gate {
    match settings.gate {
        Some("safety") => Gate::Safety,
        Some(_) => Gate::Regression,
        None => otherwise,
    }
}

/// What flags allow, and what the project does.
pub fn allowed(settings: &Settings, flags: Allow) -> Allow {
    Allow {
        no_baseline: flags.no_baseline || settings.allow_no_baseline.unwrap_or(false),
        unresolved: flags.unresolved || settings.allow_unresolved.unwrap_or(false),
    }
}

fn no_headers(arm: &ArmPlan) -> Result<()> {
    if arm.headers.is_empty() {
        return Ok(());
    }
    let hint = "they stand in its scenarios, with a variable for what differs";
    Err(Error::usage_hint(
        "`headers` in a project file are for the arms of a canary, not for a `target`",
        hint,
    ))
}

fn repeat(text: &str) -> Result<Repeat> {
    if text == "auto" {
        return Ok(Repeat::Auto);
    }
    match text.parse() {
        Ok(times @ 1..=100) => Ok(Repeat::Times(times)),
        _ => Err(Error::usage(format!("--repeat: `{text}` is neither `auto` nor a number from 1 to 100"))),
    }
}
