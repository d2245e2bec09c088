use clap::{Args as ClapArgs, ValueEnum};
use http::{HeaderName, HeaderValue};

use super::args::{
    AllowArg, BaselineArgs, CeilingArgs, GateArg, OutputArgs, ScenarioArgs, TellingArgs, TransportArgs,
    key_value,
};
use super::telemetry::TelemetryArgs;
use crate::error::{Error, Result};

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PairingArg {
    /// Each arrival goes to both arms, in random order
    Mirror,
    /// Of each two arrivals one goes to each arm, at random: for writes and shared stores
    Split,
}

#[derive(ClapArgs, Clone, Debug)]
pub struct CanaryArgs {
    #[command(flatten)]
    pub telling: TellingArgs,
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
    #[command(flatten)]
    pub scenarios: ScenarioArgs,
    /// Base URL of what serves now
    #[arg(long, value_name = "URL", env = "LOADGATE_CONTROL")]
    pub control: Option<String>,
    /// Base URL of the release; may be the control's where headers or variables tell the arms apart
    #[arg(long, value_name = "URL", env = "LOADGATE_CANDIDATE")]
    pub candidate: Option<String>,
    /// Shell command that serves the control on {port} of loopback; started afresh for each segment
    #[arg(long, value_name = "CMD", conflicts_with = "control")]
    pub control_cmd: Option<String>,
    /// The same for the candidate
    #[arg(long, value_name = "CMD", conflicts_with = "candidate")]
    pub candidate_cmd: Option<String>,
    /// Path that answers with success once a command is ready [default: / with anything below 500]
    #[arg(long, value_name = "PATH")]
    pub ready: Option<String>,
    /// The embedded target on both arms
    #[arg(long, conflicts_with_all = ["control_cmd", "candidate_cmd"])]
    pub demo: bool,
    /// A fault of the candidate's demo, such as slow:churn-prediction:+10%
    #[arg(long = "fault", value_name = "SPEC")]
    pub faults: Vec<String>,
    /// A fault of the control's demo
    #[arg(long = "control-fault", value_name = "SPEC")]
    pub control_faults: Vec<String>,
    /// Header of the control's requests alone, `Name: value`
    #[arg(long = "control-header", value_name = "HEADER")]
    pub control_headers: Vec<String>,
    /// Header of the candidate's requests alone
    #[arg(long = "candidate-header", value_name = "HEADER")]
    pub candidate_headers: Vec<String>,
    /// Variable of the control's scenarios alone
    #[arg(long = "control-var", value_name = "K=V", value_parser = key_value)]
    pub control_vars: Vec<(String, String)>,
    /// Variable of the candidate's scenarios alone
    #[arg(long = "candidate-var", value_name = "K=V", value_parser = key_value)]
    pub candidate_vars: Vec<(String, String)>,
    /// How the arms share the arrivals [default: the scenarios' `pairing`, else mirror]
    #[arg(long, value_enum, env = "LOADGATE_PAIRING")]
    pub pairing: Option<PairingArg>,
    /// Measured time, judged after ¼, ½ and all of it; the scenarios' stages are stretched to a quarter [default: 120s]
    #[arg(long = "for", value_name = "DURATION", env = "LOADGATE_FOR")]
    pub length: Option<String>,
    /// Both arms are of one build: measure how much its instances differ, and store that with the baselines
    #[arg(long)]
    pub calibrate: bool,
    /// What an unsettled comparison means [default: safety]
    #[arg(long, value_enum, env = "LOADGATE_GATE")]
    pub gate: Option<GateArg>,
    /// What passes all the same
    #[arg(long, value_enum, value_delimiter = ',')]
    pub allow: Vec<AllowArg>,
    #[command(flatten)]
    pub ceiling: CeilingArgs,
    #[command(flatten)]
    pub baselines: BaselineArgs,
    #[command(flatten)]
    pub transport: TransportArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// What `flag` says. Not read by clap, which shows what it does not understand, and that may be a credential.
pub fn headers(flag: &str, texts: &[String]) -> Result<Vec<(HeaderName, HeaderValue)>> {
    let one = |text: &String| {
        let fail = |reason: &str| Error::usage_hint(format!("{flag}: {reason}"), "expected `Name: value`");
        let (name, value) = text.split_once(':').ok_or_else(|| fail("a header without a colon"))?;
        let name = HeaderName::try_from(name.trim())
            .map_err(|_| fail("what stands in front of the colon is no header name"))?;
        let value = HeaderValue::try_from(value.trim()).ok().filter(|value| value.to_str().is_ok());
        let value = value.ok_or_else(|| fail("a header value is of visible ASCII characters"))?;
        Ok((name, value))
    };
    texts.iter().map(one).collect()
}
