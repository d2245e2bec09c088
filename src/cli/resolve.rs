use std::path::PathBuf;
use std::time::Duration;

use super::args::{
    AllowArg, Args, BaselineArgs, Command, FormatArg, GateArg, ImportArg, LogArg, NotifyArg, RunArgs,
    ScenarioArgs, SchemaArg, SmokeArgs, TargetArgs, TellingArgs, TransportArgs,
};
use super::baseline_args::{BaselineCommand, MeasureArgs, SetArgs};
use super::canary::canaries;
use super::manual::{completions, manual};
use super::project::{expected, only_one, services};
use super::quick_args::{QuickArgs, header};
use super::rollout::rollout;
use super::serve::serving;
use super::session::{Flags, bare};
use super::shard::{shard, start_at};
use super::stored_args::{CombinedFormatArg, ReportFormatArg};
use super::telemetry::telling_figures;
use crate::commands::{
    self, CombineRequest, CombinedFormat, CompareRequest, DemoRequest, Freshness, Gate, ImportFrom,
    ImportRequest, InitRequest, MergeRequest, Notify, NotifyRequest, PruneRequest, QuickRequest,
    RecordRequest, RefreshRequest, ReportFormat, ReportRequest, RunKind, SchemaOf, Session, SetRequest,
    Stdout, ValidateRequest, VerifyRequest, WatchRequest, fetched,
};
use crate::demo::{DemoOptions, Fault};
use crate::error::{Error, Result};
use crate::gate::TargetSpec;
use crate::logging::{Level, set_level};
use crate::metrics::Repeat;
use crate::project::Resolved;
use crate::scenario::{QuickLoad, QuickOptions};
use crate::secrets::without_any_userinfo;
use crate::store::Shelf;
use crate::transport::{Signature, TransportOptions};
use crate::units::{Rate, parse_duration_ns, parse_rate, parse_share};
use crate::verdict::Allow;

pub fn dispatch(args: Args) -> Result<u8> {
    set_level(match args.log {
        LogArg::Off => Level::Off,
        LogArg::Info => Level::Info,
        LogArg::Debug => Level::Debug,
        LogArg::Trace => Level::Trace,
    });
    match args.command {
        Command::Completions { shell } => completions(shell),
        Command::Man { dir } => manual(&dir),
        Command::Run(args) => commands::run_services(run_sessions(*args)?, RunKind::SmokeAndLoad),
        Command::Serve(args) => commands::serve(serving(args)?),
        Command::Canary(args) => commands::canary_services(canaries(&args)?),
        Command::Rollout { command } => rollout(command),
        Command::Smoke(args) => {
            let sessions = smoke_sessions(&args)?;
            match &args.watch {
                None => commands::run_services(sessions, RunKind::SmokeOnly),
                Some(length) => commands::watch(&WatchRequest {
                    length: duration("--watch", length)?,
                    every: duration("--every", &args.every)?,
                    session: only_one(sessions, |own| own.service.as_deref(), "smoke --watch")?,
                }),
            }
        }
        Command::Schema { of } => commands::schema(match of {
            SchemaArg::Scenario => SchemaOf::Scenario,
            SchemaArg::Plan => SchemaOf::Plan,
            SchemaArg::Project => SchemaOf::Project,
            SchemaArg::Run => SchemaOf::Run,
            SchemaArg::Verdict => SchemaOf::Verdict,
        }),
        Command::Import(args) => commands::import(&ImportRequest {
            from: match args.from {
                ImportArg::Har => ImportFrom::Har,
                ImportArg::Openapi => ImportFrom::OpenApi,
                ImportArg::Postman => ImportFrom::Postman,
                ImportArg::Curl => ImportFrom::Curl,
            },
            file: args.file,
            environment: args.environment,
            only: args.only,
            feature: args.feature,
            dir: args.dir,
        }),
        Command::Init(args) => {
            base_url(&args.url)?;
            commands::init(&InitRequest {
                url: without_fragment(&args.url),
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
            runs: fetched(&args.runs, Freshness::LastKnown)?,
            against: fetched(&args.against, Freshness::LastKnown)?,
            baselines: Shelf::at(&args.baselines)?,
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
            runs: fetched(&args.runs, Freshness::LastKnown)?,
            labels: args.labels,
            baselines: Shelf::at(&args.baselines)?,
            format: report_format(args.format),
            deployment: args.deployment,
            before: fetched(&args.before, Freshness::LastKnown)?,
            impact: parse_share(&args.impact)
                .map_err(|reason| Error::usage(format!("--impact: {reason}")))?,
            output: args.output.filter(|path| path.as_os_str() != "-"),
            stdout: Stdout { no_color: args.no_color },
        }),
        Command::Combine(args) => commands::combine(&CombineRequest {
            expect: expected(&args.expect, args.project.as_deref())?,
            runs: fetched(&args.runs, Freshness::Now)?,
            format: match args.format {
                CombinedFormatArg::Table => CombinedFormat::Table,
                CombinedFormatArg::Json => CombinedFormat::Json,
                CombinedFormatArg::Junit => CombinedFormat::Junit,
                CombinedFormatArg::Markdown => CombinedFormat::Markdown,
            },
            output: args.output.filter(|path| path.as_os_str() != "-"),
            stdout: Stdout { no_color: args.no_color },
        }),
        Command::Merge(args) => commands::merge(&MergeRequest {
            wait: args.wait.map(|text| duration("--wait", &text)).transpose()?.unwrap_or_default(),
            runs: args.runs,
            out: args.out,
            baselines: Shelf::at(&args.baselines)?,
            gate: args.gate.map(gate),
            allow: allow(&args.allow),
            label: args.label,
            stdout: Stdout { no_color: args.no_color },
        }),
        Command::Validate(args) => {
            let all = services(&args.scenarios, args.baselines.env.as_deref(), false)?;
            let ScenarioArgs { paths, vars: given, only, total_rate, probes, .. } = args.scenarios;
            let rate = total_rate.as_deref().map(rate).transpose()?;
            let shard = args.shard.as_deref().map(shard).transpose()?;
            let mut requests = Vec::new();
            for own in all {
                let baselines = args.baselines.baselines.clone();
                let baselines = baselines.or(own.settings.baselines.map(PathBuf::from));
                requests.push(ValidateRequest {
                    service: own.service,
                    paths: if paths.is_empty() { own.scenarios } else { paths.clone() },
                    vars: own
                        .vars
                        .into_iter()
                        .chain(given.iter().filter(|(name, _)| !own.project_vars.contains(name)).cloned())
                        .collect(),
                    defaults: own.defaults,
                    only: if only.is_empty() { own.only } else { only.clone() },
                    probes: probes.clone().or(own.settings.probes),
                    shard,
                    rate: rate.or(own.settings.rate),
                    budget: own.settings.budget,
                    baselines: Shelf::at(&baselines.unwrap_or_else(|| PathBuf::from("baselines")))?,
                    env: args
                        .baselines
                        .env
                        .clone()
                        .or(own.environment)
                        .unwrap_or_else(|| "default".to_owned()),
                    format: format(args.format),
                });
            }
            commands::validate_services(&requests)
        }
        Command::Baseline { command: BaselineCommand::Record(args) } => {
            let session = measuring(args.measure, "baseline record")?;
            commands::record(&RecordRequest { session, times: args.repeat, reason: args.reason })
        }
        Command::Baseline { command: BaselineCommand::Refresh(args) } => {
            let session = measuring(args.measure, "baseline refresh")?;
            commands::refresh(&RefreshRequest {
                session,
                times: args.repeat,
                reason: args.reason,
                accept: args.accept,
                yes: args.yes,
                new: args.new,
                from: fetched(&args.from, Freshness::LastKnown)?,
            })
        }
        Command::Baseline { command: BaselineCommand::Show(args) } => {
            commands::show(&set(args.set, args.features)?)
        }
        Command::Baseline { command: BaselineCommand::Verify(args) } => commands::verify(&VerifyRequest {
            set: set(args.set, Vec::new())?,
            scenarios: args.scenarios,
            vars: args.vars,
            rate: args.rate.as_deref().map(rate).transpose()?,
        }),
        Command::Baseline { command: BaselineCommand::Prune(args) } => commands::prune(&PruneRequest {
            set: set(args.set, args.features)?,
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

/// What `run` measures, one session for each service that is meant.
pub fn run_sessions(args: RunArgs) -> Result<Vec<Session>> {
    let flags = Flags {
        scenarios: args.scenarios,
        target: args.target,
        gating: Some(args.gate),
        ceiling: Some(args.ceiling),
        baselines: Some(args.baselines),
        transport: args.transport,
        output: args.output,
    };
    let shard = args.shard.as_deref().map(shard).transpose()?;
    let at = args.start_at.as_deref().map(|text| start_at(text, jiff::Timestamp::now())).transpose()?;
    let mut sessions = flags.sessions()?;
    for session in &mut sessions {
        (session.shard, session.start_at) = (shard, at);
        session.notify = notify(args.telling);
        telling_figures(&args.telemetry, session)?;
        let again = session.restart_hook.is_some() || matches!(session.repeat, Repeat::Times(2..));
        if shard.is_some() && again {
            let hint = "leave --repeat and --restart-hook out: all shards together are one look";
            return Err(Error::usage_hint("a shard takes one look", hint));
        }
    }
    if (shard.is_some() || at.is_some()) && sessions.len() > 1 {
        return Err(Error::usage_hint("a shard is of one service's load", "name it with --service"));
    }
    Ok(sessions)
}

/// What `smoke` checks, likewise.
pub fn smoke_sessions(args: &SmokeArgs) -> Result<Vec<Session>> {
    let flags = Flags {
        scenarios: args.scenarios.clone(),
        target: args.target.clone(),
        gating: None,
        ceiling: None,
        baselines: Some(BaselineArgs { baselines: None, env: args.env.clone() }),
        transport: args.transport.clone(),
        output: args.output.clone(),
    };
    let mut sessions = flags.sessions()?;
    for session in &mut sessions {
        session.notify = notify(args.telling);
    }
    Ok(sessions)
}

pub fn notify(args: TellingArgs) -> Notify {
    match args.notify {
        NotifyArg::Send => Notify::Send,
        NotifyArg::DryRun => Notify::DryRun,
        NotifyArg::Off => Notify::Off,
    }
}

fn measuring(args: MeasureArgs, command: &str) -> Result<Session> {
    let MeasureArgs { scenarios, target, ceiling, baselines, transport, output, restart_hook } = args;
    let (ceiling, baselines) = (Some(ceiling), Some(baselines));
    let flags = Flags { scenarios, target, gating: None, ceiling, baselines, transport, output };
    let resolved = only_one(flags.services()?, |own| own.service.as_deref(), command)?;
    let hook = restart_hook.or_else(|| resolved.settings.restart_hook.clone());
    Ok(Session { restart_hook: hook, ..flags.session(resolved)? })
}

fn set(args: SetArgs, features: Vec<String>) -> Result<SetRequest> {
    Ok(SetRequest { baselines: Shelf::at(&args.baselines)?, env: args.env, features })
}

pub fn transport_options(args: TransportArgs) -> Result<TransportOptions> {
    Ok(TransportOptions {
        signature: Signature {
            user_agent: format!("loadgate/{}", env!("CARGO_PKG_VERSION")),
            run: String::new(),
        },
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
    let target = TargetArgs { target: Some(without_fragment(&args.url)), demo: false, faults: Vec::new() };
    let length = args.length.or_else(|| args.requests.is_none().then(|| "10s".to_owned()));
    Ok(QuickRequest {
        session: bare(target, None, Some(args.ceiling), args.transport, args.output)
            .session(Resolved::default())?,
        options: QuickOptions {
            url: without_fragment(&args.url),
            method,
            headers: args.headers.iter().map(|text| header(text)).collect::<Result<_>>()?,
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

pub fn rate(text: &str) -> Result<Rate> {
    parse_rate(text).map_err(|reason| Error::usage(format!("--rate: {reason}")))
}

pub fn target_spec(args: &TargetArgs) -> Result<Option<TargetSpec>> {
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
    Ok(Some(TargetSpec::Url(without_fragment(url))))
}

/// A fragment is for browsers: it is not sent, and may hold what nobody is to be told.
pub fn without_fragment(url: &str) -> String {
    url.split('#').next().unwrap_or_default().to_owned()
}

pub fn base_url(text: &str) -> Result<()> {
    // As it is shown; nothing is known yet of what must not be.
    let whole = without_any_userinfo(text);
    let shown = whole.split(['?', '#']).next().unwrap_or_default();
    let uri: http::Uri = text.parse().map_err(|e| {
        let hint = if text.contains("://") {
            "expected http://host/path"
        } else {
            "it starts with http:// or https://"
        };
        Error::usage_hint(format!("`{shown}` is not a URL: {e}"), hint)
    })?;
    if matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() {
        // The other reader leaves ports alone, and a mistake there would look like a target that is down.
        return match url::Url::parse(text) {
            Ok(_) => Ok(()),
            Err(e) => Err(Error::usage_hint(
                format!("`{shown}` is not a URL: {e}"),
                "expected http://host:port/path",
            )),
        };
    }
    let hint = match text.split_once("://") {
        Some(_) => "it starts with http:// or https://".to_owned(),
        None => format!("did you mean http://{shown}?"),
    };
    Err(Error::usage_hint(format!("`{shown}` is not an absolute URL"), hint))
}

pub fn fault(text: &str) -> Result<Fault> {
    text.parse().map_err(|reason| Error::usage(format!("--fault: {reason}")))
}

pub fn duration(flag: &str, text: &str) -> Result<Duration> {
    parse_duration_ns(text)
        .map(Duration::from_nanos)
        .map_err(|reason| Error::usage(format!("{flag}: {reason}")))
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
