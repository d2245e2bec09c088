use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

use super::args::{
    BaselineArgs, CeilingArgs, OutputArgs, ScenarioArgs, TargetArgs, TransportArgs, key_value,
};

#[derive(Subcommand, Debug)]
pub enum BaselineCommand {
    /// Measure and store
    Record(Box<RecordArgs>),
    /// Measure, show what would change, ask, and store
    Refresh(Box<RefreshArgs>),
    /// Print level, noise, origin and headroom of what is stored, and what one look can tell
    Show(ShowArgs),
    /// Read every stored file; with scenarios, tell which endpoints have no baseline
    Verify(VerifyArgs),
    /// Remove runs that no verdict needs any more
    Prune(PruneArgs),
}

/// What is measured, where, and against what.
#[derive(ClapArgs, Debug)]
pub struct MeasureArgs {
    #[command(flatten)]
    pub scenarios: ScenarioArgs,
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub ceiling: CeilingArgs,
    #[command(flatten)]
    pub baselines: BaselineArgs,
    #[command(flatten)]
    pub transport: TransportArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    /// Shell command that restarts the target between the runs, so that each is of an instance of its own
    #[arg(long, value_name = "CMD", env = "LOADGATE_RESTART_HOOK")]
    pub restart_hook: Option<String>,
}

#[derive(ClapArgs, Debug)]
pub struct RecordArgs {
    #[command(flatten)]
    pub measure: MeasureArgs,
    /// How many runs
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub repeat: u32,
    /// Why these runs are the reference
    #[arg(long, value_name = "TEXT", default_value = "recorded")]
    pub reason: String,
}

#[derive(ClapArgs, Debug)]
pub struct RefreshArgs {
    #[command(flatten)]
    pub measure: MeasureArgs,
    /// How many runs
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub repeat: u32,
    /// Take these stored runs instead of measuring
    #[arg(long, value_name = "RUN", num_args = 1.., conflicts_with_all = ["paths", "demo", "repeat"])]
    pub from: Vec<PathBuf>,
    /// Why these runs are the reference
    #[arg(long, value_name = "TEXT", default_value = "refreshed")]
    pub reason: String,
    /// Take a level that is worse than what was accepted, and why
    #[arg(long, value_name = "REASON")]
    pub accept: Option<String>,
    /// Take a new endpoint (`feature/step`); `*` stands for any text
    #[arg(long, value_name = "GLOB")]
    pub new: Vec<String>,
    /// Do not ask; new endpoints are left out but for --new
    #[arg(long, short)]
    pub yes: bool,
}

#[derive(ClapArgs, Debug)]
pub struct SetArgs {
    /// Folder of the stored baselines
    #[arg(long, value_name = "DIR", default_value = "baselines", env = "LOADGATE_BASELINES")]
    pub baselines: PathBuf,
    /// Names the baseline set
    #[arg(long, value_name = "NAME", default_value = "default", env = "LOADGATE_ENV")]
    pub env: String,
}

#[derive(ClapArgs, Debug)]
pub struct ShowArgs {
    /// Features [default: all]
    pub features: Vec<String>,
    #[command(flatten)]
    pub set: SetArgs,
}

#[derive(ClapArgs, Debug)]
pub struct VerifyArgs {
    /// Scenario files, or folders of them, whose endpoints should have baselines
    #[arg(value_name = "SCENARIO|DIR")]
    pub scenarios: Vec<PathBuf>,
    /// Set a variable of the scenarios
    #[arg(long = "var", value_name = "K=V", value_parser = key_value)]
    pub vars: Vec<(String, String)>,
    /// As for `run`: the scenarios' rates together
    #[arg(long, value_name = "RATE", env = "LOADGATE_RATE")]
    pub rate: Option<String>,
    #[command(flatten)]
    pub set: SetArgs,
}

#[derive(ClapArgs, Debug)]
pub struct PruneArgs {
    /// Features [default: all]
    pub features: Vec<String>,
    #[command(flatten)]
    pub set: SetArgs,
    /// How many of the newest instances of each endpoint stay
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(5..))]
    pub keep: u32,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}
