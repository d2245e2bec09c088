use serde::{Deserialize, Serialize};

use super::run_record::LookRecord;
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

impl ProbePlan {
    /// Whether anything rests on it.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        self.limit.is_some() || self.compare.is_some()
    }
}

/// One figure, or why there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Index into the record's probes.
    pub probe: usize,
    /// When it was asked for, since the measured window began.
    pub at_ms: i64,
    /// How old the figure was then, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Of how many, where `value` counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<f64>,
    /// Without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Reading {
    /// When the figure was true, since the measured window began.
    #[must_use]
    pub fn true_ms(&self) -> i64 {
        self.at_ms - self.age_ms.unwrap_or(0) as i64
    }
}

/// How long after the window its closing turn may come and still be of it.
const CLOSING_MS: i64 = 1_000;

impl LookRecord {
    /// What one probe told of the measured window, in the order in which it was true; what was told twice is told once.
    #[must_use]
    pub fn figures(&self, probe: usize) -> Vec<(i64, f64)> {
        // The turn that closes the window comes when its last responses are in.
        let window = 0..=self.window_ms as i64 + CLOSING_MS;
        let own = self.readings.iter().filter(|reading| reading.probe == probe);
        let mut figures: Vec<(i64, f64)> =
            own.filter_map(|reading| Some((reading.true_ms(), reading.value?))).collect();
        figures.retain(|(at_ms, _)| window.contains(at_ms));
        figures.sort_by_key(|(at_ms, _)| *at_ms);
        figures.dedup_by_key(|(at_ms, _)| *at_ms);
        figures
    }
}
