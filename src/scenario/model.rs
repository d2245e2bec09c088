use std::path::PathBuf;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use regex::Regex;

use super::data::DataSource;
use super::load_plan::{AbortRule, LoadPlan};
use super::probe::Probe;
use super::program::Node;
use super::request::RequestTemplate;
use super::template::{Context, JsonTemplate, Template};
use crate::checks::{Check, Predicate, Query, Scan};
use crate::error::SourceText;
use crate::metrics::{AlertRule, Pairing};
use crate::units::Rules;

/// One feature's scenario, ready to run.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub path: PathBuf,
    pub source: Arc<SourceText>,
    pub feature: String,
    pub owner: Option<String>,
    pub identity: Identity,
    pub data: Vec<DataSource>,
    /// Every step of every part and branch, in the order of a smoke pass.
    pub steps: Vec<Step>,
    /// In which order, and which of them, an iteration under load takes.
    pub program: Vec<Node>,
    /// What ends each iteration, however it went.
    pub finally: Vec<Node>,
    pub session: SessionScope,
    /// How many captured values an iteration holds.
    pub slots: usize,
    /// Slots that are filled when an iteration begins: variables with a generated value in them.
    pub drawn: Vec<(usize, Template)>,
    /// `None`: functional checks only.
    pub load: Option<LoadPlan>,
    pub abort_when: Vec<AbortRule>,
    pub check_sample: CheckSample,
    /// How the arms of a canary share its arrivals.
    pub pairing: Option<Pairing>,
    pub probes: Vec<Probe>,
    pub alerts: Vec<AlertRule>,
    /// Hosts beside the target that steps and redirects may lead to.
    pub allow_hosts: Vec<String>,
    /// Its part of what `--rate` shares out.
    pub weight: u32,
    /// SHA-256 of the file.
    pub digest: String,
}

/// How long cookies, and what a login captures, are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionScope {
    #[default]
    Iteration,
    /// As long as a virtual user lives. In the open model iterations take sessions in turn.
    User,
    /// One for all iterations of a worker.
    Shared,
}

/// On which responses under load the checks are made that take the body apart.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum CheckSample {
    /// As many as take less than a tenth of a worker's core.
    #[default]
    Auto,
    Share(f64),
}

/// Response headers that prove who answered.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    pub build: Option<HeaderName>,
    pub instance: Option<HeaderName>,
    /// Which cohort of users an answer is for, where a flag decides that.
    pub cohort: Option<HeaderName>,
}

impl Scenario {
    /// Sends these headers with every request, instead of the file's of the same name.
    pub fn add_headers(&mut self, headers: &[(HeaderName, HeaderValue)]) {
        for step in &mut self.steps {
            let own = &mut step.action.request_mut().headers;
            for (name, value) in headers {
                own.retain(|(known, _)| known != name);
                own.push((name.clone(), Template::literal(value.to_str().unwrap_or_default())));
            }
        }
    }
}

impl Identity {
    /// Whether any header is asked for.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.build.is_some() || self.instance.is_some() || self.cohort.is_some()
    }
}

/// Where something stands in the scenario file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Byte range.
    pub start: usize,
    pub end: usize,
    /// From 1.
    pub line: usize,
}

#[derive(Clone, Debug)]
pub struct PlacedCheck {
    pub check: Check,
    pub place: Place,
}

#[derive(Clone, Debug)]
pub struct Step {
    pub name: String,
    /// `feature/step name`.
    pub endpoint: String,
    pub place: Place,
    pub part: Part,
    pub only: Option<Only>,
    /// Whether it is sent, and counted, in each iteration under load.
    pub measured: bool,
    /// All must hold, or the step is passed over.
    pub when: Vec<Condition>,
    pub action: Action,
    /// How many redirects are followed.
    pub redirects: u32,
    pub timeout_ns: u64,
    pub checks: Vec<PlacedCheck>,
    /// What deferred operands of the checks are made from.
    pub operands: Vec<JsonTemplate>,
    pub captures: Vec<Capture>,
    /// Slots without whose values the step makes no sense.
    pub needs: Vec<usize>,
    pub rules: Rules,
    /// SHA-256 of everything that decides whether two measurements are comparable.
    pub digest: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Only {
    Smoke,
    Load,
}

/// Which list of the file a step stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Once before the smoke pass, and once before each load.
    Setup,
    /// Once for each session.
    Login,
    Main,
    /// What ends each iteration, however it went.
    Finally,
    /// After what `setup` stands before, however it went.
    Teardown,
}

impl Part {
    /// The list's name, where it is a plain pass around what iterations do.
    #[must_use]
    pub fn around(self) -> Option<&'static str> {
        match self {
            Self::Setup => Some("setup"),
            Self::Login => Some("login"),
            Self::Teardown => Some("teardown"),
            Self::Main | Self::Finally => None,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Condition {
    pub value: Template,
    pub predicate: Predicate,
}

impl Step {
    #[must_use]
    pub fn in_smoke(&self) -> bool {
        self.only != Some(Only::Load)
    }

    #[must_use]
    pub fn in_load(&self) -> bool {
        self.measured
    }

    /// Whether it is sent around a load, if it is of a part that is.
    #[must_use]
    pub fn around_load(&self) -> bool {
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
        until: Vec<PlacedCheck>,
        fail_if: Vec<PlacedCheck>,
    },
    /// Server-sent events. Its time runs to the end of the last event that is waited for.
    Events {
        request: RequestTemplate,
        /// For the first event.
        within_ns: u64,
        count: u64,
        /// Only events of this type count.
        event: Option<String>,
        each: Vec<PlacedCheck>,
    },
    /// Its time runs to the first message for which all of `expect` holds.
    Socket {
        request: RequestTemplate,
        send: Vec<Message>,
        within_ns: u64,
        expect: Vec<PlacedCheck>,
    },
}

/// What is sent over a WebSocket, as text.
#[derive(Clone, Debug)]
pub enum Message {
    Text(Template),
    Json(JsonTemplate),
}

impl Message {
    #[must_use]
    pub fn render(&self, context: &Context<'_>) -> String {
        match self {
            Self::Text(text) => text.render(context),
            Self::Json(json) => json.render(context).to_string(),
        }
    }
}

impl Action {
    #[must_use]
    pub fn request(&self) -> &RequestTemplate {
        match self {
            Self::Request(request)
            | Self::Poll { request, .. }
            | Self::Events { request, .. }
            | Self::Socket { request, .. } => request,
        }
    }

    pub fn request_mut(&mut self) -> &mut RequestTemplate {
        match self {
            Self::Request(request)
            | Self::Poll { request, .. }
            | Self::Events { request, .. }
            | Self::Socket { request, .. } => request,
        }
    }

    #[must_use]
    pub fn is_poll(&self) -> bool {
        matches!(self, Self::Poll { .. })
    }

    fn inner_checks(&self) -> impl Iterator<Item = &PlacedCheck> {
        let (one, two): (&[PlacedCheck], &[PlacedCheck]) = match self {
            Self::Request(_) => (&[], &[]),
            Self::Poll { until, fail_if, .. } => (until, fail_if),
            Self::Events { each: checks, .. } | Self::Socket { expect: checks, .. } => (checks, &[]),
        };
        one.iter().chain(two)
    }
}

impl Step {
    /// What of a response its checks and captures look at.
    #[must_use]
    pub fn wants(&self) -> (bool, bool) {
        let checks = || self.checks.iter().chain(self.action.inner_checks()).map(|placed| &placed.check);
        let (mut headers, mut body) = (checks().any(Check::reads_headers), checks().any(Check::reads_body));
        headers |= self.redirects > 0;
        for capture in &self.captures {
            headers = true;
            body |= !capture.query.reads_headers();
        }
        (headers, body)
    }

    /// What finds are personal data in its responses, if it looks for any.
    #[must_use]
    pub fn scan(&self) -> Option<&Scan> {
        self.checks.iter().chain(self.action.inner_checks()).find_map(|placed| match &placed.check {
            Check::NoPersonalData(scan) => Some(scan),
            _ => None,
        })
    }
}

#[derive(Clone, Debug)]
pub struct Capture {
    pub name: String,
    pub slot: usize,
    pub query: Query,
    /// Keeps its one group, or all that it matches.
    pub regex: Option<Regex>,
    pub place: Place,
}

impl Scenario {
    /// Whether sessions outlive their iterations and begin with a login, which then is no part of the program.
    #[must_use]
    pub fn logs_in(&self) -> bool {
        self.session != SessionScope::Iteration && self.steps.iter().any(|step| step.part == Part::Login)
    }

    /// The steps that run under load, with their index.
    pub fn load_steps(&self) -> impl Iterator<Item = (usize, &Step)> {
        self.steps.iter().enumerate().filter(|(_, step)| self.load.is_some() && step.in_load())
    }
}
