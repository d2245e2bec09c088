use std::path::PathBuf;
use std::time::Duration;

use super::args::{
    AllowArg, Args, BaselineArgs, Command, FormatArg, GateArg, GateArgs, NotifyArg, OutputArgs, QuickArgs,
    ScenarioArgs, SchemaArg, TargetArgs, TellingArgs, TransportArg, TransportArgs,
};
use super::baseline_args::{BaselineCommand, MeasureArgs, SetArgs};
use super::canary::canary;
use super::rollout::rollout;
use super::shard::{shard, start_at};
use super::stored_args::ReportFormatArg;
use crate::commands::{
    self, CompareRequest, DemoRequest, Gate, InitRequest, MergeRequest, Notify, NotifyRequest, PruneRequest,
    QuickRequest, RecordRequest, RefreshRequest, ReportFormat, ReportRequest, RunKind, SchemaOf, Session,
    SetRequest, Stdout, ValidateRequest, VerifyRequest, WatchRequest,
};
use crate::demo::{DemoOptions, Fault};
use crate::error::{Error, Result};
use crate::gate::TargetSpec;
use crate::metrics::{DEFAULT_INSTANCES, Repeat};
use crate::scenario::{QuickLoad, QuickOptions};
use crate::transport::{Kind, TransportOptions};
use crate::units::{Rate, parse_duration_ns, parse_rate, parse_share};
use crate::verdict::Allow;

pub fn dispatch(args: Args) -> Result<u8> {
    match args.command {
        Command::Run(args) => {
            let (gate, baselines) = (Some(args.gate), Some(args.baselines));
            let mut session =
                session(args.scenarios, &args.target, gate, baselines, args.transport, args.output)?;
            session.shard = args.shard.as_deref().map(shard).transpose()?;
            if session.shard.is_some()
                && (session.restart_hook.is_some() || matches!(session.repeat, Repeat::Times(2..)))
            {
                let hint = "leave --repeat and --restart-hook out: all shards together are one look";
                return Err(Error::usage_hint("a shard takes one look", hint));
            }
            let at = args.start_at.as_deref().map(|text| start_at(text, jiff::Timestamp::now()));
            session.start_at = at.transpose()?;
            session.notify = notify(args.telling);
            commands::run(&session, RunKind::SmokeAndLoad)
        }
        Command::Canary(args) => commands::canary(&canary(*args)?),
        Command::Rollout { command } => rollout(command),
        Command::Supervise { command } => commands::supervise(&command),
        Command::Act { folder, name } => commands::act(&folder, &name),
        Command::Smoke(args) => {
            let mut session = session(args.scenarios, &args.target, None, None, args.transport, args.output)?;
            session.notify = notify(args.telling);
            match &args.watch {
                None => commands::run(&session, RunKind::SmokeOnly),
                Some(length) => commands::watch(&WatchRequest {
                    length: duration("--watch", length)?,
                    every: duration("--every", &args.every)?,
                    session,
                }),
            }
        }
        Command::Schema { of } => commands::schema(match of {
            SchemaArg::Scenario => SchemaOf::Scenario,
            SchemaArg::Plan => SchemaOf::Plan,
        }),
        Command::Init(args) => {
            base_url(&args.url)?;
            commands::init(&InitRequest {
                url: args.url,
                dir: args.dir,
                feature: args.feature,
                transport: transport_options(args.transport)?,
            })
        }
        Command::Notify(args) => commands::notify(&NotifyRequest {
            runs: args.runs,
            file: args.probes,
            vars: args.vars,
            dry_run: args.dry_run,
            transport: transport_options(args.transport)?,
        }),
        Command::Quick(args) => commands::quick(&quick(args)?),
        Command::Compare(args) => commands::compare(&CompareRequest {
            runs: args.runs,
            against: args.against,
            baselines: args.baselines,
            gate: args.gate.map(gate),
            instances: args.instances.map(usize::from),
            allow: allow(&args.allow),
            as_looks: args.repeat.is_some(),
            explain: args.explain,
            format: report_format(args.format),
            output: args.output.filter(|path| path.as_os_str() != "-"),
            stdout: Stdout { no_color: args.no_color },
        }),
        Command::Report(args) => commands::report(&ReportRequest {
            runs: args.runs,
            labels: args.labels,
            baselines: args.baselines,
            format: report_format(args.format),
            deployment: args.deployment,
            before: args.before,
            impact: parse_share(&args.impact)
                .map_err(|reason| Error::usage(format!("--impact: {reason}")))?,
            output: args.output.filter(|path| path.as_os_str() != "-"),
            stdout: Stdout { no_color: args.no_color },
        }),
        Command::Merge(args) => commands::merge(&MergeRequest {
            runs: args.runs,
            out: args.out,
            baselines: args.baselines,
            gate: args.gate.map(gate),
            allow: allow(&args.allow),
            label: args.label,
            stdout: Stdout { no_color: args.no_color },
        }),
        Command::Validate(args) => {
            let ScenarioArgs { paths, vars, only, total_rate, probes } = args.scenarios;
            let rate = total_rate.as_deref().map(rate).transpose()?;
            let shard = args.shard.as_deref().map(shard).transpose()?;
            commands::validate(&ValidateRequest {
                paths,
                vars,
                only,
                probes,
                shard,
                rate,
                baselines: args.baselines.baselines,
                env: args.baselines.env.unwrap_or_else(|| "default".to_owned()),
                format: format(args.format),
            })
        }
        Command::Baseline { command: BaselineCommand::Record(args) } => {
            let session = measuring(args.measure)?;
            commands::record(&RecordRequest { session, times: args.repeat, reason: args.reason })
        }
        Command::Baseline { command: BaselineCommand::Refresh(args) } => {
            let session = measuring(args.measure)?;
            commands::refresh(&RefreshRequest {
                session,
                times: args.repeat,
                reason: args.reason,
                accept: args.accept,
                yes: args.yes,
                new: args.new,
                from: args.from,
            })
        }
        Command::Baseline { command: BaselineCommand::Show(args) } => {
            commands::show(&set(args.set, args.features))
        }
        Command::Baseline { command: BaselineCommand::Verify(args) } => commands::verify(&VerifyRequest {
            set: set(args.set, Vec::new()),
            scenarios: args.scenarios,
            vars: args.vars,
            rate: args.rate.as_deref().map(rate).transpose()?,
        }),
        Command::Baseline { command: BaselineCommand::Prune(args) } => commands::prune(&PruneRequest {
            set: set(args.set, args.features),
            keep: args.keep as usize,
            yes: args.yes,
        }),
        Command::Demo(args) => {
            let faults = args.faults.iter().map(|text| fault(text)).collect::<Result<_>>()?;
            let options =
                DemoOptions { port: args.port, faults, allow_faults: args.allow_faults, build: args.build };
            commands::demo(DemoRequest { options, until_stdin_closes: args.until_stdin_closes })
        }
    }
}

pub fn notify(args: TellingArgs) -> Notify {
    match args.notify {
        NotifyArg::Send => Notify::Send,
        NotifyArg::DryRun => Notify::DryRun,
        NotifyArg::Off => Notify::Off,
    }
}

fn measuring(args: MeasureArgs) -> Result<Session> {
    let MeasureArgs { scenarios, target, baselines, transport, output, restart_hook } = args;
    let session = session(scenarios, &target, None, Some(baselines), transport, output)?;
    Ok(Session { restart_hook, ..session })
}

fn set(args: SetArgs, features: Vec<String>) -> SetRequest {
    SetRequest { baselines: args.baselines, env: args.env, features }
}

pub fn session(
    scenarios: ScenarioArgs,
    target: &TargetArgs,
    gating: Option<GateArgs>,
    baselines: Option<BaselineArgs>,
    transport: TransportArgs,
    output: OutputArgs,
) -> Result<Session> {
    let ScenarioArgs { paths, vars, only, total_rate, probes } = scenarios;
    let baselines = baselines.unwrap_or(BaselineArgs { baselines: PathBuf::from("baselines"), env: None });
    let mut session = Session {
        paths,
        vars,
        only,
        probes,
        watching: None,
        target: target_spec(target)?,
        env: baselines.env,
        baselines: baselines.baselines,
        out: output.out,
        gate: Gate::Regression,
        repeat: Repeat::Auto,
        restart_hook: None,
        same_host: false,
        instances: DEFAULT_INSTANCES,
        wait: output.wait.map(|text| duration("--wait", &text)).transpose()?,
        allow: Allow::default(),
        kind: transport.transport.map(|arg| match arg {
            TransportArg::Http => Kind::Http,
            TransportArg::Wire => Kind::Wire,
        }),
        transport: transport_options(transport)?,
        shard: None,
        start_at: None,
        rate: total_rate.as_deref().map(rate).transpose()?,
        label: output.label,
        notify: Notify::Off,
        quiet: output.quiet,
        no_color: output.no_color,
    };
    if let Some(args) = gating {
        session.gate = gate(args.gate);
        session.repeat = repeat(&args.repeat)?;
        session.restart_hook = args.restart_hook;
        session.same_host = args.same_host;
        session.instances = args.instances.into();
        session.allow = allow(&args.allow);
    }
    Ok(session)
}

fn transport_options(args: TransportArgs) -> Result<TransportOptions> {
    Ok(TransportOptions {
        user_agent: format!("loadgate/{}", env!("CARGO_PKG_VERSION")),
        insecure: args.insecure,
        http2: args.http2,
        ca_file: args.cacert,
        client_identity: client_identity(args.cert, args.key)?,
    })
}

/// A file may hold both the certificate and its key.
fn client_identity(cert: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<(PathBuf, PathBuf)>> {
    match (cert, key) {
        (None, None) => Ok(None),
        (Some(cert), key) => Ok(Some((cert.clone(), key.unwrap_or(cert)))),
        (None, Some(_)) => Err(Error::usage_hint(
            "--key is given without --cert",
            "--cert FILE names the client's certificate",
        )),
    }
}

fn quick(args: QuickArgs) -> Result<QuickRequest> {
    base_url(&args.url)?;
    let durations = [("--for", args.length.as_deref()), ("--warmup", Some(args.warmup.as_str()))];
    for (flag, text) in durations.into_iter().chain([("--timeout", args.timeout.as_deref())]) {
        text.map(|text| duration(flag, text)).transpose()?;
    }
    let load = match (args.vus, args.rate.as_deref().unwrap_or("10/s")) {
        (Some(users), _) => QuickLoad::Users(users),
        (None, text) => QuickLoad::Rate(rate(text)?),
    };
    let body = match &args.body_file {
        None => args.body,
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|e| Error::input(path, "read body", e))?;
            Some(text)
        }
    };
    let method = args.method.unwrap_or_else(|| if body.is_some() { "POST" } else { "GET" }.to_owned());
    let known = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    if !known.contains(&method.to_ascii_uppercase().as_str()) {
        return Err(Error::usage_hint(
            format!("--method {method} is not known"),
            format!("one of {}", known.join(", ")),
        ));
    }
    let target = TargetArgs { target: Some(args.url.clone()), demo: false, faults: Vec::new() };
    let scenarios = ScenarioArgs {
        paths: Vec::new(),
        vars: Vec::new(),
        only: Vec::new(),
        total_rate: None,
        probes: None,
    };
    let length = args.length.or_else(|| args.requests.is_none().then(|| "10s".to_owned()));
    Ok(QuickRequest {
        session: session(scenarios, &target, None, None, args.transport, args.output)?,
        options: QuickOptions {
            url: args.url,
            method,
            headers: args.headers,
            body,
            load,
            requests: args.requests,
            length,
            warmup: args.warmup,
            timeout: args.timeout,
        },
        json: args.json,
        emit_scenario: args.emit_scenario,
    })
}

fn rate(text: &str) -> Result<Rate> {
    parse_rate(text).map_err(|reason| Error::usage(format!("--rate: {reason}")))
}

fn target_spec(args: &TargetArgs) -> Result<Option<TargetSpec>> {
    if !args.demo && !args.faults.is_empty() {
        return Err(Error::usage_hint("--fault is for the demo target alone", "add --demo"));
    }
    if args.demo && args.target.is_some() && args.target != std::env::var("LOADGATE_TARGET").ok() {
        return Err(Error::usage("give --target or --demo, not both"));
    }
    if args.demo {
        for text in &args.faults {
            fault(text)?;
        }
        return Ok(Some(TargetSpec::Demo { faults: args.faults.clone() }));
    }
    let Some(url) = &args.target else { return Ok(None) };
    base_url(url)?;
    Ok(Some(TargetSpec::Url(url.clone())))
}

pub fn base_url(text: &str) -> Result<()> {
    let uri: http::Uri = text.parse().map_err(|e| {
        let hint = if text.contains("://") {
            "expected http://host/path"
        } else {
            "it starts with http:// or https://"
        };
        Error::usage_hint(format!("`{text}` is not a URL: {e}"), hint)
    })?;
    if matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() {
        return Ok(());
    }
    let hint = match text.split_once("://") {
        Some(_) => "it starts with http:// or https://".to_owned(),
        None => format!("did you mean http://{text}?"),
    };
    Err(Error::usage_hint(format!("`{text}` is not an absolute URL"), hint))
}

pub fn fault(text: &str) -> Result<Fault> {
    text.parse().map_err(|reason| Error::usage(format!("--fault: {reason}")))
}

pub fn duration(flag: &str, text: &str) -> Result<Duration> {
    parse_duration_ns(text)
        .map(Duration::from_nanos)
        .map_err(|reason| Error::usage(format!("{flag}: {reason}")))
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

pub fn gate(arg: GateArg) -> Gate {
    match arg {
        GateArg::Regression => Gate::Regression,
        GateArg::Safety => Gate::Safety,
    }
}

pub fn allow(args: &[AllowArg]) -> Allow {
    Allow {
        no_baseline: args.contains(&AllowArg::NoBaseline),
        unresolved: args.contains(&AllowArg::Unresolved),
    }
}

fn report_format(arg: ReportFormatArg) -> ReportFormat {
    match arg {
        ReportFormatArg::Table => ReportFormat::Table,
        ReportFormatArg::Json => ReportFormat::Json,
        ReportFormatArg::Junit => ReportFormat::Junit,
        ReportFormatArg::Markdown => ReportFormat::Markdown,
        ReportFormatArg::Html => ReportFormat::Html,
    }
}

fn format(arg: FormatArg) -> ReportFormat {
    match arg {
        FormatArg::Table => ReportFormat::Table,
        FormatArg::Json => ReportFormat::Json,
    }
}
