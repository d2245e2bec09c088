use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

use super::args::{AllowArg, BaselineArgs, CeilingArgs, FormatArg, TellingArgs, TransportArgs, key_value};

#[derive(Subcommand, Debug)]
pub enum RolloutCommand {
    /// Begin a rollout, or go on with it where it was
    Run(Box<RolloutRunArgs>),
    /// Where it stands, and what can be done about it
    Status {
        #[command(flatten)]
        of: PlanArgs,
        #[arg(long, value_enum, default_value = "table")]
        format: FormatArg,
    },
    /// Let a phase begin, or let pass what was held
    Approve(SteerArgs),
    /// One more round of what goes on, or of what was held
    Extend(SteerArgs),
    /// Take the traffic back, while it runs and for 24 hours after it is complete
    Rollback(SteerArgs),
}

#[derive(ClapArgs, Debug)]
pub struct PlanArgs {
    /// The file with the phases
    #[arg(value_name = "PLAN")]
    pub plan: PathBuf,
    /// What is rolled out; names the rollout [default: the plan's `release`; to look and to steer, the newest]
    #[arg(long, value_name = "NAME", env = "LOADGATE_RELEASE")]
    pub release: Option<String>,
    /// Where rollouts keep what they know [default: `rollouts` beside the plan]
    #[arg(long, value_name = "DIR", env = "LOADGATE_ROLLOUTS")]
    pub state: Option<PathBuf>,
    /// Set a variable of the plan
    #[arg(long = "var", value_name = "K=V", value_parser = key_value)]
    pub vars: Vec<(String, String)>,
    /// No colours (`NO_COLOR` does the same)
    #[arg(long)]
    pub no_color: bool,
}

#[derive(ClapArgs, Debug)]
pub struct RolloutRunArgs {
    #[command(flatten)]
    pub of: PlanArgs,
    /// Show what would be done; run and send nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Soaks take so many times their length, such as 0.01 to try a plan
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    pub time_scale: f64,
    /// Keep only these features; `*` stands for any text
    #[arg(long, value_name = "GLOB")]
    pub only: Vec<String>,
    /// A fault of the candidate, where that is the demo
    #[arg(long = "fault", value_name = "SPEC")]
    pub faults: Vec<String>,
    /// What passes all the same
    #[arg(long, value_enum, value_delimiter = ',')]
    pub allow: Vec<AllowArg>,
    #[command(flatten)]
    pub telling: TellingArgs,
    #[command(flatten)]
    pub ceiling: CeilingArgs,
    #[command(flatten)]
    pub baselines: BaselineArgs,
    #[command(flatten)]
    pub transport: TransportArgs,
    /// No progress of measurements
    #[arg(long, short)]
    pub quiet: bool,
}

#[derive(ClapArgs, Debug)]
pub struct SteerArgs {
    #[command(flatten)]
    pub of: PlanArgs,
    /// Why; stands in the journal and in the report
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Who says so
    #[arg(long, value_name = "NAME", env = "USER", default_value = "somebody")]
    pub by: String,
    #[command(flatten)]
    pub telling: TellingArgs,
    #[command(flatten)]
    pub transport: TransportArgs,
}
