use std::path::PathBuf;

use http::{HeaderName, Method};

use super::data::DataSource;
use super::template::{JsonTemplate, Template};
use crate::checks::{Check, Query};
use crate::units::{Rate, Rules};

/// One feature's scenario, ready to run.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub path: PathBuf,
    pub feature: String,
    pub owner: Option<String>,
    pub identity: Identity,
    pub data: Vec<DataSource>,
    pub steps: Vec<Step>,
    /// How many captured values an iteration holds.
    pub slots: usize,
    /// `None`: functional checks only.
    pub load: Option<LoadPlan>,
    /// SHA-256 of the file.
    pub digest: String,
}

/// Response headers that prove who answered.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    pub build: Option<HeaderName>,
    pub instance: Option<HeaderName>,
}

#[derive(Clone, Debug)]
pub struct Step {
    pub name: String,
    /// `feature/step name`.
    pub endpoint: String,
    /// In the scenario file.
    pub line: usize,
    pub only: Option<Only>,
    pub action: Action,
    pub timeout_ns: u64,
    pub checks: Vec<Check>,
    /// What deferred operands of the checks are made from.
    pub operands: Vec<JsonTemplate>,
    pub captures: Vec<Capture>,
    pub rules: Rules,
    /// SHA-256 of everything that decides whether two measurements are comparable.
    pub digest: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Only {
    Smoke,
    Load,
}

impl Step {
    #[must_use]
    pub fn in_smoke(&self) -> bool {
        self.only != Some(Only::Load)
    }

    #[must_use]
    pub fn in_load(&self) -> bool {
        self.only != Some(Only::Smoke)
    }
}

#[derive(Clone, Debug)]
pub enum Action {
    Request(RequestTemplate),
    /// Asks again until a condition holds. Its time runs from the first attempt to the last byte of the last.
    Poll {
        request: RequestTemplate,
        every_ns: u64,
        within_ns: u64,
        until: Vec<Check>,
        fail_if: Vec<Check>,
    },
}

impl Action {
    #[must_use]
    pub fn request(&self) -> &RequestTemplate {
        match self {
            Self::Request(request) | Self::Poll { request, .. } => request,
        }
    }
}

#[derive(Clone, Debug)]
pub struct RequestTemplate {
    pub method: Method,
    /// Absolute, or a path below the target.
    pub url: Template,
    pub headers: Vec<(HeaderName, Template)>,
    pub body: Option<BodyTemplate>,
}

#[derive(Clone, Debug)]
pub enum BodyTemplate {
    Json(JsonTemplate),
    Text(Template),
}

#[derive(Clone, Debug)]
pub struct Capture {
    pub name: String,
    pub slot: usize,
    pub query: Query,
}

/// Open model at one constant rate.
#[derive(Clone, Debug)]
pub struct LoadPlan {
    pub warmup: Warmup,
    pub rate: Rate,
    /// The measured window.
    pub window_ns: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warmup {
    Fixed {
        ns: u64,
    },
    /// At least [`WARMUP_AUTO_NS`]; extended until the load is steady, at most to `max_ns`.
    Auto {
        max_ns: u64,
    },
}

pub const WARMUP_AUTO_NS: u64 = 4_000_000_000;

impl Warmup {
    /// How long it may last.
    #[must_use]
    pub fn most_ns(self) -> u64 {
        match self {
            Self::Fixed { ns } => ns,
            Self::Auto { max_ns } => max_ns.max(WARMUP_AUTO_NS),
        }
    }

    /// How long it lasts if the load is steady at once.
    #[must_use]
    pub fn least_ns(self) -> u64 {
        match self {
            Self::Fixed { ns } => ns,
            Self::Auto { max_ns } => WARMUP_AUTO_NS.min(max_ns),
        }
    }
}

impl LoadPlan {
    /// Arrivals in the measured window.
    #[must_use]
    pub fn arrivals(&self) -> u64 {
        self.rate.arrivals_within(self.window_ns)
    }
}

impl Scenario {
    /// The steps that run under load, with their index.
    pub fn load_steps(&self) -> impl Iterator<Item = (usize, &Step)> {
        self.steps.iter().enumerate().filter(|(_, step)| self.load.is_some() && step.in_load())
    }
}
