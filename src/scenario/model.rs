use std::path::PathBuf;

use http::{HeaderName, Method};

use super::data::DataSource;
use super::program::Node;
use super::stage::Stage;
use super::template::{JsonTemplate, Template};
use crate::checks::{Check, Query};
use crate::units::{Metric, Rules};

/// One feature's scenario, ready to run.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub path: PathBuf,
    pub feature: String,
    pub owner: Option<String>,
    pub identity: Identity,
    pub data: Vec<DataSource>,
    /// Every step of every branch, in the file's order.
    pub steps: Vec<Step>,
    /// In which order, and which of them, an iteration under load takes.
    pub program: Vec<Node>,
    /// How many captured values an iteration holds.
    pub slots: usize,
    /// `None`: functional checks only.
    pub load: Option<LoadPlan>,
    pub abort_when: Vec<AbortRule>,
    /// Its part of what `--rate` shares out.
    pub weight: u32,
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

impl Step {
    /// What of a response its checks and captures look at.
    #[must_use]
    pub fn wants(&self) -> (bool, bool) {
        let queries = self.captures.iter().map(|capture| &capture.query);
        let (until, fail_if): (&[Check], &[Check]) = match &self.action {
            Action::Request(_) => (&[], &[]),
            Action::Poll { until, fail_if, .. } => (until, fail_if),
        };
        let checks = || self.checks.iter().chain(until).chain(fail_if);
        let (mut headers, mut body) = (checks().any(Check::reads_headers), checks().any(Check::reads_body));
        for query in queries {
            headers |= matches!(query, Query::Header(_));
            body |= matches!(query, Query::JsonPath(_));
        }
        (headers, body)
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

impl RequestTemplate {
    /// Whether every iteration sends the same.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.url.constant().is_some()
            && self.headers.iter().all(|(_, value)| value.constant().is_some())
            && self.body.as_ref().is_none_or(|body| match body {
                BodyTemplate::Json(json) => json.constant().is_some(),
                BodyTemplate::Text(text) => text.constant().is_some(),
            })
    }
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

/// How load is offered: a leading ramp, a warm-up at the first steady level, then the measured stages.
#[derive(Clone, Debug)]
pub struct LoadPlan {
    pub warmup: Warmup,
    /// Ramps before the first steady stage; left out like the warm-up that they lead into.
    pub lead: Vec<Stage>,
    /// The first one is steady. All are of one model, open or closed.
    pub stages: Vec<Stage>,
    pub process: Process,
}

/// How arrivals of the open model are spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Process {
    /// Evenly.
    #[default]
    Constant,
    /// At random, as many as evenly spread ones would be, so that every run sends equally many.
    Poisson,
}

/// Ends the run early: the metric of one endpoint lies above this over the last `window_ns`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AbortRule {
    pub metric: Metric,
    /// Milliseconds for a quantile, a fraction for the error rate.
    pub above: f64,
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
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.stages[0].level.is_open()
    }

    /// The measured window.
    #[must_use]
    pub fn window_ns(&self) -> u64 {
        self.stages.iter().map(|stage| stage.length_ns).sum()
    }

    #[must_use]
    pub fn lead_ns(&self) -> u64 {
        self.lead.iter().map(|stage| stage.length_ns).sum()
    }

    /// Arrivals in the measured window; 0 in the closed model.
    #[must_use]
    pub fn arrivals(&self) -> u64 {
        self.stages.iter().map(Stage::arrivals).sum()
    }

    /// For people: `100/s for 30 s, ramp 100/s to 200/s for 10 s`.
    #[must_use]
    pub fn described(&self) -> String {
        let one = |stage: &Stage| match stage.iterations {
            Some(_) => stage.to_string(),
            None => format!("{} for {} s", stage.level, stage.length_ns as f64 / 1e9),
        };
        self.lead.iter().chain(&self.stages).map(one).collect::<Vec<_>>().join(", ")
    }

    /// What of it makes measurements comparable.
    #[must_use]
    pub fn canonical(&self) -> String {
        let stages: Vec<String> = self.lead.iter().chain(&self.stages).map(ToString::to_string).collect();
        let process = if self.process == Process::Poisson { " poisson" } else { "" };
        format!("{}{process}", stages.join(", "))
    }
}

impl Scenario {
    /// The steps that run under load, with their index.
    pub fn load_steps(&self) -> impl Iterator<Item = (usize, &Step)> {
        self.steps.iter().enumerate().filter(|(_, step)| self.load.is_some() && step.in_load())
    }
}
