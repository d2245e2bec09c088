use serde::{Deserialize, Serialize};

use crate::units::{Threshold, Tolerance};

/// What was to be read beside the load, and by which rule it is judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbePlan {
    pub name: String,
    /// `file:line`
    pub place: String,
    /// What is asked and whom, without secrets.
    pub asks: String,
    pub every_ms: u64,
    /// How old a sample may be when it is read.
    pub max_age_ms: u64,
    pub limit: Option<Threshold>,
    /// Beyond the limit for less time than this is a transient.
    pub for_ms: u64,
    /// Counts of real users' errors and requests on both arms: the difference of their rates that must be caught.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare: Option<Tolerance>,
    /// Whether each arm has figures of its own.
    #[serde(default)]
    pub of_arm: bool,
}

/// One figure, or why there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Index into the record's probes.
    pub probe: usize,
    /// Since the measured window began.
    pub at_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Of how many, where `value` counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<f64>,
    /// Without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}
