use std::path::Path;

use serde::{Deserialize, Serialize};

use super::document::{checked_bytes, from_checked_bytes};
use crate::error::{Error, Result};
use crate::store::Shelf;
use crate::verdict::{ASSUMED_SIGMA_DEP, Spread, sigma_dep};

const CALIBRATION_FORMAT: u32 = 1;
/// With fewer pairs of instances the estimate may lower nothing.
const ENOUGH_PAIRS: usize = 8;
/// No two instances are taken to be more alike than this.
const LEAST_SIGMA_DEP: f64 = 0.002;

/// How much instances of one build differ side by side: `_calibration.json` of a baseline set.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Calibration {
    pub format: u32,
    pub env: String,
    pub runs: Vec<CalibrationRun>,
    /// SHA-256 of everything else.
    #[serde(default)]
    pub checksum: String,
}

/// One build held against itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CalibrationRun {
    pub run_id: String,
    /// UTC, RFC 3339.
    pub recorded: String,
    pub build: Option<String>,
    /// Pairs of instances; each told by several metrics.
    pub pairs: usize,
    /// The first pair's instances.
    #[serde(default)]
    pub instances: String,
    /// θ̂² of each metric, and what of it the blocks explain.
    pub spreads: Vec<[f64; 2]>,
}

fn name_of(env: &str) -> String {
    format!("{env}/_calibration.json")
}

impl Calibration {
    /// What is stored; empty where nothing is.
    ///
    /// # Errors
    /// If it cannot be read, was changed, or is of a later format.
    pub fn read(baselines: &Shelf, env: &str) -> Result<Self> {
        let path = baselines.folder(env)?.join(name_of(env));
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self { format: CALIBRATION_FORMAT, env: env.to_owned(), ..Self::default() });
            }
            Err(e) => return Err(Error::input(&path, "read calibration", e)),
        };
        let hint = "take the file away to start anew: `loadgate canary --calibrate`";
        from_checked_bytes(&path, &bytes, CALIBRATION_FORMAT, hint)
    }

    /// Adds a run to what is stored now; returns all of it, and how it is called. Whole or not at all.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn add(baselines: &Shelf, env: &str, run: &CalibrationRun) -> Result<(Self, String)> {
        let (name, mut all) = (name_of(env), Self::default());
        let path = baselines.replace(&name, &mut || {
            all = Self::read(baselines, env)?;
            all.runs.push(run.clone());
            checked_bytes(Path::new(&name), &Self { checksum: String::new(), ..all.clone() })
        })?;
        Ok((all, baselines.told(&path)))
    }

    #[must_use]
    pub fn pairs(&self) -> usize {
        self.runs.iter().map(|run| run.pairs).sum()
    }

    /// What all runs say, as it is.
    #[must_use]
    pub fn estimate(&self) -> f64 {
        let all = self.runs.iter().flat_map(|run| &run.spreads);
        let spreads: Vec<Spread> =
            all.map(|[squared, explained]| Spread { squared: *squared, explained: *explained }).collect();
        sigma_dep(&spreads)
    }

    /// The deviation to judge by: few pairs may raise it, many may lower it too.
    #[must_use]
    pub fn sigma_dep(&self) -> f64 {
        let least = if self.pairs() < ENOUGH_PAIRS { ASSUMED_SIGMA_DEP } else { LEAST_SIGMA_DEP };
        self.estimate().max(least)
    }
}
