use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};

use super::args::{AllowArg, GateArg};

#[derive(ClapArgs, Debug)]
pub struct CompareArgs {
    /// Runs to judge: folders or run.json files; several are looks of one
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Runs to judge against, instead of the baselines
    #[arg(long, value_name = "RUN", num_args = 1..)]
    pub against: Vec<PathBuf>,
    /// Folder of the stored baselines
    #[arg(long, value_name = "DIR", default_value = "baselines", env = "LOADGATE_BASELINES")]
    pub baselines: PathBuf,
    /// Judge by another gate than the run's own
    #[arg(long, value_enum)]
    pub gate: Option<GateArg>,
    /// What passes all the same
    #[arg(long, value_enum, value_delimiter = ',')]
    pub allow: Vec<AllowArg>,
    /// How many of the newest baseline instances to compare with [default: as recorded]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=10))]
    pub instances: Option<u8>,
    /// `auto`: the runs are single looks at restarted instances, taken one after the other as `run` does
    /// [default: as recorded]
    #[arg(long, value_enum, value_name = "auto")]
    pub repeat: Option<RepeatArg>,
    /// Say of each comparison what it rests on, why it is or is not a regression, and what would settle it
    #[arg(long)]
    pub explain: bool,
    #[arg(long, value_enum, default_value = "table")]
    pub format: ReportFormatArg,
    /// Write into this file, whole or not at all, instead of to standard output (`-`)
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// No colours
    #[arg(long)]
    pub no_color: bool,
}

#[derive(ClapArgs, Debug)]
pub struct CombineArgs {
    /// Runs, each in a folder of its own, or folders of such folders
    #[arg(required = true, value_name = "DIR")]
    pub runs: Vec<PathBuf>,
    /// A name that must be among them: without a verdict of its own it holds. Several, or `project` for all services of loadgate.yaml
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub expect: Vec<String>,
    /// The project file whose services `--expect project` means [default: loadgate.yaml here or in a folder above]
    #[arg(long, value_name = "FILE", env = "LOADGATE_PROJECT")]
    pub project: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "table")]
    pub format: CombinedFormatArg,
    /// Write into this file, whole or not at all, instead of to standard output (`-`)
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// No colours
    #[arg(long)]
    pub no_color: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum CombinedFormatArg {
    Table,
    Json,
    /// XML for a CI system's test tab
    Junit,
    /// A pull request's comment
    Markdown,
}

#[derive(ClapArgs, Debug)]
pub struct MergeArgs {
    /// Shards of one load: folders or run.json files, or folders of such folders; merged ones may be merged on
    #[arg(required = true, value_name = "RUN|DIR")]
    pub runs: Vec<PathBuf>,
    /// Folder for the merged record, its verdict and reports [default: results/<UTC time>-<id>]
    #[arg(long, value_name = "DIR", env = "LOADGATE_OUT")]
    pub out: Option<PathBuf>,
    /// Folder of the stored baselines
    #[arg(long, value_name = "DIR", default_value = "baselines", env = "LOADGATE_BASELINES")]
    pub baselines: PathBuf,
    /// Judge by another gate than the shards were given
    #[arg(long, value_enum)]
    pub gate: Option<GateArg>,
    /// What passes all the same
    #[arg(long, value_enum, value_delimiter = ',')]
    pub allow: Vec<AllowArg>,
    /// What to call the run in its reports
    #[arg(long, value_name = "TEXT", env = "LOADGATE_LABEL")]
    pub label: Option<String>,
    /// Wait so long for shards that are not there yet, in a folder or in object storage [default: not at all]
    #[arg(long, value_name = "DURATION", env = "LOADGATE_MERGE_WAIT")]
    pub wait: Option<String>,
    /// No colours
    #[arg(long)]
    pub no_color: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum RepeatArg {
    Auto,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ReportFormatArg {
    Table,
    Json,
    /// XML for a CI system's test tab
    Junit,
    /// A pull request's comment
    Markdown,
    /// One page with plots, complete in itself
    Html,
}

#[derive(ClapArgs, Debug)]
pub struct ReportArgs {
    /// Runs: folders or run.json files; a folder with a journal is a run that was cut off. Several are put side by side
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    #[arg(long, value_enum, default_value = "table")]
    pub format: ReportFormatArg,
    /// The document that people sign, a phase a run (`--format markdown` or `html`)
    #[arg(long)]
    pub deployment: bool,
    /// What to call the runs, once for each in their order [default: as recorded]
    #[arg(long = "label", value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub labels: Vec<String>,
    /// Runs before the deployment, which the last load is compared with instead of the baselines
    #[arg(long, value_name = "RUN", num_args = 1.., requires = "deployment")]
    pub before: Vec<PathBuf>,
    /// What the release may cost all endpoints together, as a share of response times
    #[arg(long, value_name = "SHARE", default_value = "2%", requires = "deployment")]
    pub impact: String,
    /// Write into this file, whole or not at all, instead of to standard output (`-`)
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Folder of the stored baselines: their runs are shown beside this one's; a run without a verdict is judged by them
    #[arg(long, value_name = "DIR", default_value = "baselines", env = "LOADGATE_BASELINES")]
    pub baselines: PathBuf,
    /// No colours
    #[arg(long)]
    pub no_color: bool,
}
