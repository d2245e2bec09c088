use serde::{Deserialize, Serialize};

use crate::verdict::Action;

pub const JOURNAL_FORMAT: u32 = 1;

/// One line of a rollout's journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// UTC, RFC 3339.
    pub at: String,
    #[serde(flatten)]
    pub event: Event,
}

/// What happens in a rollout. What is about to be done is written before it is done, and what came of it after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    Begun(Begun),
    /// A process has taken the rollout over.
    Controller {
        pid: u32,
    },
    /// Somebody is to say whether a phase may begin.
    Asked {
        phase: usize,
    },
    Acting {
        act: String,
        kind: ActKind,
        phase: usize,
        command: String,
    },
    Acted {
        act: String,
        end: ActEnd,
    },
    Judging {
        phase: usize,
        part: Part,
        run: String,
    },
    Judged {
        phase: usize,
        part: Part,
        run: String,
        outcome: Judged,
    },
    /// A run that its controller did not live to judge.
    CutOff {
        run: String,
    },
    Requested(Request),
    /// Nobody said that the phase may begin.
    Unanswered {
        phase: usize,
    },
    /// The controller has ended before the rollout did.
    Stopped {
        cause: String,
    },
    Completed,
}

/// What the plan was, as far as what follows rests on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Begun {
    pub format: u32,
    pub loadgate_version: String,
    pub rollout: String,
    pub release: String,
    /// The plan's file name, and its digest.
    pub file: String,
    pub plan: String,
    pub phases: Vec<Shape>,
    /// Further rounds that a phase may take by itself.
    pub extend: u32,
    /// By what the lengths of soaks were multiplied.
    pub time_scale: f64,
    /// What a rollback may take, from the decision to the command's end.
    pub within_ms: Option<u64>,
    /// Whether real users' figures of both arms are compared.
    pub real_users: bool,
}

/// What stands in a phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    pub name: String,
    pub percent: u8,
    pub approve: bool,
    pub shift: bool,
    pub soak: bool,
    pub load: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActKind {
    Shift,
    Rollback,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActEnd {
    /// `None`: by a signal, or nobody knows.
    pub code: Option<i32>,
    /// In words, where it did not end well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    pub took_ms: u64,
    /// Its end was seen by nobody.
    #[serde(default)]
    pub unknown: bool,
    /// What it wrote last, where it did not end well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub said: Vec<String>,
}

impl ActEnd {
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.code == Some(0) && self.problem.is_none() && !self.unknown
    }

    /// Why it is not.
    #[must_use]
    pub fn told(&self) -> String {
        match (&self.problem, self.code) {
            (Some(problem), _) => problem.clone(),
            (None, Some(code)) => format!("it ended with exit code {code}"),
            (None, None) => "it was ended by a signal".to_owned(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Soak,
    Load,
}

impl Part {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Soak => "soak",
            Self::Load => "load",
        }
    }
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    pub action: Action,
    pub exit_code: u8,
    pub summary: String,
    /// It was broken off, by a signal or a request.
    #[serde(default)]
    pub interrupted: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The same wherever it is written down.
    pub id: String,
    pub kind: RequestKind,
    pub by: String,
    /// Where the rollout stood.
    pub about: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestKind {
    Approve,
    Extend,
    Rollback,
}

impl RequestKind {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Extend => "extend",
            Self::Rollback => "rollback",
        }
    }
}
