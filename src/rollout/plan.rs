use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::gate::TargetSpec;
use crate::metrics::Pairing;
use crate::scenario::Watching;
use crate::secrets::Secrets;
use crate::units::Rate;

/// What a rollout is to do, phase by phase.
#[derive(Clone)]
pub struct Plan {
    pub path: PathBuf,
    /// What other paths and the commands are relative to.
    pub folder: PathBuf,
    /// A file name.
    pub name: String,
    /// Of what is rolled out; a file name.
    pub release: Option<String>,
    pub scenarios: Vec<PathBuf>,
    pub control: ArmPlan,
    pub candidate: ArmPlan,
    pub pairing: Option<Pairing>,
    pub phases: Vec<Phase>,
    pub on_hold: OnHold,
    /// Wherever a phase shifts traffic.
    pub rollback: Option<Rollback>,
    pub watching: Watching,
    pub secrets: Secrets,
    /// Of the file.
    pub digest: String,
}

/// One of the two deployments.
#[derive(Clone)]
pub struct ArmPlan {
    pub target: TargetSpec,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Of the scenarios.
    pub vars: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
pub struct Phase {
    pub name: String,
    /// Of the traffic that the candidate serves in this phase.
    pub percent: u8,
    /// Somebody has to say so before this phase begins, within so long.
    pub approve: Option<Duration>,
    pub shift: Option<CommandLine>,
    pub soak: Option<Soak>,
    pub load: Option<Load>,
}

/// Both arms side by side at a low rate for a long time, with functional passes beside it.
#[derive(Clone, Copy, Debug)]
pub struct Soak {
    pub length: Duration,
    /// Of all scenarios together.
    pub rate: Rate,
    /// From one functional pass to the next.
    pub smoke: Duration,
}

#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub against: Against,
    /// Measured; where nothing is said a canary's usual length, or the scenarios' own.
    pub length: Option<Duration>,
    /// Of all scenarios together; where nothing is said their own.
    pub rate: Option<Rate>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// Side by side.
    Control,
    /// The candidate alone, with its limits and stored runs.
    Baselines,
}

/// What a verdict that settles nothing leads to.
#[derive(Clone, Copy, Debug)]
pub struct OnHold {
    /// So many further rounds in each phase.
    pub extend: u32,
    /// How long to wait before each of them.
    pub after: Duration,
    /// How long to wait for somebody to decide, before giving up for now.
    pub wait: Duration,
}

#[derive(Clone, Debug)]
pub struct Rollback {
    pub command: CommandLine,
    /// From the decision to the command's end.
    pub within: Duration,
}

/// A command of theirs.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandLine {
    /// A program and its arguments; through a shell only where somebody asked for that.
    pub words: Vec<String>,
    /// As it was written.
    pub told: String,
    pub timeout: Duration,
}

impl Plan {
    /// Where the rollouts of this plan keep what they know.
    #[must_use]
    pub fn state(&self, given: Option<&Path>) -> PathBuf {
        given.map_or_else(|| self.folder.join("rollouts"), Path::to_owned).join(&self.name)
    }

    /// The share of traffic before a phase.
    #[must_use]
    pub fn percent_before(&self, phase: usize) -> u8 {
        phase.checked_sub(1).map_or(0, |before| self.phases[before].percent)
    }
}
