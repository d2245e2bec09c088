use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::document::{KEPT, quantile_key};
use crate::units::{Metric, Rules};
use crate::verdict::{Anchor, AnchorLevel, Reference};

pub const ANCHOR_FORMAT: u32 = 1;

/// The best level of each endpoint that was ever accepted: `_anchor.json` beside a feature's baselines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnchorDocument {
    pub format: u32,
    pub feature: String,
    pub env: String,
    pub endpoints: BTreeMap<String, EndpointAnchor>,
    /// SHA-256 of everything else.
    #[serde(default)]
    pub checksum: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointAnchor {
    /// Of the request and stage that the levels are of.
    pub digest: String,
    /// By name of the quantile.
    pub levels: BTreeMap<String, StoredLevel>,
    /// Levels that someone gave up, and why.
    #[serde(default)]
    pub given_up: Vec<GivenUp>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredLevel {
    pub ms: f64,
    pub instances: usize,
    /// UTC, RFC 3339.
    pub recorded: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GivenUp {
    pub metric: String,
    pub level: StoredLevel,
    pub accepted_by: String,
    pub reason: String,
}

/// Who accepted what, and why.
pub struct Acceptance<'a> {
    pub accepted_by: &'a str,
    pub reason: &'a str,
    /// Endpoints and metrics whose worse level was accepted on purpose.
    pub worse: &'a [(String, Metric)],
}

impl AnchorDocument {
    #[must_use]
    pub fn new(feature: &str, env: &str) -> Self {
        Self {
            format: ANCHOR_FORMAT,
            feature: feature.to_owned(),
            env: env.to_owned(),
            endpoints: BTreeMap::new(),
            checksum: String::new(),
        }
    }

    /// What the judge needs of an endpoint; empty where the anchor is of another request or stage.
    #[must_use]
    pub fn of(&self, endpoint: &str, digest: &str) -> Anchor {
        let Some(own) = self.endpoints.get(endpoint).filter(|own| own.digest == digest) else {
            return Anchor::new();
        };
        let level = |stored: &StoredLevel| AnchorLevel {
            ln: stored.ms.ln(),
            instances: stored.instances,
            recorded: stored.recorded.clone(),
        };
        own.levels.iter().filter_map(|(name, stored)| Some((quantile_key(name)?, level(stored)))).collect()
    }

    /// Takes over the level that the judge now compares with where that is better; where a worse one was accepted on
    /// purpose, that one, and what it replaced is kept beside it.
    pub fn update(&mut self, reference: &Reference, acceptance: &Acceptance<'_>) {
        let own = self.endpoints.entry(reference.endpoint.clone()).or_insert_with(|| EndpointAnchor {
            digest: reference.digest.clone(),
            levels: BTreeMap::new(),
            given_up: Vec::new(),
        });
        if own.digest != reference.digest {
            own.digest.clone_from(&reference.digest);
            own.levels.clear();
        }
        for metric in KEPT {
            let Some(level) = level_of(reference, metric) else { continue };
            let name = metric.to_string();
            let Some(known) = own.levels.get(&name) else {
                own.levels.insert(name, level);
                continue;
            };
            let change = (level.ms / known.ms).ln();
            let ignore = Rules::DEFAULT_IGNORE.ln_at(known.ms);
            let better_known = change.abs() < ignore && level.instances > known.instances;
            let given_up =
                acceptance.worse.iter().any(|(endpoint, m)| *endpoint == reference.endpoint && *m == metric);
            if given_up && change >= ignore {
                own.given_up.push(GivenUp {
                    metric: name.clone(),
                    level: known.clone(),
                    accepted_by: acceptance.accepted_by.to_owned(),
                    reason: acceptance.reason.to_owned(),
                });
            } else if change > -ignore && !better_known {
                // The least of many means of the same level would sink by chance alone.
                continue;
            }
            own.levels.insert(name, level);
        }
    }
}

/// The mean over instances, as the judge takes it.
fn level_of(reference: &Reference, metric: Metric) -> Option<StoredLevel> {
    let level = crate::verdict::reference_level(reference, metric)?;
    let recorded = reference.runs.last()?.recorded.clone();
    Some(StoredLevel { ms: level.ln.exp(), instances: level.instances, recorded })
}
