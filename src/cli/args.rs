use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

use super::baseline_args::BaselineCommand;
use super::canary_args::CanaryArgs;
use super::rollout_args::RolloutCommand;
use super::serve::ServeArgs;
use super::stored_args::{CombineArgs, CompareArgs, MergeArgs, ReportArgs};
use super::telemetry::TelemetryArgs;

/// Decides whether a deployment may be promoted: functional smoke pass, load, statistical verdict.
#[derive(Parser, Debug)]
#[command(
    name = "loadgate",
    version,
    after_help = "Exit codes: 0 go · 1 proven failure, roll back · 2 usage or invalid input, nothing was sent · 3 hold: \
                  not trusted, at a limit, or not settled · 4 no baseline · 5 loadgate itself failed · 6 a rollback failed · 130/143 interrupted"
)]
pub struct Args {
    /// Tell on standard error what happens within, without secrets
    #[arg(
        long,
        value_enum,
        value_name = "LEVEL",
        default_value = "off",
        global = true,
        env = "LOADGATE_LOG"
    )]
    pub log: LogArg,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogArg {
    Off,
    /// What is done, step by step
    Info,
    /// Each request of a functional pass, each failure under load, connections, files
    Debug,
    /// Headers and bodies too, and each request under load
    Trace,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Smoke pass, then load, then verdict
    Run(Box<RunArgs>),
    /// One pass over every step, functional checks only
    Smoke(SmokeArgs),
    /// One URL from flags
    Quick(super::quick_args::QuickArgs),
    /// A candidate beside its control, both under load at once: stops early where the candidate is worse
    Canary(Box<CanaryArgs>),
    /// A deployment phase by phase: shift traffic, soak, load, decide; resumable, and steered from any terminal
    Rollout {
        #[command(subcommand)]
        command: RolloutCommand,
    },
    /// Begin gates for whoever asks over HTTP, and answer: for Argo Rollouts, Flagger and other controllers
    Serve(ServeArgs),
    /// Judge stored runs again, against baselines or other runs
    Compare(CompareArgs),
    /// Check scenario files and print what a run would send and could judge; sends nothing
    Validate(ValidateArgs),
    /// Accepted runs that later ones are compared with
    Baseline {
        #[command(subcommand)]
        command: BaselineCommand,
    },
    /// Show a stored run
    Report(ReportArgs),
    /// Many verdicts in one: one exit code, one summary, the worst first
    Combine(CombineArgs),
    /// Put the shards of one load together, without loss, and judge them as one
    Merge(MergeArgs),
    /// Tell webhooks what they could not be told when a run ended, or show what they would be
    Notify(NotifyArgs),
    /// Scenario files from what others recorded or describe: a browser, an OpenAPI document, Postman, curl commands
    Import(ImportArgs),
    /// Write a commented scenario and a CI job for a service met for the first time; asks the URL once
    Init(InitArgs),
    /// Print a JSON Schema: of scenario files, plans or project files for editors, of run.json or verdict.json for programs
    Schema {
        #[arg(value_enum, default_value = "scenario")]
        of: SchemaArg,
    },
    /// Serve the embedded target on loopback
    Demo(DemoArgs),
    /// Print what completes commands and flags in a shell
    Completions {
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write the manual: a page for each command
    Man {
        /// Folder to write into
        #[arg(value_name = "DIR", default_value = "man")]
        dir: PathBuf,
    },
}

#[derive(ClapArgs, Clone, Debug)]
pub struct ScenarioArgs {
    /// Scenario files, or folders of them
    #[arg(value_name = "SCENARIO|DIR")]
    pub paths: Vec<PathBuf>,
    /// Set a variable of the scenarios
    #[arg(long = "var", value_name = "K=V", value_parser = key_value)]
    pub vars: Vec<(String, String)>,
    /// Keep only these features; `*` stands for any text
    #[arg(long, value_name = "GLOB")]
    pub only: Vec<String>,
    /// The project file [default: where no scenario is named, loadgate.yaml here or in a folder above]
    #[arg(long, value_name = "FILE", env = "LOADGATE_PROJECT")]
    pub project: Option<PathBuf>,
    /// A service of the project; `*` stands for any text [default: all of them, one after the other]
    #[arg(long = "service", value_name = "GLOB")]
    pub services: Vec<String>,
    /// A profile of the project, such as pr, promote or canary
    #[arg(long, value_name = "NAME", env = "LOADGATE_PROFILE")]
    pub profile: Option<String>,
    /// Under load: arrivals of all scenarios together at their highest, shared out by `weight`, instead of the files' own rates
    #[arg(long = "rate", value_name = "RATE", env = "LOADGATE_RATE")]
    pub total_rate: Option<String>,
    /// Probes, alerts and webhooks for all features, beside those that scenarios have
    #[arg(long, value_name = "FILE", env = "LOADGATE_PROBES")]
    pub probes: Option<PathBuf>,
}

#[derive(ClapArgs, Clone, Debug)]
pub struct TargetArgs {
    /// Base URL of the deployed service
    #[arg(long, value_name = "URL", env = "LOADGATE_TARGET")]
    pub target: Option<String>,
    /// Start the embedded target, afresh for each look
    #[arg(long)]
    pub demo: bool,
    /// A fault of the demo, such as slow:churn-prediction:+60%
    #[arg(long = "fault", value_name = "SPEC")]
    pub faults: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum TransportArg {
    /// reqwest
    Http,
    /// loadgate's own: phase times, least CPU
    Wire,
}

#[derive(ClapArgs, Clone, Debug)]
pub struct TransportArgs {
    /// How requests are sent [default: wire under load, http for smoke]
    #[arg(long, value_enum, value_name = "http|wire", env = "LOADGATE_TRANSPORT")]
    pub transport: Option<TransportArg>,
    /// Speak HTTP/2 only; without TLS by prior knowledge
    #[arg(long)]
    pub http2: bool,
    /// Accept any certificate: whoever answers is believed
    #[arg(long, short = 'k')]
    pub insecure: bool,
    /// Trust the certificates in this file (PEM) too
    #[arg(long, value_name = "FILE", env = "LOADGATE_CACERT")]
    pub cacert: Option<PathBuf>,
    /// Show the target this client certificate (PEM; the key may stand in the same file)
    #[arg(long, value_name = "FILE", env = "LOADGATE_CERT")]
    pub cert: Option<PathBuf>,
    /// Private key of --cert (PEM)
    #[arg(long, value_name = "FILE", env = "LOADGATE_KEY")]
    pub key: Option<PathBuf>,
}

/// Of the commands that send load.
#[derive(ClapArgs, Clone, Debug)]
pub struct CeilingArgs {
    /// Refuse a load that rises above so many requests, all files together; hold virtual users back at it [default: 10000/s, to other machines only]
    #[arg(long, value_name = "RATE", env = "LOADGATE_MAX_RATE")]
    pub max_rate: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum NotifyArg {
    Send,
    DryRun,
    Off,
}

/// Of the commands that tell webhooks when they end.
#[derive(ClapArgs, Clone, Copy, Debug)]
pub struct TellingArgs {
    /// Whether webhooks of `notify` are told, or only shown what they would be
    #[arg(long, value_enum, default_value = "send", env = "LOADGATE_NOTIFY")]
    pub notify: NotifyArg,
}

#[derive(ClapArgs, Clone, Debug)]
pub struct OutputArgs {
    /// Folder for the record, the verdict and the reports [default: results/<UTC time>-<id>]
    #[arg(long, value_name = "DIR", env = "LOADGATE_OUT")]
    pub out: Option<PathBuf>,
    /// Wait this long for the target to become ready; give up with exit code 3
    #[arg(long, value_name = "DURATION", env = "LOADGATE_WAIT")]
    pub wait: Option<String>,
    /// What to call this run in its reports, such as `25%` or `pull request 41`
    #[arg(long, value_name = "TEXT", env = "LOADGATE_LABEL")]
    pub label: Option<String>,
    /// No progress, only the verdict
    #[arg(long, short)]
    pub quiet: bool,
    /// No colours (`NO_COLOR` does the same)
    #[arg(long)]
    pub no_color: bool,
}

#[derive(ClapArgs, Clone, Debug)]
pub struct BaselineArgs {
    /// Folder of the stored baselines [default: the project's, else baselines]
    #[arg(long, value_name = "DIR", env = "LOADGATE_BASELINES")]
    pub baselines: Option<PathBuf>,
    /// Names the baseline set, and the project's environment [default: `default`, where --demo is given `demo`]
    #[arg(long, value_name = "NAME", env = "LOADGATE_ENV")]
    pub env: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum GateArg {
    /// An unsettled comparison passes and says what is not excluded
    Regression,
    /// An unsettled comparison holds
    Safety,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AllowArg {
    NoBaseline,
    Unresolved,
}

#[derive(ClapArgs, Clone, Debug)]
pub struct GateArgs {
    /// What an unsettled comparison means [default: regression]
    #[arg(long, value_enum, env = "LOADGATE_GATE")]
    pub gate: Option<GateArg>,
    /// Looks at the target: `auto` takes up to five where it is restarted between them [default: auto]
    #[arg(long, value_name = "auto|N", env = "LOADGATE_REPEAT")]
    pub repeat: Option<String>,
    /// Begin no further look that would end after this; refuse a load that takes longer by itself
    #[arg(long, value_name = "DURATION", env = "LOADGATE_BUDGET")]
    pub budget: Option<String>,
    /// Shell command that restarts the target before each further look
    #[arg(long, value_name = "CMD", env = "LOADGATE_RESTART_HOOK")]
    pub restart_hook: Option<String>,
    /// What passes all the same
    #[arg(long, value_enum, value_delimiter = ',')]
    pub allow: Vec<AllowArg>,
    /// Hold (4) for every endpoint without a baseline, even those without a `regression:` rule
    #[arg(long, env = "LOADGATE_REQUIRE_BASELINE")]
    pub require_baseline: bool,
    /// Hold if the baselines come from another kind of machine, instead of a warning
    #[arg(long, env = "LOADGATE_SAME_HOST")]
    pub same_host: bool,
    /// How many of the newest baseline instances to compare with [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=10), env = "LOADGATE_INSTANCES")]
    pub instances: Option<u8>,
}

#[derive(ClapArgs, Debug)]
pub struct RunArgs {
    #[command(flatten)]
    pub telling: TellingArgs,
    #[command(flatten)]
    pub scenarios: ScenarioArgs,
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub gate: GateArgs,
    #[command(flatten)]
    pub ceiling: CeilingArgs,
    /// Send only every N-th arrival or virtual user, from I on (0-based); `auto` or `auto/N` takes them from the variables of a
    /// Kubernetes Indexed Job, GitLab, Buildkite, CircleCI, Slurm or AWS Batch
    #[arg(long, value_name = "I/N", env = "LOADGATE_SHARD")]
    pub shard: Option<String>,
    /// Begin the load at this instant (RFC 3339, or seconds since 1970; `+2m` behind it adds): the same for all shards
    #[arg(long, value_name = "INSTANT", env = "LOADGATE_START_AT")]
    pub start_at: Option<String>,
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
    #[command(flatten)]
    pub baselines: BaselineArgs,
    #[command(flatten)]
    pub transport: TransportArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(ClapArgs, Debug)]
pub struct SmokeArgs {
    #[command(flatten)]
    pub telling: TellingArgs,
    /// Go on for this long, pass after pass; show changes only
    #[arg(long, value_name = "DURATION")]
    pub watch: Option<String>,
    /// From the beginning of one watched pass to the next
    #[arg(long, value_name = "DURATION", default_value = "5s", requires = "watch")]
    pub every: String,
    /// The project's environment
    #[arg(long, value_name = "NAME", env = "LOADGATE_ENV")]
    pub env: Option<String>,
    #[command(flatten)]
    pub scenarios: ScenarioArgs,
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub transport: TransportArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum FormatArg {
    Table,
    Json,
}

#[derive(ClapArgs, Debug)]
pub struct ValidateArgs {
    #[command(flatten)]
    pub scenarios: ScenarioArgs,
    /// As for `run`: what each endpoint of one shard would get
    #[arg(long, value_name = "I/N")]
    pub shard: Option<String>,
    #[command(flatten)]
    pub baselines: BaselineArgs,
    /// `json`: mistakes with their places, and the plan, for editors and other programs
    #[arg(long, value_enum, default_value = "table")]
    pub format: FormatArg,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum SchemaArg {
    Scenario,
    /// Of a rollout
    Plan,
    /// Of loadgate.yaml
    Project,
    /// Of run.json
    Run,
    /// Of verdict.json
    Verdict,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ImportArg {
    /// What a browser recorded (`Save all as HAR`)
    Har,
    /// OpenAPI 3.0 or 3.1, JSON or YAML: functional checks with example values and the schemas of responses
    Openapi,
    /// A collection of format 2
    Postman,
    /// Copied commands, one after the other
    Curl,
}

#[derive(ClapArgs, Debug)]
pub struct ImportArgs {
    #[arg(value_enum)]
    pub from: ImportArg,
    /// The file, or `-` for standard input
    pub file: PathBuf,
    /// Folder to write into; files that are there are never touched
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// The feature's name [default: from the host, the tags or the collection]
    #[arg(long, value_name = "NAME")]
    pub feature: Option<String>,
    /// Of an OpenAPI document only operations like this one, such as 'get /users*'
    #[arg(long, value_name = "GLOB")]
    pub only: Vec<String>,
    /// Of a Postman collection: the file of its environment
    #[arg(long, value_name = "FILE")]
    pub environment: Option<PathBuf>,
}

#[derive(ClapArgs, Debug)]
pub struct InitArgs {
    /// An address of the service that answers to GET
    pub url: String,
    /// Folder to write into; files that are there are never touched
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// The feature's name [default: from the URL]
    #[arg(long, value_name = "NAME")]
    pub feature: Option<String>,
    #[command(flatten)]
    pub transport: TransportArgs,
}

#[derive(ClapArgs, Debug)]
pub struct DemoArgs {
    /// Port on loopback; 0 takes any free one
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// A fault, such as errors:market-intelligence:2%
    #[arg(long = "fault", value_name = "SPEC")]
    pub faults: Vec<String>,
    /// Let PUT /faults change them at run time
    #[arg(long)]
    pub allow_faults: bool,
    /// What the x-build header says
    #[arg(long, default_value = concat!("demo-", env!("CARGO_PKG_VERSION")))]
    pub build: String,
    #[arg(long, hide = true)]
    pub until_stdin_closes: bool,
}

#[derive(ClapArgs, Debug)]
pub struct NotifyArgs {
    /// Folders of runs
    #[arg(value_name = "RUN", required = true)]
    pub runs: Vec<PathBuf>,
    /// The file whose `notify` names the webhooks
    #[arg(long, value_name = "FILE", env = "LOADGATE_PROBES")]
    pub probes: PathBuf,
    /// Set a variable of that file
    #[arg(long = "var", value_name = "K=V", value_parser = key_value)]
    pub vars: Vec<(String, String)>,
    /// Show what would be told to whom; send nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub transport: TransportArgs,
}

pub fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected K=V")?;
    Ok((key.to_owned(), value.to_owned()))
}
