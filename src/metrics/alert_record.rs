use serde::{Deserialize, Serialize};

use crate::error_class::ErrorClass;
use crate::units::{Metric, Threshold};

/// When somebody is to be told, how urgently, and what they are to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertRule {
    /// What people call it; else its condition as it was written.
    pub name: String,
    /// `file:line`
    pub place: String,
    /// Only of this feature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature: Option<String>,
    pub when: AlertCondition,
    /// The condition as it was written.
    #[serde(default)]
    pub told: String,
    /// How long it must have been so.
    pub for_ms: u64,
    pub severity: AlertSeverity,
    /// Who does what.
    pub respond: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertCondition {
    /// Of an endpoint, over the rule's window.
    Metric {
        metric: Metric,
        /// Milliseconds or a fraction.
        above: f64,
        /// Which errors count; all where none is named.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        errors: Vec<ErrorClass>,
    },
    /// Of a probe: it fires where the bound holds.
    Probe {
        probe: String,
        bound: Threshold,
    },
    Verdict(AlertVerdict),
}

/// What a verdict that is worth an alert says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertVerdict {
    Fail,
    Hold,
}

/// The gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertSeverity {
    Page,
    Warn,
    Info,
}

impl AlertSeverity {
    pub const WORDS: [(&'static str, Self); 3] =
        [("page", Self::Page), ("warn", Self::Warn), ("info", Self::Info)];

    #[must_use]
    pub fn name(self) -> &'static str {
        Self::WORDS.iter().find(|(_, own)| *own == self).map_or("", |(word, _)| word)
    }
}
